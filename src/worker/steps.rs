//! Native steps as the work of an attempt.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::catalog::{Speed, Steps};
use crate::config::Config;
use crate::engine::observer::Observer;
use crate::engine::tally::Report;
use crate::engine::throttle::Throttle;
use crate::engine::{self, End, Job};
use crate::ledger::{Checkpoint, LedgerWriter, Progress, Run, WishKind};
use crate::logs::sanitise;

use super::heart::Pulse;
use super::mask::Masks;
use super::outcome::Stop;
use super::pump::{Pump, Said};
use super::supervise::Work;
use super::warnings::Warnings;

/// What steps are executed with.
pub struct Surroundings<'a> {
    /// Of the worker.
    pub config: &'a Config,
    /// Where the run is recorded.
    pub ledger: &'a Arc<dyn LedgerWriter>,
    /// The run.
    pub run: &'a Run,
    /// What is not shown.
    pub masks: &'a Arc<Masks>,
    /// Where everything is logged.
    pub pump: &'a Pump,
    /// What the operator should know.
    pub warnings: &'a Warnings,
    /// Who measures.
    pub observers: &'a [Arc<dyn Observer>],
}

/// Steps under way.
pub struct Engine {
    /// `None` when they were given up.
    course: Option<Pin<Box<dyn Future<Output = End>>>>,
    stop: CancellationToken,
    for_good: CancellationToken,
    throttle: Throttle,
    manifest: Speed,
}

impl Engine {
    /// Prepares the steps of an attempt; they go on as [`Work::ended`] is waited for.
    ///
    /// # Errors
    /// A sentence on why they cannot be executed.
    pub fn start(
        surroundings: &Surroundings<'_>,
        steps: &Arc<Steps>,
        environment: BTreeMap<OsString, OsString>,
    ) -> Result<Self, String> {
        let Surroundings { config, ledger, run, masks, pump, warnings, observers } = *surroundings;
        let database = config.database.clone().ok_or("its steps need MongoDB, and MONGODB_URI is not set")?;
        let (stop, for_good) = (CancellationToken::new(), CancellationToken::new());
        let throttle = Throttle::new(run.speed().map_or(steps.speed, |change| change.over(steps.speed)));
        let (scribe, speaker, warnings) = (pump.scribe(), pump.speaker(), warnings.clone());
        let listener = scribe.clone();
        let (of_warnings, of_reports, of_texts) = (masks.clone(), masks.clone(), masks.clone());
        let reached = run.progress.engine.as_ref().map(|engine| (engine.step, engine.matched));
        let job = Job {
            database,
            steps: steps.clone(),
            run: run.id,
            migration: run.migration.clone(),
            attempt: run.attempt,
            quarantine_of: run.launch.quarantine_of,
            reached,
            mask: Arc::new(move |text| of_texts.text(text)),
            ledger: ledger.clone(),
            throttle: throttle.clone(),
            stop: stop.clone(),
            for_good: for_good.clone(),
            note: Arc::new(move |text| scribe.note(text)),
            warn: Arc::new(move |text| warnings.found(of_warnings.text(&text))),
            publish: Arc::new(move |report| {
                speaker.send_replace(said(report, &of_reports));
            }),
            observer: Arc::new(observers.to_vec()),
            environment,
            stderr: Arc::new(move |stderr| listener.overhear(stderr)),
        };
        Ok(Self { course: Some(Box::pin(engine::execute(job))), stop, for_good, throttle, manifest: steps.speed })
    }

    /// The speed that the manifest says.
    pub fn manifest(&self) -> Speed {
        self.manifest
    }

    /// What passes an operator's choice of speed on, as long as the work goes on.
    pub fn tuner(&self) -> impl Fn(&Pulse) + use<> {
        let (throttle, manifest) = (self.throttle.clone(), self.manifest);
        move |pulse| throttle.set_speed(pulse.speed.map_or(manifest, |change| change.over(manifest)))
    }
}

fn said(report: Report, masks: &Masks) -> Said {
    let Report { done, total, message, checkpoint, progress } = report;
    Said {
        done,
        total,
        message: message.map(|message| {
            let text = masks.text(&sanitise::plain(message.as_bytes()));
            text.chars().take(Progress::MAX_MESSAGE).collect()
        }),
        checkpoint: checkpoint.and_then(|text| Checkpoint::new(text).ok()),
        engine: Some(Box::new(progress)),
    }
}

impl Work for Engine {
    /// `None` when it was given up.
    type Exit = Option<End>;
    const ASKED: &'static str = "the steps are asked to stop at a checkpoint";
    const KILLED: &'static str = "the steps are given up, which undoes the batch that is not committed";

    async fn ended(&mut self) -> Option<End> {
        let end = self.course.as_mut()?.await;
        self.course = None;
        Some(end)
    }

    fn ask_to_stop(&mut self, why: Stop) {
        if why == Stop::Wish(WishKind::Cancel) {
            self.for_good.cancel();
        }
        self.stop.cancel();
    }

    fn kill(&mut self) {
        self.course = None;
    }
}
