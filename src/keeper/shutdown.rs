//! The end of a pod: every worker stops at a checkpoint, in the time that is left.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::config::Config;
use crate::pod::Shutdown;
use crate::process::{self, ProcessIdentity};
use crate::time::short_duration;

use super::children::{self, Attempt, INTERRUPTED_VERB};
use super::events::{Death, Event, Events};
use super::neighbours::{Neighbourhood, Role, Task};
use super::voice::Voice;

/// Kept at the end to kill what is left and to report it; a quarter of a shorter grace.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the pod is looked over meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// A console or script may be within a launch: it has so long to finish that, before it is asked to leave. An eighth of a shorter grace.
const LAUNCH_WITHIN: Duration = Duration::from_secs(1);
/// How long somebody who was asked to leave is waited for.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
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
pub async fn shut_down(config: &Config, grace: Duration, signal: &str, events: &mut Events, voice: &mut Voice) {
    let times = Times::new(Instant::now(), grace);
    let left = times.kill - times.begun;
    if let Err(error) = Shutdown::new(ProcessIdentity::current(), left).announce(&config.state_dir) {
        voice.say(&format!(
            "warning: the shutdown cannot be announced in {} ({error}): workers take their usual grace",
            config.state_dir.path().display()
        ));
    }
    let mut ward = Ward::default();
    stop(&times, signal, events, voice, &mut ward).await;
    report(config, &times, events, voice, &ward).await;
    voice.say(&ward.summary(times.begun.elapsed()));
}

/// Looks until nobody is left, or the time is over.
async fn stop(times: &Times, signal: &str, events: &mut Events, voice: &mut Voice, ward: &mut Ward) {
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
        if !std::mem::replace(&mut ward.announced, true) {
            voice.say(&ward.announcement(signal, times.kill - times.begun));
        }
        ward.ask(voice);
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
async fn hear(events: &mut Events, due: Instant, voice: &mut Voice, ward: &mut Ward, times: &Times) -> bool {
    match events.next(Some(due)).await {
        Event::Due => return false,
        Event::Died(deaths) => ward.hear(&deaths),
        Event::Asked(signal) => {
            let left = times.kill.saturating_duration_since(Instant::now());
            voice.say(&format!("{signal} again: the pod is being shut down already, {} left", short_duration(left)));
        }
    }
    true
}

/// Has a child report what dead workers could not, so that their runs read as interrupted at once and not as lost after a while.
async fn report(config: &Config, times: &Times, events: &mut Events, voice: &mut Voice, ward: &Ward) {
    let silent = ward.silent();
    if silent.is_empty() {
        return;
    }
    let within = times.end.saturating_duration_since(Instant::now());
    let mut arguments = vec![INTERRUPTED_VERB.to_owned(), "--within".to_owned(), format!("{}ms", within.as_millis())];
    arguments.extend(silent.iter().map(ToString::to_string));
    let child = match children::start(config, &arguments) {
        Ok(child) => child,
        Err(error) => {
            voice.say(&format!("the end of {} cannot be reported: {error}", workers(silent.len())));
            return;
        }
    };
    loop {
        match events.next(Some(times.end)).await {
            Event::Died(deaths) if deaths.iter().any(|death| death.pid == child) => return,
            Event::Due => return,
            Event::Died(_) | Event::Asked(_) => {}
        }
    }
}

/// The workers that were met, and what became of them.
#[derive(Default)]
struct Ward {
    workers: Vec<Patient>,
    announced: bool,
}

struct Patient {
    process: ProcessIdentity,
    task: Task,
    met: Instant,
    state: State,
    /// It said itself that all is reported: it ended with status 0.
    is_clean: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Met,
    Asked,
    Killed,
    Gone { killed: bool },
}

impl Ward {
    fn admit(&mut self, process: ProcessIdentity, task: Task) {
        if !self.workers.iter().any(|patient| patient.process == process) {
            let met = Instant::now();
            self.workers.push(Patient { process, task, met, state: State::Met, is_clean: false });
        }
    }

    fn announcement(&self, signal: &str, left: Duration) -> String {
        let work = match self.workers.len() {
            0 => "no worker is at work".to_owned(),
            count => format!("{} asked to stop within {}", is_or_are(count), short_duration(left)),
        };
        format!("{signal}: this pod is being shut down and launches nothing any more; {work}")
    }

    /// Asks those who were not.
    fn ask(&mut self, voice: &mut Voice) {
        let first = self.workers.iter().all(|patient| patient.state == State::Met);
        for patient in self.workers.iter_mut().filter(|patient| patient.state == State::Met) {
            if !first {
                voice.say(&format!("{} was being launched, and is asked to stop, too", patient.task.name()));
            }
            send(patient.process, Signal::TERM);
            patient.state = State::Asked;
        }
    }

    /// Notices who has ended.
    fn look(&mut self, voice: &mut Voice) {
        for patient in &mut self.workers {
            let killed = match patient.state {
                State::Gone { .. } => continue,
                State::Killed => true,
                State::Met | State::Asked => false,
            };
            if patient.process.is_alive() {
                continue;
            }
            // What a killed worker has started must be gone, too, before anybody says that its run has ended.
            if killed && !process::members_of_session(patient.process.pid).is_empty() {
                continue;
            }
            patient.state = State::Gone { killed };
            let how = if killed { "was killed" } else { "has stopped" };
            voice.say(&format!("{} {how} after {}", patient.task.name(), tenths(patient.met.elapsed())));
        }
    }

    /// Ends those who are left, with everything they have started: the worker first, which must not take this for its program's own end.
    fn kill(&mut self, voice: &mut Voice) {
        for patient in &mut self.workers {
            if !matches!(patient.state, State::Gone { .. } | State::Killed) {
                voice.say(&format!("{} did not stop in time", patient.task.name()));
                patient.state = State::Killed;
            }
            if patient.state == State::Killed {
                send(patient.process, Signal::KILL);
                for pid in process::members_of_session(patient.process.pid).into_iter().filter_map(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    fn hear(&mut self, deaths: &[Death]) {
        for death in deaths.iter().filter(|death| death.is_clean()) {
            if let Some(patient) = self.workers.iter_mut().find(|patient| patient.process.pid == death.pid) {
                patient.is_clean = true;
            }
        }
    }

    fn is_anybody_left(&self) -> bool {
        self.workers.iter().any(|patient| !matches!(patient.state, State::Gone { .. }))
    }

    /// The attempts of those who are gone and may not have reported it.
    fn silent(&self) -> Vec<Attempt> {
        let gone = self.workers.iter().filter(|patient| matches!(patient.state, State::Gone { .. }));
        gone.filter(|patient| !patient.is_clean).map(|patient| patient.task.attempt).collect()
    }

    fn summary(&self, took: Duration) -> String {
        let count = |state: State| self.workers.iter().filter(|patient| patient.state == state).count();
        let (stopped, killed) = (count(State::Gone { killed: false }), count(State::Gone { killed: true }));
        let left = self.workers.len() - stopped - killed;
        let part = |count, what| if count > 0 { format!(", {count} {what}") } else { String::new() };
        format!(
            "{} stopped in {}{}{}",
            workers(stopped),
            tenths(took),
            part(killed, "killed"),
            part(left, "could not be ended")
        )
    }
}

/// Those who work here from outside: consoles, followers of logs, scripts.
#[derive(Default)]
struct Guests {
    met: Vec<Guest>,
}

struct Guest {
    process: ProcessIdentity,
    met: Instant,
    asked: Option<Instant>,
}

impl Guests {
    /// Remembers somebody, and asks them to leave some time after they were met first.
    fn meet(&mut self, process: ProcessIdentity, after: Duration) {
        let now = Instant::now();
        match self.met.iter_mut().find(|guest| guest.process == process) {
            None => self.met.push(Guest { process, met: now, asked: None }),
            Some(guest) if guest.asked.is_none() && now >= guest.met + after => {
                send(process, Signal::TERM);
                guest.asked = Some(now);
            }
            Some(_) => {}
        }
    }

    /// A console puts its terminal in order before it leaves; one that cannot is not waited for long.
    fn are_waited_for(&self, now: Instant) -> bool {
        let is_waited_for = |asked: Option<Instant>| asked.is_none_or(|asked| now < asked + LEAVE_WITHIN);
        self.met.iter().any(|guest| is_waited_for(guest.asked) && guest.process.is_alive())
    }
}

impl Task {
    fn name(&self) -> String {
        let run = self.attempt.run.short();
        self.migration.as_ref().map_or_else(|| format!("run {run}"), |migration| format!("{migration} (run {run})"))
    }
}

/// A pid that was reused meanwhile is not signalled.
fn send(process: ProcessIdentity, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.pid).filter(|_| process.is_alive()) {
        // It may be gone by now, or belong to another user: then it is found again at the next look, or at the end.
        let _ = kill_process(pid, signal);
    }
}

fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

fn is_or_are(count: usize) -> String {
    format!("{} {}", workers(count), if count == 1 { "is" } else { "are" })
}

fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
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
