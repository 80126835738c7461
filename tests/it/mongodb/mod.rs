//! The main job on a real MongoDB: the real binary, real processes, real servers.

mod away;
mod console;
mod launch;
mod pods;
mod remaining;
mod rights;
mod roles;
mod viewer;
mod watch;

use crate::support::scene::Scene;
use crate::support::steady::{PROGRAM, STEADY, go};

/// What one pod has: its own files, the ledger in common.
fn pod(name: &str, uri: impl Into<String>) -> Scene {
    Scene::new().script(STEADY, PROGRAM).variable("STOPOVER_POD", name).variable("MONGODB_URI", uri)
}

/// Stamps the ledger.
fn stamp(scene: &Scene) {
    scene.must(&["init", "--environment", "staging"]);
}
