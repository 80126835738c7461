//! Whether this pod has a keeper, and whether it takes work: what `stopover doctor --probe` answers.
//!
//! It reads two small files and asks nobody: a ledger that is away must not restart a pod.

use crate::config::StateDir;
use crate::pod::{self, Shutdown};
use crate::process::ProcessIdentity;
use crate::time::short_duration;

use super::neighbours::{Neighbourhood, Role, VERB};

/// Whether the keeper lives.
///
/// # Errors
/// A sentence on what is wrong.
pub fn live(state: &StateDir) -> Result<String, String> {
    // Its file cannot be written where nothing can, or is gone with the directory: it is found without it, too.
    let seen = || {
        let here = Neighbourhood::current();
        let first = here.neighbour(1).into_iter();
        first.chain(here.look()).find(|neighbour| neighbour.role == Role::Keeper).map(|keeper| keeper.process)
    };
    let keeper: Option<ProcessIdentity> = pod::keeper(state).or_else(seen);
    match keeper {
        Some(keeper) => Ok(format!("the keeper lives, pid {}", keeper.pid)),
        None => Err(format!(
            "no keeper lives here: {} names none, and nobody here is `stopover {VERB}`",
            state.keeper_pid().display()
        )),
    }
}

/// Whether runs can be launched in this pod.
///
/// # Errors
/// A sentence on what is wrong.
pub fn ready(state: &StateDir) -> Result<String, String> {
    let alive = live(state)?;
    if let Some(shutdown) = Shutdown::under_way(state) {
        return Err(format!("the pod is being shut down, {} left", short_duration(shutdown.left())));
    }
    writable(state)?;
    Ok(format!("{alive}, and runs can be launched"))
}

/// Whether runs can leave their logs.
///
/// # Errors
/// A sentence on why not.
pub fn writable(state: &StateDir) -> Result<(), String> {
    state.try_to_write().map_err(|error| format!("{} cannot be written to: {error}", state.path().display()))
}
