//! The end of a pod: every worker stops at a checkpoint, in the time that is left.

mod guests;
mod ward;

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::config::Config;
use crate::pod::Shutdown;
use crate::process::ProcessIdentity;
use crate::time::short_duration;
use crate::voice::Voice;

use super::children::{self, INTERRUPTED_VERB};
use super::events::{Event, Events};
use super::neighbours::{Neighbourhood, Role};
use guests::Guests;
use ward::Ward;

/// Kept at the end to kill what is left and to report it; a quarter of a shorter grace.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the pod is looked over meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// A console or script may be within a launch: it has so long to finish that, before it is asked to leave. An eighth of a shorter grace.
const LAUNCH_WITHIN: Duration = Duration::from_secs(1);
/// A ledger that is away is not waited for longer than this to report on behalf of the dead: their runs read as lost by then.
const REPORT_WITHIN: Duration = Duration::from_mins(1);
/// So many looks in a row must find nobody: a single one may miss a process that was being started.
const LOOKS: u32 = 2;

/// The times of a shutdown.
struct Times {
    begun: Instant,
    /// How long after they were met those who are attached are asked to leave.
    guests: Duration,
    /// When workers that are left are killed.
    kill: Instant,
    /// When those that cannot be killed are given up.
    report: Instant,
    /// When the keeper ends, whatever is still open.
    end: Instant,
}

impl Times {
    fn new(begun: Instant, grace: Duration) -> Self {
        let margin = MARGIN.min(grace / 4);
        let kill = begun + grace - margin;
        Self {
            begun,
            guests: LAUNCH_WITHIN.min(grace / 8),
            kill,
            report: kill + margin / 4,
            end: kill + margin * 4 / 5,
        }
    }
}

/// Ends everything of this binary in the pod, within `grace`; `signal` is what asked for it.
pub async fn shut_down(config: &Config, grace: Duration, signal: &str, events: &mut Events, voice: &Voice) {
    let times = Times::new(Instant::now(), grace);
    let left = times.kill - times.begun;
    if let Err(error) = Shutdown::new(ProcessIdentity::current(), left).announce(&config.state_dir) {
        voice.warn(format_args!(
            "warning: the shutdown cannot be announced in {} ({error}): workers take their usual grace",
            config.state_dir.path().display()
        ));
    }
    let mut ward = Ward::default();
    stop(&times, signal, events, voice, &mut ward).await;
    report(config, &times, events, voice, &ward).await;
    voice.say(ward.summary(times.begun.elapsed()));
}

/// Looks until nobody is left, or the time is over.
async fn stop(times: &Times, signal: &str, events: &mut Events, voice: &Voice, ward: &mut Ward) {
    let neighbourhood = Neighbourhood::current();
    let mut guests = Guests::default();
    let mut looks = 0;
    while looks < LOOKS && Instant::now() < times.report {
        let mut is_detaching = false;
        let now = Instant::now();
        for neighbour in neighbourhood.look() {
            match neighbour.role {
                Role::Worker(task) => ward.admit(neighbour.process, task),
                Role::Detach => is_detaching = true,
                Role::Attached => guests.meet(neighbour.process, times.guests),
                Role::Keeper | Role::Servant => {}
            }
        }
        ward.ask(signal, times.kill - times.begun, voice);
        ward.look(voice);
        if now >= times.kill {
            ward.kill(voice);
        }
        let took = now.elapsed();
        let is_anybody_left = ward.is_anybody_left() || is_detaching || guests.are_waited_for(now);
        looks = if is_anybody_left { 0 } else { looks + 1 };
        // Where very many processes live, looking must not take the time that they need to stop.
        let again = Instant::now() + LOOK_EVERY.max(took * 4);
        while hear(events, again, voice, ward, times).await {}
    }
}

/// Takes in what happens until `due`; false when it has come.
async fn hear(events: &mut Events, due: Instant, voice: &Voice, ward: &mut Ward, times: &Times) -> bool {
    match events.next(Some(due)).await {
        Event::Due => return false,
        Event::Died(deaths) => ward.hear(&deaths),
        Event::Asked(signal) => {
            let left = times.kill.saturating_duration_since(Instant::now());
            voice
                .say(format_args!("{signal} again: the pod is being shut down already, {} left", short_duration(left)));
        }
    }
    true
}

/// Has a child report what dead workers could not, so that their runs read as interrupted at once and not as lost after a while.
async fn report(config: &Config, times: &Times, events: &mut Events, voice: &Voice, ward: &Ward) {
    let silent = ward.silent();
    if silent.is_empty() {
        return;
    }
    let until = times.end.min(Instant::now() + REPORT_WITHIN);
    let within = until.saturating_duration_since(Instant::now());
    let mut arguments = vec![INTERRUPTED_VERB.to_owned(), "--within".to_owned(), format!("{}ms", within.as_millis())];
    arguments.extend(silent.iter().map(ToString::to_string));
    let child = match children::start(config, &arguments) {
        Ok(child) => child,
        Err(error) => {
            voice.warn(format_args!("the end of {} runs cannot be reported: {error}", silent.len()));
            return;
        }
    };
    loop {
        match events.next(Some(until)).await {
            Event::Died(deaths) if deaths.iter().any(|death| death.pid == child) => return,
            Event::Due => return,
            Event::Died(_) | Event::Asked(_) => {}
        }
    }
}

/// A pid that was reused meanwhile is not signalled.
fn send(process: ProcessIdentity, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.pid).filter(|_| process.is_alive()) {
        // It may be gone by now, or belong to another user: then it is found again at the next look, or at the end.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_ends_before_the_pod_is_killed_however_short_its_grace() {
        let begun = Instant::now();
        for grace in [0, 1, 2, 10, 30, 3600].map(Duration::from_secs) {
            let times = Times::new(begun, grace);
            assert!(begun + times.guests <= times.kill, "{grace:?}");
            assert!(times.kill <= times.report && times.report <= times.end && times.end <= begun + grace, "{grace:?}");
        }
        let times = Times::new(begun, Duration::from_secs(30));
        assert_eq!(times.kill - begun, Duration::from_secs(28));
    }
}
