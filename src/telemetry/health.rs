//! Whether what is sent arrives: every exporter is counted, and the first that fails is told of, once.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::client::{Answers, Rejected};
use super::settings::Signal;
use super::words;

/// Who is told what is not sent or does not arrive, in a whole sentence.
pub type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// How the delivery of one signal goes.
pub struct Health {
    signal: Signal,
    shown: String,
    warn: Warn,
    /// What the exporter does not say.
    pub answers: Answers,
    told: AtomicBool,
    offered: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl Health {
    /// Of a signal of which nothing was sent yet; `shown` is where to, for people.
    #[must_use]
    pub fn of(signal: Signal, shown: &str, warn: &Warn) -> Arc<Self> {
        Arc::new(Self {
            signal,
            shown: shown.to_owned(),
            warn: warn.clone(),
            answers: Answers::default(),
            told: AtomicBool::new(false),
            offered: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Something is handed over to be sent; there may be no room for it.
    pub fn offered(&self) {
        self.offered.fetch_add(1, Ordering::Relaxed);
    }

    /// What was handed over and has not arrived: failed, without room, or left behind at the end.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.offered.load(Ordering::Relaxed).saturating_sub(self.delivered.load(Ordering::Relaxed))
    }

    /// What is known so far not to have arrived: failed or rejected; part of [`Self::missing`].
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Tells why it does not arrive, unless that was told before.
    pub fn warn_once(&self, reason: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            (self.warn)(format!("{} do not arrive at {}: {reason}", self.signal.word(), self.shown));
        }
    }

    fn note(&self, count: u64, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                // Of a try that was followed by a better one.
                let _ = self.answers.take_error();
                let rejected = self.answers.take_rejected();
                let lost = rejected.as_ref().map_or(0, |rejected| rejected.count.min(count));
                self.delivered.fetch_add(count - lost, Ordering::Relaxed);
                self.failed.fetch_add(lost, Ordering::Relaxed);
                if let Some(Rejected { count, why }) = rejected {
                    self.warn_once(&format!("it has rejected {}: {why}", self.signal.counted(count)));
                }
            }
            // The end of the run is no failure of the receiver.
            Err(OTelSdkError::AlreadyShutdown) => {}
            Err(error) => {
                self.failed.fetch_add(count, Ordering::Relaxed);
                self.warn_once(&reason(error, &self.answers));
            }
        }
    }
}

/// What went wrong, as exactly as it is known.
#[must_use]
pub fn reason(error: &OTelSdkError, answers: &Answers) -> String {
    if let Some(why) = answers.take_error() {
        return why;
    }
    match error {
        OTelSdkError::Timeout(after) => format!("no answer within {}", crate::time::short_duration(*after)),
        OTelSdkError::InternalFailure(reason) => words::of(reason),
        OTelSdkError::AlreadyShutdown => "it was shut down".to_owned(),
    }
}

/// An exporter whose results are counted.
#[derive(Debug)]
pub struct Counted<E> {
    inner: E,
    health: Arc<Health>,
}

impl<E> Counted<E> {
    /// Counts in `health`.
    pub fn new(inner: E, health: Arc<Health>) -> Self {
        Self { inner, health }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let result = self.inner.export(batch).await;
        self.health.note(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count() as u64;
        let result = self.inner.export(batch).await;
        self.health.note(count, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Of metrics, what is counted is the reports: the next one says what a lost one would have.
impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.health.offered();
        let result = self.inner.export(metrics).await;
        self.health.note(1, &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
