//! What is told of an end is what the ledger has made of it, also where the ledger answers late.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::support::eventually;
use crate::support::otlp::{Mode, Receiver, attributes};
use crate::support::scene::{PATIENCE, Scene};
use crate::support::steady::{PROGRAM, STEADY, until_at_work};
use crate::support::webhook::{Answer, Webhook};

/// A scene whose runs are told to a backend and to people.
fn telling(backend: &Receiver, webhook: &Webhook, on: &str) -> Scene {
    let scene = Scene::new()
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", backend.port()))
        .variable("STOPOVER_LEASE", "1m");
    let receiver = format!("{{ name: ops, webhook: \"{}\", on: [{on}], timeout: 30s }}", webhook.url("/"));
    let project = format!("catalog:\n  - files: migrations/*\nnotify:\n  - {receiver}\n");
    fs::write(scene.path().join("stopover.yaml"), project).unwrap();
    scene
}

/// The state in which each span of a name was told.
fn states(backend: &Receiver, name: &str) -> Vec<String> {
    let told = backend.received();
    told.named(name).into_iter().map(|span| attributes(&span.attributes)["stopover.state"].clone()).collect()
}

#[test]
fn a_pause_that_became_a_cancel_while_its_end_was_reported_is_told_as_a_cancel() {
    let (backend, webhook) = (Receiver::http(), Webhook::new());
    let scene = telling(&backend, &webhook, "stopped, finished").script(STEADY, PROGRAM);
    scene.launch(&[STEADY]);
    until_at_work(&scene, STEADY);
    let ledger = scene.ledger();
    let refuse = "CREATE TRIGGER away BEFORE UPDATE ON runs WHEN NEW.run ->> '$.state.name' = 'paused'
                  BEGIN SELECT RAISE(ABORT, 'not now'); END";
    ledger.execute_batch(refuse).unwrap();
    scene.must(&["pause", STEADY]);
    eventually("its worker has tried to report it", PATIENCE, || {
        (scene.must(&["logs", STEADY]) + &scene.worker_log(STEADY)).contains("cannot be reported yet").then_some(())
    });
    scene.must(&["cancel", STEADY, "--operator", "ben", "--wait"]);
    assert_eq!(webhook.until("finished").body["state"], "cancelled");
    eventually("the run is told of as a whole", PATIENCE, || (states(&backend, STEADY).len() == 1).then_some(()));
    assert_eq!(
        (states(&backend, STEADY), states(&backend, "attempt 1")),
        (vec!["cancelled".into()], vec!["cancelled".into()])
    );
    assert_eq!(webhook.events(), ["finished"]);
}

#[test]
fn a_history_that_cannot_be_read_at_first_is_asked_for_again() {
    let (backend, webhook) = (Receiver::http(), Webhook::new());
    let scene = telling(&backend, &webhook, "finished").script("twice", "[ $STOPOVER_ATTEMPT = 2 ] || exit 3");
    let run = scene.launch(&["twice"]);
    scene.until("twice", &["failed"]);
    let ledger = scene.ledger();
    let spoil = "CREATE TRIGGER away AFTER UPDATE ON runs WHEN NEW.run ->> '$.state.name' = 'succeeded'
                 BEGIN INSERT INTO events (run, seq, event) VALUES (NEW.id, 1000, 'spoilt'); END";
    ledger.execute_batch(spoil).unwrap();
    scene.must(&["resume", &run]);
    // Told when the ledger has the end; the history is asked for at the same time.
    webhook.until("finished");
    ledger.execute_batch("DROP TRIGGER away; DELETE FROM events WHERE seq = 1000").unwrap();
    eventually("what followed the failure is told of as a whole", PATIENCE, || {
        states(&backend, "twice").contains(&"succeeded".to_owned()).then_some(())
    });
}

#[test]
fn what_a_worker_did_not_live_to_tell_is_told_for_it_although_the_ledger_has_its_end() {
    let backend = Receiver::http();
    backend.behave(Mode::Hang);
    let webhook = Webhook::answering(&[Answer::Hang, Answer::Status(200)]);
    let scene = telling(&backend, &webhook, "failed").script("bad", "exit 3");
    let run = scene.launch(&["bad"]);
    webhook.until("failed");
    scene.signal_worker("bad", Signal::KILL);
    assert_eq!(scene.run("bad")["state"], "failed");
    backend.behave(Mode::Accept);
    let said = scene.must(&["interrupted", "--within", "30s", &format!("{run}:1")]);
    assert_eq!(said, "", "nothing was recorded");
    let told: Vec<_> = webhook.received().into_iter().map(|it| it.body["id"].clone()).collect();
    assert_eq!(told, [json!(format!("{run}/1/failed")), json!(format!("{run}/1/failed"))]);
    assert_eq!(
        (states(&backend, "bad"), states(&backend, "attempt 1")),
        (vec!["failed".into()], vec!["failed".into()])
    );
    // Of an attempt that is not the latest, the next one tells.
    scene.must(&["interrupted", "--within", "30s", &format!("{run}:2")]);
    assert_eq!(webhook.received().len(), 2);
}
