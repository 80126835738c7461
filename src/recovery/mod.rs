//! What a pod does about runs without an operator: at its start it reports what it finds, runs of migrations with `resume: auto` that were
//! interrupted or lost go on here, and people are told of what is lost.
//!
//! ```text
//! ledger ── histories, changes ──> judge ──> leave alone | resume ──> launch
//!                                    ^                   | decline ─> the run's record
//!              │            catalog of this image
//!              └─────> teller ──> notify
//! ```
//!
//! In a rolling update the new pod starts while the old one is still at work, so looking once is not enough: this follows the ledger as long as
//! there is anything that may go on by itself, or anybody who wants to be told of what is lost or of runs by state. Whether a pod may is decided by the ledger ([`crate::ledger::Run::apply`]), at once for all
//! pods; here it is only decided whether it should.

mod judge;
mod teller;

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Entry, ResumePolicy};
use crate::config::Config;
use crate::events::{Level, Subject};
use crate::launch::{self, LaunchError};
use crate::ledger::{
    self, Acted, Action, Histories, LedgerError, LedgerReader, LedgerWriter, Refusal, Run, RunId, Seen, Standing,
};
use crate::telemetry::States;
use crate::time::Timestamp;
use crate::voice::Voice;

use judge::{Lookout, Verdict};
use teller::Teller;

/// The hidden verb of this role.
pub const VERB: &str = "recover";

/// How often the ledger is asked for changes, at least.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What may be added, by chance: pods that started together do not ask together.
const JITTER: Duration = Duration::from_secs(2);
/// How long the end is put off to send a last count: the pod has seconds.
const STATES_WITHIN: Duration = Duration::from_millis(500);
/// After so long a loss is told although an embedded ledger does not take that it is: one that is only locked for a while takes it before.
const UNRECORDED_AFTER: Duration = Duration::from_secs(20);
/// How soon a ledger that is away is tried again at first.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon at last.
const AGAIN_AT_LAST: Duration = Duration::from_secs(15);

/// Looks after runs for as long as there is anything to look after, or until it is to leave: what is begun, a record and the worker that belongs
/// to it, is finished, and nothing more is begun.
///
/// # Errors
/// When the ledger cannot be used; one that is merely away is waited for.
pub async fn watch(
    config: &Config,
    catalog: &Catalog,
    voice: &Voice,
    leave: &CancellationToken,
) -> Result<(), LedgerError> {
    let mut calm = Calm::new(voice, leave);
    let (reader, seen) = loop {
        match leave.run_until_cancelled(begin(config)).await {
            None => return Ok(()),
            Some(Ok(begun)) => break begun,
            Some(Err(error)) => calm.wait(error).await?,
        }
    };
    calm.restored();
    let Seen { mut now, value: histories } = seen;
    report(&histories, now, voice);
    if let Some(read_only) = config.read_only {
        voice.say(format_args!("read-only ({read_only}): runs are reported, and none goes on here by itself"));
        return Ok(());
    }
    let lookout = Lookout { catalog, config, since: now };
    let parent = rustix::process::getppid();
    let teller = Teller::new(config, voice);
    let states = States::start(config, say_from_anywhere(config));
    let mut watch =
        Watch { lookout, voice, histories, writer: None, told: HashSet::new(), teller, refused: None, states };
    loop {
        watch.count(now);
        match watch.look(now, leave).await {
            Ok(()) => calm.restored(),
            Err(error) => calm.wait(error).await?,
        }
        // Nobody is left to tell us that the pod is shut down.
        if leave.is_cancelled() || !watch.has_work() || rustix::process::getppid() != parent {
            return watch.finish_telling().await;
        }
        let _ = leave.run_until_cancelled(sleep(LOOK_EVERY + chance(JITTER))).await;
        match leave.run_until_cancelled(reader.changes(now)).await {
            None => return watch.finish_telling().await,
            Some(Ok(changes)) => {
                now = changes.now;
                for run in changes.value {
                    watch.absorb(run);
                }
            }
            Some(Err(error)) => {
                watch.forget();
                calm.wait(error).await?;
            }
        }
    }
}

/// What threads of telemetry have to say.
fn say_from_anywhere(config: &Config) -> impl Fn(String) + Send + Sync + 'static {
    let voice = Mutex::new(Voice::on_stdout(config.log_format));
    move |text| voice.lock().unwrap_or_else(PoisonError::into_inner).warn(text)
}

async fn begin(config: &Config) -> Result<(Arc<dyn LedgerReader>, Seen<Histories>), LedgerError> {
    let reader = ledger::open_reader(&config.ledger).await?;
    let seen = reader.histories().await?;
    Ok((reader, seen))
}

/// One line for each run that waits for somebody, and for each that is at work.
fn report(histories: &Histories, now: Timestamp, voice: &Voice) {
    let mut none = true;
    for run in histories.values().filter_map(|history| history.latest.as_deref()) {
        let Some(account) = run.account(now) else { continue };
        none = false;
        let (migration, short, standing) = (&run.migration, run.id.short(), run.standing(now));
        let text = format_args!("{migration} run {short} is {standing}: {}; {}", account.what, account.next);
        voice.tell(gravity(standing), Some(&Subject::of(run)), text);
    }
    if none {
        voice.say("no run is unfinished");
    }
}

fn gravity(standing: Standing) -> Level {
    match standing {
        Standing::Lost | Standing::Failed | Standing::Interrupted => Level::Warn,
        _ => Level::Info,
    }
}

/// What is looked after.
struct Watch<'a> {
    lookout: Lookout<'a>,
    voice: &'a Voice,
    histories: Histories,
    /// Opened when there is something to write for the first time.
    writer: Option<Arc<dyn LedgerWriter>>,
    /// Attempts of which was said already why they do not go on here, where the ledger could not be told.
    told: HashSet<(RunId, u32)>,
    teller: Teller,
    /// Since when an embedded ledger does not take that this pod tells of a loss.
    refused: Option<Instant>,
    /// Who has runs by state sent to a backend, if anybody.
    states: Option<States>,
}

impl Watch<'_> {
    /// Does what is to be done now.
    async fn look(&mut self, now: Timestamp, leave: &CancellationToken) -> Result<(), LedgerError> {
        self.teller.hear(self.voice);
        let runs: Vec<_> = self.histories.values().filter_map(|history| history.latest.clone()).collect();
        for run in runs.into_iter().take_while(|_| !leave.is_cancelled()) {
            // Before it goes on: then it is lost no more.
            if self.teller.is_due(&run, self.lookout.since, now) {
                self.tell_loss(&run, now).await?;
            }
            match self.lookout.judge(&run, now) {
                Verdict::LeaveAlone => {}
                Verdict::Resume => self.resume(&run, now).await?,
                Verdict::Decline(reason) => self.decline(&run, reason).await?,
            }
        }
        self.report_told().await
    }

    /// Tells people of a lost run, if the ledger is this environment's.
    async fn tell_loss(&mut self, run: &Run, now: Timestamp) -> Result<(), LedgerError> {
        let config = self.lookout.config;
        match self.take_loss_on(run).await {
            Ok(Some(run)) => {
                self.refused = None;
                self.teller.put_off(&run);
                self.teller.tell(config, &run, now, self.voice).await;
                self.absorb(run);
                Ok(())
            }
            Ok(None) => {
                self.teller.put_off(run);
                Ok(())
            }
            // Its disk is full, or broken: people should hear of that above all. No other pod can tell of it.
            Err(error) if config.ledger.is_embedded() && error.is_transient() => {
                if self.refused.get_or_insert_with(Instant::now).elapsed() < UNRECORDED_AFTER {
                    return Err(error);
                }
                self.teller.put_off(run);
                self.teller.tell(config, run, now, self.voice).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Records that this pod tells of a lost run; gives back what the ledger has of it then, unless it is not for this pod to tell.
    async fn take_loss_on(&mut self, run: &Run) -> Result<Option<Run>, LedgerError> {
        let config = self.lookout.config;
        let writer = self.writer().await?;
        match launch::check_environment(&*writer, config).await {
            Ok(_) => {}
            Err(LaunchError::Ledger(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
        let (attempt, by) = (run.attempt, config.actor.place.clone());
        let action = Action::TellLoss { attempt, by, told: BTreeSet::new(), is_delivered: false };
        Ok(match writer.act(run.id, action).await? {
            Acted::Changed(run) => Some(*run),
            Acted::Already(_) => None,
        })
    }

    /// Records who has been told of which losses. What could not be recorded is still known here.
    async fn report_told(&mut self) -> Result<(), LedgerError> {
        self.teller.hear(self.voice);
        while let Some(report) = self.teller.report() {
            let (attempt, by) = (report.attempt, self.lookout.config.actor.place.clone());
            let (told, is_delivered) = (report.told.clone(), report.is_delivered);
            let writer = self.writer().await?;
            let acted = writer.act(report.run, Action::TellLoss { attempt, by, told, is_delivered }).await?;
            self.teller.reported(&report);
            if let Acted::Changed(run) = acted {
                self.absorb(*run);
            }
        }
        Ok(())
    }

    /// Runs by state, as they are now.
    fn count(&mut self, now: Timestamp) {
        if let Some(states) = &mut self.states {
            states.take(&self.histories, now);
            states.refresh(self.lookout.config);
        }
    }

    /// Nobody knows how they are.
    fn forget(&self) {
        if let Some(states) = &self.states {
            states.forget();
        }
    }

    async fn finish_telling(&mut self) -> Result<(), LedgerError> {
        if let Some(states) = self.states.take() {
            states.finish(STATES_WITHIN);
        }
        self.teller.settle().await;
        self.report_told().await
    }

    async fn resume(&mut self, run: &Run, now: Timestamp) -> Result<(), LedgerError> {
        let Lookout { catalog, config, .. } = self.lookout;
        let writer = self.writer().await?;
        match launch::recover(&*writer, config, catalog, run).await {
            Ok(resumed) => {
                let (migration, short, attempt) = (&run.migration, run.id.short(), resumed.attempt);
                let standing = run.standing(now);
                let from = if run.checkpoint.is_some() { "from its checkpoint" } else { "from the start" };
                let text = format_args!(
                    "{migration} run {short} was {standing} and goes on here by itself, as attempt {attempt}, {from}"
                );
                self.voice.tell(Level::Info, Some(&Subject::of(&resumed)), text);
                self.absorb(resumed);
                Ok(())
            }
            Err(LaunchError::Refused(refusal)) => self.decline(run, refusal.to_string()).await,
            Err(LaunchError::Ledger(LedgerError::Refused(refusal @ Refusal::ResumedTooOften { .. }))) => {
                self.decline(run, refusal.to_string()).await
            }
            // Somebody else was first: the next changes tell.
            Err(LaunchError::Ledger(
                LedgerError::Refused(_) | LedgerError::Occupied { .. } | LedgerError::Superseded { .. },
            )) => Ok(()),
            Err(LaunchError::Ledger(error)) => Err(error),
            Err(error) => {
                self.say_once(run, &error.to_string());
                Ok(())
            }
        }
    }

    /// Records why the run does not go on here, in a ledger that is this environment's.
    async fn decline(&mut self, run: &Run, reason: String) -> Result<(), LedgerError> {
        if self.told.contains(&(run.id, run.attempt)) {
            return Ok(());
        }
        let config = self.lookout.config;
        let writer = self.writer().await?;
        match launch::check_environment(&*writer, config).await {
            Ok(_) => {}
            Err(LaunchError::Ledger(error)) => return Err(error),
            Err(error) => {
                self.say_once(run, &error.to_string());
                return Ok(());
            }
        }
        let action = Action::Decline { by: config.actor.place.clone(), reason: reason.clone() };
        match writer.act(run.id, action).await {
            Ok(Acted::Changed(run)) => {
                self.say_once(&run, &reason);
                self.absorb(*run);
                Ok(())
            }
            Ok(Acted::Already(_)) | Err(LedgerError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn say_once(&mut self, run: &Run, reason: &str) {
        if self.told.insert((run.id, run.attempt)) {
            let (migration, short) = (&run.migration, run.id.short());
            let text = format_args!("{migration} run {short} does not go on here by itself: {reason}");
            self.voice.tell(Level::Warn, Some(&Subject::of(run)), text);
        }
    }

    async fn writer(&mut self) -> Result<Arc<dyn LedgerWriter>, LedgerError> {
        if let Some(writer) = &self.writer {
            return Ok(writer.clone());
        }
        let writer = ledger::open_writer(&self.lookout.config.ledger).await?;
        self.writer = Some(writer.clone());
        Ok(writer)
    }

    fn absorb(&mut self, run: Run) {
        self.histories.entry(run.migration.clone()).or_default().absorb(run);
    }

    /// Whether anything may still have to go on here.
    fn has_work(&self) -> bool {
        let lookout = self.lookout;
        let goes_on_by_itself = |entry: &Entry| matches!(entry, Entry::Ready(it) if it.resume == ResumePolicy::Auto);
        self.teller.is_needed()
            || self.states.is_some()
            || lookout.catalog.entries.iter().any(goes_on_by_itself)
            || self.histories.values().filter_map(|history| history.latest.as_deref()).any(|run| lookout.concerns(run))
    }
}

/// Waits for a ledger that is away, longer each time, and says so once.
struct Calm<'a> {
    voice: &'a Voice,
    leave: &'a CancellationToken,
    pause: Duration,
}

impl<'a> Calm<'a> {
    fn new(voice: &'a Voice, leave: &'a CancellationToken) -> Self {
        Self { voice, leave, pause: Duration::ZERO }
    }

    async fn wait(&mut self, error: LedgerError) -> Result<(), LedgerError> {
        if !error.is_transient() {
            return Err(error);
        }
        if self.pause.is_zero() {
            self.voice.warn(format_args!("waiting for the ledger, to look after runs: {error}"));
        }
        self.pause = (self.pause * 2).clamp(AGAIN, AGAIN_AT_LAST);
        let _ = self.leave.run_until_cancelled(sleep(self.pause + chance(self.pause))).await;
        Ok(())
    }

    fn restored(&mut self) {
        if !self.pause.is_zero() {
            self.voice.say("the ledger answers again");
        }
        self.pause = Duration::ZERO;
    }
}

/// A part of `most` that nobody can foresee.
fn chance(most: Duration) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(RandomState::new().hash_one(0) % (millis + 1))
}
