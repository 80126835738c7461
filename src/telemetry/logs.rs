//! What Stopover itself has to say, as log records with the trace that they belong to.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry::logs::LogRecord;
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchLogProcessor, LogProcessor, SdkLogRecord};

use crate::trace_context::TraceContext;

use super::health::Health;

/// Hands records over with the trace context of the one attempt that this process is for.
#[derive(Debug)]
pub struct Stamp {
    inner: BatchLogProcessor,
    at: TraceContext,
    health: Arc<Health>,
}

impl Stamp {
    /// Of an attempt.
    #[must_use]
    pub fn new(inner: BatchLogProcessor, at: TraceContext, health: Arc<Health>) -> Self {
        Self { inner, at, health }
    }
}

impl LogProcessor for Stamp {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.health.offered();
        let (trace, span) = (TraceId::from_bytes(self.at.trace()), SpanId::from_bytes(self.at.span()));
        record.set_trace_context(trace, span, Some(TraceFlags::SAMPLED));
        self.inner.emit(record, scope);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
