//! Figures of real runs at a receiver.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use rstest::rstest;

use crate::support::documents::{fill, once};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::otlp::{Mode, Receiver, attributes};
use crate::support::pod::Pod;
use crate::support::scene::PATIENCE;
use crate::support::steady::{PROGRAM, STEADY, go};

use super::telling;

const NAME: &str = "20261123_sample";

/// Values by the attributes that they have besides the migration; of a histogram, how often.
fn values(metric: &Metric) -> BTreeMap<String, f64> {
    let points = match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        Data::Histogram(histogram) => {
            let counts = histogram.data_points.iter().map(|point| {
                assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                (point.attributes.clone(), f64::from(u32::try_from(point.count).unwrap()))
            });
            return named(counts);
        }
        other => panic!("{other:?}"),
    };
    named(points.iter().map(|point| {
        let value = match point.value.unwrap() {
            number_data_point::Value::AsDouble(value) => value,
            number_data_point::Value::AsInt(value) => f64::from(i32::try_from(value).unwrap()),
        };
        (point.attributes.clone(), value)
    }))
}

fn named(
    points: impl Iterator<Item = (Vec<opentelemetry_proto::tonic::common::v1::KeyValue>, f64)>,
) -> BTreeMap<String, f64> {
    let name = |about: &[_]| {
        let mut about = attributes(about);
        about.remove("stopover.migration");
        about.into_values().collect::<Vec<_>>().join(" ")
    };
    points.map(|(about, value)| (name(&about), value)).collect()
}

/// The latest values of a metric.
fn latest(backend: &Receiver, name: &str) -> Option<BTreeMap<String, f64>> {
    let told = backend.received();
    told.metrics.iter().rev().find(|(_, metric)| metric.name == name).map(|(_, metric)| values(metric))
}

fn only(value: f64) -> BTreeMap<String, f64> {
    BTreeMap::from([(String::new(), value)])
}

#[tokio::test]
async fn the_figures_of_a_backfill_arrive_as_they_are() {
    const COUNT: i32 = 40_000;
    let backend = Receiver::http();
    let database = Database::new();
    fill(&database.open().await, "charges", COUNT).await;
    let scene = telling(&backend)
        .variable("MONGODB_URI", database.uri())
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .manifest(NAME, &once("charges", "workers: 2"));
    tokio::task::spawn_blocking(move || {
        scene.must(&["init", "--environment", "staging"]);
        scene.launch(&[NAME, "--wait"]);
        let count = f64::from(COUNT);
        eventually("the last figures arrive", PATIENCE, || {
            latest(&backend, "stopover.documents.processed").filter(|values| *values == only(count))
        });
        assert_eq!(latest(&backend, "stopover.documents.done"), Some(only(count)));
        assert_eq!(latest(&backend, "stopover.documents.quarantined"), Some(only(0.0)));
        let batches = latest(&backend, "stopover.batch.duration").unwrap();
        assert!(batches["ok"] > 1.0 && batches.values().sum::<f64>() < count, "{batches:?}");
        assert!(latest(&backend, "stopover.lease.renewals").unwrap()["ok"] >= 1.0);
        assert!(latest(&backend, "stopover.lease.renewal.duration").unwrap()["ok"] >= 1.0);
        assert_eq!(latest(&backend, "stopover.mirror.lines_dropped"), Some(only(0.0)));
        assert!(latest(&backend, "stopover.hold.time").unwrap().contains_key("replication_lag"));
        let told = backend.received();
        assert!(told.spans.iter().all(|(sender, _)| sender.contains_key("process.pid")));
        for (sender, metric) in &told.metrics {
            assert!(!sender.contains_key("process.pid"), "series go on with the next worker: {sender:?}");
            let about = |points: &[opentelemetry_proto::tonic::common::v1::KeyValue]| attributes(points);
            let Some(Data::Gauge(gauge)) = &metric.data else { continue };
            for point in &gauge.data_points {
                assert_eq!(about(&point.attributes)["stopover.migration"], NAME);
                assert!(!about(&point.attributes).contains_key("stopover.run"), "as many series as migrations");
            }
        }
    })
    .await
    .unwrap();
}

#[test]
fn what_a_program_says_and_what_remains_are_figures_too() {
    let backend = Receiver::http();
    let scene = telling(&backend).manifest(NAME, "command: [sh, work.sh]\nremaining: { command: [echo, '7'] }\n");
    std::fs::write(scene.path().join("migrations/work.sh"), "echo '::stopover {\"done\":30,\"total\":40}'\n").unwrap();
    std::fs::write(scene.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n").unwrap();
    scene.launch(&[NAME, "--wait"]);
    eventually("what remains arrives", PATIENCE, || {
        latest(&backend, "stopover.remaining").filter(|values| *values == only(7.0))
    });
    assert_eq!(latest(&backend, "stopover.documents.done"), Some(only(30.0)));
    assert_eq!(latest(&backend, "stopover.documents.expected"), Some(only(40.0)));
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_pod_tells_how_many_runs_are_in_which_state(#[case] protocol: &str) {
    let backend = if protocol == "grpc" { Receiver::grpc() } else { Receiver::http() };
    let scene = telling(&backend)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .script(STEADY, PROGRAM);
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    let is = |state: &str, count: f64| {
        eventually(&format!("{count} {state}"), PATIENCE, || {
            let runs = latest(&backend, "stopover.runs")?;
            assert_eq!(runs.len(), 10, "every state is told");
            Some(()).filter(|()| (runs[state] - count).abs() < f64::EPSILON)
        });
    };
    is("running", 0.0);
    pod.launch(&[STEADY]);
    is("running", 1.0);
    go(&scene);
    is("succeeded", 1.0);
    is("running", 0.0);
    pod.shut_down();
}

#[test]
fn what_a_backend_repeats_of_what_opens_it_is_not_told_by_a_pod() {
    let backend = Receiver::http();
    backend.behave(Mode::Rejects(1));
    let scene = telling(&backend)
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=the%20name%20is%20too%20long")
        .script(STEADY, PROGRAM);
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    pod.launch(&[STEADY]);
    eventually("the pod tells that its figures are rejected", PATIENCE, || {
        Some(()).filter(|()| pod.output().contains("runs by state: metrics do not arrive"))
    });
    assert!(pod.output().contains("it has rejected 1 report of figures: ***"), "{}", pod.output());
    go(&scene);
    scene.until(STEADY, &["succeeded"]);
    pod.shut_down();
}

#[test]
fn a_pod_outlives_the_token_that_opened_its_backend() {
    let backend = Receiver::http();
    backend.behave(Mode::Reject);
    let scene = telling(&backend);
    let file = scene.path().join("headers");
    std::fs::write(&file, "authorization=Bearer the-token-of-before").unwrap();
    let scene = scene
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .variable("OTEL_EXPORTER_OTLP_HEADERS_FILE", file.display().to_string())
        .script(STEADY, PROGRAM);
    let mut pod = Pod::shared(&scene, &["--grace", "8s"]).ready();
    let asked_with = |token: &str| {
        eventually(token, PATIENCE, || {
            let received = backend.received();
            Some(()).filter(|()| {
                received.headers.iter().any(|headers| headers["authorization"] == format!("Bearer {token}"))
            })
        });
    };
    asked_with("the-token-of-before");
    std::fs::write(&file, "authorization=Bearer the-token-of-now").unwrap();
    asked_with("the-token-of-now");
    backend.behave(Mode::Accept);
    eventually("its figures arrive", PATIENCE, || latest(&backend, "stopover.runs"));
    assert_eq!(pod.output().matches("runs by state: metrics do not arrive").count(), 1, "it is told once");
    pod.shut_down();
}
