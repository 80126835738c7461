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
pub mod distribution;
mod exporters;
mod facts;
pub mod figures;
mod health;
pub mod keeping;
mod logs;
pub mod meters;
pub mod page;
mod probe;
mod recorder;
pub mod resource;
pub mod sampling;
mod settings;
mod span;
mod states;
mod trace;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::diagnostics;
use crate::engine::observer::Observer;
use crate::ledger::Run;
use crate::trace_context::TraceContext;

pub use behalf::tell_of;
use facts::Facts;
use figures::Figures;
use health::{Counted, Health, Warn};
use logs::Stamp;
pub use probe::{Probed, probe};
pub use recorder::Mask;
pub use settings::{Destination, Settings, Signal};
use span::Spans;
pub use states::States;
use trace::Trace;
pub use trace::{Absent, Ending};

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
    /// For the attempt that `run` was just claimed for. `warn` is told, once for each signal, why it is not sent or does not arrive.
    #[must_use]
    pub fn start(config: &Config, settings: &Settings, run: &Run, mask: &Mask, warn: &Warn) -> Self {
        if !settings.is_on() {
            return Self::default();
        }
        let mut telemetry = Self::default();
        let wires = match Wires::new() {
            Ok(wires) => wires,
            Err(error) => {
                warn(Signal::Traces, format!("no thread for it: {error}"));
                return telemetry;
            }
        };
        let entered = wires.enter();
        let resource = resource::resource(config);
        for signal in Signal::ALL {
            let Some(to) = settings.destination(signal) else { continue };
            let shown = to.shown.clone();
            let warn = warn.clone();
            let warn: Warn = Arc::new(move |signal, reason| warn(signal, format!("{shown}: {reason}")));
            let health = Health::of(signal, warn.clone());
            let started = match signal {
                Signal::Traces => telemetry.trace(to, &resource, &health, Facts::of(config, run), mask),
                Signal::Metrics => telemetry.meter(to, &resource, &health),
                Signal::Logs => telemetry.log(to, &resource, &health, TraceContext::of_attempt(run.id, run.attempt)),
            };
            match started {
                Ok(()) => telemetry.health.push((signal, health)),
                Err(reason) => warn(signal, reason),
            }
        }
        drop(entered);
        telemetry.wires = Some(wires);
        telemetry
    }

    fn trace(
        &mut self,
        to: &Destination,
        resource: &Resource,
        health: &Arc<Health>,
        facts: Facts,
        mask: &Mask,
    ) -> Result<(), String> {
        let spans = spans(resource, to, health)?;
        self.trace = Some((Trace::begin(spans.clone(), facts, mask.clone()), spans));
        Ok(())
    }

    fn meter(&mut self, to: &Destination, resource: &Resource, health: &Arc<Health>) -> Result<(), String> {
        self.metrics = Some(provider(resource, to, health)?);
        Ok(())
    }

    fn log(
        &mut self,
        to: &Destination,
        resource: &Resource,
        health: &Arc<Health>,
        at: TraceContext,
    ) -> Result<(), String> {
        let exporter = Counted::new(exporters::logs(to, &health.why)?, health.clone());
        let processor = Stamp::new(BatchLogProcessor::builder(exporter).build(), at, health.clone());
        let provider =
            SdkLoggerProvider::builder().with_log_processor(processor).with_resource(resource.clone()).build();
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

    /// Sends what is known at the end of the attempt.
    pub fn ended(&self, ending: &Ending<'_>) {
        if let Some((trace, _)) = &self.trace {
            trace.end(ending);
        }
    }

    /// Delivers what is waiting, for at most `within`, and says of each signal how much did not arrive. Blocks so long.
    #[must_use]
    pub fn finish(self, within: Duration) -> Vec<(Signal, u64)> {
        thread::scope(|scope| {
            // Beside each other: one that hangs must not take the time of the others. What fails is counted.
            if let Some((_, spans)) = &self.trace {
                scope.spawn(|| spans.shut_down(within));
            }
            if let Some(metrics) = &self.metrics {
                scope.spawn(|| metrics.shutdown_with_timeout(within));
            }
            if let Some(logs) = &self.logs {
                scope.spawn(|| logs.shutdown_with_timeout(within));
            }
        });
        let missing = self.health.iter().map(|(signal, health)| (*signal, health.missing()));
        missing.filter(|(_, missing)| *missing > 0).collect()
    }
}

/// Where spans are handed over, to be sent there.
fn spans(resource: &Resource, to: &Destination, health: &Arc<Health>) -> Result<Arc<Spans>, String> {
    let exporter = Counted::new(exporters::spans(to, &health.why)?, health.clone());
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(resource);
    Ok(Arc::new(Spans::new(processor, health.clone())))
}

/// Where figures are sent from.
fn provider(resource: &Resource, to: &Destination, health: &Arc<Health>) -> Result<SdkMeterProvider, String> {
    let exporter = Counted::new(exporters::metrics(to, &health.why)?, health.clone());
    let reader = PeriodicReader::builder(exporter).build();
    Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(resource.clone()).build())
}

/// A runtime of its own for connections: the worker's is busy with other things, and must not be waited for by threads of the SDK.
struct Wires {
    handle: tokio::runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Wires {
    fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // It ends with its owner, whatever is still on its way.
        thread::Builder::new().name(THREADS[1].to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _stop: stop })
    }

    /// What is made meanwhile finds it.
    fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }
}
