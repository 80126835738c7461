//! A migration that works until it is let go, or is asked to stop: for what happens to a run meanwhile.

use std::fs;

use super::eventually;
use super::scene::{PATIENCE, Scene};

/// Its name.
pub const STEADY: &str = "20261101_steady";

/// Says where it starts from, and works until it is asked to stop, which it does with a checkpoint; or until the file `go` is there.
pub const PROGRAM: &str = r#"
trap 'echo "::stopover {\"checkpoint\":{\"at\":7}}"; echo stopped; exit 75' TERM
echo "attempt $STOPOVER_ATTEMPT from ${STOPOVER_CHECKPOINT:-the start}"
until [ -e ../go ]; do sleep 0.05; done
echo finished
"#;

/// Waits until the program of a run says that it works: from then on it handles SIGTERM.
#[track_caller]
pub fn until_at_work(scene: &Scene, name: &str) {
    eventually(&format!("{name} is at work"), PATIENCE, || {
        scene.must(&["logs", name]).contains("attempt 1 from").then_some(())
    });
}

/// Lets the programs of a pod go on that wait for it.
pub fn go(scene: &Scene) {
    fs::write(scene.path().join("go"), "").unwrap();
}
