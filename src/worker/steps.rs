//! Native steps as the work of an attempt.

use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::catalog::{Speed, Steps};
use crate::config::Config;
use crate::engine::tally::Report;
use crate::engine::throttle::Throttle;
use crate::engine::{self, End, Job};
use crate::ledger::{Checkpoint, LedgerWriter, Run};

use super::heart::Pulse;
use super::pump::{Pump, Said};
use super::supervise::Work;
use super::warnings::Warnings;

/// Steps under way.
pub struct Engine {
    /// `None` when they were given up.
    course: Option<Pin<Box<dyn Future<Output = End>>>>,
    stop: CancellationToken,
    throttle: Throttle,
    manifest: Speed,
}

impl Engine {
    /// Prepares the steps of an attempt; they go on as [`Work::ended`] is waited for.
    ///
    /// # Errors
    /// A sentence on why they cannot be executed.
    pub fn start(
        config: &Config,
        ledger: &Arc<dyn LedgerWriter>,
        run: &Run,
        steps: &Arc<Steps>,
        environment: std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString>,
        pump: &Pump,
        warnings: &Warnings,
    ) -> Result<Self, String> {
        let database = config.database.clone().ok_or("its steps need MongoDB, and MONGODB_URI is not set")?;
        let stop = CancellationToken::new();
        let throttle = Throttle::new(run.speed().map_or(steps.speed, |change| change.over(steps.speed)));
        let (scribe, speaker, warnings) = (pump.scribe(), pump.speaker(), warnings.clone());
        let listener = scribe.clone();
        let job = Job {
            database,
            steps: steps.clone(),
            run: run.id,
            migration: run.migration.clone(),
            attempt: run.attempt,
            quarantine_of: run.launch.quarantine_of,
            ledger: ledger.clone(),
            throttle: throttle.clone(),
            stop: stop.clone(),
            note: Arc::new(move |text| scribe.note(text)),
            warn: Arc::new(move |text| warnings.found(text)),
            publish: Arc::new(move |report| {
                speaker.send_replace(said(report));
            }),
            environment,
            stderr: Arc::new(move |stderr| listener.overhear(stderr)),
        };
        Ok(Self { course: Some(Box::pin(engine::execute(job))), stop, throttle, manifest: steps.speed })
    }

    /// What passes an operator's choice of speed on, as long as the work goes on.
    pub fn tuner(&self) -> impl Fn(&Pulse) + use<> {
        let (throttle, manifest) = (self.throttle.clone(), self.manifest);
        move |pulse| throttle.set_speed(pulse.speed.map_or(manifest, |change| change.over(manifest)))
    }
}

fn said(report: Report) -> Said {
    let Report { done, total, message, checkpoint, progress } = report;
    Said {
        done,
        total,
        message,
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

    fn ask_to_stop(&mut self) {
        self.stop.cancel();
    }

    fn kill(&mut self) {
        self.course = None;
    }
}
