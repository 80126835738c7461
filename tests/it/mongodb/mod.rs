//! The main job on a real MongoDB: the real binary, real processes, real servers.

mod away;
mod console;
mod launch;
mod pods;
mod remaining;
mod rights;

use std::fs;

use crate::support::scene::Scene;

/// The migration of every [`pod`].
const STEADY: &str = "20261101_steady";

/// Says where it starts from, and works until it is asked to stop, which it does with a checkpoint; or until the file `go` is there.
const PROGRAM: &str = r#"
trap 'echo "::stopover {\"checkpoint\":{\"at\":7}}"; echo stopped; exit 75' TERM
echo "attempt $STOPOVER_ATTEMPT from ${STOPOVER_CHECKPOINT:-the start}"
until [ -e ../go ]; do sleep 0.05; done
echo finished
"#;

/// What one pod has: its own files, the ledger in common.
fn pod(name: &str, uri: impl Into<String>) -> Scene {
    Scene::new().script(STEADY, PROGRAM).variable("STOPOVER_POD", name).variable("MONGODB_URI", uri)
}

/// Lets the programs of a pod go on that wait for it.
fn go(scene: &Scene) {
    fs::write(scene.path().join("go"), "").unwrap();
}

/// Stamps the ledger.
fn stamp(scene: &Scene) {
    scene.must(&["init", "--environment", "staging"]);
}
