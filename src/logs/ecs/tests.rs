use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::catalog::MigrationId;
use crate::logs::record::MAX_TEXT;

const TIME: &str = "2026-11-04T02:13:55.041Z";

fn time() -> Timestamp {
    TIME.parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
}

fn subject() -> Subject {
    Subject {
        run: "0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e".parse().unwrap(),
        migration: Some(MigrationId::new("20261104_add_sender").unwrap()),
        attempt: Some(2),
    }
}

fn identity() -> Identity {
    Identity {
        service: "stopover".to_owned(),
        environment: Some("staging".to_owned()),
        place: Place {
            pod: "stopover-7d9f".to_owned(),
            namespace: Some("payments".to_owned()),
            node: Some("node-1".to_owned()),
            image: Some("registry.example/payments:1.2".to_owned()),
            version: "0.1.0".to_owned(),
            revision: None,
        },
        is_in_kubernetes: true,
        pid: 42,
    }
}

fn encoder() -> Encoder {
    Encoder::of_attempt(&identity(), &subject(), "ada")
}

/// The lines of records, each of which is checked to be one and within bounds.
fn lines(encoder: &mut Encoder, records: &[Record<'_>]) -> Vec<String> {
    let mut lines = Vec::new();
    for record in records {
        encoder.record(record, Level::Info, &mut |line| {
            assert!(line.len() <= LONGEST, "{} bytes", line.len());
            let line = String::from_utf8(line.to_owned()).unwrap();
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            lines.push(line);
        });
    }
    lines
}

fn objects(encoder: &mut Encoder, records: &[Record<'_>]) -> Vec<Value> {
    lines(encoder, records).iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn record(stream: Stream, partial: bool, text: &[u8]) -> Record<'_> {
    Record { time: time(), stream, partial, text }
}

/// What becomes of a line that the program's logger wrote.
#[track_caller]
fn logged(text: &str) -> Value {
    let mut objects = objects(&mut encoder(), &[record(Stream::Stdout, false, text.as_bytes())]);
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

#[test]
fn a_line_says_what_who_where_and_which_trace() {
    let lines = lines(&mut encoder(), &[record(Stream::Stdout, false, b"charge \"8812\" \\ done")]);
    let context = (TraceContext::of_run(subject().run), TraceContext::of_attempt(subject().run, 2));
    let expected = [
        r#"{"@timestamp":"2026-11-04T02:13:55.041Z","log.level":"info","message":"charge \"8812\" \\ done""#,
        &format!(r#""trace.id":"0199e2c47c1e7d3a9b570f6f2a1c4d5e","transaction.id":"{}""#, context.0.span_hex()),
        &format!(r#""span.id":"{}""#, context.1.span_hex()),
        r#""labels.stopover_run":"0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e","labels.stopover_migration":"20261104_add_sender""#,
        r#""labels.stopover_attempt":"2","labels.stopover_operator":"ada","event.dataset":"stopover.run","ecs.version":"9.4.0""#,
        r#""service.name":"stopover","service.version":"0.1.0","service.environment":"staging","service.node.name":"stopover-7d9f""#,
        r#""process.pid":42,"host.name":"node-1","orchestrator.type":"kubernetes","orchestrator.namespace":"payments""#,
        r#""orchestrator.resource.type":"pod","orchestrator.resource.name":"stopover-7d9f""#,
        r#""container.image.name":"registry.example/payments:1.2","labels.stopover_stream":"stdout","event.sequence":1}"#,
    ];
    assert_eq!(lines, [expected.join(",") + "\n"]);
}

#[test]
fn levels_are_those_of_the_stream_or_of_the_event() {
    let mut encoder = encoder();
    let mut level = |stream, level| {
        let mut found = Value::Null;
        encoder.record(&record(stream, false, b"x"), level, &mut |line| {
            found = serde_json::from_slice::<Value>(line).unwrap()["log.level"].clone();
        });
        found
    };
    assert_eq!(level(Stream::Stdout, Level::Error), "info");
    assert_eq!(level(Stream::Stderr, Level::Info), "warn");
    assert_eq!(level(Stream::System, Level::Info), "info");
    assert_eq!(level(Stream::System, Level::Error), "error");
}

#[test]
fn the_pieces_of_a_line_are_counted_over_its_records_and_no_further() {
    let long = "\"".repeat(MAX_TEXT);
    let records = [
        record(Stream::Stdout, true, long.as_bytes()),
        record(Stream::Stdout, false, b"its end"),
        record(Stream::Stdout, false, b"the next"),
        record(Stream::Stderr, true, b"cut off"),
        record(Stream::Stdout, false, b"by another"),
    ];
    let objects = objects(&mut encoder(), &records);
    let long_ones: Vec<_> =
        objects.iter().take_while(|object| object["message"].as_str().unwrap().starts_with('"')).collect();
    assert!(long_ones.len() > 8);
    for (index, object) in objects.iter().enumerate() {
        assert_eq!(object["event.sequence"], index as u64 + 1);
        let part = |part: usize| Value::from(part.to_string());
        let (expected, more) = match object["message"].as_str().unwrap() {
            "its end" => (part(index + 1), Value::Null),
            "the next" | "by another" => (Value::Null, Value::Null),
            "cut off" => (part(1), "true".into()),
            _ => (part(index + 1), "true".into()),
        };
        assert_eq!((&object["labels.stopover_part"], &object["labels.stopover_more"]), (&expected, &more), "{object}");
    }
}

#[test]
fn names_of_any_length_leave_room_for_what_is_said() {
    let long = "\\n".repeat(3_000);
    let place = Place {
        pod: long.clone(),
        namespace: Some(long.clone()),
        node: Some(long.clone()),
        image: Some(long.clone()),
        version: long.clone(),
        revision: None,
    };
    let identity = Identity { service: long.clone(), environment: Some(long.clone()), place, ..identity() };
    let mut encoder = Encoder::of_attempt(&identity, &subject(), &long);
    let objects = objects(&mut encoder, &[record(Stream::Stdout, false, &[b'x'; 10_000])]);
    assert!(objects.len() < 8, "{}", objects.len());
    assert_eq!(objects[0]["trace.id"], "0199e2c47c1e7d3a9b570f6f2a1c4d5e");
}

#[test]
fn what_a_programs_own_logger_says_in_the_schema_is_kept_and_completed() {
    let line = logged(
        r#"{"log.level":"error","@timestamp":"2026-11-04T02:13:54.000+01:00","message":"charge \u001b[31m8812\u001b[0m failed",
        "ecs.version":"8.10.0","error":{"type":"TypeError","stack_trace":"TypeError: no\n    at pay (pay.js:8)"},"labels":{"stopover_run":"forged","shop":"mx"},
        "labels.stopover_attempt":"99","http":{"request":{"method":"GET"}},"gone":null}"#,
    );
    assert_eq!(line["@timestamp"], "2026-11-04T02:13:54.000+01:00");
    assert_eq!((&line["log.level"], &line["message"]), (&"error".into(), &"charge 8812 failed".into()));
    assert_eq!(line["error"]["stack_trace"], "TypeError: no\n    at pay (pay.js:8)");
    assert_eq!(line["http"]["request"]["method"], "GET");
    assert_eq!(line["ecs.version"], "8.10.0");
    assert_eq!(line["labels"], serde_json::json!({ "shop": "mx" }));
    assert_eq!(line["labels.stopover_run"], "0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e");
    assert_eq!((&line["labels.stopover_attempt"], &line["labels.stopover_stream"]), (&"2".into(), &"stdout".into()));
    assert_eq!(line["trace.id"], "0199e2c47c1e7d3a9b570f6f2a1c4d5e");
    assert!(line.get("gone").is_none() && line.get("span.id").is_some());
    let keys: Vec<_> = line.as_object().unwrap().keys().take(3).cloned().collect();
    assert_eq!(keys, ["@timestamp", "log.level", "message"]);
}

#[test]
fn an_instrumented_program_says_itself_where_in_the_trace_it_is_and_what_service() {
    let line = logged(
        r#"{"ecs":{"version":"9.0.0"},"message":"x","log":{"level":"debug","logger":"pay"},"trace":{"id":"t"},"transaction.id":"u","service":{"name":"payments"}}"#,
    );
    assert_eq!((&line["log.level"], &line["log"]), (&"debug".into(), &serde_json::json!({ "logger": "pay" })));
    assert!(line.get("trace.id").is_none() && line.get("span.id").is_none());
    assert_eq!((&line["trace"]["id"], &line["transaction.id"]), (&"t".into(), &"u".into()));
    assert!(line.get("service.name").is_none() && line.get("service.version").is_none());
    assert_eq!(line["service.environment"], "staging");
}

#[rstest]
#[case::another_schema(r#"{"level":30,"time":1764000000123,"msg":"done"}"#)]
#[case::not_an_object(r#"["ecs.version"]"#)]
#[case::not_json(r#"{"ecs.version":"8.10.0""#)]
#[case::a_message_of_another_kind(r#"{"ecs.version":"8.10.0","message":{"a":1}}"#)]
#[case::a_name_of_ours_of_another_kind(r#"{"ecs.version":"8.10.0","message":"a","log":"b"}"#)]
#[case::a_version_of_another_kind(r#"{"ecs.version":8,"message":"a"}"#)]
fn other_json_is_a_text(#[case] text: &str) {
    let line = logged(text);
    assert_eq!((&line["message"], &line["ecs.version"]), (&text.into(), &VERSION.into()));
}

#[test]
fn a_time_or_level_that_is_none_is_ours() {
    let line = logged(r#"{"ecs.version":"8.10.0","message":"a","@timestamp":1764000000123,"log.level":30}"#);
    assert_eq!((&line["@timestamp"], &line["log.level"]), (&TIME.into(), &"info".into()));
}

#[test]
fn a_long_stack_is_cut_and_a_line_of_too_many_fields_is_a_text_in_pieces() {
    let stack = "    at charge \\\"x\\\" (é.js:1)\\n".repeat(300);
    let line = logged(&format!(
        r#"{{"ecs.version":"8.10.0","message":"failed","error":{{"type":"E","stack_trace":"{stack}"}}}}"#
    ));
    let cut = line["error"]["stack_trace"].as_str().unwrap();
    assert!(cut.len() > 1_500 && cut.starts_with("    at charge \"x\" (é.js:1)\n") && cut.ends_with('…'), "{cut}");
    assert_eq!((&line["message"], &line["labels.stopover_cut"]), (&"failed".into(), &"true".into()));
    let many: Vec<_> = (0..1_000).map(|number| format!("\"field_{number}\":{number}")).collect();
    let text = format!("{{\"ecs.version\":\"8.10.0\",\"message\":\"failed\",{}}}", many.join(","));
    let objects = objects(&mut encoder(), &[record(Stream::Stdout, false, text.as_bytes())]);
    assert!(objects.len() > 3);
    assert_eq!(objects.iter().map(|object| object["message"].as_str().unwrap()).collect::<String>(), text);
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<char>().prop_map(|character| character.to_string().into_bytes()),
        "\x1b\\[[0-9;:]{0,12}[mKHJA]".prop_map(String::into_bytes),
        prop::sample::select(vec!["\"", "\\", "\x1b]0;", "\x07", "\r", "\t", "漢", "\u{202e}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        (prop::sample::select(vec!["x", "\"", "é", "\x1b[31m"]), 1..6_000usize)
            .prop_map(|(text, count)| text.repeat(count).into_bytes()),
    ];
    let text = prop::collection::vec(piece, 0..32).prop_map(|pieces| pieces.concat());
    text.prop_map(|mut text| {
        text.retain(|&byte| byte != b'\n');
        text.truncate(MAX_TEXT);
        text
    })
}

/// JSON that looks like the schema, for the most part.
fn structured() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,200}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        (1..9_000usize).prop_map(|count| Value::from("\"".repeat(count))),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z.]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let name = prop::sample::select(vec![
        "@timestamp",
        "log.level",
        "log",
        "message",
        "trace.id",
        "span",
        "labels",
        "labels.stopover_run",
        "error",
        "service",
        "event",
        "x",
    ]);
    prop::collection::hash_map(name, value, 0..8).prop_map(|map| {
        let mut object: Map = map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        object.insert("ecs.version".to_owned(), "8.10.0".into());
        Value::Object(object).to_string()
    })
}

type Map = serde_json::Map<String, Value>;

proptest! {
    #[test]
    fn whatever_is_printed_is_json_within_bounds_and_nothing_that_steers_a_terminal(texts in prop::collection::vec((hostile(), any::<bool>()), 1..4)) {
        let mut encoder = encoder();
        for (text, partial) in &texts {
            let record = record(Stream::Stdout, *partial, text);
            let objects = objects(&mut encoder, &[record]);
            let message: String = objects.iter().map(|object| object["message"].as_str().unwrap()).collect();
            prop_assert_eq!(message, sanitise::plain(text));
        }
    }

    #[test]
    fn whatever_a_logger_writes_is_json_within_bounds_with_our_labels(text in structured()) {
        prop_assume!(text.len() <= MAX_TEXT);
        for object in objects(&mut encoder(), &[record(Stream::Stderr, false, text.as_bytes())]) {
            prop_assert_eq!(&object["labels.stopover_run"], "0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e");
            prop_assert!(object["message"].is_string() && object["log.level"].is_string());
            prop_assert!(chrono::DateTime::parse_from_rfc3339(object["@timestamp"].as_str().unwrap()).is_ok());
            let text = object.to_string();
            prop_assert!(!text.chars().any(char::is_control), "{}", text);
        }
    }
}
