//! Whatever a receiver does, runs go on and end.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use rstest::rstest;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{telling, until_all_ended};
use crate::support::eventually;
use crate::support::nobody::Nobody;
use crate::support::scene::{PATIENCE, Scene};
use crate::support::webhook::{Answer, Webhook};

const NAME: &str = "01_work";

fn scene(url: &str) -> Scene {
    telling(&format!("  - {{ name: ops, webhook: \"{url}\", timeout: 300ms }}\n")).script(NAME, "echo done")
}

/// Runs to its end, which must be a success; gives back the lines about a receiver, in its log and in its worker's, once that has ended.
#[track_caller]
fn complaints(scene: &Scene) -> Vec<String> {
    scene.launch(&[NAME, "--wait"]);
    until_all_ended(scene);
    assert_eq!(scene.run(NAME)["state"], "succeeded");
    let log = scene.must(&["logs", NAME]) + &scene.worker_log(NAME);
    log.lines().filter(|line| line.contains("could not be told")).map(str::to_owned).collect()
}

#[track_caller]
fn complains_once_of(scene: &Scene, reason: &str) {
    let lines = complaints(scene);
    assert!(lines.len() == 1 && lines[0].contains(reason), "{lines:?}");
    assert!(lines[0].contains("ops (http") && lines[0].contains("`stopover notify --test` tries it"), "{lines:?}");
}

#[test]
fn nobody_is_there() {
    let nobody = Nobody::new();
    complains_once_of(&scene(&format!("http://127.0.0.1:{}/hook", nobody.port())), "nobody listens");
}

#[test]
fn a_receiver_that_hangs_is_given_up() {
    let webhook = Webhook::answering(&[Answer::Hang]);
    complains_once_of(&scene(&webhook.url("/")), "did not answer within");
}

#[test]
fn an_answer_that_is_no_http_is_given_up() {
    let webhook = Webhook::answering(&[Answer::Garbage]);
    complains_once_of(&scene(&webhook.url("/")), "could not be told");
}

#[test]
fn a_connection_that_is_closed_is_given_up() {
    let webhook = Webhook::answering(&[Answer::Close]);
    complains_once_of(&scene(&webhook.url("/")), "could not be told");
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Webhook::new();
    let to: &'static str = other.url("/stolen").leak();
    let webhook = Webhook::answering(&[Answer::With(307, "location", to)]);
    complains_once_of(&scene(&webhook.url("/")), "a redirect, which is not followed");
    assert_eq!(other.connections(), 0);
    assert_eq!(webhook.connections(), 2, "the start and the end, each tried once");
}

#[test]
fn a_refusal_is_not_tried_again() {
    let webhook = Webhook::answering(&[Answer::Status(403)]);
    complains_once_of(&scene(&webhook.url("/")), "it answered 403");
    assert_eq!(webhook.connections(), 2);
}

#[test]
fn an_answer_without_end_is_not_read() {
    let webhook = Webhook::answering(&[Answer::Flood]);
    assert_eq!(complaints(&scene(&webhook.url("/"))), [""; 0]);
}

#[test]
fn an_error_that_passes_is_tried_again_under_the_same_id() {
    let webhook = Webhook::answering(&[Answer::Status(500), Answer::Hang, Answer::Status(200)]);
    assert_eq!(complaints(&scene(&webhook.url("/"))), [""; 0]);
    assert_eq!(webhook.events(), ["started", "started", "started", "finished"]);
    let received = webhook.received();
    assert_eq!(received[0].body["id"], received[2].body["id"]);
}

#[test]
fn a_receiver_says_when_it_may_be_asked_again() {
    let webhook = Webhook::answering(&[Answer::With(429, "retry-after", "1"), Answer::Status(200)]);
    assert_eq!(complaints(&scene(&webhook.url("/"))), [""; 0]);
    assert_eq!(webhook.events(), ["started", "started", "finished"]);
}

#[test]
fn a_slow_receiver_holds_up_neither_the_run_nor_another_receiver() {
    let (slow, quick) = (Webhook::answering(&[Answer::After(Duration::from_secs(4))]), Webhook::new());
    let notify = format!(
        "  - {{ name: slow, webhook: \"{}\", timeout: 20s }}\n  - {{ name: quick, webhook: \"{}\" }}\n",
        slow.url("/"),
        quick.url("/")
    );
    let scene = telling(&notify).script(NAME, "echo done");
    scene.launch(&[NAME, "--wait"]);
    quick.until("finished");
    assert!(slow.events().len() <= 1, "it has not answered the first yet: {:?}", slow.events());
    slow.until("finished");
}

#[test]
fn many_receivers_that_hang_are_given_up_together() {
    let webhook = Webhook::answering(&[Answer::Hang]);
    let receiver = |index| format!("  - {{ name: r{index}, webhook: \"{}\" }}\n", webhook.url("/"));
    let notify = (0..8).map(receiver).collect::<Vec<_>>().concat();
    let scene = telling(&notify).script(NAME, "echo done");
    let lines = complaints(&scene);
    assert_eq!(lines.len(), 8, "{lines:?}");
}

#[test]
fn a_certificate_of_the_company_is_trusted_where_ssl_cert_file_names_its_authority() {
    let scene = Scene::new();
    let authority = scene.path().join("authority.pem");
    let webhook = Webhook::with_tls(&authority);
    super::tell(&scene, &format!("  - {{ name: ops, webhook: \"{}\" }}\n", webhook.url("/")));
    let scene = scene.script(NAME, "echo done");
    complains_once_of(&scene, "its certificate is not trusted");
    assert_eq!(webhook.received().len(), 0);
    let scene = scene.variable("SSL_CERT_FILE", authority.display().to_string());
    let ended = scene.stopover(&["notify", "--test"]);
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    scene.launch(&[NAME, "--rerun", "--wait"]);
    webhook.until("finished");
}

#[rstest]
#[case::a_file_that_is_not_there("missing.pem", "cannot be read: No such file")]
#[case::a_pipe_that_nobody_writes_to("pipe", "is no regular file")]
#[case::a_device_without_end("/dev/zero", "is no regular file")]
#[case::a_file_without_a_certificate("empty.pem", "holds no certificate")]
fn what_is_wrong_with_the_file_of_authorities_is_told(#[case] file: &str, #[case] wrong: &str) {
    let scene = Scene::new();
    let webhook = Webhook::with_tls(&scene.path().join("authority.pem"));
    super::tell(&scene, &format!("  - {{ name: ops, webhook: \"{}\", timeout: 2s }}\n", webhook.url("/")));
    fs::write(scene.path().join("empty.pem"), "nothing\n").unwrap();
    mknodat(CWD, scene.path().join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let path = scene.path().join(file).display().to_string();
    let scene = scene.script(NAME, "echo done").variable("SSL_CERT_FILE", path);
    let mut test = scene.command(&["notify", "--test"]).stdout(Stdio::piped()).spawn().unwrap();
    let ended = eventually("it gives an answer", PATIENCE, || test.try_wait().unwrap());
    let mut said = String::new();
    test.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(ended.code() == Some(1) && said.contains("SSL_CERT_FILE names ") && said.contains(wrong), "{said}");
    let doctor = scene.must(&["doctor"]);
    assert!(doctor.contains("warning  notify") && doctor.contains(wrong), "{doctor}");
    scene.launch(&[NAME, "--wait"]);
    let run = scene.run(NAME);
    assert!(run["state"] == "succeeded" && run["warnings"].to_string().contains(wrong), "{run}");
}
