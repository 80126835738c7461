//! The tables of `docs/observability.md`, and what real runs send: each has what the other has.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::otlp::{Attributes, Received, attributes};
use crate::support::told::told;

type Names = BTreeSet<String>;

/// The rows of the table with this head, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md")).unwrap();
    let rows = text.split_once(&format!("{head}\n")).expect("the table is there").1.lines().skip(1);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|line| line.split('|').skip(1));
    rows.map(|cells| cells.map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

/// What a span is, in the words of the table.
fn kind(span: &Span, attributes: &Attributes) -> &'static str {
    match span.name.split_once(' ').map_or("", |(first, _)| first) {
        "launch" => "launch",
        "attempt" => "attempt",
        "hold" => "hold",
        _ if attributes.contains_key("stopover.step.kind") => "step",
        _ if span.kind() == SpanKind::Client => "batch",
        _ => "run",
    }
}

/// The attributes of each kind of span, each with the values that it had. A param has a name of its own.
fn sent(told: &Received) -> BTreeMap<(&'static str, String), Names> {
    let mut sent = BTreeMap::<_, Names>::new();
    for (_, span) in &told.spans {
        let attributes = attributes(&span.attributes);
        let kind = kind(span, &attributes);
        for (name, value) in attributes {
            let name = if name.starts_with("stopover.param.") { "stopover.param.NAME".to_owned() } else { name };
            sent.entry((kind, name)).or_default().insert(value);
        }
    }
    sent
}

fn spans_are_as_documented(told: &Received) {
    const KINDS: [&str; 6] = ["run", "launch", "attempt", "step", "batch", "hold"];
    // Their values are words of the table.
    const WORDS: [&str; 7] = [
        "type",
        "stopover.state",
        "stopover.step.kind",
        "stopover.hold.reason",
        "stopover.sampled.reason",
        "error.type",
        "db.system.name",
    ];
    let sent = sent(told);
    let mut documented = BTreeSet::new();
    for row in table("| on | attribute | |") {
        let on: Vec<_> = if row[0] == "all" { KINDS.to_vec() } else { row[0].split(", ").collect() };
        for name in quoted(&row[1]) {
            for kind in &on {
                let kind = KINDS.iter().find(|known| *known == kind).unwrap_or_else(|| panic!("{kind} is no span"));
                let values = sent.get(&(*kind, name.clone()));
                let values = values.unwrap_or_else(|| panic!("no {kind} has {name}"));
                if WORDS.contains(&name.as_str()) {
                    let words = quoted(&row[2]);
                    assert!(values.is_subset(&words), "{name} of {kind}: {values:?} of {words:?}");
                }
                documented.insert((*kind, name.clone()));
            }
        }
    }
    let left_out: Vec<_> = sent.keys().filter(|it| !documented.contains(it)).collect();
    assert!(left_out.is_empty(), "the table does not have {left_out:?}");
}

/// What kind of metric it is, and the attributes of its points.
fn shape(metric: &Metric) -> (&'static str, Vec<Attributes>) {
    let (kind, points): (_, Vec<_>) = match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => ("gauge", gauge.data_points.iter().map(|point| &point.attributes).collect()),
        Data::Sum(sum) => {
            assert!(sum.is_monotonic, "{}", metric.name);
            ("counter", sum.data_points.iter().map(|point| &point.attributes).collect())
        }
        Data::Histogram(histogram) => {
            ("histogram", histogram.data_points.iter().map(|point| &point.attributes).collect())
        }
        other => panic!("{other:?}"),
    };
    (kind, points.into_iter().map(|point| attributes(point)).collect())
}

/// An attribute of OTLP as a label of Prometheus.
fn label(attribute: &str) -> &str {
    match attribute {
        "stopover.migration" => "migration",
        "stopover.outcome" => "outcome",
        "stopover.hold.reason" => "reason",
        "stopover.telemetry.signal" => "signal",
        "stopover.run.state" => "state",
        other => other,
    }
}

fn metrics_are_as_documented(told: &Received) {
    let rows = table("| Prometheus | OTLP | type, unit | labels | meaning |");
    let rows = rows.into_iter().filter(|row| !row[1].is_empty());
    let mut documented: BTreeMap<_, _> =
        rows.map(|row| (row[1].trim_matches('`').to_owned(), (row[2].clone(), quoted(&row[3])))).collect();
    let mut sent = BTreeMap::<_, (String, Names)>::new();
    for (_, metric) in &told.metrics {
        let (kind, points) = shape(metric);
        for point in points {
            let labels = point.keys().map(|name| label(name).to_owned()).collect();
            let (told, of) = (format!("{kind}, `{}`", metric.unit), &metric.name);
            let told = sent.entry(of.clone()).or_insert((told, labels)).clone();
            assert_eq!(documented.get(of), Some(&told), "{of}");
        }
    }
    documented.retain(|name, _| !sent.contains_key(name));
    assert!(documented.is_empty(), "nobody sends {documented:?}");
}

#[tokio::test]
async fn what_is_sent_is_in_the_documentation_and_the_other_way_round() {
    let told = told().await;
    spans_are_as_documented(&told);
    metrics_are_as_documented(&told);
}
