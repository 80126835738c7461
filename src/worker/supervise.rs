//! Watching a program until it has ended: it is stopped when an operator wishes it, when the worker is shut down, when the right to
//! run it is about to be lost, and when it takes too long.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::StateDir;
use crate::events::Level;
use crate::lease::LeaseTerms;
use crate::ledger::WishKind;
use crate::pod::Shutdown;
use crate::time::short_duration;

use super::heart::Pulse;
use super::outcome::Stop;
use super::pump::Pump;
use super::signals::Signals;

/// What limits a program.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// How long the right holds, and how much of it is kept to stop in.
    pub lease: LeaseTerms,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// See [`crate::catalog::Migration::timeout`].
    pub timeout: Option<Duration>,
    /// Where the pod's keeper announces that it is being shut down.
    pub state: &'a StateDir,
}

impl Limits<'_> {
    /// When a program must be asked to stop.
    fn danger(&self, pulse: &Pulse) -> Instant {
        pulse.renewed + self.lease.asked_after()
    }

    /// When a program must not live any more. (The guard steps in a little later.)
    fn over(&self, pulse: &Pulse) -> Instant {
        pulse.renewed + self.lease.killed_after()
    }

    /// How long a program has to stop. A pod that is being shut down gives what is left to it, more or less than the usual grace.
    fn grace_for(&self, why: Stop, shutdown: Option<&Shutdown>) -> Duration {
        match (why, shutdown.map(Shutdown::left_for_work)) {
            (Stop::Shutdown, Some(left)) => left,
            (_, Some(left)) => self.grace.min(left),
            (_, None) => self.grace,
        }
    }

    /// How long a program may still live unless the lease is renewed.
    pub fn left(&self, pulse: &watch::Receiver<Pulse>) -> Duration {
        self.over(&pulse.borrow()).saturating_duration_since(Instant::now())
    }
}

/// Work that can be stopped: a program, or native steps.
pub trait Work {
    /// What is known of it when it has ended.
    type Exit;
    /// What is done to ask it to stop, for the log.
    const ASKED: &'static str;
    /// What is done to end it, for the log.
    const KILLED: &'static str;

    /// Waits for it to end; may be given up and called again.
    fn ended(&mut self) -> impl Future<Output = Self::Exit>;
    /// Asks it to stop at a checkpoint, and says why.
    fn ask_to_stop(&mut self, why: Stop);
    /// Ends it.
    fn kill(&mut self);
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct End<E> {
    /// The end itself.
    pub exit: E,
    /// Why it was asked to stop, if it was.
    pub stop: Option<Stop>,
    /// Another attempt holds the run: nothing may be written any more.
    pub fenced: Option<String>,
}

/// A stop that was asked for.
struct Stopping {
    why: Stop,
    /// When its grace is over.
    until: Instant,
    killed: bool,
}

/// Watches `work` until it has ended.
pub async fn watch<W: Work>(
    work: &mut W,
    pump: &Pump,
    mut pulse: watch::Receiver<Pulse>,
    signals: &mut Signals,
    unguarded: &CancellationToken,
    limits: Limits<'_>,
) -> End<W::Exit> {
    let far = Duration::from_hours(24 * 365);
    let times_out = Instant::now() + limits.timeout.unwrap_or(far);
    let mut stopping: Option<Stopping> = None;
    let mut fenced = None;
    loop {
        let (in_danger, over) = (limits.danger(&pulse.borrow()), limits.over(&pulse.borrow()));
        // Whatever the grace, no program outlives the right to run it.
        let kill_at = stopping.as_ref().map_or(times_out + far, |stopping| stopping.until.min(over));
        let killed = stopping.as_ref().is_some_and(|stopping| stopping.killed);
        let why = tokio::select! {
            exit = work.ended() => return End { exit, stop: stopping.map(|stopping| stopping.why), fenced },
            Ok(()) = pulse.changed() => {
                let pulse = pulse.borrow_and_update().clone();
                if let Some(reason) = pulse.fenced.filter(|_| fenced.is_none()) {
                    work.kill();
                    fenced = Some(reason);
                }
                match pulse.wish {
                    Some(wish) if pulse.is_forced => {
                        if !killed {
                            pump.warn(format!("{}: an operator forces it to {}", W::KILLED, wish.verb()));
                            work.kill();
                            let why = stopping.map_or(Stop::Wish(wish), |stopping| stopping.why);
                            stopping = Some(Stopping { why, until: Instant::now(), killed: true });
                        }
                        continue;
                    }
                    Some(wish) => Stop::Wish(wish),
                    None => continue,
                }
            }
            () = signals.shutdown() => Stop::Shutdown,
            () = unguarded.cancelled(), if stopping.is_none() => Stop::Unguarded,
            () = sleep_until(in_danger), if stopping.is_none() => Stop::LeaseLost,
            () = sleep_until(times_out), if stopping.is_none() => Stop::Timeout(limits.timeout.unwrap_or(far)),
            () = sleep_until(kill_at), if !killed => {
                pump.warn(format!("{}: it did not end in time", W::KILLED));
                work.kill();
                if let Some(stopping) = &mut stopping {
                    stopping.killed = true;
                }
                continue;
            }
        };
        let shutdown = Shutdown::under_way(limits.state);
        let grace = limits.grace_for(why, shutdown.as_ref());
        // A grace that ends after the lease is had in full only while the ledger answers.
        let cut_short = why == Stop::LeaseLost || pulse.borrow().trouble.is_some();
        let time = if cut_short { grace.min(limits.left(&pulse)) } else { grace };
        let until = Instant::now() + grace;
        match &mut stopping {
            None => {
                let reason = reason(why, shutdown.is_some());
                let level = if matches!(why, Stop::Wish(_) | Stop::Shutdown) { Level::Info } else { Level::Warn };
                pump.tell(level, format!("{}: {reason}; it has {}", W::ASKED, short_duration(rounded(time))));
                work.ask_to_stop(why);
                stopping = Some(Stopping { why, until, killed: false });
            }
            // It is stopping already, and the pod will not wait as long as that may take.
            Some(stopping) if why == Stop::Shutdown && shutdown.is_some() && until < stopping.until => {
                stopping.until = until;
                let left = short_duration(rounded(time));
                pump.warn(format!("{}; it has only {left} to stop", reason(why, true)));
            }
            // It was to be resumed, and now it is not.
            Some(stopping) if (stopping.why, why) == (Stop::Wish(WishKind::Pause), Stop::Wish(WishKind::Cancel)) => {
                stopping.why = why;
                work.ask_to_stop(why);
            }
            Some(_) => {}
        }
    }
}

/// To the second, unless it is less than one.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(1) {
        time
    } else {
        Duration::from_secs((time + Duration::from_millis(500)).as_secs())
    }
}

fn reason(stop: Stop, pod_ends: bool) -> String {
    match stop {
        Stop::Wish(WishKind::Pause) => "an operator asked it to pause".to_owned(),
        Stop::Wish(WishKind::Cancel) => "an operator cancelled it".to_owned(),
        Stop::Shutdown if pod_ends => "the pod is being shut down".to_owned(),
        Stop::Shutdown => "the worker was asked to end".to_owned(),
        Stop::LeaseLost => "the ledger cannot be reached, and the right to run will end".to_owned(),
        Stop::Unguarded => "nothing would end it if the worker died".to_owned(),
        Stop::Timeout(limit) => format!("it took longer than {}", short_duration(limit)),
    }
}
