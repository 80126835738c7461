//! Whatever is wrong with the backend, the run goes on.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::support::eventually;
use crate::support::otlp::{Mode, Receiver, Tls};
use crate::support::scene::{PATIENCE, Scene};

const NAME: &str = "20261123_sample";

/// A run ends well, in time, with one warning that names the backend, and says what did not arrive.
#[track_caller]
fn goes_on(scene: &Scene, address: &str) {
    let begun = Instant::now();
    scene.launch(&[NAME, "--wait"]);
    let run = scene.until(NAME, &["succeeded"]);
    // The end is put off by three seconds at most; the rest is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let log = scene.must(&["logs", NAME]) + &late_words(scene);
    let warned = log.lines().filter(|line| line.contains("do not arrive at")).count();
    assert!((1..=3).contains(&warned), "once for each signal at most: {log}");
    assert!(log.contains(address), "{log}");
    assert!(!scene.must(&["logs", NAME]).contains("not delivered were"), "the log of a run ends with the run");
    assert!(run["error"].is_null());
}

/// What the worker has noted for itself after the end of the run, once that is its last word.
fn late_words(scene: &Scene) -> String {
    eventually("the worker tells what did not arrive", PATIENCE, || {
        Some(scene.worker_log(NAME)).filter(|log| log.contains("not delivered were"))
    })
}

fn sample(port: u16) -> Scene {
    Scene::new()
        .script(NAME, "echo done")
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
}

#[rstest]
fn a_backend_that_does_not_do_as_it_should_is_no_matter_of_the_run(
    #[values("http/protobuf", "grpc")] protocol: &str,
    #[values(Mode::Reject, Mode::Overloaded, Mode::Hang, Mode::Slow(Duration::from_secs(8)))] mode: Mode,
) {
    let receiver = if protocol == "grpc" { Receiver::grpc() } else { Receiver::http() };
    receiver.behave(mode);
    let scene = sample(receiver.port()).variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
    goes_on(&scene, &format!("127.0.0.1:{}", receiver.port()));
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_backend_that_is_not_there_is_no_matter_of_the_run(#[case] protocol: &str) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    goes_on(&sample(port).variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), &format!("127.0.0.1:{port}"));
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_backend_that_speaks_another_language_is_no_matter_of_the_run(#[case] protocol: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    goes_on(&sample(port).variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), &format!("127.0.0.1:{port}"));
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_backend_with_a_certificate_of_a_stranger_gets_nothing(#[case] protocol: &str) {
    let tls = Tls::new();
    let receiver = if protocol == "grpc" { Receiver::grpcs(&tls) } else { Receiver::https(&tls) };
    let address = format!("https://localhost:{}", receiver.port());
    let scene = sample(0)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str());
    goes_on(&scene, &address);
    assert_eq!(receiver.received().requests, 0);
}

#[test]
fn an_answer_that_is_no_message_counts_as_an_answer() {
    let receiver = Receiver::http();
    receiver.behave(Mode::Garbage);
    let scene = sample(receiver.port());
    scene.launch(&[NAME, "--wait"]);
    scene.until(NAME, &["succeeded"]);
}

#[rstest]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter22@x")]
#[case("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier/pigeon-hunter22")]
#[case("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem")]
#[case("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null")]
#[case("OTEL_TRACES_EXPORTER", "zipkin-hunter22")]
#[case("OTEL_TRACES_SAMPLER", "always_off")]
fn a_mistake_in_the_settings_is_told_and_the_run_goes_on(#[case] name: &str, #[case] value: &str) {
    let scene = sample(9).variable(name, value);
    scene.launch(&[NAME, "--wait"]);
    let run = scene.until(NAME, &["succeeded"]);
    let warnings = run["warnings"].to_string();
    assert!(warnings.contains("OTEL_"), "{warnings}");
    assert!(!scene.must(&["logs", NAME]).contains("hunter22"));
}

#[test]
fn what_does_not_arrive_is_counted_while_the_run_goes_on() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let scene = sample(port).variable("OTEL_METRIC_EXPORT_INTERVAL", "300");
    scene.add_script(NAME, "while [ ! -e go ]; do sleep 0.05; done");
    scene.launch(&[NAME]);
    let series = format!("stopover_telemetry_dropped_total{{migration=\"{NAME}\",signal=\"metrics\"}} ");
    let count = || -> Option<u64> {
        let page = scene.must(&["metrics"]);
        let line = page.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned))?;
        Some(line.parse().unwrap())
    };
    let first = eventually("a lost report is counted", PATIENCE, || count().filter(|count| *count > 0));
    assert_eq!(scene.run(NAME)["state"], "running");
    std::fs::write(scene.path().join("migrations/go"), "").unwrap();
    scene.until(NAME, &["succeeded"]);
    late_words(&scene);
    let last = eventually("the last count is kept", PATIENCE, || count().filter(|count| *count > first));
    assert!(last < first + 1_000, "nothing is counted twice: {first}, {last}");
}
