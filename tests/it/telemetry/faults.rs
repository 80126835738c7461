//! Whatever is wrong with the backend, the run goes on.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::fs::{CWD, FileType, Mode as Rights, mknodat};

use crate::support::eventually;
use crate::support::nobody::Nobody;
use crate::support::otlp::{Mode, Receiver, Tls};
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, STOPOVER, Scene};
use crate::support::steady::{PROGRAM, STEADY};

const NAME: &str = "20261123_sample";

/// A run ends well, in time, with one warning that names the backend, and says what did not arrive.
#[track_caller]
fn goes_on(scene: &Scene, address: &str) {
    let begun = Instant::now();
    scene.launch(&[NAME, "--wait"]);
    let run = scene.until(NAME, &["succeeded"]);
    // The end is put off by three seconds at most; the rest is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    until_all_is_said(scene);
    let log = everything_logged(scene);
    let warned = log.lines().filter(|line| line.contains("do not arrive at")).count();
    assert!((1..=3).contains(&warned), "once for each signal at most: {log}");
    assert!(log.contains(address), "{log}");
    assert!(!scene.must(&["logs", NAME]).contains("not delivered were"), "the log of a run ends with the run");
    assert!(run["error"].is_null());
}

/// What is in the logs of run and worker.
fn everything_logged(scene: &Scene) -> String {
    scene.must(&["logs", NAME]) + &scene.worker_log(NAME)
}

/// Waits until the worker has said what did not arrive: its last word, which is for its own log.
#[track_caller]
fn until_all_is_said(scene: &Scene) {
    eventually("the worker tells what did not arrive", PATIENCE, || {
        scene.worker_log(NAME).contains("not delivered were").then_some(())
    });
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
    let nobody = Nobody::new();
    let port = nobody.port();
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

#[rstest]
#[case("http/protobuf")]
#[case("grpc")]
fn each_signal_that_does_not_arrive_is_told_of_by_itself(#[case] protocol: &str) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let scene = sample(port).variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
    goes_on(&scene, &format!("127.0.0.1:{port}"));
    let log = everything_logged(&scene);
    for signal in ["traces", "metrics"] {
        let told = format!("{signal} do not arrive at http://127.0.0.1:{port}: nobody listens at its address");
        assert_eq!(log.matches(&told).count(), 1, "{told}: {log}");
    }
}

#[test]
fn an_answer_that_is_longer_than_anybody_reads_is_not_asked_for_again() {
    let receiver = Receiver::http();
    receiver.behave(Mode::Verbose);
    let doctor = sample(receiver.port()).variable("OTEL_EXPORTER_OTLP_TIMEOUT", "20000").stopover(&["doctor"]).stdout;
    assert!(doctor.contains("its answer is too large"), "{doctor}");
    assert_eq!(receiver.received().requests, 3, "one for each signal: what was taken is not sent twice");
}

#[test]
fn an_answer_that_is_no_message_is_told_for_what_it_is() {
    let receiver = Receiver::http();
    receiver.behave(Mode::Garbage);
    let scene = sample(receiver.port());
    goes_on(&scene, &format!("127.0.0.1:{}", receiver.port()));
    assert!(everything_logged(&scene).contains("does not speak OTLP"), "{}", everything_logged(&scene));
    let doctor = scene.stopover(&["doctor"]).stdout;
    assert!(doctor.contains("would not arrive at") && doctor.contains("does not speak OTLP"), "{doctor}");
}

#[test]
fn what_a_backend_takes_and_rejects_is_counted_and_told() {
    let receiver = Receiver::http();
    receiver.behave(Mode::Rejects(2));
    let scene = sample(receiver.port());
    goes_on(&scene, &format!("127.0.0.1:{}", receiver.port()));
    let log = everything_logged(&scene);
    assert!(log.contains("it has rejected 2 spans: the name is too long"), "{log}");
}

#[test]
fn a_backend_that_hangs_does_not_keep_the_workers_of_a_pod_from_ending_in_time() {
    let receiver = Receiver::http();
    receiver.behave(Mode::Hang);
    // With the time that an export has where nothing is said.
    let scene = Scene::new()
        .script(STEADY, PROGRAM)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", receiver.port()));
    let mut pod = Pod::shared(&scene, &["--grace", "12s"]).ready();
    pod.launch(&[STEADY]);
    eventually("its program works", Duration::from_secs(30), || {
        Some(()).filter(|()| scene.must(&["logs", STEADY]).contains("from the start"))
    });
    pod.shut_down();
    assert!(pod.output().contains("1 worker stopped in"), "and none was killed: {}", pod.output());
    assert_eq!(scene.run(STEADY)["state"], "interrupted");
}

#[rstest]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter22@x")]
#[case("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier/pigeon-hunter22")]
#[case("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem")]
#[case("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null")]
#[case("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/zero")]
#[case("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter22@127.0.0.1:99999")]
#[case("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter22")]
#[case("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]
#[case("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "hunter22")]
#[case("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "carrier/pigeon-hunter22")]
#[case("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "hunter22")]
#[case("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "ftp://user:hunter22@x")]
#[case("OTEL_METRIC_EXPORT_INTERVAL", "hunter22")]
#[case("OTEL_BSP_SCHEDULE_DELAY", "0")]
#[case("OTEL_BSP_MAX_QUEUE_SIZE", "10000000")]
#[case("OTEL_BLRP_SCHEDULE_DELAY", "5s")]
#[case("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "hunter22")]
#[case("OTEL_TRACES_EXPORTER", "zipkin-hunter22")]
#[case("OTEL_TRACES_SAMPLER", "always_off")]
fn a_mistake_in_the_settings_is_told_and_the_run_goes_on(#[case] name: &str, #[case] value: &str) {
    let scene = sample(9).variable(name, value);
    scene.launch(&[NAME, "--wait"]);
    let run = scene.until(NAME, &["succeeded"]);
    let warnings = run["warnings"].to_string();
    assert!(warnings.contains(name), "{warnings}");
    assert!(!everything_logged(&scene).contains("hunter22"));
}

#[test]
fn figures_that_are_to_be_sent_without_a_pause_are_sent_ten_times_a_second() {
    let receiver = Receiver::http();
    let scene = sample(receiver.port())
        .variable("OTEL_METRIC_EXPORT_INTERVAL", "0")
        .variable("OTEL_TRACES_EXPORTER", "none")
        .variable("OTEL_LOGS_EXPORTER", "none");
    scene.add_script(NAME, "while [ ! -e go ]; do sleep 0.05; done");
    let begun = Instant::now();
    scene.launch(&[NAME]);
    eventually("reports arrive", PATIENCE, || Some(()).filter(|()| receiver.received().requests >= 20));
    let (sent, most) = (receiver.received().requests as u128, begun.elapsed().as_millis() / 100 + 2);
    assert!(sent <= most, "{sent} of at most {most}");
    fs::write(scene.path().join("migrations/go"), "").unwrap();
    let warnings = scene.until(NAME, &["succeeded"])["warnings"].to_string();
    assert!(warnings.contains("OTEL_METRIC_EXPORT_INTERVAL is less than 100; 100 holds"), "{warnings}");
}

#[test]
fn what_does_not_arrive_is_counted_while_the_run_goes_on() {
    let nobody = Nobody::new();
    let scene = sample(nobody.port()).variable("OTEL_METRIC_EXPORT_INTERVAL", "300");
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
    fs::write(scene.path().join("migrations/go"), "").unwrap();
    scene.until(NAME, &["succeeded"]);
    until_all_is_said(&scene);
    let last = eventually("the last count is kept", PATIENCE, || count().filter(|count| *count > first));
    assert!(last < first + 1_000, "nothing is counted twice: {first}, {last}");
}

#[rstest]
#[case("OTEL_EXPORTER_OTLP_HEADERS_FILE")]
#[case("OTEL_EXPORTER_OTLP_CERTIFICATE")]
#[case("OTEL_EXPORTER_OTLP_CLIENT_KEY")]
fn a_file_that_never_ends_holds_no_run_up(#[case] name: &str) {
    let scene = sample(9);
    let fifo = scene.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Rights::RUSR | Rights::WUSR, 0).unwrap();
    let scene = scene.variable(name, fifo.display().to_string());
    scene.launch(&[NAME, "--wait"]);
    let warnings = scene.until(NAME, &["succeeded"])["warnings"].to_string();
    assert!(warnings.contains(name) && warnings.contains("is no regular file"), "{warnings}");
}

#[test]
fn an_address_without_its_scheme_is_told_as_it_should_be_written() {
    let scene = sample(9).variable("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318");
    scene.launch(&[NAME, "--wait"]);
    let warnings = scene.until(NAME, &["succeeded"])["warnings"].to_string();
    assert!(warnings.contains("write it with its scheme: `http://127.0.0.1:4318`"), "{warnings}");
}

#[test]
fn where_a_container_may_have_no_more_threads_the_run_has_them() {
    let open = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let receiver = Receiver::http();
    let scene = sample(receiver.port());
    // Its user has processes and threads of its own, and comes to nothing but what is here. The run needs up to 15, telemetry 16 more.
    let binary = scene.path().join("stopover");
    fs::copy(STOPOVER, &binary).unwrap();
    open(scene.path(), 0o755);
    fs::create_dir(scene.state()).unwrap();
    open(&scene.state(), 0o777);
    let user = (100_000 + std::process::id()).to_string();
    let launched = Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", "--nproc=20"])
        .arg(&binary)
        .args(["run", NAME, "--wait"])
        .env_clear()
        .envs(scene.environment())
        .output()
        .expect("`apt-get install util-linux` installs setpriv and prlimit, which this test needs, and root");
    let told = String::from_utf8_lossy(&launched.stderr);
    assert!(launched.status.success(), "{told}");
    let run = scene.until(NAME, &["succeeded"]);
    assert!(run["warnings"].to_string().contains("no more threads"), "{run}");
}
