//! A real collector on the way.

use std::process::{Child, Command, Stdio};

use rstest::rstest;

use crate::support::eventually;
use crate::support::nobody::free_port;
use crate::support::otlp::Receiver;
use crate::support::scene::{PATIENCE, Scene};

use super::{hex, of, one};

const NAME: &str = "20261123_sample";

/// Killed when it is dropped.
struct Collector {
    process: Child,
    grpc: u16,
    http: u16,
}

impl Collector {
    /// Passes everything on to a receiver by gRPC.
    fn to(backend: &Receiver, scene: &Scene) -> Self {
        let (grpc, http) = (free_port(), free_port());
        let file = |name: &str| scene.path().join(name).display().to_string();
        let process = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool"))
            .args(["rotel", "start", "--exporter", "otlp", "--otlp-exporter-protocol", "grpc"])
            .args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{}", backend.port())])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--pid-file", &file("collector.pid"), "--log-file", &file("collector.log")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/tool is there and can be run; `scripts/tool provision` fetches what it runs");
        let collector = Self { process, grpc, http };
        for port in [grpc, http] {
            eventually("the collector listens; `scripts/tool provision` fetches it", PATIENCE, || {
                std::net::TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        collector
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[rstest]
#[case("grpc")]
#[case("http/protobuf")]
fn a_collector_takes_a_run_and_passes_it_on_as_it_was(#[case] protocol: &str) {
    let backend = Receiver::grpc();
    let scene = Scene::new().script(NAME, "echo 'no such customer: 42' >&2; exit 3");
    let collector = Collector::to(&backend, &scene);
    let port = if protocol == "grpc" { collector.grpc } else { collector.http };
    let scene = scene
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
    let run = scene.launch(&[NAME]);
    scene.until(NAME, &["failed"]);
    eventually("the run is passed on", PATIENCE, || Some(()).filter(|()| !backend.received().named(NAME).is_empty()));
    let told = backend.received();
    let (root, attempt) = (one(&told, NAME), one(&told, "attempt 1"));
    assert_eq!((hex(&root.trace_id), &attempt.parent_span_id), (run.replace('-', ""), &root.span_id));
    assert_eq!((of(root)["stopover.state"].as_str(), root.events[0].name.as_str()), ("failed", "exception"));
    assert_eq!(told.spans[0].0["service.name"], "stopover");
}
