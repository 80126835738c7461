//! Every field that the files name is one that Elasticsearch has from real runs.
//!
//! What runs send is translated as Elastic's APM server does it (its package `apm-data`): a span without a parent, or of a consumer, is a
//! transaction; attributes are labels with underscores for dots, apart from strings where they are numbers; points of one time and with the same
//! attributes are one document of metrics; an event of an exception is a document of its own, with its own attributes only.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;

use super::{objects, parsed, references, rules, text};
use crate::support::otlp::{Attributes, Received};
use crate::support::told::told;

/// What a name of a field begins with, of those that the files may use.
const PREFIXES: [&str; 12] = [
    "stopover.",
    "labels.",
    "numeric_labels.",
    "transaction.",
    "span.",
    "service.",
    "error.",
    "trace.",
    "process.",
    "log.",
    "event.",
    "processor.",
];

type Fields = BTreeSet<String>;

/// The documents of each data view.
#[derive(Default)]
struct Stored(BTreeMap<&'static str, Vec<Fields>>);

impl Stored {
    fn of(received: &Received) -> Self {
        let mut stored = Self::default();
        for (resource, span) in &received.spans {
            stored.span(resource, span);
        }
        for (resource, metric) in &received.metrics {
            stored.metric(resource, metric);
        }
        for (resource, record) in &received.logs {
            let mut fields = base(resource);
            fields.extend(labels(&record.attributes));
            fields.extend(["processor.event", "message", "log.level", "trace.id", "span.id"].map(str::to_owned));
            stored.add("stopover-logs", fields);
        }
        stored
    }

    fn add(&mut self, view: &'static str, fields: Fields) {
        self.0.entry(view).or_default().push(fields);
    }

    fn span(&mut self, resource: &Attributes, span: &Span) {
        let is_transaction =
            span.parent_span_id.is_empty() || matches!(span.kind(), SpanKind::Server | SpanKind::Consumer);
        let mut fields = base(resource);
        fields.extend(["processor.event", "trace.id", "event.outcome", "span.id"].map(str::to_owned));
        fields.extend(labels(&span.attributes));
        if is_transaction {
            let status =
                span.status.as_ref().map_or(StatusCode::Unset, opentelemetry_proto::tonic::trace::v1::Status::code);
            fields.extend(["transaction.name", "transaction.duration.us", "transaction.type"].map(str::to_owned));
            fields.remove("labels.type");
            if status != StatusCode::Unset {
                fields.insert("transaction.result".to_owned());
            }
        } else {
            fields.extend(["span.name", "span.duration.us", "span.type"].map(str::to_owned));
        }
        self.add("stopover-traces", fields);
        for event in span.events.iter().filter(|event| event.name == "exception") {
            let mut fields = base(resource);
            let mut own = labels(&event.attributes);
            for (attribute, field) in [
                ("labels.exception_type", "error.exception.type"),
                ("labels.exception_message", "error.exception.message"),
                ("labels.exception_stacktrace", "error.stack_trace"),
            ] {
                if own.remove(attribute) {
                    fields.insert(field.to_owned());
                }
            }
            fields.extend(own);
            fields.extend(["processor.event", "trace.id"].map(str::to_owned));
            if is_transaction {
                fields.extend(["transaction.id", "transaction.type"].map(str::to_owned));
            }
            self.add("stopover-logs", fields);
        }
    }

    fn metric(&mut self, resource: &Attributes, metric: &Metric) {
        let points: Vec<_> = match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.iter().map(|point| &point.attributes).collect(),
            Data::Sum(sum) => sum.data_points.iter().map(|point| &point.attributes).collect(),
            Data::Histogram(histogram) => histogram.data_points.iter().map(|point| &point.attributes).collect(),
            other => panic!("the APM server does not take {other:?}"),
        };
        for attributes in points {
            let mut fields = base(resource);
            fields.insert(metric.name.clone());
            fields.extend(labels(attributes));
            self.add("stopover-metrics", fields);
        }
    }

    fn knows(&self, view: &str, field: &str) -> bool {
        self.0[view].iter().any(|document| document.contains(field))
    }

    /// Whether one document has both.
    fn knows_both(&self, view: &str, one: &str, other: &str) -> bool {
        self.0[view].iter().any(|document| document.contains(one) && document.contains(other))
    }
}

/// What each document has from the resource.
fn base(resource: &Attributes) -> Fields {
    let named = [
        ("service.name", "service.name"),
        ("service.version", "service.version"),
        ("service.instance.id", "service.node.name"),
        ("deployment.environment", "service.environment"),
        ("process.pid", "process.pid"),
    ];
    let known = named.into_iter().filter(|(attribute, _)| resource.contains_key(*attribute));
    known.map(|(_, field)| field.to_owned()).chain(["@timestamp".to_owned()]).collect()
}

fn labels(attributes: &[KeyValue]) -> Fields {
    let field = |attribute: &KeyValue| {
        let is_number = matches!(
            attribute.value.as_ref().and_then(|value| value.value.as_ref()),
            Some(any_value::Value::IntValue(_) | any_value::Value::DoubleValue(_))
        );
        format!("{}.{}", if is_number { "numeric_labels" } else { "labels" }, attribute.key.replace('.', "_"))
    };
    attributes.iter().map(field).collect()
}

/// All that looks like a field in a value, however deep it is packed.
fn named(value: &Value, into: &mut Fields) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| named(value, into)),
        Value::Object(object) => {
            for (name, value) in object {
                words(name, into);
                named(value, into);
            }
        }
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(packed @ (Value::Array(_) | Value::Object(_))) => named(&packed, into),
            _ => words(text, into),
        },
        _ => {}
    }
}

fn words(text: &str, into: &mut Fields) {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@' | '-');
    for word in text.split(|c| !is_of_name(c)).map(|word| word.trim_end_matches('.')) {
        if ["@timestamp", "message"].contains(&word) || PREFIXES.iter().any(|prefix| word.starts_with(prefix)) {
            into.insert(word.to_owned());
        }
    }
}

fn fields_of(value: &Value) -> Fields {
    let mut fields = Fields::new();
    named(value, &mut fields);
    fields
}

#[tokio::test]
async fn every_field_that_is_named_is_one_that_runs_send() {
    let stored = Stored::of(&told().await);
    let objects = objects();
    let views: BTreeMap<&str, &str> = objects
        .iter()
        .filter(|it| it["type"] == "index-pattern")
        .map(|it| (text(&it["attributes"]["title"]), text(&it["id"])))
        .collect();
    let check = |what: &str, view: &str, fields: &Fields| {
        assert!(!fields.is_empty(), "{what} names no field");
        for field in fields {
            assert!(stored.knows(view, field), "{what}: no document of {view} has {field}");
        }
    };
    for object in &objects {
        let id = text(&object["id"]);
        match text(&object["type"]) {
            "index-pattern" => check(id, id, &fields_of(&object["attributes"])),
            "search" => {
                let (_, view, _) = references(object).next().unwrap();
                let fields = fields_of(&object["attributes"]);
                check(id, view, &fields);
                let complete = stored.0[view].iter().any(|document| fields.is_subset(document));
                assert!(complete, "{id}: no document of {view} has all of {fields:?}");
            }
            _ => {
                let panels = parsed(&object["attributes"]["panelsJSON"]);
                for panel in panels.as_array().unwrap().iter().filter(|panel| panel["type"] == "lens") {
                    lens(&stored, panel, &check);
                }
                let controls = parsed(&object["attributes"]["controlGroupInput"]["panelsJSON"]);
                check("controls", "stopover-metrics", &fields_of(&controls));
            }
        }
    }
    for (name, rule) in rules() {
        let params = &rule["params"];
        let index = match params["esqlQuery"]["esql"].as_str() {
            Some(query) => query.lines().next().unwrap().trim_start_matches("FROM ").to_owned(),
            None => params["index"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(","),
        };
        check(&name, views[index.as_str()], &fields_of(params));
    }
}

/// A chart draws each of its values over time, apart by the values of another field: documents must have both.
fn lens(stored: &Stored, panel: &Value, check: &impl Fn(&str, &str, &Fields)) {
    let index = text(&panel["panelIndex"]);
    let attributes = &panel["embeddableConfig"]["attributes"];
    let (_, view, _) = references(attributes).next().unwrap();
    check(index, view, &fields_of(&attributes["state"]));
    let columns = &attributes["state"]["datasourceStates"]["formBased"]["layers"]["layer"]["columns"];
    let source = |column: &Value| text(&column["sourceField"]).to_owned();
    let columns: Vec<_> = columns.as_object().unwrap().values().collect();
    let split = columns.iter().find(|column| column["operationType"] == "terms").map(|column| source(column));
    for value in columns.iter().filter(|column| column["isBucketed"] == false) {
        let (value, split) = (source(value), split.as_deref().unwrap_or("@timestamp"));
        assert!(stored.knows_both(view, &value, split), "{index}: no document has {value} and {split}");
    }
}
