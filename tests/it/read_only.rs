//! Read-only: everything can be looked at, nothing is changed, and who tries is told what was refused, why, and where to do it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::scene::Scene;

const NAME: &str = "20260101_good";
const RUN: &str = "019a0000-0000-7000-8000-000000000001";

/// What changes something: arguments, what is said to be refused, and the command for it elsewhere.
const CHANGING: &[(&[&str], &str, &str)] = &[
    (&["run", NAME], "a launch is refused", "stopover run`"),
    (&["run", NAME, "--rerun", "--force", "--wait"], "a launch is refused", "stopover run`"),
    (&["resume", NAME], "a resume is refused", "stopover resume`"),
    (&["pause", NAME], "a pause is refused", "stopover pause`"),
    (&["cancel", NAME], "a cancel is refused", "stopover cancel`"),
    (&["cancel", NAME, "--force", "--confirm", NAME], "a cancel is refused", "stopover cancel`"),
    (&["tune", NAME, "--pace", "50"], "setting the speed of a run is refused", "stopover tune`"),
    (&["quarantine", NAME, "--retry"], "a retry is refused", "stopover quarantine --retry`"),
    (&["init", "--environment", "staging"], "stamping the ledger is refused", "stopover init`"),
    (&["notify", "--test"], "a message to people is refused", "stopover notify --test`"),
    (&["new", "first"], "writing a migration is refused", "in a checkout of the catalog"),
    (&["detach", RUN, "--attempt", "1"], "executing a run is refused", "stopover resume`"),
    (&["worker", RUN, "--attempt", "1"], "executing a run is refused", "stopover resume`"),
    (&["interrupted", "--within", "1s", "019a0000-0000-7000-8000-000000000001:1"], "recording the end", "doctor`"),
];

/// What only looks, and its exit status where nothing was ever run.
const LOOKING: &[(&[&str], i32)] = &[
    (&["list"], 0),
    (&["list", "--json"], 0),
    (&["show", NAME], 0),
    (&["runs"], 0),
    (&["logs", NAME], 7),
    (&["quarantine", NAME], 7),
    (&["doctor"], 0),
    (&["doctor", "--json"], 0),
    (&["metrics"], 0),
    (&["lint"], 0),
    (&["notify"], 0),
    (&["completions", "bash"], 0),
    // Without a terminal they say how to attach.
    (&["console"], 2),
    (&["watch"], 2),
    (&["recover"], 0),
];

fn scene() -> Scene {
    Scene::new().script(NAME, "exit 0")
}

/// Every file of a scene with its content.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        found.insert(path.display().to_string(), Vec::new());
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn every_verb_either_looks_or_is_refused() {
    let help = Scene::new().must(&["-h"]);
    let verbs = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let verbs = verbs.take_while(|line| !line.trim().is_empty()).filter_map(|line| line.split_whitespace().next());
    for verb in verbs {
        let is_known = CHANGING.iter().any(|(arguments, ..)| arguments[0] == verb)
            || LOOKING.iter().any(|(arguments, _)| arguments[0] == verb)
            // Idles, and has its own tests.
            || verb == "keep";
        assert!(is_known, "say of `stopover {verb}` whether it changes anything");
    }
}

#[test]
fn who_tries_to_change_something_is_told_what_was_refused_and_why_and_where_to_do_it() {
    let by_flag = scene();
    let by_variable = scene().variable("STOPOVER_READ_ONLY", "1");
    let told_of_the_flag = "read-only: --read-only was given; leave it out, or do it";
    let told_of_the_variable = "read-only: STOPOVER_READ_ONLY is set here, which no flag undoes; do it";
    let ways: [(_, &[&str], _); 2] =
        [(&by_flag, &["--read-only"], told_of_the_flag), (&by_variable, &[], told_of_the_variable)];
    for (scene, flag, why) in ways {
        let before = files(scene.path());
        for (arguments, refused, place) in CHANGING {
            let ended = scene.stopover(&[arguments, flag].concat());
            assert_eq!(ended.status, 7, "{arguments:?}: {}", ended.stderr);
            assert!(ended.stdout.is_empty(), "{}", ended.stdout);
            for part in [refused, why, place] {
                assert!(ended.stderr.contains(part), "{arguments:?} does not say {part:?}: {}", ended.stderr);
            }
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        }
        assert_eq!(files(scene.path()), before, "nothing was created or changed");
    }
    let told = by_variable.stopover(&["run", NAME]).stderr;
    assert!(told.contains("`kubectl exec -it deploy/stopover -- stopover run`"), "{told}");
}

#[test]
fn no_flag_undoes_the_variable() {
    let scene = scene().variable("STOPOVER_READ_ONLY", "true");
    for (arguments, ..) in CHANGING {
        let ended = scene.stopover(&[arguments, &["--read-only=false"][..]].concat());
        assert_eq!(ended.status, 2, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("STOPOVER_READ_ONLY is set here, which no flag undoes"), "{}", ended.stderr);
    }
    assert!(!scene.state().join("ledger.db").exists());
    let scene = scene.variable("STOPOVER_READ_ONLY", "0");
    scene.must(&["run", NAME, "--wait", "--read-only=false"]);
    assert_eq!(scene.stopover(&["run", NAME, "--rerun", "--read-only"]).status, 7);
}

#[test]
fn what_looks_works_and_creates_nothing() {
    let scene = scene().variable("STOPOVER_READ_ONLY", "1");
    let before = files(scene.path());
    for (arguments, status) in LOOKING {
        let ended = scene.stopover(arguments);
        assert_eq!(ended.status, *status, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("is refused"), "{arguments:?}: {}", ended.stderr);
    }
    assert_eq!(files(scene.path()), before);
}

#[test]
fn a_pod_that_only_looks_continues_no_run_by_itself_and_says_so() {
    let scene = scene().variable("STOPOVER_READ_ONLY", "1");
    let ended = scene.stopover(&["recover"]);
    assert!(ended.stdout.contains("none goes on here by itself"), "{ended:?}");
    assert!(ended.stdout.contains("STOPOVER_READ_ONLY is set here"), "{ended:?}");
}
