//! What a program says and how it ends, and what becomes of it in the ledger.

use stopover::ledger::{Action, LedgerAddress, open_writer};
use stopover::place::{Actor, Place};

use super::{WAIT_FOR_GO, go, lines, log_text, until_dead, until_printed, worker_of};
use crate::support::eventually;
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, Scene};

#[test]
fn zero_is_success() {
    let scene = Scene::new().script("fine", "echo done");
    scene.launch(&["fine"]);
    let run = scene.until("fine", &["succeeded", "failed"]);
    assert_eq!(run["state"], "succeeded");
    assert_eq!(lines(&scene, &run, "stdout"), ["done"]);
    let said = lines(&scene, &run, "system");
    assert!(
        said[0].contains("starts, launched by ada from pod pod-a")
            && said[1].starts_with("after ")
            && said[1].ends_with(": succeeded"),
        "{said:?}"
    );
}

#[test]
fn a_failure_keeps_the_status_and_the_last_lines_of_standard_error() {
    let script = "echo out; for i in $(seq 30); do printf '\\033[31mline %s\\033[0m\\n' $i >&2; done; exit 3";
    let scene = Scene::new().script("bad", script);
    scene.launch(&["bad"]);
    let run = scene.until("bad", &["failed"]);
    assert_eq!(run["error"]["exitStatus"], 3);
    let last: Vec<_> = (11..=30).map(|number| format!("line {number}")).collect();
    assert_eq!(run["error"]["lastLines"], serde_json::json!(last));
}

#[test]
fn a_program_that_says_nothing_on_standard_error_is_quoted_from_standard_output() {
    let scene = Scene::new().script("bad", "echo why; exit 1");
    scene.launch(&["bad"]);
    assert_eq!(scene.until("bad", &["failed"])["error"]["lastLines"], serde_json::json!(["why"]));
}

#[test]
fn death_by_a_signal_is_a_failure_that_names_it() {
    let scene = Scene::new().script("killed", "kill -KILL $$");
    scene.launch(&["killed"]);
    let run = scene.until("killed", &["failed"]);
    assert_eq!((&run["error"]["signal"], &run["error"]["message"]), (&9.into(), &"killed by SIGKILL".into()));
}

#[test]
fn a_program_that_cannot_be_started_says_which_and_why() {
    let scene = Scene::new().manifest("none", "command: [no-such-program-anywhere]\n");
    scene.launch(&["none"]);
    let run = scene.until("none", &["failed"]);
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("no-such-program-anywhere") && message.contains("No such file"), "{message}");
}

#[test]
fn seventy_five_asks_to_be_resumed_and_the_checkpoint_comes_back() {
    let script = r#"
if [ -z "$STOPOVER_CHECKPOINT" ]; then
  echo '::stopover {"done":7,"total":9,"message":"seven of nine","checkpoint": {"at": 12345678901234567890123}}'
  exit 75
fi
echo "attempt $STOPOVER_ATTEMPT from $STOPOVER_CHECKPOINT""#;
    let scene = Scene::new().script("parts", script);
    let id = scene.launch(&["parts"]);
    let run = scene.until("parts", &["interrupted"]);
    assert_eq!((&run["done"], &run["total"], &run["message"]), (&7.into(), &9.into(), &"seven of nine".into()));
    assert!(!log_text(&scene, &run).contains("::stopover"), "what is understood is not log");
    scene.must(&["resume", &id]);
    let run = scene.until("parts", &["succeeded"]);
    assert_eq!(lines(&scene, &run, "stdout"), [r#"attempt 2 from {"at": 12345678901234567890123}"#]);
}

#[test]
fn a_line_that_is_not_understood_is_log_with_one_warning() {
    let script = "for i in 1 2 3; do echo '::stopover {\"done\":'; done; echo '::stopover {\"done\":5,\"new\":{}}'";
    let scene = Scene::new().script("odd", script);
    scene.launch(&["odd"]);
    let run = scene.until("odd", &["succeeded"]);
    assert_eq!(lines(&scene, &run, "stdout"), ["::stopover {\"done\":"; 3]);
    assert_eq!(lines(&scene, &run, "system").iter().filter(|line| line.contains("not understood")).count(), 1);
    let warnings = run["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("::stopover"), "{warnings:?}");
    assert_eq!(run["done"], 5);
}

#[test]
fn a_checkpoint_that_holds_a_secret_is_refused_and_stored_nowhere() {
    let script = r#"echo '::stopover {"checkpoint":{"at":1}}'
echo "::stopover {\"done\":2,\"checkpoint\":{\"token\":\"$STOPOVER_PARAM_TOKEN\"}}"
exit 75"#;
    let scene = Scene::new().manifest("leaks", "command: [sh, leak.sh]\nparams: { token: { secret: true } }\n");
    std::fs::write(scene.path().join("migrations/leak.sh"), script).unwrap();
    scene.launch(&["leaks", "--param", "token=s3cret-value"]);
    let run = scene.until("leaks", &["interrupted"]);
    assert_eq!(run["checkpoint"], serde_json::json!({ "at": 1 }), "the one before it stays");
    assert!(run["warnings"].to_string().contains("holds a secret"), "{run}");
}

#[test]
fn a_program_gets_what_the_protocol_promises_and_no_more() {
    let scene = Scene::new()
        .manifest("env", "command: [sh, print.sh]\nparams: { region: { default: BR, choices: [BR, MX] } }\n")
        .variable("STOPOVER_ENVIRONMENT", "staging")
        .variable("STOPOVER_PARAM_STALE", "of another run");
    std::fs::write(scene.path().join("migrations/print.sh"), "env | grep ^STOPOVER_ | sort").unwrap();
    let id = scene.launch(&["env", "--param", "region=MX"]);
    let run = scene.until("env", &["succeeded"]);
    let printed = lines(&scene, &run, "stdout");
    for expected in [
        "STOPOVER_ATTEMPT=1",
        "STOPOVER_ENVIRONMENT=staging",
        "STOPOVER_MIGRATION=env",
        "STOPOVER_PARAM_REGION=MX",
        "STOPOVER_RERUN=false",
        &format!("STOPOVER_RUN={id}"),
    ] {
        assert!(printed.iter().any(|line| line == expected), "{expected} in {printed:?}");
    }
    for absent in ["STOPOVER_LEDGER", "STOPOVER_CHECKPOINT", "STOPOVER_PARAM_STALE"] {
        assert!(!printed.iter().any(|line| line.starts_with(absent)), "{absent} in {printed:?}");
    }
}

#[test]
fn a_program_that_takes_longer_than_its_timeout_is_stopped_and_has_failed() {
    let scene = Scene::new().manifest("slow", "command: [sleep, '1000']\ntimeout: 1s\n");
    scene.launch(&["slow"]);
    let run = scene.until("slow", &["failed"]);
    assert!(run["error"]["message"].as_str().unwrap().starts_with("timed out"), "{run}");
}

#[tokio::test]
async fn a_worker_starts_in_a_session_whose_leader_is_outside_of_the_pod() {
    let scene = Scene::new().script("moving", "echo of $STOPOVER_ATTEMPT; test $STOPOVER_ATTEMPT = 2 || exit 75");
    let pod = Pod::new(&scene, &[]).ready();
    let id = pod.launch(&["moving"]);
    let run = scene.until("moving", &["interrupted"]);
    let ledger = open_writer(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
    let by = Actor { operator: "ada".to_owned(), place: Place::current().into() };
    ledger.act(id.parse().unwrap(), Action::resume(by, PATIENCE)).await.unwrap();
    let ended = pod.stopover(&["worker", &id, "--attempt", "2"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(lines(&scene, &run, "stdout"), ["of 1", "of 2"]);
}

#[tokio::test]
async fn a_file_that_changes_between_the_launch_and_its_start_is_not_run() {
    let scene = Scene::new().script("moving", "echo first; exit 75");
    let id = scene.launch(&["moving"]);
    let run = scene.until("moving", &["interrupted"]);
    until_dead("the first worker", worker_of(&run));
    let ledger = open_writer(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
    let by = Actor { operator: "ada".to_owned(), place: Place::current().into() };
    ledger.act(id.parse().unwrap(), Action::resume(by, PATIENCE)).await.unwrap();
    let scene = scene.script("moving", "echo second");
    scene.must(&["worker", &id, "--attempt", "2"]);
    let run = scene.until("moving", &["failed"]);
    assert!(run["error"]["message"].as_str().unwrap().contains("has changed since"), "{run}");
    assert_eq!(lines(&scene, &run, "stdout"), ["first"]);
}

#[test]
fn progress_is_in_the_ledger_while_the_program_runs() {
    let script = format!("echo '::stopover {{\"done\":3,\"total\":6}}'; echo said; {WAIT_FOR_GO}");
    let scene = Scene::new().script("going", &script);
    scene.launch(&["going"]);
    until_printed(&scene, "going", "said");
    eventually("its progress is known", PATIENCE, || (scene.run("going")["done"] == 3).then_some(()));
    go(&scene);
    scene.until("going", &["succeeded"]);
}

#[test]
fn what_remains_is_counted_by_a_program_and_told_when_it_is_not_zero_at_the_end() {
    let manifest = "command: [sh, work.sh]\nremaining: { command: [sh, count.sh] }\n";
    let scene = Scene::new().manifest("short", manifest);
    std::fs::write(scene.path().join("migrations/count.sh"), "echo counting\ncat left 2>/dev/null || echo 9").unwrap();
    std::fs::write(scene.path().join("migrations/work.sh"), format!("echo begun; {WAIT_FOR_GO}; echo 4 > left"))
        .unwrap();
    scene.launch(&["short"]);
    until_printed(&scene, "short", "begun");
    eventually("nine are left", PATIENCE, || (scene.run("short")["remaining"] == 9).then_some(()));
    go(&scene);
    let run = scene.until("short", &["succeeded"]);
    assert_eq!(run["remaining"], 4);
    assert!(run["warnings"].to_string().contains("yet 4 items remain"), "{run}");
}
