//! What others see of runs from outside: traces, metrics and logs over OTLP while a run goes on, and figures for whoever asks for them.
//!
//! ```text
//! engine ──observer──> recorder ──> span ──┐
//! worker: claimed, ended ──> trace ────────┼──> bounded queues of the SDK ──> exporters ──> backend
//! tracing events ──> logs ─────────────────┘                                     |
//!                                                                   health: counts, one warning
//! engine, heart, mirror ──> figures ──> meters ──> the same way
//!                              └──> keeping (thread) ──> metrics/MIGRATION.json ──┐
//! histories ──> census ──> meters                                                 │
//!         └───────────────────────────────> page ──> `stopover metrics` ──> Prometheus
//! ```
//!
//! One rule above all: telemetry never slows, blocks or fails a run. Everything is handed over without waiting, into queues of bounded size;
//! what finds no room, or cannot be delivered, is counted and left out; the end is waited for only so long. Nothing is sent unless the
//! standard variables name an endpoint.

mod behalf;
pub mod census;
mod client;
mod delivery;
pub mod distribution;
mod exporters;
mod facts;
pub mod figures;
mod health;
pub mod keeping;
mod logs;
pub mod meters;
mod pace;
pub mod page;
mod probe;
mod recorder;
pub mod resource;
mod room;
pub mod sampling;
mod secrets;
mod settings;
mod span;
mod states;
mod threads;
mod trace;
mod words;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::config::Config;
use crate::diagnostics;
use crate::engine::observer::Observer;
use crate::ledger::Run;
use crate::trace_context::TraceContext;

pub use behalf::tell_of;
use delivery::Delivery;
use facts::Facts;
use figures::Figures;
use health::{Health, Warn};
use logs::Stamp;
pub use probe::{Probed, probe};
pub use recorder::Mask;
pub use settings::{Destination, Settings, Signal};
use span::Spans;
pub use states::States;
use threads::{End, NO_THREAD, Wires};
use trace::Trace;
pub use trace::{Absent, Ending};
pub use words::tellable;

/// How threads of telemetry are called: when one of them panics, the run goes on.
pub const THREADS: [&str; 2] = ["OpenTelemetry", "telemetry"];

/// Who measures, as a backend knows it.
const SCOPE: &str = "stopover";

/// The telemetry of one attempt.
#[derive(Default)]
pub struct Telemetry {
    trace: Option<(Trace, Arc<Spans>)>,
    metrics: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
    health: Vec<(Signal, Arc<Health>)>,
    /// Where gRPC connections live; dropped last.
    wires: Option<Wires>,
}

impl Telemetry {
    /// For the attempt that `run` was just claimed for. `warn` is told why something is not sent or does not arrive, once for each signal.
    #[must_use]
    pub fn start(config: &Config, settings: &Settings, run: &Run, mask: &Mask, warn: &Warn) -> Self {
        if !settings.is_on() {
            return Self::default();
        }
        let wires = match Wires::new() {
            Ok(wires) => wires,
            Err(reason) => {
                warn(format!("no telemetry is sent: {reason}"));
                return Self::default();
            }
        };
        let (of_process, of_figures) = (resource::resource(config), resource::of_figures(config));
        let mut telemetry = Self::default();
        for signal in Signal::ALL {
            let Some(to) = settings.destination(signal) else { continue };
            let health = Health::of(signal, &to.shown, warn);
            let resource = if signal == Signal::Metrics { &of_figures } else { &of_process };
            let delivery = Delivery { to, pace: &settings.pace, resource, health: &health };
            // What was started before goes on: dropping it would deliver first.
            let started = wires.build(|| match signal {
                Signal::Traces => telemetry.trace(&delivery, Facts::of(config, run), mask),
                Signal::Metrics => telemetry.meter(&delivery),
                Signal::Logs => telemetry.log(&delivery, TraceContext::of_attempt(run.id, run.attempt)),
            });
            match started {
                Ok(()) => telemetry.health.push((signal, health)),
                Err(reason) => health.warn_once(&reason),
            }
        }
        telemetry.wires = Some(wires);
        telemetry
    }

    fn trace(&mut self, delivery: &Delivery<'_>, facts: Facts, mask: &Mask) -> Result<(), String> {
        let spans = delivery.spans()?;
        self.trace = Some((Trace::begin(spans.clone(), facts, mask.clone()), spans));
        Ok(())
    }

    fn meter(&mut self, delivery: &Delivery<'_>) -> Result<(), String> {
        self.metrics = Some(delivery.figures()?);
        Ok(())
    }

    fn log(&mut self, delivery: &Delivery<'_>, at: TraceContext) -> Result<(), String> {
        let stamp = Stamp::new(delivery.records()?, at, delivery.health.clone());
        let resource = delivery.resource.clone();
        let provider = SdkLoggerProvider::builder().with_log_processor(stamp).with_resource(resource).build();
        diagnostics::pass_on(OpenTelemetryTracingBridge::new(&provider));
        self.logs = Some(provider);
        Ok(())
    }

    /// Who is told what the engine does, if anybody.
    #[must_use]
    pub fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.trace.as_ref().map(|(trace, _)| trace.recorder() as Arc<dyn Observer>)
    }

    /// Has these figures sent, if figures are, and tells them what does not arrive.
    pub fn observe(&self, figures: &Arc<Figures>) {
        figures.watch(self.health.clone());
        if let Some(metrics) = &self.metrics {
            meters::observe(&metrics.meter(SCOPE), figures);
        }
    }

    /// Whether [`Self::ended`] makes use of what it is told.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Nothing is worked on any more: closes what the engine may have left open.
    pub fn work_is_over(&self) {
        if let Some((trace, _)) = &self.trace {
            trace.recorder().finish();
        }
    }

    /// Sends what is known at the end of the attempt, whose work is over.
    pub fn ended(&self, ending: &Ending<'_>) {
        if let Some((trace, _)) = &self.trace {
            trace.end(ending);
        }
    }

    /// Delivers what is waiting, for at most `within`, and says of each signal how much did not arrive. Blocks so long.
    #[must_use]
    pub fn finish(self, within: Duration) -> Vec<(Signal, u64)> {
        let mut end = End::new(within);
        if let Some((_, spans)) = self.trace {
            end.begin(spans, Spans::shut_down);
        }
        if let Some(metrics) = self.metrics {
            // What does not arrive is counted.
            end.begin(metrics, |metrics, within| drop(metrics.shutdown_with_timeout(within)));
        }
        if let Some(logs) = self.logs {
            end.begin(logs, |logs, within| drop(logs.shutdown_with_timeout(within)));
        }
        end.wait();
        let missing = self.health.iter().map(|(signal, health)| (*signal, health.missing()));
        missing.filter(|(_, missing)| *missing > 0).collect()
    }
}
