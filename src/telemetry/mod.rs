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
mod pace;
pub mod page;
mod probe;
mod recorder;
pub mod resource;
pub mod sampling;
mod secrets;
mod settings;
mod span;
mod states;
mod trace;
mod words;

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

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
use pace::{Pace, Queue};
pub use probe::{Probed, probe};
pub use recorder::Mask;
pub use settings::{Destination, Settings, Signal};
use span::Spans;
pub use states::States;
use trace::Trace;
pub use trace::{Absent, Ending};
pub use words::tellable;

/// How threads of telemetry are called: when one of them panics, the run goes on.
pub const THREADS: [&str; 2] = ["OpenTelemetry", "telemetry"];

const STARTER: &str = "telemetry-start";
const ENDER: &str = "telemetry-end";
/// Threads of telemetry, at most, and as many processes and threads as a simple program starts.
const ROOM: usize = 16;
/// How long the system may take to forget threads that have ended.
const GONE_WITHIN: Duration = Duration::from_millis(100);
/// The stack of a thread that does nothing.
const SMALL: usize = 64 * 1024;
const NO_THREAD: &str = "this container may have no more threads";

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
        let nothing_is_sent = || {
            warn(format!("no telemetry is sent: {NO_THREAD}"));
            Self::default()
        };
        if !has_room() {
            return nothing_is_sent();
        }
        let Ok(wires) = Wires::new() else { return nothing_is_sent() };
        let resource = resource::resource(config);
        let pace = &settings.pace;
        let mut telemetry = Self::default();
        for signal in Signal::ALL {
            let Some(to) = settings.destination(signal) else { continue };
            let health = Health::of(signal, &to.shown, warn);
            // What was started before goes on: dropping it would deliver first.
            let started = wires.build(|| match signal {
                Signal::Traces => telemetry.trace(to, pace, &resource, &health, Facts::of(config, run), mask),
                Signal::Metrics => telemetry.meter(to, pace, &resource::of_figures(config), &health),
                Signal::Logs => {
                    telemetry.log(to, pace, &resource, &health, TraceContext::of_attempt(run.id, run.attempt))
                }
            });
            match started {
                Ok(()) => telemetry.health.push((signal, health)),
                Err(reason) => health.warn_once(&reason),
            }
        }
        telemetry.wires = Some(wires);
        telemetry
    }

    fn trace(
        &mut self,
        to: &Destination,
        pace: &Pace,
        resource: &Resource,
        health: &Arc<Health>,
        facts: Facts,
        mask: &Mask,
    ) -> Result<(), String> {
        let spans = spans(to, pace, resource, health)?;
        self.trace = Some((Trace::begin(spans.clone(), facts, mask.clone()), spans));
        Ok(())
    }

    fn meter(
        &mut self,
        to: &Destination,
        pace: &Pace,
        resource: &Resource,
        health: &Arc<Health>,
    ) -> Result<(), String> {
        self.metrics = Some(provider(to, pace, resource, health)?);
        Ok(())
    }

    fn log(
        &mut self,
        to: &Destination,
        pace: &Pace,
        resource: &Resource,
        health: &Arc<Health>,
        at: TraceContext,
    ) -> Result<(), String> {
        let exporter = Counted::new(exporters::logs(to, &health.answers)?, health.clone());
        let Queue { size, batch, delay } = pace.records;
        let queue = opentelemetry_sdk::logs::BatchConfigBuilder::default()
            .with_max_queue_size(size)
            .with_max_export_batch_size(batch)
            .with_scheduled_delay(delay)
            .build();
        let processor = BatchLogProcessor::builder(exporter).with_batch_config(queue).build();
        let processor = Stamp::new(processor, at, health.clone());
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

/// Where spans are handed over, to be sent there.
fn spans(to: &Destination, pace: &Pace, resource: &Resource, health: &Arc<Health>) -> Result<Arc<Spans>, String> {
    let exporter = Counted::new(exporters::spans(to, &health.answers)?, health.clone());
    let Queue { size, batch, delay } = pace.spans;
    let queue = opentelemetry_sdk::trace::BatchConfigBuilder::default()
        .with_max_queue_size(size)
        .with_max_export_batch_size(batch)
        .with_scheduled_delay(delay)
        .build();
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
    processor.set_resource(resource);
    Ok(Arc::new(Spans::new(processor, health.clone())))
}

/// Where figures are sent from.
fn provider(
    to: &Destination,
    pace: &Pace,
    resource: &Resource,
    health: &Arc<Health>,
) -> Result<SdkMeterProvider, String> {
    let exporter = Counted::new(exporters::metrics(to, pace.temporality, &health.answers)?, health.clone());
    let reader = PeriodicReader::builder(exporter).with_interval(pace.interval).build();
    Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(resource.clone()).build())
}

/// Whether this container may have as many threads more as telemetry uses, and as the run needs beside it.
fn has_room() -> bool {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting = Vec::with_capacity(ROOM);
    for _ in 0..ROOM {
        let gate = gate.clone();
        let wait = move || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        let Ok(thread) = thread::Builder::new().name(STARTER.to_owned()).stack_size(SMALL).spawn(wait) else { break };
        waiting.push(thread);
    }
    drop(closed);
    let room = waiting.len();
    for thread in waiting {
        let _ = thread.join();
    }
    // One that has ended is counted by the system a moment longer: gone before anything else is started.
    let latest = Instant::now() + GONE_WITHIN;
    while threads() > before && Instant::now() < latest {
        thread::sleep(Duration::from_millis(1));
    }
    room == ROOM
}

/// The end of several things that deliver: beside each other, for one that hangs must not take the time of the others, and each on a thread that can be
/// left behind, for not all of the SDK keeps to the time that it is given.
struct End {
    deadline: Instant,
    tell: mpsc::Sender<()>,
    told: mpsc::Receiver<()>,
    begun: usize,
}

impl End {
    fn new(within: Duration) -> Self {
        let (tell, told) = mpsc::channel();
        Self { deadline: Instant::now() + within, tell, told, begun: 0 }
    }

    fn begin<T: Clone + Send + 'static>(&mut self, what: T, shut_down: impl FnOnce(&T, Duration) + Send + 'static) {
        let (tell, kept) = (self.tell.clone(), what.clone());
        let within = self.deadline.saturating_duration_since(Instant::now());
        let begun = thread::Builder::new().name(ENDER.to_owned()).spawn(move || {
            shut_down(&what, within);
            let _ = tell.send(());
        });
        match begun {
            Ok(_) => self.begun += 1,
            // Dropped here, it would deliver here, for as long as it likes.
            Err(_) => std::mem::forget(kept),
        }
    }

    fn wait(self) {
        for _ in 0..self.begun {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if self.told.recv_timeout(left).is_err() {
                return;
            }
        }
    }
}

/// A runtime of its own for connections: the worker's is busy with other things, and must not be waited for by threads of the SDK.
struct Wires {
    handle: tokio::runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Wires {
    fn new() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        // Made where it lives: it must not be dropped within another. It ends with its owner, whatever is still on its way.
        thread::Builder::new().name(THREADS[1].to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = tell.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_background();
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok(Self { handle, _stop: stop })
    }

    /// Builds what lives on these wires, on a thread of its own: where a container may have no more threads after all, the SDK panics.
    fn build<T: Send>(&self, build: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        let within = || {
            let _entered = self.handle.enter();
            build()
        };
        let made = thread::scope(|scope| {
            thread::Builder::new().name(STARTER.to_owned()).spawn_scoped(scope, within).ok()?.join().ok()
        });
        made.unwrap_or_else(|| Err(NO_THREAD.to_owned()))
    }
}
