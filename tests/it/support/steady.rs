//! A migration that works until it is let go, or is asked to stop: for what happens to a run meanwhile.

use std::fs;

use super::scene::Scene;

/// Its name.
pub const STEADY: &str = "20261101_steady";

/// Says where it starts from, and works until it is asked to stop, which it does with a checkpoint; or until the file `go` is there.
pub const PROGRAM: &str = r#"
trap 'echo "::stopover {\"checkpoint\":{\"at\":7}}"; echo stopped; exit 75' TERM
echo "attempt $STOPOVER_ATTEMPT from ${STOPOVER_CHECKPOINT:-the start}"
until [ -e ../go ]; do sleep 0.05; done
echo finished
"#;

/// Lets the programs of a pod go on that wait for it.
pub fn go(scene: &Scene) {
    fs::write(scene.path().join("go"), "").unwrap();
}
