//! `stopover new` and `stopover lint`: what they write and say, and that what is new runs at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const PATTERNS: &str = "catalog:
  - files: legacy/*.js
    command: [node, legacy/migration.js, '{name}']
  - files: migrations/**/*.yaml
  - files: migrations/*.sh
  - files: migrations/*.[pj][ys]
";

fn project(patterns: &str) -> TempDir {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("stopover.yaml"), patterns).unwrap();
    root
}

fn stopover(root: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stopover"))
        .args(arguments)
        .current_dir(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("STOPOVER_STATE_DIR", root.join("state"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[rstest::rstest]
#[case("script", &["20261101_new.sh"])]
#[case("python", &["20261101_new.py"])]
#[case("node", &["20261101_new.js"])]
#[case("manifest", &["20261101_new.sh", "20261101_new.yaml"])]
fn a_new_migration_has_no_problem_and_runs_from_its_checkpoint_to_its_end(#[case] kind: &str, #[case] files: &[&str]) {
    let root = project(PATTERNS);
    let created = stopover(root.path(), &["new", "20261101_new", "--kind", kind]);
    assert!(created.status.success(), "{created:?}");
    let said = text(&created.stdout);
    for file in files {
        assert!(said.contains(&format!("wrote migrations/{file}\n")), "{said}");
    }
    assert!(said.ends_with("next:\n  stopover lint\n  stopover run 20261101_new --follow\n"), "{said}");

    // Patterns that find nothing yet are problems; the new migration is none.
    let problems: serde_json::Value =
        serde_json::from_slice(&stopover(root.path(), &["lint", "--json"]).stdout).unwrap();
    for problem in problems.as_array().unwrap() {
        assert_eq!(problem["file"], "stopover.yaml", "{problem}");
    }

    let program = root.path().join("migrations").join(files[0]);
    let run = Command::new(&program).env("STOPOVER_CHECKPOINT", r#"{"count":9}"#).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let last = text(&run.stdout).lines().find_map(|line| line.strip_prefix("::stopover ").map(str::to_owned)).unwrap();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last, serde_json::json!({ "done": 10, "total": 10, "checkpoint": { "count": 10 } }));
}

#[test]
fn a_new_backfill_has_no_problem_and_needs_no_program() {
    let root = project("catalog: [{ files: 'migrations/*.yaml' }]\n");
    let created = stopover(root.path(), &["new", "20261101_new", "--kind", "backfill"]);
    assert!(text(&created.stdout).starts_with("wrote migrations/20261101_new.yaml\n\nnext:\n"), "{created:?}");
    let lint = stopover(root.path(), &["lint"]);
    assert_eq!(text(&lint.stdout), "1 migration, no problems\n");
}

/// What a newcomer is offered in comments is valid, too.
#[test]
fn every_choice_that_a_new_backfill_offers_has_no_problem() {
    let root = project("catalog: [{ files: 'migrations/*.yaml' }]\n");
    assert!(stopover(root.path(), &["new", "1_new", "--kind", "backfill"]).status.success());
    let new = fs::read_to_string(root.path().join("migrations/1_new.yaml")).unwrap();
    let update = "  update: { $set: { currency: BRL } }\n";
    assert!(new.contains(update), "{new}");
    for choice in ["update: [", "transform:", "idempotent:", "maxQuarantined:", "speed:", "hold:", "timeout:"] {
        let line = new.lines().find(|line| line.trim_start().trim_start_matches('#').trim_start().starts_with(choice));
        let field = line.unwrap().trim_start().trim_start_matches('#').trim_start();
        let chosen = match choice {
            "update: [" | "transform:" => new.replace(update, &format!("  {field}\n")),
            "idempotent:" | "maxQuarantined:" => new.replace(update, &format!("{update}  {field}\n")),
            _ => format!("{new}{field}\n"),
        };
        let problems = stopover::catalog::check_manifest(&chosen);
        assert!(problems.is_empty(), "{choice}: {problems:?}");
    }
}

#[test]
fn what_is_shown_of_a_migration_with_steps_are_the_steps() {
    let root = project("catalog: [{ files: 'migrations/*.yaml' }]\n");
    fs::create_dir(root.path().join("migrations")).unwrap();
    let manifest = "steps:
  - copy: { collection: charges, into: { database: archive, collection: charges } }
  - command: { database: admin, run: { ping: 1 }, atLeastOnce: true }
speed: { workers: 2, pace: 50% }
";
    fs::write(root.path().join("migrations/a.yaml"), manifest).unwrap();
    fs::write(root.path().join("migrations/b.yaml"), "command: [sh, -c, 'true']\n").unwrap();
    let said = text(&stopover(root.path(), &["show", "a"]).stdout);
    assert!(said.contains("  steps        1. copy charges to archive.charges\n"), "{said}");
    assert!(said.contains("  speed        2 workers at 50 % pace"), "{said}");
    assert!(said.contains("  needs        mongodb\n"), "{said}");
    let shown = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&stopover(root.path(), &["show", name, "--json"]).stdout).unwrap()
    };
    let (a, b) = (shown("a"), shown("b"));
    assert!(a["command"].is_null());
    assert_eq!(
        a["steps"],
        serde_json::json!([
            { "kind": "copy", "title": "copy charges to archive.charges", "database": null, "collection": "charges" },
            { "kind": "command", "title": "command ping", "database": "admin", "collection": null },
        ])
    );
    assert_eq!((&b["command"], &b["steps"]), (&serde_json::json!(["sh", "-c", "true"]), &serde_json::json!([])));
}

#[test]
fn a_name_without_a_number_gets_the_day_before_it() {
    let root = project(PATTERNS);
    let before = chrono::Utc::now().format("%Y%m%d").to_string();
    assert!(stopover(root.path(), &["new", "add_sender"]).status.success());
    let after = chrono::Utc::now().format("%Y%m%d").to_string();
    let exists = |day: &str| root.path().join(format!("migrations/{day}_add_sender.sh")).exists();
    assert!(exists(&before) || exists(&after));
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let root = project(PATTERNS);
    assert!(stopover(root.path(), &["new", "1_a"]).status.success());
    let file = root.path().join("migrations/1_a.sh");
    fs::write(&file, "#!/bin/sh\n# mine\n").unwrap();
    for kind in ["script", "python", "manifest"] {
        let again = stopover(root.path(), &["new", "1_a", "--kind", kind]);
        assert_eq!(again.status.code(), Some(7), "{again:?}");
        assert!(text(&again.stderr).contains("there is a migration `1_a` already: migrations/1_a.sh"), "{again:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "#!/bin/sh\n# mine\n");
    assert!(!root.path().join("migrations/1_a.yaml").exists());
}

#[test]
fn a_name_or_kind_that_cannot_be_is_refused_with_what_to_do() {
    let root = project("catalog: [{ files: 'migrations/*.yaml' }]\n");
    let refuse = |arguments: &[&str]| {
        let output = stopover(root.path(), arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (status, said) = refuse(&["new", "../escape"]);
    assert_eq!(status, 2);
    assert!(said.contains("a migration's name has only letters"), "{said}");
    let (status, said) = refuse(&["new", "backfill.sh"]);
    assert_eq!(status, 2);
    assert!(said.contains("give the name without an extension"), "{said}");
    let (status, said) = refuse(&["new", "1_a"]);
    assert_eq!(status, 7);
    assert!(said.contains("no pattern of stopover.yaml would find `1_a.sh` as a script; add one first"), "{said}");
    assert!(fs::read_dir(root.path()).unwrap().all(|entry| entry.unwrap().file_name() != "migrations"));
}

#[test]
fn lint_shows_the_line_marks_the_mistake_and_fails() {
    let root = project("catalog: [{ files: 'migrations/*.yaml' }]\n");
    fs::create_dir(root.path().join("migrations")).unwrap();
    fs::write(root.path().join("migrations/a.yaml"), "command: ['true']\n").unwrap();
    let fine = stopover(root.path(), &["lint"]);
    assert_eq!((fine.status.code(), text(&fine.stdout)), (Some(0), "1 migration, no problems\n".to_owned()));

    fs::write(root.path().join("migrations/b.yaml"), "command: ['true']\ntimeuot: 5m\n").unwrap();
    let bad = stopover(root.path(), &["lint"]);
    assert_eq!(bad.status.code(), Some(1));
    let said = text(&bad.stdout);
    assert!(said.starts_with("migrations/b.yaml:2:1: unknown key `timeuot` in a manifest\n  |\n2 | timeuot: 5m\n  | ^\n  = did you mean `timeout`? "), "{said}");
    assert!(said.ends_with("\n2 migrations, 1 problem in 1 file\n"), "{said}");

    let problems: serde_json::Value =
        serde_json::from_slice(&stopover(root.path(), &["lint", "--json"]).stdout).unwrap();
    assert_eq!((&problems[0]["line"], &problems[0]["column"]), (&2.into(), &1.into()));
    assert_eq!(problems[0]["text"], "timeuot: 5m");
}
