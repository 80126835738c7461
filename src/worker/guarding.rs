//! Keeping the guard told and on its post while the program lives.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::lease::LeaseTerms;

use super::guard::Guard;
use super::heart::Pulse;
use super::pump::Pump;

/// How often the guard is looked after.
const EVERY: Duration = Duration::from_secs(1);

/// Passes on every renewal of the lease and replaces a guard that has died, until the program is `over`. A guard that cannot be
/// replaced is told by `unguarded`.
pub async fn keep_guarded(
    guard: &mut Guard,
    mut pulse: watch::Receiver<Pulse>,
    lease: LeaseTerms,
    pump: &Pump,
    over: &CancellationToken,
    unguarded: &CancellationToken,
) {
    let mut look = interval(EVERY);
    loop {
        tokio::select! {
            () = over.cancelled() => break,
            Ok(()) = pulse.changed() => {
                let renewed = pulse.borrow_and_update().renewed;
                guard.renew(renewed, lease);
            }
            _ = look.tick() => {}
        }
        match guard.keep_on_post() {
            Ok(false) => {}
            Ok(true) => pump.warn("the guard, which ends the program if the worker cannot, was gone and is replaced"),
            Err(error) => {
                pump.warn(format!("the guard, which ends the program if the worker cannot, is gone: {error}"));
                unguarded.cancel();
                over.cancelled().await;
                break;
            }
        }
    }
    guard.stand_down();
}
