//! `stopover notify`.

use serde_json::json;

use super::telling;
use crate::support::scene::Scene;
use crate::support::webhook::{Answer, Webhook};

/// With the port, and how long it took, left out.
fn stable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("127.0.0.1:") {
        out += before;
        out += "HOST";
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out += rest;
    out.lines()
        .map(|line| line.split_once(" in 0.").or(line.split_once(" in 1.")).map_or(line, |(before, _)| before))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn a_test_message_says_who_has_it_and_who_has_not_and_why() {
    let (good, bad) = (Webhook::new(), Webhook::answering(&[Answer::Status(404)]));
    let notify = "  - { name: oncall, slack: \"${ONCALL}\", environments: [production] }\n  - { name: ops, webhook: \"${OPS}\", headers: { X-Api-Key: \"${KEY}\" } }\n  - { name: gone, webhook: \"${GONE}\" }\n  - { name: unset, slack: \"${UNSET}\" }\n";
    let scene = telling(notify)
        .variable("STOPOVER_ENVIRONMENT", "production")
        .variable("ONCALL", good.url("/services/a/b/c"))
        .variable("OPS", good.url("/ops"))
        .variable("KEY", "k3y-of-ops")
        .variable("GONE", bad.url("/gone"));
    let ended = scene.stopover(&["notify", "--test"]);
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    assert_eq!(
        stable(&ended.stdout),
        "oncall: delivered to http://HOST/*** (200)\n\
         ops: delivered to http://HOST/*** (200)\n\
         gone: not delivered to http://HOST/***: it answered 404; check its address\n\
         unset: not delivered: `UNSET` is not set here, nor is `UNSET_FILE`; set one of them in the pod's manifest\n"
    );
    let [slack, json] = &good.received()[..] else { panic!("{:?}", good.received()) };
    let text = "✉ *TEST*: `Stopover` in *production*\nada tries from pod pod-a whether messages of Stopover arrive\nNext: they do, and nothing is to be done.";
    assert_eq!(slack.body, json!({ "text": text }));
    assert_eq!((&json.body["event"], &json.body["migration"]), (&"test".into(), &json!(null)));
    assert_eq!(json.header("x-api-key"), Some("k3y-of-ops"));

    let one = scene.stopover(&["notify", "--test", "ops", "--json"]);
    assert_eq!(one.status, 0, "{}", one.stderr);
    let told: serde_json::Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(
        (&told[0]["name"], &told[0]["delivered"], &told[0]["status"]),
        (&"ops".into(), &true.into(), &200.into())
    );

    let ended = scene.stopover(&["notify", "--test", "nobody"]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("there is no receiver `nobody` under `notify`; there are oncall, ops, gone, unset"));
    let ended = scene.stopover(&["notify", "--test", "--read-only"]);
    assert_eq!(ended.status, 7);
    assert!(ended.stderr.contains("a message to people is refused, this Stopover is read-only"), "{}", ended.stderr);
}

#[test]
fn the_list_says_who_is_told_what_and_no_secret() {
    let notify = "  - { name: oncall, slack: \"${ONCALL}\", on: [lost, failed, held], environments: [production], heldAfter: 15m }\n  - { webhook: \"https://hooks.example.com/stopover/abc\", timeout: 2s }\n";
    let there = Webhook::new();
    let scene = telling(notify).variable("ONCALL", there.url("/services/T0/B0/xyz"));
    let list = scene.must(&["notify", "--read-only"]);
    assert_eq!(
        stable(&list),
        "oncall: slack http://HOST/***: held, failed, lost (after 15 min), in production, which this is not\n\
         hooks.example.com: webhook https://hooks.example.com/***: started, held, failed, lost, finished, stopped (after 10 min)\n"
    );
    let listed = scene.json(&["notify", "--json"]);
    assert_eq!(
        listed[0],
        json!({
            "name": "oncall", "kind": "slack", "url": there.url("/***"), "on": ["held", "failed", "lost"],
            "environments": ["production"], "isHere": false, "heldAfterSeconds": 900.0, "timeoutSeconds": 5.0, "problem": null,
        })
    );
    let ended = scene.stopover(&["notify", "--test", "oncall", "--read-only=false"]);
    assert_eq!(ended.status, 0, "who is told of another environment can be tried by name: {}", ended.stderr);
    assert_eq!(there.received().len(), 1);
}

#[test]
fn without_receivers_it_says_so() {
    let scene = Scene::new();
    let list = scene.must(&["notify"]);
    assert!(list.starts_with("nobody is told what happens to runs; `notify` of "), "{list}");
    assert_eq!(scene.json(&["notify", "--json"]), json!([]));
    let ended = scene.stopover(&["notify", "--test"]);
    assert_eq!(ended.status, 7);
    assert!(ended.stderr.contains("names nobody under `notify`"), "{}", ended.stderr);
}
