//! Everybody outside who is told of an attempt: backends, whoever collects figures, and people. None of them can hold it up.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, StateDir};
use crate::engine::observer::Observer;
use crate::ledger::{Event, Outcome, Progress, Run, WishKind};
use crate::pod::Shutdown;
use crate::telemetry::figures::Figures;
use crate::telemetry::keeping::Keeping;
use crate::telemetry::{self, Ending, Mask, Settings, Telemetry};

use super::contacts::Contacts;
use super::herald::Herald;
use super::mask::Masks;
use super::pump::Pump;
use super::warnings::{Subject, Warnings};

/// How long the end of the process is put off to deliver telemetry.
const WITHIN: Duration = Duration::from_secs(3);
/// The same where another attempt holds the run.
const WITHIN_IF_FENCED: Duration = Duration::from_secs(1);

/// See the module.
pub struct Audience {
    /// What is counted.
    pub figures: Arc<Figures>,
    /// People.
    pub herald: Herald,
    telemetry: Telemetry,
    keeping: Keeping,
}

impl Audience {
    /// For a run that was just claimed. Whatever is wrong with somebody is told, and the run goes on.
    #[must_use]
    pub fn gather(
        config: &Config,
        contacts: Contacts,
        run: &Run,
        figures: Arc<Figures>,
        masks: &Arc<Masks>,
        pump: &Pump,
        warnings: &Warnings,
    ) -> Self {
        let herald = Herald::new(config, contacts.receivers, warnings, pump.scribe());
        let telemetry = start_telemetry(config, &contacts.telemetry, run, masks, pump, warnings);
        telemetry.observe(&figures);
        let keeping = Keeping::start(&config.state_dir, figures.clone());
        herald.started(run);
        Self { figures, herald, telemetry, keeping }
    }

    /// Who is told what native steps do.
    #[must_use]
    pub fn observers(&self) -> Vec<Arc<dyn Observer>> {
        let figures = self.figures.clone() as Arc<dyn Observer>;
        std::iter::once(figures).chain(self.telemetry.observer()).collect()
    }

    /// Whether [`Self::ended`] makes use of what the ledger has recorded of the run.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        self.telemetry.is_traced()
    }

    /// Has backends told of the end, which the ledger has. A run that was lost is told of by whoever takes it over.
    pub fn ended(&self, outcome: &Outcome, wish: Option<WishKind>, progress: &Progress, events: &[Event]) {
        self.telemetry.ended(&Ending { outcome, wish, progress, events });
    }

    /// Nothing is worked on any more, whatever the engine may have left open.
    pub fn work_is_over(&self) {
        self.telemetry.work_is_over();
        self.figures.work_is_over();
    }

    /// The end is about to be reported: has the counts kept, without waiting for that.
    pub fn keep_counts(&self) {
        self.keeping.keep();
    }

    /// Stays until everybody was told, for a bounded time.
    pub async fn settle(&mut self, pump: &Pump, state: &StateDir) {
        let left = Shutdown::under_way(state).map_or(Duration::MAX, |shutdown| shutdown.left() / 2);
        self.deliver(pump, WITHIN.min(left));
        self.herald.settle(state).await;
    }

    /// Lets everybody go at once: another attempt holds the run, and tells of it.
    pub fn dismiss(mut self, pump: &Pump) {
        self.deliver(pump, WITHIN_IF_FENCED);
        self.close();
    }

    /// Ends what is left, at the very last.
    pub fn close(self) {
        self.keeping.close();
    }

    /// Delivers what waits for backends, and says what of it did not arrive. Blocks, for nothing else is done any more.
    fn deliver(&mut self, pump: &Pump, within: Duration) {
        let missing = std::mem::take(&mut self.telemetry).finish(within);
        for (signal, count) in &missing {
            self.figures.dropped(*signal, *count);
        }
        if !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|(signal, count)| signal.counted(*count)).collect();
            pump.warn(format!("telemetry: not delivered were {}", missing.join(", ")));
        }
    }
}

fn start_telemetry(
    config: &Config,
    settings: &Settings,
    run: &Run,
    masks: &Arc<Masks>,
    pump: &Pump,
    warnings: &Warnings,
) -> Telemetry {
    let (scribe, warnings, of_warnings) = (pump.scribe(), warnings.clone(), masks.clone());
    let warn = move |text: String| {
        let text = telemetry::tellable(&text, |text| of_warnings.text(text));
        // It may be told when the run is over.
        scribe.warn(format!("telemetry: {text}; no run depends on that"));
        warnings.set_first(Subject::Telemetry, text);
    };
    for problem in &settings.problems {
        warn(problem.clone());
    }
    let of_spans = masks.clone();
    let mask: Mask = Arc::new(move |text| of_spans.text(text));
    Telemetry::start(config, settings, run, &mask, &(Arc::new(warn) as _))
}
