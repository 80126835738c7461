//! What a backend is told of runs: the real binary, real runs, and receivers that decode the official messages.

mod behalf;
mod collector;
mod documented;
mod faults;
mod logs;
mod metrics;
mod node;
mod silence;
mod trace;
mod transport;

use crate::support::otlp::{Attributes, Received, Receiver, attributes};
use crate::support::scene::Scene;
use opentelemetry_proto::tonic::trace::v1::Span;

/// A scene that sends everything to a receiver over HTTP.
fn telling(receiver: &Receiver) -> Scene {
    Scene::new()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()))
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
}

/// The one span of this name.
#[track_caller]
fn one<'r>(received: &'r Received, name: &str) -> &'r Span {
    let found = received.named(name);
    let names: Vec<_> = received.spans.iter().map(|(_, span)| &span.name).collect();
    assert_eq!(found.len(), 1, "{name} of {names:?}");
    found[0]
}

/// Its attributes as texts.
fn of(span: &Span) -> Attributes {
    attributes(&span.attributes)
}

/// An id as hexadecimal digits.
fn hex(id: &[u8]) -> String {
    use std::fmt::Write;
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
