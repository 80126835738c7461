//! What a collector reads of a run: every line keeps to the schema, and finds its trace.

use serde_json::{Map, Value};

use super::mirror::{has, read_until, with_fifo};
use super::{WAIT_FOR_GO, go, lines, log_text};
use crate::support::ecs;
use crate::support::scene::Scene;

fn in_the_schema(scene: Scene) -> Scene {
    scene
        .variable("STOPOVER_LOG_FORMAT", "ecs")
        .variable("STOPOVER_ENVIRONMENT", "staging")
        .variable("STOPOVER_NAMESPACE", "payments")
        .variable("STOPOVER_NODE", "node-1")
        .variable("STOPOVER_IMAGE", "registry.example:5000/payments:1.2")
        .variable("KUBERNETES_SERVICE_HOST", "10.0.0.1")
}

/// Every kind of line that a program can print.
const PRINTS: &str = r#"
echo 'charge "8812" done'
printf 'caf\351 \033[31mred\033[0m\033]0;title\007\n' >&2
printf '%s\n' '{"level":30,"msg":"of another schema"}'
printf '%s\n' '{"@timestamp":"2026-11-04T02:13:54.000Z","log.level":"error","message":"pay failed","ecs.version":"8.10.0","error":{"type":"TypeError","stack_trace":"at pay\n at main"},"process":{"pid":8}}'
head -c 20000 /dev/zero | tr '\0' '"'; echo
echo "token $STOPOVER_PARAM_TOKEN"
exit 3
"#;

const MANIFEST: &str = "description: Prints every kind of line\ncommand: [sh, -c, '. ./prints']\nparams:\n  token: { type: string, secret: true, required: true }\n";

/// The labels, the stream, and what else is the same in all of a run's lines.
#[track_caller]
fn is_of_run(line: &Map<String, Value>, run: &str, attempt: &str) {
    assert_eq!(line["trace.id"], run.replace('-', ""), "{line:?}");
    let ids = ["transaction.id", "span.id"].map(|name| line[name].as_str().unwrap().len());
    assert_eq!(ids, [16, 16]);
    let labels =
        ["run", "migration", "attempt", "operator"].map(|name| line[&format!("labels.stopover_{name}")].clone());
    assert_eq!(labels, [run, "prints", attempt, "ada"]);
    let names = ["service.name", "service.environment", "service.node.name", "host.name", "orchestrator.namespace"];
    assert_eq!(names.map(|name| line[name].clone()), ["migrations", "staging", "pod-a", "node-1", "payments"]);
    assert_eq!(line["container.image.name"], "registry.example:5000/payments:1.2");
    assert_eq!(line["event.dataset"], "stopover.run");
}

#[test]
fn every_line_of_a_run_keeps_to_the_schema_and_finds_its_trace() {
    let (scene, mut reader) = with_fifo();
    std::fs::write(scene.path().join("migrations/prints"), PRINTS).unwrap();
    std::fs::write(scene.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n").unwrap();
    let scene = in_the_schema(scene.manifest("prints", MANIFEST))
        .variable("OTEL_SERVICE_NAME", "migrations")
        .variable("STOPOVER_PARAM_TOKEN", "s3cret-token");
    let run = scene.launch(&["prints"]);
    let text = read_until(&mut reader, has(": failed: "));
    assert!(!text.contains("s3cret") && !text.contains('\u{1b}'), "{text}");
    let lines = ecs::read_all(&text);
    for (index, line) in lines.iter().enumerate() {
        is_of_run(line, &run, "1");
        assert_eq!(line["event.sequence"], index as u64 + 1, "in order, and none is missing");
    }
    let says = |message: &str| {
        let found: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(found.len(), 1, "{message}: {text}");
        found[0]
    };
    let (stdout, stderr) = (says("charge \"8812\" done"), says("caf\u{fffd} red"));
    assert_eq!((&stdout["log.level"], &stdout["labels.stopover_stream"]), (&"info".into(), &"stdout".into()));
    assert_eq!((&stderr["log.level"], &stderr["labels.stopover_stream"]), (&"warn".into(), &"stderr".into()));
    assert_eq!(stdout["ecs.version"], ecs::version());
    says("{\"level\":30,\"msg\":\"of another schema\"}");
    says("token ***");
    let own = says("pay failed");
    assert_eq!((&own["log.level"], &own["@timestamp"]), (&"error".into(), &"2026-11-04T02:13:54.000Z".into()));
    assert_eq!((&own["error"]["stack_trace"], &own["process"]["pid"]), (&"at pay\n at main".into(), &8.into()));
    let long: Vec<_> = lines.iter().filter(|line| line["message"].as_str().unwrap().starts_with('"')).collect();
    assert_eq!(long.iter().map(|line| line["message"].as_str().unwrap().len()).sum::<usize>(), 20_000);
    for (index, piece) in long.iter().enumerate() {
        assert_eq!(piece["labels.stopover_part"], (index + 1).to_string());
        assert_eq!(piece.contains_key("labels.stopover_more"), index + 1 < long.len());
    }
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert!(first["message"].as_str().unwrap().starts_with("attempt 1 of run ") && first["log.level"] == "info");
    assert!(last["message"].as_str().unwrap().contains(": failed: ") && last["log.level"] == "error");
    assert_eq!(last["labels.stopover_stream"], "system");
}

/// What the secret looks like in the lines of loggers that escape least, for pages, slashes and all but ASCII, and in upper case.
const ESCAPED: &str = r#"
log() { printf '{"ecs.version":"8.10.0","log.level":"info","message":"password %s.","labels":{"it":"%s"}}\n' "$1" "$1"; }
log 'pa&ss/w\"o\\rdé'
log 'pa\u0026ss/w\"o\\rdé'
log 'pa&ss\/w\"o\\rd\u00e9'
log 'pa\u0026ss\u002Fw\u0022o\u005Crd\u00E9'
printf '%s\n' '{"of":"another schema","message":"password pa\u0026ss/w\"o\\rdé."}'
exit 3
"#;

#[test]
fn a_secret_is_in_no_line_however_a_programs_logger_escapes_it() {
    let (scene, mut reader) = with_fifo();
    std::fs::write(scene.path().join("migrations/prints"), ESCAPED).unwrap();
    std::fs::write(scene.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n").unwrap();
    let scene = in_the_schema(scene.manifest("prints", MANIFEST)).variable("STOPOVER_PARAM_TOKEN", r#"pa&ss/w"o\rdé"#);
    scene.launch(&["prints"]);
    let lines = ecs::read_all(&read_until(&mut reader, has(": failed: ")));
    let masked = lines.iter().filter(|line| line["message"] == "password ***.").count();
    assert_eq!(masked, 4, "{lines:?}");
    assert!(lines.iter().filter_map(|line| line.get("labels")).all(|labels| labels["it"] == "***"), "{lines:?}");
    let log = log_text(&scene, &scene.until("prints", &["failed"]));
    assert_eq!(log.matches("password ***.").count(), 5, "{log}");
    assert!(!log.contains(r"\u00") && !log.contains("w\\\"o"), "{log}");
}

#[test]
fn each_attempt_is_another_span_of_the_same_trace() {
    let (scene, mut reader) = with_fifo();
    let scene = in_the_schema(scene.script("prints", "echo on; exit 3")).variable("OTEL_SERVICE_NAME", "migrations");
    let run = scene.launch(&["prints"]);
    let first = ecs::read_all(&read_until(&mut reader, has(": failed: ")));
    scene.until("prints", &["failed"]);
    scene.must(&["resume", "prints"]);
    let second = ecs::read_all(&read_until(&mut reader, has(": failed: ")));
    is_of_run(&first[0], &run, "1");
    is_of_run(&second[0], &run, "2");
    assert_eq!(first[0]["transaction.id"], second[0]["transaction.id"]);
    assert_ne!(first[0]["span.id"], second[0]["span.id"]);
}

#[test]
fn what_is_left_out_is_told_in_the_schema_and_the_log_is_as_ever() {
    let (scene, mut reader) = with_fifo();
    let script = format!("yes {} | head -n 25000; echo last; {WAIT_FOR_GO}", "x".repeat(99));
    let scene = in_the_schema(scene.script("flood", &script));
    scene.launch(&["flood"]);
    let run = super::until_printed(&scene, "flood", "last");
    assert_eq!(lines(&scene, &run, "stdout").len(), 25_001);
    assert!(log_text(&scene, &run).lines().all(|line| stopover::logs::record::parse(line.as_bytes()).is_some()));
    // Each line is either shown or counted: the start, the flood and the last.
    let text = read_until(&mut reader, |bytes| shown_and_left_out(bytes) == 25_002);
    let notices: Vec<_> = ecs::read_all(&text).into_iter().filter(|line| left_out(line).is_some()).collect();
    assert!(!notices.is_empty());
    for notice in notices {
        assert_eq!((&notice["log.level"], &notice["labels.stopover_stream"]), (&"warn".into(), &"system".into()));
    }
    go(&scene);
    scene.until("flood", &["succeeded"]);
}

const LEFT_OUT: &str = " lines are left out here";

fn left_out(line: &Map<String, Value>) -> Option<usize> {
    line["message"].as_str()?.split_once(LEFT_OUT)?.0.parse().ok()
}

/// Lines that are in the mirror, and those it says are not. It is asked often, while there is much to read.
fn shown_and_left_out(bytes: &[u8]) -> usize {
    let notices = memchr::memmem::find_iter(bytes, LEFT_OUT).map(|at| {
        let start = bytes[..at].iter().rposition(|byte| !byte.is_ascii_digit()).unwrap() + 1;
        std::str::from_utf8(&bytes[start..at]).unwrap().parse::<usize>().unwrap() - 1
    });
    memchr::memchr_iter(b'\n', bytes).count() + notices.sum::<usize>()
}

#[test]
fn a_format_that_there_is_not_is_refused_before_anything_happens() {
    let scene = Scene::new().script("fine", "echo on").variable("STOPOVER_LOG_FORMAT", "json");
    let ended = scene.stopover(&["run", "fine"]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("STOPOVER_LOG_FORMAT: \"json\" is no format; `text`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("`ecs`"), "{}", ended.stderr);
}
