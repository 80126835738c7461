//! The ways to a backend.

use std::fs;

use rstest::rstest;

use crate::support::eventually;
use crate::support::otlp::{Receiver, Tls};
use crate::support::scene::{PATIENCE, Scene};

const NAME: &str = "20261123_sample";
const TOKEN: &str = "s3cret-token-of-the-backend";

fn sample() -> Scene {
    Scene::new().script(NAME, "echo done").variable("OTEL_EXPORTER_OTLP_TIMEOUT", "5000")
}

#[track_caller]
fn arrives(scene: &Scene, receiver: &Receiver) {
    scene.launch(&[NAME, "--wait"]);
    eventually("the trace arrives", PATIENCE, || Some(()).filter(|()| receiver.received().spans.len() == 3));
    let run = scene.run(NAME);
    assert_eq!(run["warnings"].as_array().map_or(0, Vec::len), 0, "{run}");
}

#[rstest]
#[case("none")]
#[case("gzip")]
fn a_trace_travels_by_grpc(#[case] compression: &str) {
    let receiver = Receiver::grpc();
    let scene = sample()
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()));
    arrives(&scene, &receiver);
}

#[rstest]
#[case("none")]
#[case("gzip")]
fn a_trace_travels_by_http(#[case] compression: &str) {
    let receiver = Receiver::http();
    let scene = sample()
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .variable("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        .variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://127.0.0.1:{}/v1/traces", receiver.port()));
    arrives(&scene, &receiver);
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn a_trace_travels_over_tls_to_an_authority_of_ones_own_with_a_secret_of_the_environment(#[case] protocol: &str) {
    let tls = Tls::new();
    let receiver = if protocol == "grpc" { Receiver::grpcs(&tls) } else { Receiver::https(&tls) };
    let scene = sample().script(NAME, &format!("echo 'the token is {TOKEN}'"));
    let authority = scene.path().join("ca.pem");
    fs::write(&authority, tls.authority()).unwrap();
    let scene = scene
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.display().to_string())
        .variable("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{TOKEN}"))
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://localhost:{}", receiver.port()));
    arrives(&scene, &receiver);
    assert!(receiver.received().headers.iter().all(|headers| headers["authorization"] == format!("Bearer {TOKEN}")));
    let printed = scene.must(&["logs", NAME]);
    assert!(printed.contains("the token is ***"), "{printed}");
}

#[rstest]
#[case("true")]
#[case("false")]
fn a_trace_travels_by_grpc_to_an_address_without_a_scheme_over_tls_unless_that_is_said_to_be_insecure(
    #[case] insecure: &str,
) {
    let tls = Tls::new();
    let receiver = if insecure == "true" { Receiver::grpc() } else { Receiver::grpcs(&tls) };
    let scene = sample();
    let authority = scene.path().join("ca.pem");
    fs::write(&authority, tls.authority()).unwrap();
    let scene = scene
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.display().to_string())
        .variable("OTEL_EXPORTER_OTLP_INSECURE", insecure)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("localhost:{}", receiver.port()));
    arrives(&scene, &receiver);
}

#[rstest]
#[case("http/protobuf", "HTTPS_PROXY", "http")]
#[case("http/protobuf", "ALL_PROXY", "https")]
#[case("http/protobuf", "HTTP_PROXY", "http")]
#[case("grpc", "ALL_PROXY", "http")]
fn a_proxy_that_is_for_messages_to_people_has_no_part_in_telemetry(
    #[case] protocol: &str,
    #[case] variable: &str,
    #[case] scheme: &str,
) {
    let tls = Tls::new();
    let receiver = match (protocol, scheme) {
        ("grpc", _) => Receiver::grpc(),
        (_, "https") => Receiver::https(&tls),
        _ => Receiver::http(),
    };
    let scene = sample();
    let authority = scene.path().join("ca.pem");
    fs::write(&authority, tls.authority()).unwrap();
    let scene = scene
        .variable(variable, "http://127.0.0.1:9")
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.display().to_string())
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{scheme}://localhost:{}", receiver.port()));
    arrives(&scene, &receiver);
}

#[test]
fn what_opens_a_backend_is_masked_as_it_is_written_and_decoded_and_nothing_else_is() {
    let receiver = Receiver::http();
    let program = "env | grep OTEL_EXPORTER; echo 'c2VjcmV0a2V5== c2VjcmV0a2V5%3D%3D hun@er22 hun%40er22 blue'";
    let scene = Scene::new()
        .script(NAME, program)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "authorization=ApiKey%20c2VjcmV0a2V5%3D%3D,x-tenant=blue")
        .variable(
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
            "x-honeycomb-team=hcaik_01j4qwe5rty7uio8pas9df0,x-scope-orgid=all-of-the-payments-teams",
        )
        .variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20another-token")
        .variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://user:hun%40er22@x")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()));
    scene.launch(&[NAME, "--wait"]);
    let printed = scene.must(&["logs", NAME]);
    for expected in [
        "OTEL_EXPORTER_OTLP_HEADERS=authorization=***,x-tenant=blue",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization=***",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS=x-honeycomb-team=***,x-scope-orgid=all-of-the-payments-teams",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=ftp://user:***@x",
        "*** *** *** *** blue",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn headers_come_from_a_file_too(#[case] protocol: &str) {
    let receiver = if protocol == "grpc" { Receiver::grpc() } else { Receiver::http() };
    let scene = sample();
    let file = scene.path().join("headers");
    fs::write(&file, format!("Authorization=ApiKey {TOKEN}\n")).unwrap();
    let scene = scene
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_HEADERS_FILE", file.display().to_string())
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()));
    arrives(&scene, &receiver);
    assert!(receiver.received().headers.iter().all(|headers| headers["authorization"] == format!("ApiKey {TOKEN}")));
}

#[rstest]
#[case(&[])]
#[case(&[("OTEL_SDK_DISABLED", "true")])]
#[case(&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")])]
fn nothing_is_sent_unless_it_is_asked_for(#[case] variables: &[(&str, &str)]) {
    let receiver = Receiver::http();
    let mut scene = sample();
    if !variables.is_empty() {
        scene = scene.variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()));
    }
    for (name, value) in variables {
        scene = scene.variable(name, *value);
    }
    scene.launch(&[NAME, "--wait"]);
    scene.until(NAME, &["succeeded"]);
    assert_eq!(receiver.received().requests, 0);
}

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn doctor_asks_the_backend_whether_it_would_take_what_runs_tell(#[case] protocol: &str) {
    let receiver = if protocol == "grpc" { Receiver::grpc() } else { Receiver::http() };
    let port = receiver.port();
    let scene = sample()
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .variable("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{TOKEN}"))
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"));
    let checked = |scene: &Scene| {
        let report: serde_json::Value = serde_json::from_str(&scene.stopover(&["doctor", "--json"]).stdout).unwrap();
        report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "telemetry").unwrap().clone()
    };
    let check = checked(&scene);
    assert_eq!(check["verdict"], "ok", "{check}");
    assert_eq!(receiver.received().requests, 3, "one for each signal");
    drop(receiver);
    let check = checked(&scene);
    assert_eq!(check["verdict"], "warning");
    let text = check["text"].as_str().unwrap();
    assert!(text.contains(&format!("127.0.0.1:{port}: nobody listens at its address")), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("export"), "{text}");
    assert_eq!(checked(&Scene::new())["text"], "off: OTEL_EXPORTER_OTLP_ENDPOINT is not set");
}
