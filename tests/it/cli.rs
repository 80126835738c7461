//! The script interface: exit statuses, the shapes of `--json`, and what each refusal says.

use std::fs;

use crate::support::eventually;
use crate::support::scene::{PATIENCE, Scene};

/// A program that runs until it is asked to stop, with a checkpoint, and then until it is resumed.
const ENDLESS: &str = r#"
trap 'echo "::stopover {\"checkpoint\":{\"at\":7}}"; exit 75' TERM
echo '::stopover {"done":7,"total":10,"message":"working"}'
[ -n "$STOPOVER_CHECKPOINT" ] && { echo "from $STOPOVER_CHECKPOINT"; exit 0; }
while :; do sleep 0.05; done
"#;

#[test]
fn a_launch_prints_the_run_id_alone_on_the_first_line_and_returns_at_once() {
    let scene = Scene::new().script("20260101_endless", ENDLESS);
    let ended = scene.stopover(&["run", "20260101_endless"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let id = ended.stdout.lines().next().unwrap();
    assert_eq!((id.len(), ended.stdout.lines().count()), (36, 1), "{}", ended.stdout);
    assert!(ended.stderr.contains("stopover logs"), "{}", ended.stderr);
    assert_eq!(scene.until("20260101_endless", &["running"])["id"], id);
    scene.must(&["cancel", id, "--wait"]);
}

#[test]
fn a_launch_by_exec_names_the_commands_that_follow_it_from_outside_the_pod() {
    let scene = Scene::new()
        .script("20260101_true", "true")
        .variable("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .variable("STOPOVER_NAMESPACE", "payments");
    let ended = scene.stopover(&["run", "20260101_true"]);
    let digits = &ended.stdout.trim().replace('-', "")[24..];
    let outside = "  kubectl exec -n payments pod-a -- stopover";
    assert!(ended.stderr.contains(&format!("{outside} logs {digits} -f\n")), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("{outside} show 20260101_true\n")), "{}", ended.stderr);
    scene.until("20260101_true", &["applied", "succeeded"]);
}

#[test]
fn a_patience_that_is_no_duration_is_a_usage_error() {
    let ended = Scene::new().variable("STOPOVER_TERMINAL_PATIENCE", "long").stopover(&["list"]);
    assert_eq!(ended.status, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("STOPOVER_TERMINAL_PATIENCE"), "{}", ended.stderr);
}

#[test]
fn waiting_ends_with_the_runs_outcome() {
    let scene = Scene::new()
        .script("20260101_good", "exit 0")
        .script("20260102_bad", "echo to stdout; echo the reason >&2; exit 3")
        .script("20260103_stops", "exit 75");
    assert_eq!(scene.stopover(&["run", "20260101_good", "--wait"]).status, 0);
    let bad = scene.stopover(&["run", "20260102_bad", "--wait"]);
    assert_eq!(bad.status, 1);
    assert!(bad.stderr.contains("exit status 3") && bad.stderr.contains("the reason"), "{}", bad.stderr);
    assert_eq!(scene.stopover(&["run", "20260103_stops", "--wait"]).status, 8);
}

#[test]
fn an_applied_migration_needs_rerun() {
    let scene = Scene::new().script("20260101_good", "echo rerun=$STOPOVER_RERUN");
    scene.must(&["run", "20260101_good", "--wait"]);
    let again = scene.stopover(&["run", "20260101_good"]);
    assert_eq!(again.status, 4);
    assert!(again.stderr.contains("applied") && again.stderr.contains("--rerun"), "{}", again.stderr);
    scene.must(&["run", "20260101_good", "--rerun", "--wait"]);
    assert!(scene.must(&["logs", "20260101_good"]).contains("rerun=true"));
}

#[test]
fn a_running_migration_is_refused_with_who_where_and_since_when() {
    let scene = Scene::new().script("20260101_endless", ENDLESS);
    let id = scene.launch(&["20260101_endless", "--operator", "grace"]);
    scene.until("20260101_endless", &["running"]);
    let second = scene.stopover(&["run", "20260101_endless"]);
    assert_eq!(second.status, 3);
    for word in ["grace", "pod-a", &id[28..], "running already", "launched run"] {
        assert!(second.stderr.contains(word), "{word}: {}", second.stderr);
    }
    scene.must(&["cancel", "20260101_endless", "--wait"]);
    assert_eq!(scene.run("20260101_endless")["state"], "cancelled");
}

#[test]
fn requirements_are_refused_until_applied_or_forced_and_the_force_is_recorded() {
    let scene = Scene::new()
        .script("20260101_first", "exit 0")
        .manifest("20260102_second", "command: ['true']\nrequires: [20260101_first]\n");
    let early = scene.stopover(&["run", "20260102_second"]);
    assert_eq!(early.status, 7);
    assert!(early.stderr.contains("20260101_first (pending)"), "{}", early.stderr);
    scene.must(&["run", "20260102_second", "--force", "--wait"]);
    assert_eq!(scene.run("20260102_second")["forced"], true);
    scene.must(&["run", "20260101_first", "--wait"]);
    scene.must(&["run", "20260102_second", "--rerun", "--wait"]);
    assert_eq!(scene.run("20260102_second")["forced"], false);
}

#[test]
fn pause_keeps_the_checkpoint_and_resume_hands_it_back() {
    let scene = Scene::new().script("20260101_endless", ENDLESS);
    let id = scene.launch(&["20260101_endless"]);
    scene.until("20260101_endless", &["running"]);
    scene.must(&["pause", &id, "--wait"]);
    let paused = scene.run("20260101_endless");
    assert_eq!((&paused["state"], &paused["checkpoint"]["at"]), (&"paused".into(), &7.into()));

    let second = scene.stopover(&["run", "20260101_endless"]);
    assert_eq!(
        second.status, 3,
        "a paused run is resumed or cancelled, never started beside itself: {}",
        second.stderr
    );
    assert!(scene.must(&["pause", &id]).contains("paused already"));

    let resumed = scene.stopover(&["resume", "20260101_endless", "--wait"]);
    assert_eq!((resumed.status, resumed.stdout.trim()), (0, id.as_str()), "{}", resumed.stderr);
    let done = scene.run("20260101_endless");
    assert_eq!((&done["state"], &done["attempt"]), (&"succeeded".into(), &2.into()));
    assert!(scene.must(&["logs", &id]).contains("from {\"at\":7}"));
    let kinds = done["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap());
    // That the worker has heard is told beside all else, as far as there is time.
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "acknowledged").collect();
    assert_eq!(kinds, ["launched", "claimed", "pauseRequested", "paused", "resumed", "claimed", "succeeded"]);
}

#[test]
fn a_failure_with_a_checkpoint_is_resumed_or_explicitly_started_over() {
    let fails_once = r#"
echo '::stopover {"checkpoint":{"at":3}}'
[ "$STOPOVER_ATTEMPT" -ge 2 ] || exit 1
"#;
    let scene = Scene::new().script("20260101_fails", fails_once);
    assert_eq!(scene.stopover(&["run", "20260101_fails", "--wait"]).status, 1);
    let refused = scene.stopover(&["run", "20260101_fails"]);
    assert_eq!(refused.status, 7);
    assert!(refused.stderr.contains("stopover resume") && refused.stderr.contains("--rerun"), "{}", refused.stderr);
    scene.must(&["resume", "20260101_fails", "--wait"]);
    assert_eq!(scene.json(&["list", "--json"])[0]["state"], "applied");
}

#[test]
fn a_run_whose_file_has_changed_is_resumed_only_when_told_so() {
    let body = "echo '::stopover {\"checkpoint\":{\"at\":3}}'; exit 1";
    let scene = Scene::new().script("20260101_fails", body);
    assert_eq!(scene.stopover(&["run", "20260101_fails", "--wait"]).status, 1);
    let scene = scene.script("20260101_fails", "echo mended, from $STOPOVER_CHECKPOINT");
    let refused = scene.stopover(&["resume", "20260101_fails"]);
    assert_eq!(refused.status, 7);
    assert!(refused.stderr.contains("has changed since") && refused.stderr.contains("--changed"), "{}", refused.stderr);
    assert_eq!(scene.run("20260101_fails")["attempt"], 1, "nothing was recorded");
    scene.must(&["resume", "20260101_fails", "--changed", "--wait"]);
    assert!(scene.must(&["logs", "20260101_fails"]).contains("mended, from {\"at\":3}"));
    let run = scene.run("20260101_fails");
    let resumed = &run["events"][3];
    assert!(resumed["text"].as_str().unwrap().contains("changed content"), "{resumed}");
    assert_eq!(scene.json(&["list", "--json"])[0]["state"], "applied", "what was applied is what the file says");
}

#[test]
fn list_tells_every_migration_with_the_documented_fields() {
    let scene = Scene::new()
        .manifest("20260101_good", "description: Give charges a sender\nowner: payments\ncommand: [sh, -c, 'exit 0']\n")
        .manifest("20260102_broken", "comand: [x]\n")
        .script("20260103_bad", "echo why >&2; exit 9");
    scene.must(&["run", "20260101_good", "--wait"]);
    scene.stopover(&["run", "20260103_bad", "--wait"]);
    let list = scene.json(&["list", "--json"]);
    let states: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("20260101_good", "applied"), ("20260102_broken", "broken"), ("20260103_bad", "failed")]);
    assert_eq!(list[0]["description"], "Give charges a sender");
    let run = &list[0]["run"];
    for field in
        ["id", "attempt", "state", "operator", "pod", "startedAt", "endedAt", "done", "total", "remaining", "error"]
    {
        assert!(run.get(field).is_some(), "{field}: {run}");
    }
    assert_eq!((&run["operator"], &run["pod"], &run["state"]), (&"ada".into(), &"pod-a".into(), &"succeeded".into()));
    assert!(run["startedAt"].as_str().unwrap().ends_with('Z'));
    assert!(list[1]["run"].is_null() && list[1]["problems"][0]["line"] == 1, "{}", list[1]);
    assert_eq!(
        (&list[2]["run"]["error"]["exitStatus"], &list[2]["run"]["error"]["lastLines"][0]),
        (&9.into(), &"why".into())
    );
    assert_eq!(scene.json(&["list", "--state", "failed", "--json"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_changed_file_and_a_missing_one_are_told() {
    let scene = Scene::new().script("20260101_changes", "exit 0").script("20260102_goes", "exit 0");
    scene.must(&["run", "20260101_changes", "--wait"]);
    scene.must(&["run", "20260102_goes", "--wait"]);
    let scene = scene.script("20260101_changes", "exit 0 # differently");
    fs::remove_file(scene.path().join("migrations/20260102_goes.sh")).unwrap();
    let list = scene.json(&["list", "--json"]);
    assert_eq!((&list[0]["state"], &list[1]["state"]), (&"changed".into(), &"missing".into()));
}

#[test]
fn a_read_only_stopover_looks_but_does_not_act() {
    let scene = Scene::new().script("20260101_good", "exit 0");
    let list = scene.stopover(&["list", "--read-only"]);
    assert_eq!(list.status, 0, "{}", list.stderr);
    assert!(!scene.state().join("ledger.db").exists(), "looking creates nothing");
    let run = scene.stopover(&["run", "20260101_good", "--read-only"]);
    assert_eq!(run.status, 7);
    assert!(run.stderr.contains("read-only"), "{}", run.stderr);
    let scene = scene.variable("STOPOVER_READ_ONLY", "1");
    assert_eq!(scene.stopover(&["run", "20260101_good"]).status, 7);
}

#[test]
fn the_wrong_environment_is_refused() {
    let scene = Scene::new().script("20260101_good", "exit 0");
    scene.must(&["init", "--environment", "production"]);
    let scene = scene.variable("STOPOVER_ENVIRONMENT", "staging");
    let refused = scene.stopover(&["run", "20260101_good"]);
    assert_eq!(refused.status, 5);
    assert!(refused.stderr.contains("production") && refused.stderr.contains("staging"), "{}", refused.stderr);
    scene.must(&["list"]);
}

#[test]
fn a_protected_environment_asks_for_the_migrations_name() {
    let scene = Scene::new().script("20260101_good", "exit 0");
    scene.must(&["init", "--environment", "production", "--protected"]);
    let unconfirmed = scene.stopover(&["run", "20260101_good"]);
    assert_eq!(unconfirmed.status, 7);
    assert!(unconfirmed.stderr.contains("--confirm 20260101_good"), "{}", unconfirmed.stderr);
    assert_eq!(scene.stopover(&["run", "20260101_good", "--confirm", "20260102"]).status, 7);
    scene.must(&["run", "20260101_good", "--confirm", "20260101_good", "--wait"]);
}

#[test]
fn init_keeps_the_first_stamp_unless_told_otherwise() {
    let scene = Scene::new();
    scene.must(&["init", "--environment", "staging"]);
    scene.must(&["init", "--environment", "staging"]);
    let second = scene.stopover(&["init", "--environment", "production"]);
    assert_eq!(second.status, 7);
    assert!(second.stderr.contains("--restamp"), "{}", second.stderr);
    assert!(scene.must(&["init", "--environment", "production", "--restamp"]).contains("`production`"));
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors_and_repeat_no_secret() {
    let scene = Scene::new();
    assert_eq!(scene.stopover(&["frobnicate"]).status, 2);
    assert_eq!(scene.stopover(&["list", "--state", "purple"]).status, 2);
    let password = scene.stopover(&["list", "--ledger", "mongodb://app:s3cret@db/payments"]);
    assert_eq!(password.status, 2);
    assert!(password.stderr.contains("STOPOVER_LEDGER") && !password.stderr.contains("s3cret"), "{}", password.stderr);
}

#[test]
fn an_unreachable_ledger_has_a_status_of_its_own_and_names_itself_without_its_password() {
    let scene = Scene::new().variable(
        "MONGODB_URI",
        "mongodb://app:s3cret@127.0.0.1:1/payments?serverSelectionTimeoutMS=300&connectTimeoutMS=300",
    );
    let list = scene.stopover(&["list"]);
    assert_eq!(list.status, 6, "{}", list.stderr);
    assert!(list.stderr.contains("127.0.0.1:1") && !list.stderr.contains("s3cret"), "{}", list.stderr);
}

#[test]
fn without_a_terminal_it_says_how_to_attach() {
    let ended = Scene::new().stopover(&[]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("kubectl exec -it") && ended.stderr.contains("stopover list"), "{}", ended.stderr);
}

#[test]
fn params_reach_the_program_and_secret_ones_nothing_else() {
    let manifest = "command: [sh, -c, 'echo region=$STOPOVER_PARAM_REGION; test ${#STOPOVER_PARAM_TOKEN} = 9 && echo token $STOPOVER_PARAM_TOKEN']\nparams:\n  region: { choices: [BR, MX], default: BR }\n  token: { secret: true, required: true }\n";
    let scene = Scene::new().manifest("20260101_params", manifest);
    let missing = scene.stopover(&["run", "20260101_params"]);
    assert_eq!(missing.status, 7);
    assert!(missing.stderr.contains("--param token="), "{}", missing.stderr);
    assert_eq!(
        scene.stopover(&["run", "20260101_params", "--param", "region=US", "--param", "token=hush-hush"]).status,
        7
    );
    scene.must(&["run", "20260101_params", "--param", "region=MX", "--param", "token=hush-hush", "--wait"]);
    let log = scene.must(&["logs", "20260101_params"]);
    assert!(log.contains("region=MX") && log.contains("token ***") && !log.contains("hush-hush"), "{log}");
    let run = scene.run("20260101_params");
    assert_eq!((&run["params"]["region"], &run["params"]["token"]), (&"MX".into(), &"***".into()));
    assert!(!contains(&scene.state(), b"hush-hush"), "the secret is in the state directory");
}

#[test]
fn a_secret_param_comes_from_the_environment_or_a_file_and_a_plain_one_is_warned_of() {
    let manifest = "command: [sh, -c, 'echo ${#STOPOVER_PARAM_TOKEN} letters']\nparams:\n  token: { secret: true, required: true }\n";
    let scene = Scene::new().manifest("20260101_token", manifest);
    let plain = scene.stopover(&["run", "20260101_token", "--param", "token=abcde", "--wait"]);
    assert_eq!(plain.status, 0, "{}", plain.stderr);
    assert!(plain.stderr.contains("STOPOVER_PARAM_TOKEN") && !plain.stderr.contains("abcde"), "{}", plain.stderr);

    let file = scene.path().join("token");
    fs::write(&file, "sevenly\n").unwrap();
    let from_file = format!("token=@{}", file.display());
    let quiet = scene.stopover(&["run", "20260101_token", "--rerun", "--param", &from_file, "--wait"]);
    assert!(quiet.status == 0 && !quiet.stderr.contains("warning: the value"), "{}", quiet.stderr);
    assert!(scene.must(&["logs", "20260101_token"]).contains("7 letters"));

    let scene = scene.variable("STOPOVER_PARAM_TOKEN", "three");
    scene.must(&["run", "20260101_token", "--rerun", "--wait"]);
    assert!(scene.must(&["logs", "20260101_token"]).contains("5 letters"));
}

#[test]
fn a_run_is_not_launched_where_it_could_leave_no_log() {
    let scene = Scene::new().script("20260101_good", "exit 0");
    let ledger = format!("sqlite:{}", scene.path().join("elsewhere.db").display());
    fs::write(scene.path().join("file"), "").unwrap();
    let state = scene.path().join("file/state").display().to_string();
    let refused = scene.stopover(&["run", "20260101_good", "--ledger", &ledger, "--state-dir", &state]);
    assert_eq!(refused.status, 7, "{}", refused.stderr);
    assert!(refused.stderr.contains("STOPOVER_STATE_DIR"), "{}", refused.stderr);
    assert_eq!(
        scene.json(&["runs", "--ledger", &ledger, "--json"]).as_array().unwrap().len(),
        0,
        "nothing was recorded"
    );
}

#[test]
fn items_that_remain_after_a_success_are_told() {
    let manifest = "command: ['true']\nremaining: { command: [echo, '5'] }\n";
    let scene = Scene::new().manifest("20260101_short", manifest);
    let ended = scene.stopover(&["run", "20260101_short", "--wait"]);
    assert!(ended.status == 0 && ended.stderr.contains("yet 5 items remain"), "{}", ended.stderr);
    assert!(scene.must(&["list"]).contains("succeeded, yet 5 remain"));
}

#[test]
fn a_list_without_a_catalog_fails() {
    let scene = Scene::new();
    fs::remove_file(scene.path().join("stopover.yaml")).unwrap();
    let list = scene.stopover(&["list"]);
    assert_eq!(list.status, 1, "{}", list.stderr);
    assert!(list.stderr.contains("stopover.yaml"), "{}", list.stderr);
}

#[test]
fn waiting_for_a_stop_fails_when_the_run_ends_otherwise() {
    let scene = Scene::new().script("20260101_done", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    let id = scene.launch(&["20260101_done"]);
    eventually("its trap is set", PATIENCE, || scene.must(&["logs", &id]).contains("ready").then_some(()));
    let paused = scene.stopover(&["pause", &id, "--wait"]);
    assert_eq!(paused.status, 1, "it succeeded before it could pause: {}", paused.stdout);
    assert!(paused.stdout.contains("succeeded"), "{}", paused.stdout);
}

/// Whether any file below a directory holds some bytes.
fn contains(directory: &std::path::Path, needle: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            contains(&path, needle)
        } else {
            memchr::memmem::find(&fs::read(&path).unwrap(), needle).is_some()
        }
    })
}

#[test]
fn doctor_explains_an_unfinished_run_and_passes_where_all_is_well() {
    let scene = Scene::new().script("20260101_stops", "exit 75");
    assert_eq!(scene.stopover(&["doctor"]).status, 0);
    scene.stopover(&["run", "20260101_stops", "--wait"]);
    let report = scene.json(&["doctor", "--json"]);
    assert_eq!(
        (&report["runs"][0]["migration"], &report["runs"][0]["state"]),
        (&"20260101_stops".into(), &"interrupted".into())
    );
    assert!(report["runs"][0]["next"].as_str().unwrap().contains("stopover resume"));
}

#[test]
fn completions_are_printed_for_the_usual_shells() {
    let scene = Scene::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.must(&["completions", shell]).contains("stopover"), "{shell}");
    }
}

#[test]
fn terms_of_a_lease_that_make_no_sense_are_refused_with_what_to_change() {
    let scene = Scene::new().variable("STOPOVER_LEASE", "10s").variable("STOPOVER_LEASE_MARGIN", "9s");
    let ended = scene.stopover(&["list"]);
    assert_eq!(ended.status, 2);
    assert!(
        ended.stderr.contains("STOPOVER_LEASE_MARGIN") && ended.stderr.contains("make the lease longer"),
        "{}",
        ended.stderr
    );
}
