//! Backends that take connections and say nothing, and connections that nobody is at the other end of any more.

use std::fs;
use std::process::{Child, Stdio};

use rstest::rstest;

use crate::support::eventually;
use crate::support::otlp::{Mode, Receiver, Tls};
use crate::support::proxy::Proxy;
use crate::support::scene::{PATIENCE, Scene};

const NAME: &str = "20261123_sample";

/// A backend at the end of a way, and runs that report often and end when they are let go.
struct Told {
    receiver: Receiver,
    way: Proxy,
    scene: Scene,
    address: String,
}

impl Told {
    fn by(protocol: &str, scheme: &str) -> Self {
        let tls = Tls::new();
        let receiver = match (protocol, scheme) {
            ("grpc", "https") => Receiver::grpcs(&tls),
            ("grpc", _) => Receiver::grpc(),
            (_, "https") => Receiver::https(&tls),
            _ => Receiver::http(),
        };
        let way = Proxy::to(&format!("127.0.0.1:{}", receiver.port()));
        let port = way.host().rsplit(':').next().unwrap();
        let address = format!("{scheme}://localhost:{port}");
        let scene = Scene::new().script(NAME, "while [ ! -e go ]; do sleep 0.05; done");
        let authority = scene.path().join("ca.pem");
        fs::write(&authority, tls.authority()).unwrap();
        let scene = scene
            .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.display().to_string())
            .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
            .variable("OTEL_METRIC_EXPORT_INTERVAL", "300")
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str());
        Self { receiver, way, scene, address }
    }

    /// Lets the run go on to its end.
    fn let_go(&self) {
        fs::write(self.scene.path().join("migrations/go"), "").unwrap();
        self.scene.until(NAME, &["succeeded"]);
    }

    fn reports(&self) -> usize {
        self.receiver.received().metrics.len()
    }

    #[track_caller]
    fn until_more_arrives(&self, what: &str) {
        let before = self.reports();
        eventually(what, PATIENCE, || Some(()).filter(|()| self.reports() > before));
    }
}

/// Killed when it is dropped.
struct Doctor(Child);

impl Drop for Doctor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Doctor {
    fn of(scene: &Scene) -> Self {
        Self(scene.command(&["doctor"]).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn is_at_work(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    #[track_caller]
    fn says(mut self) -> String {
        eventually("doctor ends", PATIENCE, || Some(()).filter(|()| !self.is_at_work()));
        std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap()
    }
}

#[rstest]
fn a_backend_that_says_nothing_is_told_of_and_reached_when_it_speaks(
    #[values("http/protobuf", "grpc")] protocol: &str,
    #[values("http", "https")] scheme: &str,
) {
    let told = Told::by(protocol, scheme);
    told.way.hold_up();
    told.scene.launch(&[NAME]);
    let series = format!("stopover_telemetry_dropped_total{{migration=\"{NAME}\",signal=\"metrics\"}} ");
    eventually("lost reports are counted", PATIENCE, || {
        let page = told.scene.must(&["metrics"]);
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).filter(|count| *count > 0)
    });
    let log = told.scene.must(&["logs", NAME]);
    assert!(log.contains(&format!("metrics do not arrive at {}: ", told.address)), "{log}");
    assert!(log.contains("did not answer"), "{log}");
    told.way.mend();
    told.until_more_arrives("reports arrive when the backend speaks");
    told.let_go();
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_connection_that_nobody_is_at_the_other_end_of_is_given_up_for_another(#[case] protocol: &str) {
    let told = Told::by(protocol, "https");
    told.scene.launch(&[NAME]);
    told.until_more_arrives("reports arrive");
    told.way.forsake();
    let before = told.way.taken();
    eventually("there is another connection", PATIENCE, || Some(()).filter(|()| told.way.taken() > before));
    told.until_more_arrives("reports arrive by another connection");
    told.let_go();
}

#[rstest]
fn doctor_says_that_a_backend_says_nothing(
    #[values("http/protobuf", "grpc")] protocol: &str,
    #[values("http", "https")] scheme: &str,
) {
    let told = Told::by(protocol, scheme);
    told.way.hold_up();
    let said = Doctor::of(&told.scene).says();
    for signal in ["traces", "metrics", "logs"] {
        let expected = format!("{signal} would not arrive at {}: it did not answer", told.address);
        assert!(said.contains(&expected), "{expected}: {said}");
    }
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn doctor_asks_for_all_signals_at_once(#[case] protocol: &str) {
    let told = Told::by(protocol, "http");
    told.receiver.behave(Mode::Hang);
    let scene = told.scene.variable("OTEL_EXPORTER_OTLP_TIMEOUT", "120000");
    let mut doctor = Doctor::of(&scene);
    eventually("all three are asked", PATIENCE, || Some(()).filter(|()| told.receiver.received().requests == 3));
    assert!(doctor.is_at_work(), "none was answered");
}
