//! What Stopover itself has to say of a run, as log records of its trace.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use crate::support::eventually;
use crate::support::otlp::{Receiver, attributes};
use crate::support::scene::PATIENCE;

use super::{hex, one, telling};

const NAME: &str = "20261123_sample";

fn text(record: &LogRecord) -> String {
    match record.body.clone().and_then(|body| body.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lines_of_stopover_itself_belong_to_the_attempt_and_those_of_the_program_stay_here() {
    let backend = Receiver::http();
    let scene = telling(&backend).script(NAME, "echo what the program prints; exit 3");
    let run = scene.launch(&[NAME]);
    scene.until(NAME, &["failed"]);
    eventually("the run is told of", PATIENCE, || Some(()).filter(|()| !backend.received().named(NAME).is_empty()));
    let records = eventually("its last words arrive", PATIENCE, || {
        let told = backend.received();
        let records: Vec<LogRecord> = told.logs.iter().map(|(_, record)| record.clone()).collect();
        records.iter().any(|record| text(record).contains("failed: exit status 3")).then_some(records)
    });
    let told = backend.received();
    let attempt = one(&told, "attempt 1");
    for record in &records {
        assert_eq!((hex(&record.trace_id), &record.span_id), (run.replace('-', ""), &attempt.span_id));
        let about = attributes(&record.attributes);
        assert_eq!((about["stopover.run"].as_str(), about["stopover.migration"].as_str()), (run.as_str(), NAME));
    }
    let severity = |words: &str| {
        let found = records.iter().find(|record| text(record).contains(words));
        found.unwrap_or_else(|| panic!("{words} in {records:?}")).severity_number()
    };
    assert_eq!(severity("launched by ada from pod pod-a"), SeverityNumber::Info);
    assert_eq!(severity("failed: exit status 3"), SeverityNumber::Error);
    assert!(!records.iter().any(|record| text(record).contains("what the program prints")));
    assert_eq!(told.logs[0].0["service.name"], "stopover");
}
