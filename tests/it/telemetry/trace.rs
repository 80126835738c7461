//! A run is one trace.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::documents::{fill, once};
use crate::support::mongo::Database;
use crate::support::otlp::{Receiver, attributes};
use crate::support::scene::PATIENCE;
use crate::support::steady::{PROGRAM, STEADY, go};
use crate::support::{eventually, eventually_async};

use super::{hex, of, one, telling};

const NAME: &str = "20261123_sample";

fn status(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(StatusCode::Unset, opentelemetry_proto::tonic::trace::v1::Status::code)
}

#[test]
fn a_program_finds_itself_in_the_trace_that_is_named_by_its_migration() {
    let backend = Receiver::http();
    let scene = telling(&backend)
        .variable("STOPOVER_ENVIRONMENT", "staging")
        .variable("STOPOVER_NAMESPACE", "payments")
        .variable("STOPOVER_IMAGE", "registry:5000/app:1.4")
        .variable("TRACESTATE", "other=1")
        .script(NAME, "echo \"$TRACEPARENT|$TRACESTATE|$OTEL_EXPORTER_OTLP_ENDPOINT\"");
    scene.must(&["init", "--environment", "staging"]);
    let run = scene.launch(&[NAME, "--wait"]);

    eventually("the run is told of", PATIENCE, || Some(()).filter(|()| !backend.received().named(NAME).is_empty()));
    let told = backend.received();
    let trace = run.replace('-', "");
    assert!(told.spans.iter().all(|(_, span)| hex(&span.trace_id) == trace), "one trace, found by the run's id");
    let (root, attempt, launch) = (one(&told, NAME), one(&told, "attempt 1"), one(&told, &format!("launch {NAME}")));
    assert_eq!(told.spans.len(), 3);
    assert_eq!((root.parent_span_id.len(), status(root)), (0, StatusCode::Ok));
    assert_eq!((&attempt.parent_span_id, status(attempt)), (&root.span_id, StatusCode::Ok));
    assert_eq!(&launch.parent_span_id, &root.span_id);
    assert!(
        root.start_time_unix_nano <= launch.start_time_unix_nano
            && root.end_time_unix_nano >= attempt.end_time_unix_nano
    );
    assert_eq!((of(root)["type"].as_str(), of(root)["stopover.state"].as_str()), ("migration", "succeeded"));
    for span in [root, attempt, launch] {
        let attributes = of(span);
        assert_eq!(attributes["stopover.run"], run);
        assert_eq!((attributes["stopover.migration"].as_str(), attributes["stopover.attempt"].as_str()), (NAME, "1"));
    }
    let printed = scene.must(&["logs", NAME]);
    let parent = format!("00-{trace}-{}-01||http", hex(&attempt.span_id));
    assert!(printed.contains(&parent), "{parent} in {printed}");

    let resource = &told.spans[0].0;
    let expected = [
        ("service.name", "stopover"),
        ("service.instance.id", "pod-a"),
        ("deployment.environment.name", "staging"),
        ("k8s.namespace.name", "payments"),
        ("container.image.name", "registry:5000/app"),
        ("telemetry.sdk.language", "rust"),
    ];
    for (name, value) in expected {
        assert_eq!(resource[name], value, "{name}");
    }
}

#[test]
fn a_failure_carries_its_kind_its_message_and_the_last_lines_and_what_follows_is_a_second_whole() {
    let backend = Receiver::http();
    let scene = telling(&backend).script(NAME, "[ -e ../go ] && exit 0; echo 'no such customer: 42' >&2; exit 3");
    scene.launch(&[NAME]);
    scene.until(NAME, &["failed"]);
    let failed =
        eventually("the run is told of", PATIENCE, || backend.received().named(NAME).first().map(|&it| it.clone()));
    assert_eq!(status(&failed), StatusCode::Error);
    let exception = attributes(&failed.events[0].attributes);
    assert_eq!(failed.events[0].name, "exception");
    assert_eq!(
        (exception["exception.type"].as_str(), exception["exception.message"].as_str()),
        ("exit", "exit status 3")
    );
    assert!(exception["exception.stacktrace"].contains("no such customer: 42"));

    go(&scene);
    scene.must(&["resume", NAME]);
    scene.until(NAME, &["succeeded"]);
    let again = eventually("what followed is told of", PATIENCE, || {
        backend.received().named(NAME).get(1).map(|&it| it.clone())
    });
    assert_eq!((&again.parent_span_id, again.kind()), (&failed.span_id, SpanKind::Consumer));
    assert_eq!((again.trace_id == failed.trace_id, status(&again)), (true, StatusCode::Ok));
    let told = backend.received();
    assert_eq!(one(&told, "attempt 1").parent_span_id, failed.span_id);
    assert_eq!(one(&told, "attempt 2").parent_span_id, again.span_id);
}

#[test]
fn a_run_that_only_pauses_is_not_over_and_one_that_is_cancelled_is() {
    let backend = Receiver::http();
    let scene = telling(&backend).script(STEADY, PROGRAM);
    scene.launch(&[STEADY]);
    scene.until(STEADY, &["running"]);
    let launched = format!("launch {STEADY}");
    eventually("a sign of life arrives while it runs", PATIENCE, || {
        Some(()).filter(|()| backend.received().named(&launched).len() == 1)
    });
    scene.must(&["pause", STEADY, "--wait"]);
    eventually("the attempt is told of", PATIENCE, || {
        Some(()).filter(|()| backend.received().named("attempt 1").len() == 1)
    });
    assert_eq!(of(one(&backend.received(), "attempt 1"))["stopover.state"], "paused");
    assert_eq!(backend.received().named(STEADY).len(), 0);
    scene.must(&["resume", STEADY]);
    scene.until(STEADY, &["running"]);
    scene.must(&["cancel", STEADY, "--wait"]);
    let root =
        eventually("the run is told of", PATIENCE, || backend.received().named(STEADY).first().map(|&it| it.clone()));
    assert_eq!((of(&root)["stopover.state"].as_str(), status(&root)), ("cancelled", StatusCode::Unset));
    assert_eq!(one(&backend.received(), "attempt 2").parent_span_id, root.span_id);
}

#[test]
fn an_attempt_that_was_lost_is_told_of_by_the_one_that_took_over() {
    let backend = Receiver::http();
    let scene = telling(&backend)
        .variable("STOPOVER_LEASE", "3s")
        .variable("STOPOVER_LEASE_RENEWAL", "1s")
        .variable("STOPOVER_LEASE_MARGIN", "1s")
        .script(STEADY, PROGRAM);
    scene.launch(&[STEADY]);
    let run = scene.until(STEADY, &["running"]);
    let worker = i32::try_from(run["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    scene.until(STEADY, &["lost"]);
    go(&scene);
    scene.must(&["resume", STEADY]);
    scene.until(STEADY, &["succeeded"]);
    eventually("the run is told of", PATIENCE, || Some(()).filter(|()| !backend.received().named(STEADY).is_empty()));
    let told = backend.received();
    let (lost, second, root) = (one(&told, "attempt 1"), one(&told, "attempt 2"), one(&told, STEADY));
    assert_eq!((of(lost)["stopover.state"].as_str(), status(lost)), ("lost", StatusCode::Error));
    assert!(
        lost.end_time_unix_nano > lost.start_time_unix_nano && lost.end_time_unix_nano <= second.start_time_unix_nano
    );
    assert_eq!((&lost.parent_span_id, &second.parent_span_id), (&root.span_id, &root.span_id));
}

#[tokio::test]
async fn steps_and_batches_of_a_backfill_are_spans_in_the_words_of_the_conventions() {
    const COUNT: i32 = 60_000;
    let backend = Receiver::http();
    let database = Database::new();
    let mongo = database.open().await;
    fill(&mongo, "charges", COUNT).await;
    let scene =
        telling(&backend).manifest(NAME, &once("charges", "workers: 2")).variable("MONGODB_URI", database.uri());
    let run = tokio::task::spawn_blocking(move || {
        scene.must(&["init", "--environment", "staging"]);
        scene.launch(&[NAME, "--wait"])
    })
    .await
    .unwrap();
    eventually_async("the run is told of", PATIENCE, async || {
        Some(()).filter(|()| !backend.received().named(NAME).is_empty())
    })
    .await;
    let told = backend.received();
    let (attempt, step) = (one(&told, "attempt 1"), one(&told, "backfill charges"));
    assert_eq!(step.parent_span_id, attempt.span_id);
    assert_eq!(of(step)["stopover.documents.modified"], COUNT.to_string());
    let batches = told.named("update charges");
    assert!(batches.len() > 1);
    let mut stood_for = 0;
    for batch in &batches {
        let attributes = of(batch);
        assert_eq!((&batch.parent_span_id, batch.kind()), (&step.span_id, SpanKind::Client));
        assert_eq!(hex(&batch.trace_id), run.replace('-', ""));
        assert_eq!(
            (attributes["db.system.name"].as_str(), attributes["db.collection.name"].as_str()),
            ("mongodb", "charges")
        );
        assert_eq!(attributes["db.namespace"], mongo.name());
        assert!(attributes["db.operation.batch.size"].parse::<u32>().unwrap() > 0);
        assert!(batch.start_time_unix_nano >= step.start_time_unix_nano);
        stood_for += attributes["stopover.sampled.count"].parse::<u64>().unwrap();
    }
    assert!(stood_for >= batches.len() as u64);
    assert_eq!(
        told.spans.len(),
        4 + batches.len() + told.spans.iter().filter(|(_, it)| it.name.starts_with("hold ")).count()
    );
}
