//! What is told, and when.

use rustix::process::Signal;
use serde_json::json;

use super::telling;
use crate::support::scene::Scene;
use crate::support::steady::{PROGRAM, STEADY, go, until_at_work};
use crate::support::webhook::Webhook;

fn scene(webhook: &Webhook, more: &str) -> Scene {
    telling(&format!("  - {{ name: ops, webhook: \"{}\"{more} }}\n", webhook.url("/stopover")))
}

#[test]
fn a_run_is_told_from_its_start_to_its_end() {
    let webhook = Webhook::new();
    let scene = scene(&webhook, "")
        .variable("STOPOVER_ENVIRONMENT", "production")
        .variable("STOPOVER_NAMESPACE", "payments")
        .script("01_quick", "echo '::stopover {\"done\":7,\"total\":7}'");
    scene.must(&["init", "--environment", "production"]);
    let run = scene.launch(&["01_quick", "--wait"]);
    let (started, finished) = (webhook.until("started"), webhook.until("finished"));
    assert_eq!(webhook.events(), ["started", "finished"]);
    assert_eq!(started.path, "/stopover");
    assert_eq!(started.header("content-type"), Some("application/json"));
    assert!(started.header("user-agent").unwrap().starts_with("stopover/"));
    let id = format!("{run}/1/started");
    assert_eq!((started.header("idempotency-key"), &started.body["id"]), (Some(&*id), &id.clone().into()));
    let short = &run[run.len() - 8..];
    let expected = json!({
        "id": id, "event": "started", "at": started.body["at"], "migration": "01_quick", "run": run, "attempt": 1,
        "environment": "production", "operator": "ada", "pod": "pod-a", "namespace": "payments",
        "traceId": run.replace('-', ""), "state": "running", "done": null, "total": null, "remaining": null,
        "hold": null, "error": null,
        "text": format!("01_quick in production: started: launched by ada, attempt 1 in pod pod-a. Next: `stopover logs {short} -f` follows it."),
    });
    assert_eq!(started.body, expected);
    assert_eq!((&finished.body["state"], &finished.body["done"]), (&"succeeded".into(), &7.into()));
    assert!(finished.size < 32 * 1024);
    assert_eq!(scene.run("01_quick")["warnings"], json!([]));
}

#[test]
fn a_failure_is_told_with_its_last_lines() {
    let webhook = Webhook::new();
    let scene = scene(&webhook, ", on: [failed]").script("01_bad", "echo 'cannot <reach> it' >&2; exit 3");
    scene.launch(&["01_bad"]);
    let failed = webhook.until("failed");
    assert_eq!(failed.body["error"], json!({ "message": "exit status 3", "lastLines": ["cannot <reach> it"] }));
    assert!(failed.body["text"].as_str().unwrap().contains("`stopover resume "));
    super::until_all_ended(&scene);
    assert_eq!(webhook.events(), ["failed"], "nothing else was asked for");
}

#[test]
fn what_stands_still_and_goes_on_is_told_attempt_by_attempt() {
    let webhook = Webhook::new();
    let scene = scene(&webhook, "").script(STEADY, PROGRAM);
    let run = scene.launch(&[STEADY]);
    webhook.until("started");
    until_at_work(&scene, STEADY);
    scene.must(&["pause", STEADY, "--wait"]);
    let paused = webhook.until("stopped");
    assert_eq!((&paused.body["state"], &paused.body["id"]), (&"paused".into(), &format!("{run}/1/stopped").into()));
    assert!(paused.body["text"].as_str().unwrap().contains("paused by ada"), "{}", paused.body);
    go(&scene);
    scene.must(&["resume", STEADY, "--operator", "ben", "--wait"]);
    webhook.until("finished");
    assert_eq!(webhook.events(), ["started", "stopped", "started", "finished"]);
    let again = &webhook.received()[2].body;
    assert_eq!((&again["attempt"], &again["operator"]), (&2.into(), &"ben".into()));
    assert!(again["text"].as_str().unwrap().contains("resumed by ben"), "{again}");
}

#[test]
fn what_is_interrupted_or_cancelled_is_told() {
    let webhook = Webhook::new();
    let scene = scene(&webhook, ", on: [stopped, finished]").script(STEADY, PROGRAM).script("02_other", PROGRAM);
    for name in [STEADY, "02_other"] {
        scene.launch(&[name]);
        until_at_work(&scene, name);
    }
    scene.signal_worker(STEADY, Signal::TERM);
    assert_eq!(webhook.until("stopped").body["state"], "interrupted");
    scene.must(&["cancel", "02_other", "--wait"]);
    assert_eq!(webhook.until("finished").body["state"], "cancelled");
}

#[test]
fn a_cancel_of_what_nothing_works_on_is_told_by_whoever_cancels() {
    let webhook = Webhook::new();
    let scene = scene(&webhook, ", on: [stopped, finished]").script(STEADY, PROGRAM);
    let run = scene.launch(&[STEADY]);
    scene.must(&["pause", STEADY, "--wait"]);
    webhook.until("stopped");
    scene.must(&["cancel", STEADY, "--operator", "ben"]);
    let cancelled = &webhook.until("finished").body;
    assert_eq!((&cancelled["state"], &cancelled["id"]), (&"cancelled".into(), &format!("{run}/1/finished").into()));
    assert!(cancelled["text"].as_str().unwrap().contains("cancelled by ben"), "{cancelled}");
}

#[test]
fn slack_is_told_in_its_own_shape() {
    let webhook = Webhook::new();
    let scene = telling("  - { name: oncall, slack: \"${SLACK_WEBHOOK_URL}\", on: [failed] }\n")
        .variable("SLACK_WEBHOOK_URL", webhook.url("/services/T0/B0/s3cr3t"))
        .script("01_bad", "echo '<!channel> & `rm`' >&2; exit 3");
    let run = scene.launch(&["01_bad"]);
    super::until_all_ended(&scene);
    let [message] = &webhook.received()[..] else { panic!("{:?}", webhook.received()) };
    let short = &run[run.len() - 8..];
    let text = format!(
        "✖ *FAILED*: `01_bad`\nexit status 3\nNext: `stopover resume {short}` continues it, `stopover run 01_bad --rerun` starts over.\nRun `{run}`, attempt 1, pod pod-a\n```&lt;!channel&gt; &amp; 'rm'\n```"
    );
    assert_eq!(message.body, json!({ "text": text }));
}

#[test]
fn who_is_told_of_another_environment_is_told_nothing_here() {
    let (here, elsewhere) = (Webhook::new(), Webhook::new());
    let notify = format!(
        "  - {{ name: here, webhook: \"{}\", environments: [staging, test] }}\n  - {{ name: elsewhere, webhook: \"{}\", environments: [production] }}\n",
        here.url("/"),
        elsewhere.url("/")
    );
    let scene = telling(&notify).variable("STOPOVER_ENVIRONMENT", "staging").script("01_quick", "true");
    scene.must(&["init", "--environment", "staging"]);
    scene.launch(&["01_quick", "--wait"]);
    here.until("finished");
    super::until_all_ended(&scene);
    assert_eq!(elsewhere.connections(), 0);
}
