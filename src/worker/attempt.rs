//! One attempt, from its claim to the report of its end.

mod aftermath;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Entry, Migration, Work};
use crate::config::Config;
use crate::engine;
use crate::events::{Level, Subject};
use crate::ledger::{LedgerWriter, RemainingCount, Run, RunId};
use crate::logs::archive::Archive;
use crate::logs::file::LogFile;
use crate::logs::mirror::{Format, Mirror};
use crate::telemetry::figures::Figures;
use crate::time::short_duration;

use super::WorkerError;
use super::answering::Manners;
use super::audience::Audience;
use super::board::Board;
use super::claim::{claim, open_ledger};
use super::company::{Company, Needs};
use super::contacts::Contacts;
use super::course::{Course, describe, gravity};
use super::environment;
use super::guard::Guard;
use super::heart::Heart;
use super::mask::Masks;
use super::memory::MemoryKills;
use super::outcome::Stop;
use super::program::{Exit, Output, Program};
use super::pump::{Pump, PumpParts};
use super::remaining::{Countdown, Counter};
use super::report::{Reported, report};
use super::signals::Signals;
use super::steps::{Engine, Surroundings};
use super::supervise::{self, End, Limits};
use super::warnings::{self, Warnings};

/// How long pipes that a background process holds open are read after the program has ended.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How long what is left of a program's group may take to end after SIGTERM.
const REST_WITHIN: Duration = Duration::from_secs(2);
/// How long the archive may hold up the report of the end.
const ARCHIVE_WITHIN: Duration = Duration::from_secs(3);
/// How long the end is tried to be reported: nothing that was done shall go unrecorded.
const REPORT_WITHIN: Duration = Duration::from_mins(30);
/// The same when the lease was lost: the run reads as lost by then, and may be taken over.
const REPORT_LOSS_WITHIN: Duration = Duration::from_mins(10);

/// Executes an attempt.
pub async fn execute(
    config: &Config,
    id: RunId,
    attempt: u32,
    signals: &mut Signals,
    guard: &mut Guard,
) -> Result<(), WorkerError> {
    let contacts = Contacts::read(config);
    let ledger = open_ledger(config).await?;
    let claimed = Instant::now();
    let run = claim(&*ledger, config, id, attempt).await?;
    guard.renew(claimed, config.lease);
    Attempt::prepare(config, contacts, ledger, run, claimed)?.execute(signals, guard).await
}

/// A claimed attempt with everything it needs but its program.
struct Attempt<'a> {
    config: &'a Config,
    ledger: Arc<dyn LedgerWriter>,
    run: Run,
    claimed: Instant,
    masks: Arc<Masks>,
    /// The program's environment.
    variables: BTreeMap<OsString, OsString>,
    warnings: Warnings,
    pump: Pump,
    company: Company,
    audience: Audience,
    counts: watch::Sender<Option<RemainingCount>>,
}

/// What was started.
enum Started {
    Program(Program, Output),
    Steps(Engine),
}

impl<'a> Attempt<'a> {
    fn prepare(
        config: &'a Config,
        contacts: Contacts,
        ledger: Arc<dyn LedgerWriter>,
        run: Run,
        claimed: Instant,
    ) -> Result<Self, WorkerError> {
        let secrets = environment::secret_params(&run);
        let masks = Arc::new(Masks::of(config, &secrets, contacts.secrets()));
        let warnings = Warnings::default();
        let log = LogFile::open(config.state_dir.run_log(run.id));
        let archive = Archive::new(ledger.clone(), run.id, run.attempt, log.path().to_owned(), log.extent());
        let subject = Subject::of(&run);
        let format = Format::of_attempt(config.log_format, &subject, &run.launch.by.operator);
        let mirror = Mirror::start(&config.mirror, &config.state_dir, format);
        let mirror = mirror.unwrap_or_else(|reason| {
            warnings.set(warnings::Subject::Mirror, Some(reason));
            Mirror::off()
        });
        let figures = Arc::new(Figures::new(&run, mirror.left_out()));
        let pump = Pump::start(PumpParts { log, mirror, masks: masks.clone(), warnings: warnings.clone(), subject })
            .map_err(|source| WorkerError::System { what: "the pump cannot be started", source })?;
        let audience = Audience::gather(config, contacts, &run, figures.clone(), &masks, &pump, &warnings);
        let (counts, remaining) = watch::channel(None);
        let board = Board::new(&run.progress, pump.said(), remaining, warnings.clone());
        let (heart, pulse) = Heart::new(ledger.clone(), &run, config.lease, board, figures.clone(), claimed);
        let variables = environment::of_program(config, &run, &secrets);
        let company = Company {
            heart,
            archive,
            ledger: ledger.clone(),
            run: run.id,
            attempt: run.attempt,
            lease: config.lease,
            pulse,
        };
        Ok(Self { config, ledger, run, claimed, masks, variables, warnings, pump, company, audience, counts })
    }

    async fn execute(mut self, signals: &mut Signals, guard: &mut Guard) -> Result<(), WorkerError> {
        let (run, by) = (&self.run, &self.run.launch.by);
        self.pump.note(format!(
            "attempt {} of run {} ({}) starts, launched by {} from pod {}",
            run.attempt, run.id, run.migration, by.operator, by.place.pod
        ));
        let course = match self.start() {
            Ok((migration, Started::Program(program, output))) => {
                self.accompany(&migration, program, output, signals, guard).await
            }
            Ok((migration, Started::Steps(engine))) => self.operate(&migration, engine, signals, guard).await,
            Err(course) => {
                guard.stand_down();
                course
            }
        };
        self.conclude(course).await
    }

    /// Starts the work if it is still the one that was launched, and the right to do it still holds.
    fn start(&self) -> Result<(Migration, Started), Course> {
        let not_started = |message: String| Course::NotStarted(self.masks.text(&message));
        let migration = self.launched().map_err(not_started)?;
        // The answer to the claim may have been long on its way, or this process held still since. The guard knows the end of the lease by
        // now, so that from this look on nothing can be late.
        if self.limits(&migration).left(&self.company.pulse).is_zero() {
            self.pump.warn("nothing is started: the right to run is over, or nearly so");
            return Err(Course::TooLate);
        }
        let started = match &migration.work {
            Work::Executable(template) => {
                let started = Program::start(&self.run.launch.command, &template.directory, &self.variables);
                let (program, output) = started.map_err(not_started)?;
                Started::Program(program, output)
            }
            Work::Steps(steps) => {
                let Self { config, ledger, run, variables, masks, pump, warnings, .. } = self;
                let observers = &self.audience.observers();
                let surroundings = Surroundings { config, ledger, run, masks, pump, warnings, observers };
                Started::Steps(Engine::start(&surroundings, steps, variables.clone()).map_err(not_started)?)
            }
        };
        Ok((migration, started))
    }

    /// The migration, if it is still the one that was launched.
    fn launched(&self) -> Result<Migration, String> {
        let Run { migration: id, launch, .. } = &self.run;
        let path = self.config.catalog.display();
        let migration = match Catalog::load(&self.config.catalog).entry(id) {
            Some(Entry::Ready(migration)) => (**migration).clone(),
            Some(Entry::Broken(broken)) => {
                let problem = broken.problems.first().map(ToString::to_string).unwrap_or_default();
                return Err(format!("{id} cannot be started, its file is broken: {problem}"));
            }
            None => return Err(format!("{id} is not in the catalog {path} of this pod; another image may have it")),
        };
        if migration.checksum != launch.checksum {
            return Err(format!(
                "{id} has changed since this run was launched (checksum {} then, {} now) and was not started; launch it again to run what it is now",
                launch.checksum.short(),
                migration.checksum.short()
            ));
        }
        Ok(migration)
    }

    fn limits(&self, migration: &Migration) -> Limits<'a> {
        let Config { lease, grace, state_dir: state, .. } = self.config;
        Limits { lease: *lease, grace: *grace, timeout: migration.timeout, state }
    }

    /// Stays with the program until nothing of it is left.
    async fn accompany(
        &mut self,
        migration: &Migration,
        mut program: Program,
        (stdout, stderr): Output,
        signals: &mut Signals,
        guard: &mut Guard,
    ) -> Course {
        let carried = self.pump.carry(stdout, stderr);
        let memory = MemoryKills::watch();
        let limits = self.limits(migration);
        let unguarded = CancellationToken::new();
        let needs = Needs {
            guard,
            pump: &self.pump,
            manners: Manners { grace: self.config.grace, speed: None },
            countdown: self.countdown(migration),
            unguarded: &unguarded,
        };
        let pulse = self.company.pulse.clone();
        let work = async {
            let end = supervise::watch(&mut program, &self.pump, pulse.clone(), signals, &unguarded, limits).await;
            if let Some(reason) = memory.explain(&end.exit) {
                self.pump.warn(reason);
                self.warnings.set(warnings::Subject::Memory, Some(reason.to_owned()));
            }
            self.pump.drain_until(std::time::Instant::now() + DRAIN_WITHIN.min(limits.left(&pulse)));
            let carried = carried.await.unwrap_or_default();
            if carried.cut_off {
                self.pump.warn("a background process still holds the program's output open; it is no longer read");
            }
            let left = program.end_the_rest(REST_WITHIN.min(limits.left(&pulse))).await;
            if left > 0 {
                let what = if left == 1 { "process was" } else { "processes were" };
                self.pump.warn(format!("the program has ended, and {left} {what} left behind and ended"));
            }
            program.bury();
            let is_success = end.exit == Exit::Status(0) && end.fenced.is_none();
            ((end, carried.last_lines), is_success)
        };
        let (end, last_lines) = self.company.keep(needs, work).await;
        Course::Ended { end, last_lines }
    }

    /// Stays with native steps until they have ended.
    async fn operate(
        &mut self,
        migration: &Migration,
        mut engine: Engine,
        signals: &mut Signals,
        guard: &mut Guard,
    ) -> Course {
        let limits = self.limits(migration);
        let unguarded = CancellationToken::new();
        let needs = Needs {
            guard,
            pump: &self.pump,
            manners: Manners { grace: self.config.grace, speed: Some(engine.manifest()) },
            countdown: self.countdown(migration),
            unguarded: &unguarded,
        };
        let tuner = engine.tuner();
        let pulse = self.company.pulse.clone();
        let mut speeds = pulse.clone();
        let vigil =
            self.audience.herald.watch_holds(&self.run, engine.throttle(), self.pump.said(), self.counts.subscribe());
        let tuning = async {
            while speeds.changed().await.is_ok() {
                tuner(&speeds.borrow_and_update());
            }
        };
        let work = async {
            let watching = supervise::watch(&mut engine, &self.pump, pulse, signals, &unguarded, limits);
            let end = tokio::select! {
                end = watching => end,
                () = async { tokio::join!(tuning, vigil); } => unreachable!("it waits for ever"),
            };
            let is_success = end.exit == Some(engine::End::Done);
            (end, is_success)
        };
        let end = self.company.keep(needs, work).await;
        Course::Stepped(self.masked(end))
    }

    /// What the ledger is told of why a step failed holds no secret: it may quote what a transform printed.
    fn masked(&self, end: End<Option<engine::End>>) -> End<Option<engine::End>> {
        let exit = end.exit.map(|exit| match exit {
            engine::End::Failed { title, message } => engine::End::Failed { title, message: self.masks.text(&message) },
            exit => exit,
        });
        End { exit, ..end }
    }

    fn countdown(&self, migration: &Migration) -> Option<Countdown> {
        let remaining = migration.remaining.as_ref()?;
        let Run { migration: id, launch, progress, .. } = &self.run;
        let counter = Counter::new(remaining, self.config.database.as_ref(), &self.variables, |template| {
            template.render(id, launch.rerun)
        });
        match counter {
            Ok(counter) => {
                let before = progress.remaining.as_ref();
                Some(Countdown::new(counter, self.counts.clone(), self.warnings.clone(), before))
            }
            Err(reason) => {
                let text = format!("what remains cannot be counted: {reason}");
                self.warnings.set(warnings::Subject::Remaining, Some(text));
                None
            }
        }
    }

    /// Reports how it ended; everything that was said before is stored first, and nothing that is said later goes where the next attempt writes.
    async fn conclude(mut self, course: Course) -> Result<(), WorkerError> {
        self.audience.work_is_over();
        if let Some(reason) = course.fenced() {
            let reason = reason.to_owned();
            // The log may be that of the other attempt already: this goes to the worker's own.
            self.pump.seal().await;
            self.pump.tell(Level::Error, format!("the work was ended: {reason}"));
            self.audience.dismiss(&self.pump);
            self.pump.close();
            return Err(WorkerError::Fenced(reason));
        }
        let outcome = course.outcome(self.company.heart.pulse().wish);
        let what = describe(&outcome, self.company.heart.pulse().wish);
        self.pump.tell(gravity(&outcome), format!("after {}: {what}", short_duration(self.claimed.elapsed())));
        self.pump.settle().await;
        let lost = course.stop() == Some(Stop::LeaseLost);
        // No heart beats here: what is left of the lease is for the report.
        let patience = ARCHIVE_WITHIN.min(self.config.lease.margin());
        self.company.archive.finish(Instant::now() + patience).await;
        let (pump, audience) = (&self.pump, &self.audience);
        let reported = report(
            &self.ledger,
            &mut self.company.heart,
            (self.run.id, self.run.attempt),
            |wish| course.outcome(wish),
            if lost { REPORT_LOSS_WITHIN } else { REPORT_WITHIN },
            |error| pump.warn(format!("the end cannot be reported yet, and is tried again: {error}")),
            async || {
                audience.keep_counts();
                pump.seal().await;
            },
        )
        .await;
        self.pump.seal().await;
        if let Reported::Yes { outcome, run } = &reported {
            self.tell(outcome, run.clone()).await;
        }
        self.linger(matches!(reported, Reported::Yes { .. })).await;
        self.pump.close();
        self.audience.close();
        match reported {
            Reported::Yes { .. } => Ok(()),
            Reported::Fenced(reason) => Err(WorkerError::Fenced(reason)),
            Reported::GaveUp(reason) => Err(WorkerError::Unreported(reason)),
        }
    }
}
