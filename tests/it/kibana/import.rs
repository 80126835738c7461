//! `assets/kibana/import` against a server that takes and refuses what Kibana does at the addresses it asks.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::{assets, objects, rules, text};
use crate::support::http::serve;
use crate::support::scene::Ended;

/// Nobody may see it.
const KEY: &str = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";

#[derive(Default)]
struct State {
    rules: BTreeMap<String, Value>,
    imported: Vec<Vec<Value>>,
    asked: Vec<String>,
    refuses_objects: bool,
}

/// See the module. It listens until the test's process ends.
struct Kibana {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Kibana {
    fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let port = serve(move |parts, body| answer(parts, body, &mut shared.lock().unwrap()));
        let url = format!("http://127.0.0.1:{port}");
        Self { url, state }
    }

    fn import(&self, key: &str) -> Ended {
        let output = Command::new(assets().join("import"))
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("KIBANA_URL", format!("{}/s/payments/", self.url))
            .env("KIBANA_API_KEY", key)
            .output()
            .unwrap();
        let ended = Ended::of(&output);
        assert!(!ended.stderr.contains("is missing"), "apt-get install curl jq: {}", ended.stderr);
        assert!(!format!("{ended:?}").contains(key), "{ended:?}");
        ended
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn answer(parts: &Parts, body: &Bytes, state: &mut State) -> (u16, String) {
    let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let path = parts.uri.to_string();
    state.asked.push(format!("{} {path}", parts.method));
    let (status, told) = if header("authorization") != format!("ApiKey {KEY}") {
        (401, json!({ "statusCode": 401, "error": "Unauthorized", "message": "security_exception" }))
    } else if parts.method != Method::GET && header("kbn-xsrf").is_empty() {
        (400, json!({ "message": "Request must contain a kbn-xsrf header." }))
    } else if path == "/s/payments/api/saved_objects/_import?overwrite=true" && parts.method == Method::POST {
        take_objects(state, &header("content-type"), std::str::from_utf8(body).unwrap())
    } else if let Some(id) = path.strip_prefix("/s/payments/api/alerting/rule/") {
        take_rule(state, &parts.method, id, &header("content-type"), body)
    } else {
        (404, json!({ "message": "Not Found" }))
    };
    (status, told.to_string())
}

/// A form with one file, whose name says what is in it.
fn take_objects(state: &mut State, kind: &str, body: &str) -> (u16, Value) {
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[2]), (3, "", "--\r\n"));
    let (head, file) = parts[1].split_once("\r\n\r\n").unwrap();
    assert!(head.contains("name=\"file\"; filename=\"stopover.ndjson\""), "{head}");
    let objects: Vec<Value> = file.trim_end().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    if state.refuses_objects {
        let error = json!({ "type": "search", "id": "stopover-runs", "error": { "type": "missing_references" } });
        return (200, json!({ "success": false, "successCount": 0, "errors": [error] }));
    }
    let count = objects.len();
    state.imported.push(objects);
    (200, json!({ "success": true, "successCount": count }))
}

fn take_rule(state: &mut State, method: &Method, id: &str, kind: &str, body: &[u8]) -> (u16, Value) {
    let there = state.rules.get(id).cloned();
    let given = || -> serde_json::Map<String, Value> {
        assert_eq!(kind, "application/json");
        serde_json::from_slice(body).unwrap()
    };
    let takes = |given: &serde_json::Map<String, Value>, known: &[&str]| {
        given.keys().find(|name| !known.contains(&name.as_str())).cloned()
    };
    let unknown = |name: String| {
        (400, json!({ "message": format!("[request body.{name}]: definition for this key is missing") }))
    };
    match (method.as_str(), there) {
        ("GET", Some(rule)) => (200, rule),
        ("GET" | "PUT", None) => (404, json!({ "message": format!("Saved object [alert/{id}] not found") })),
        ("POST", Some(_)) => (409, json!({ "message": "Conflict" })),
        ("POST", None) => {
            let given = given();
            let known = ["name", "consumer", "rule_type_id", "enabled", "tags", "schedule", "params", "actions"];
            if let Some(name) = takes(&given, &known) {
                return unknown(name);
            }
            state.rules.insert(id.to_owned(), Value::Object(given));
            (200, json!({ "id": id }))
        }
        ("PUT", Some(mut rule)) => {
            let given = given();
            if let Some(name) = takes(&given, &["name", "tags", "schedule", "params", "actions"]) {
                return unknown(name);
            }
            let actions = given["actions"].as_array().unwrap();
            assert!(actions.iter().all(|action| action.get("connector_type_id").is_none()), "this is refused, too");
            rule.as_object_mut().unwrap().extend(given);
            state.rules.insert(id.to_owned(), rule);
            (200, json!({ "id": id }))
        }
        (other, _) => panic!("{other}"),
    }
}

#[test]
fn everything_is_imported_with_the_key_and_brought_up_to_date_the_next_time() {
    let kibana = Kibana::start();
    let ended = kibana.import(KEY);
    assert_eq!(ended.status, 0, "{ended:?}");
    let expected: BTreeMap<String, Value> = rules()
        .into_iter()
        .map(|(_, mut rule)| {
            let id = rule.as_object_mut().unwrap().remove("id").unwrap();
            (text(&id).to_owned(), rule)
        })
        .collect();
    assert_eq!(kibana.state.lock().unwrap().imported, [objects()]);
    assert_eq!(kibana.state.lock().unwrap().rules, expected);
    let asked = kibana.asked();
    assert_eq!(asked[0], "POST /s/payments/api/saved_objects/_import?overwrite=true");
    assert_eq!(asked.iter().filter(|it| it.starts_with("POST ")).count(), 1 + expected.len());

    let action = json!({ "group": "query matched", "id": "pager", "params": { "message": "{{context.message}}" },
        "uuid": "b3f9a7de-0c7c-4a53-9b4d-8a1f6c2e5d10" });
    let id = expected.keys().next().unwrap();
    {
        let mut state = kibana.state.lock().unwrap();
        let rule = state.rules.get_mut(id).unwrap();
        let mut told = action.clone();
        told["connector_type_id"] = ".slack".into();
        (rule["actions"], rule["enabled"], rule["schedule"]) =
            (json!([told]), false.into(), json!({ "interval": "9m" }));
    }
    let ended = kibana.import(KEY);
    assert_eq!(ended.status, 0, "{ended:?}");
    let state = kibana.state.lock().unwrap();
    let mut tended = expected.clone();
    let rule = tended.get_mut(id).unwrap();
    (rule["actions"], rule["enabled"]) = (json!([action]), false.into());
    assert_eq!((&state.rules, state.imported.len()), (&tended, 2), "what an operator has added stays");
    assert_eq!(state.asked.iter().filter(|it| it.starts_with("PUT ")).count(), expected.len());
}

#[test]
fn what_kibana_refuses_ends_the_import_with_its_reason() {
    let kibana = Kibana::start();
    let ended = kibana.import("bm90IHRoZSBrZXk=");
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("Kibana answered 401: security_exception"), "{ended:?}");
    kibana.state.lock().unwrap().refuses_objects = true;
    let ended = kibana.import(KEY);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("stopover-runs") && ended.stderr.contains("missing_references"), "{ended:?}");
    assert_eq!(kibana.state.lock().unwrap().rules, BTreeMap::new());
}

#[test]
fn without_an_address_or_a_key_it_says_what_to_set() {
    for (name, value, missing) in
        [("KIBANA_URL", "http://127.0.0.1:9", "KIBANA_API_KEY"), ("KIBANA_API_KEY", KEY, "KIBANA_URL")]
    {
        let output = Command::new(assets().join("import")).env_remove(missing).env(name, value).output().unwrap();
        let ended = Ended::of(&output);
        assert_eq!(ended.status, 1);
        assert!(ended.stderr.contains(&format!("set {missing}")), "{ended:?}");
    }
}
