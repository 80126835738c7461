//! A program of Node with Elastic's own agent, which speaks to an APM server of its own and joins the trace.

use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::eventually;
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
        let (tell, told) = std::sync::mpsc::channel();
        let of_server = events.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let events = of_server.clone();
                    tokio::spawn(async move {
                        let service = service_fn(|request| answer(request, events.clone()));
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        Self { port: told.recv().unwrap(), events }
    }

    /// The event of this kind.
    fn event(&self, kind: &str) -> Option<Value> {
        self.events.lock().unwrap().iter().find_map(|event| event.get(kind).cloned())
    }
}

async fn answer(
    request: Request<Incoming>,
    events: Arc<Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let is_compressed = request.headers().contains_key("content-encoding");
    let body = request.into_body().collect().await?.to_bytes();
    let (status, answer) = if path == "/intake/v2/events" {
        let mut text = String::new();
        if is_compressed {
            flate2::read::ZlibDecoder::new(&*body)
                .read_to_string(&mut text)
                .or_else(|_| {
                    text.clear();
                    flate2::read::GzDecoder::new(&*body).read_to_string(&mut text)
                })
                .unwrap();
        } else {
            text = String::from_utf8(body.to_vec()).unwrap();
        }
        events.lock().unwrap().extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        (202, "")
    } else {
        (200, r#"{ "version": "8.15.0" }"#)
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from_static(answer.as_bytes()))).unwrap())
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
