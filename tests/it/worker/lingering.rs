//! A worker stays for a while to tell others of the end of its run, and the run may go on meanwhile.

use std::fs;

use super::archive::archived;
use super::{go, log_path, until_dead, worker_of};
use crate::support::otlp::{Mode, Receiver};
use crate::support::scene::Scene;
use crate::support::webhook::{Answer, Webhook};

const NAME: &str = "twice";

/// Fails at first; then says more and more until it is told to end.
const PROGRAM: &str = "echo \"in attempt $STOPOVER_ATTEMPT\"
[ $STOPOVER_ATTEMPT = 2 ] || exit 3
n=0
while [ ! -e go ]; do n=$((n + 1)); echo \"line $n of attempt 2\"; sleep 0.02; done";

#[test]
fn a_worker_that_lingers_leaves_the_log_to_the_next_attempt() {
    let backend = Receiver::http();
    backend.behave(Mode::Hang);
    let (yes, no) = (Answer::Status(200), Answer::Status(403));
    let webhook = Webhook::answering(&[yes, no, yes, yes]);
    let scene = Scene::new()
        .script(NAME, PROGRAM)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "20000")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", backend.port()));
    let project =
        format!("catalog:\n  - files: migrations/*\nnotify:\n  - {{ name: ops, webhook: \"{}\" }}\n", webhook.url("/"));
    fs::write(scene.path().join("stopover.yaml"), project).unwrap();
    let id = scene.launch(&[NAME]);
    let first = scene.until(NAME, &["failed"]);
    scene.must(&["resume", &id]);
    until_dead("the first worker", worker_of(&first));
    go(&scene);
    let run = scene.until(NAME, &["succeeded"]);
    until_dead("the second worker", worker_of(&run));

    let log = fs::read_to_string(log_path(&scene, &run)).unwrap();
    assert!(!log.contains("not delivered were") && !log.contains("could not be told"), "{log}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chunks = runtime.block_on(archived(&scene, &run));
    let of = |attempt: u32| {
        let bytes = chunks.iter().filter(|chunk| chunk.attempt == attempt).flat_map(|chunk| chunk.bytes.clone());
        String::from_utf8(bytes.collect()).unwrap()
    };
    assert!(of(1).contains("in attempt 1") && !of(1).contains("attempt 2"), "{}", of(1));
    assert!(of(2).contains("in attempt 2") && !of(2).contains("in attempt 1"), "{}", of(2));
    assert_eq!(of(1) + &of(2), log);
    let late = scene.worker_log(NAME);
    for words in [
        "attempt 1: warning: telemetry: not delivered were",
        "attempt 1: warning: ops (",
        "attempt 2: warning: telemetry: ",
    ] {
        assert!(late.contains(words), "{words}: {late}");
    }
    assert!(!late.contains("goes on"), "a run that is over does not go on: {late}");
}
