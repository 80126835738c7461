//! What a lost run has left in its pod is gone before anything else is started for it.

use rustix::process::Signal;
use stopover::process::{ProcessIdentity, members_of_session};

use super::guarding::guard_of;
use super::{number_in, signal, until_dead, until_printed, worker_of};
use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::{PATIENCE, Scene};

/// Says whether the program of the attempt before still lives, and ends; the first attempt works on for ever. A dead process that nobody has
/// buried yet has no command line any more.
const WITNESS: &str = r#"
trap '' TERM
before=$((STOPOVER_ATTEMPT - 1))
if [ "$before" -gt 0 ]; then
  # A zombie that nobody has reaped yet works no more.
  case "$(sed -n 's/^State:[[:space:]]*//p' "/proc/$(cat program.$before)/status" 2>/dev/null)" in
    "" | Z* | X*) echo "alone" ;;
    *) echo "two at once" ;;
  esac
  exit 0
fi
echo $$ > program.$STOPOVER_ATTEMPT
echo on
while :; do sleep 0.05; done"#;

/// A run that reads as lost, although its program works on: its worker is frozen, perhaps as it wrote to the ledger, and its guard is dead.
fn frozen_without_guard(scene: Scene, script: &str) -> (Scene, i32) {
    let scene = scene.script("works_on", script).variable("STOPOVER_LEASE", "3s");
    scene.launch(&["works_on"]);
    let worker = worker_of(&until_printed(&scene, "works_on", "on"));
    let guard = guard_of(worker);
    signal(worker, Signal::STOP);
    signal(guard, Signal::KILL);
    (scene, worker)
}

#[test]
fn a_takeover_kills_a_frozen_worker_and_its_program_before_the_next_attempt_starts() {
    let (scene, worker) = frozen_without_guard(Scene::new(), WITNESS);
    scene.until("works_on", &["lost"]);
    let program = number_in(&scene, "program.1");
    assert!(ProcessIdentity::of(program).is_some(), "nobody has ended it yet");
    scene.must(&["resume", "works_on"]);
    assert!(ProcessIdentity::of(program).is_none() && members_of_session(worker).is_empty());
    let run = scene.until("works_on", &["succeeded"]);
    assert_eq!(super::lines(&scene, &run, "stdout"), ["on", "alone"]);
    let event = run["events"].as_array().unwrap().iter().find(|event| event["kind"] == "takenOver").unwrap();
    let text = event["text"].as_str().unwrap();
    assert!(text.ends_with(&format!("what is left of its worker here (pid {worker}) is killed first")), "{text}");
}

#[test]
fn a_takeover_kills_the_program_of_a_worker_that_died_together_with_its_guard() {
    let (scene, worker) = frozen_without_guard(Scene::new(), WITNESS);
    signal(worker, Signal::KILL);
    until_dead("the worker", worker);
    scene.until("works_on", &["lost"]);
    let program = number_in(&scene, "program.1");
    assert!(ProcessIdentity::of(program).is_some(), "nobody has ended it yet");
    scene.must(&["resume", "works_on"]);
    let run = scene.until("works_on", &["succeeded"]);
    assert_eq!(super::lines(&scene, &run, "stdout"), ["on", "alone"]);
}

#[test]
fn a_lost_run_that_is_cancelled_leaves_nothing_behind() {
    let (scene, worker) = frozen_without_guard(Scene::new(), WITNESS);
    scene.until("works_on", &["lost"]);
    scene.must(&["cancel", "works_on"]);
    assert!(members_of_session(worker).is_empty());
    assert!(ProcessIdentity::of(number_in(&scene, "program.1")).is_none());
}

/// Takes the write lock of the ledger when it is told to, and keeps it; or finds that the frozen worker has it.
const HOLDER: &str = r#"
trap '' TERM
echo $$ > program.1
echo on
until [ -e go ]; do sleep 0.05; done
exec python3 -c '
import pathlib, sqlite3, time
ledger = sqlite3.connect("../state/ledger.db", isolation_level=None, timeout=0)
try:
    ledger.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError:
    pass
pathlib.Path("held").touch()
time.sleep(1000)
'"#;

#[test]
fn a_lost_worker_that_holds_the_lock_of_the_ledger_cannot_keep_itself_from_being_ended() {
    let (scene, worker) = frozen_without_guard(Scene::new(), HOLDER);
    super::go(&scene);
    eventually("the lock is held", PATIENCE, || scene.path().join("migrations/held").exists().then_some(()));
    scene.until("works_on", &["lost"]);
    scene.must(&["cancel", "works_on"]);
    assert_eq!(scene.run("works_on")["state"], "cancelled");
    assert!(members_of_session(worker).is_empty());
}

#[test]
fn a_run_of_another_pod_is_taken_over_without_touching_a_process() {
    let database = Database::new();
    let scene = Scene::new().variable("MONGODB_URI", database.uri());
    scene.must(&["init", "--environment", "staging"]);
    let (scene, worker) = frozen_without_guard(scene, WITNESS);
    scene.until("works_on", &["lost"]);
    let program = number_in(&scene, "program.1");
    // The same machine under another name: pids mean nothing between pods.
    let ended = scene.command(&["cancel", "works_on"]).env("STOPOVER_POD", "pod-b").output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ProcessIdentity::of(program).is_some());
    for pid in members_of_session(worker) {
        // What is left of a session without its leader is woken and hung up by the kernel, and may be gone by now.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
}
