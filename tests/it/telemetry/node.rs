//! A program of Node with Elastic's own agent, which speaks to an APM server of its own and joins the trace.

use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use hyper::http::request::Parts;
use serde_json::Value;

use crate::support::eventually;
use crate::support::http::serve;
use crate::support::otlp::Receiver;
use crate::support::scene::PATIENCE;

use super::{hex, one, telling};

const NAME: &str = "20261123_normalise";

/// As docs/observability.md has it.
const PROGRAM: &str = r"
const apm = require('elastic-apm-node').start({ serviceName: 'payments-migrations', metricsInterval: '0s', centralConfig: false, logLevel: 'off' });

async function main() {
  const transaction = apm.startTransaction(process.env.STOPOVER_MIGRATION, 'migration', { childOf: process.env.TRACEPARENT });
  const span = apm.startSpan('normalise phones');
  await new Promise((done) => setTimeout(done, 50));
  span.end();
  transaction.end('success');
  await apm.flush();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
";

/// What an APM server is told: the events of its intake protocol.
struct ApmServer {
    port: u16,
    events: Arc<Mutex<Vec<Value>>>,
}

impl ApmServer {
    fn start() -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let of_server = events.clone();
        let port = serve(move |parts, body| answer(parts, body, &mut of_server.lock().unwrap()));
        Self { port, events }
    }

    /// The event of this kind.
    fn event(&self, kind: &str) -> Option<Value> {
        self.events.lock().unwrap().iter().find_map(|event| event.get(kind).cloned())
    }
}

fn answer(parts: &Parts, body: &Bytes, events: &mut Vec<Value>) -> (u16, String) {
    if parts.uri.path() == "/intake/v2/events" {
        let mut text = String::new();
        if parts.headers.contains_key("content-encoding") {
            flate2::read::ZlibDecoder::new(&**body)
                .read_to_string(&mut text)
                .or_else(|_| {
                    text.clear();
                    flate2::read::GzDecoder::new(&**body).read_to_string(&mut text)
                })
                .unwrap();
        } else {
            text = String::from_utf8(body.to_vec()).unwrap();
        }
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        (202, String::new())
    } else {
        (200, r#"{ "version": "8.15.0" }"#.to_owned())
    }
}

#[test]
fn what_the_agent_of_a_program_tells_joins_the_trace_of_the_run() {
    let modules = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool")).arg("elastic-apm-node").output();
    let modules = modules.expect("scripts/tool is there and can be run");
    assert!(modules.status.success(), "`scripts/tool provision` fetches the agent");
    let (backend, server) = (Receiver::http(), ApmServer::start());
    let scene = telling(&backend)
        .variable("NODE_PATH", String::from_utf8(modules.stdout).unwrap().trim())
        .variable("ELASTIC_APM_SERVER_URL", format!("http://127.0.0.1:{}", server.port))
        .manifest(NAME, "command: [node, normalise.js]\n");
    std::fs::write(scene.path().join("migrations/normalise.js"), PROGRAM).unwrap();
    std::fs::write(scene.path().join("stopover.yaml"), "catalog:\n  - files: migrations/*.yaml\n").unwrap();
    let run = scene.launch(&[NAME, "--wait"]);
    let transaction = eventually("the agent's transaction arrives", PATIENCE, || server.event("transaction"));
    let span = eventually("its span arrives", PATIENCE, || server.event("span"));
    eventually("the run is told of", PATIENCE, || Some(()).filter(|()| !backend.received().named(NAME).is_empty()));
    let told = backend.received();
    let attempt = one(&told, "attempt 1");
    assert_eq!(
        (&transaction["trace_id"], &transaction["parent_id"]),
        (&run.replace('-', "").into(), &hex(&attempt.span_id).into())
    );
    assert_eq!((&transaction["name"], &transaction["type"]), (&NAME.into(), &"migration".into()));
    assert_eq!((&span["trace_id"], &span["parent_id"]), (&transaction["trace_id"], &transaction["id"]));
    assert_eq!(server.event("metadata").unwrap()["service"]["name"], "payments-migrations");
}
