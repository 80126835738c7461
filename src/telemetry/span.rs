//! One span, as it is handed to the SDK when it is over.
//!
//! Spans are told whole and at their end: their ids are known beforehand ([`TraceContext`]), so nothing has to be kept open.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanProcessor};

use crate::place::VERSION;
use crate::trace_context::TraceContext;

use super::health::Health;

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// Which.
    pub at: TraceContext,
    /// Below which.
    pub parent: Option<TraceContext>,
    /// Who has to do with it.
    pub kind: SpanKind,
    /// What happened, with few different values.
    pub name: String,
    /// When it began, by the clock of this machine.
    pub start: SystemTime,
    /// When it was over.
    pub end: SystemTime,
    /// Everything else.
    pub attributes: Vec<KeyValue>,
    /// How it ended.
    pub status: Status,
    /// What went wrong, where that is told here.
    pub exception: Option<Exception>,
}

/// An error with what belongs to it, as the semantic conventions have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// One of a few words.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// The last lines that were printed.
    pub last_lines: Vec<String>,
}

/// What an error is about: those attributes of its span that it has, too.
const ABOUT: [&str; 3] = ["stopover.run", "stopover.migration", "stopover.attempt"];

impl Span {
    fn into_data(self, scope: InstrumentationScope) -> SpanData {
        let trace = TraceId::from_bytes(self.at.trace());
        let id = |context: TraceContext| SpanId::from_bytes(context.span());
        let end = self.end.max(self.start);
        let mut events = SpanEvents::default();
        if let Some(Exception { kind, message, last_lines }) = self.exception {
            let mut attributes =
                vec![KeyValue::new("exception.type", kind), KeyValue::new("exception.message", message)];
            if !last_lines.is_empty() {
                attributes.push(KeyValue::new("exception.stacktrace", last_lines.join("\n")));
            }
            // Backends that store errors by themselves know of the span no more than its ids.
            attributes.extend(self.attributes.iter().filter(|it| ABOUT.contains(&it.key.as_str())).cloned());
            events.events.push(Event::new("exception", end, attributes, 0));
        }
        SpanData {
            span_context: SpanContext::new(trace, id(self.at), TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: self.parent.map_or(SpanId::INVALID, id),
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: self.start,
            end_time: end,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events,
            links: opentelemetry_sdk::trace::SpanLinks::default(),
            status: self.status,
            instrumentation_scope: scope,
        }
    }
}

/// Where spans are handed over: never waits, and leaves out what there is no room for.
#[derive(Debug)]
pub struct Spans {
    processor: BatchSpanProcessor,
    health: Arc<Health>,
    scope: InstrumentationScope,
}

impl Spans {
    /// Over `processor`, counted in `health`.
    #[must_use]
    pub fn new(processor: BatchSpanProcessor, health: Arc<Health>) -> Self {
        Self { processor, health, scope: InstrumentationScope::builder(super::SCOPE).with_version(VERSION).build() }
    }

    /// Hands a span over.
    pub fn send(&self, span: Span) {
        self.health.offered();
        self.processor.on_end(span.into_data(self.scope.clone()));
    }

    /// Sends what is waiting, within that time, and ends.
    pub fn shut_down(self: &Arc<Self>, within: std::time::Duration) {
        // What does not arrive is counted.
        let _ = self.processor.shutdown_with_timeout(within);
    }
}
