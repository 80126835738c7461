//! The README says what the program does: its tables are held against the program itself.

use std::fs;

use bson::{Document, doc};

use crate::support::mongo::Database;
use crate::support::scene::Scene;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The lines of a help text between a heading and the next empty line.
fn section<'h>(help: &'h str, heading: &str) -> impl Iterator<Item = &'h str> {
    help.lines().skip_while(move |line| !line.starts_with(heading)).skip(1).take_while(|line| !line.trim().is_empty())
}

#[test]
fn every_verb_is_in_the_table_of_commands_and_no_other() {
    let help = Scene::new().must(&["-h"]);
    let verbs: Vec<_> = section(&help, "Commands:")
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|verb| *verb != "console")
        .collect();
    assert!(verbs.len() > 8, "{help}");
    let readme = readme();
    for verb in &verbs {
        assert!(readme.contains(&format!("| `stopover {verb}")), "the README has no row for `stopover {verb}`");
    }
    for row in readme.lines().filter_map(|line| line.strip_prefix("| `stopover ")) {
        let verb = row.split([' ', '`']).next().unwrap();
        assert!(verb.is_empty() || verbs.contains(&verb), "the README tells of `stopover {verb}`, which there is not");
    }
}

#[test]
fn every_flag_that_the_readme_shows_for_a_verb_exists() {
    let scene = Scene::new();
    for row in readme().lines().filter_map(|line| line.strip_prefix("| `stopover ")) {
        let usage = row.split("` |").next().unwrap().replace("\\|", " ");
        let Some(verb) = usage.split([' ', '`']).next().filter(|verb| !verb.is_empty()) else { continue };
        let help = scene.must(&[verb, "--help"]);
        let words = usage.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        for flag in words.filter(|word| word.starts_with('-') && word.len() > 1) {
            assert!(help.contains(flag), "`stopover {verb}` has no {flag}");
        }
    }
}

#[tokio::test]
async fn the_native_backfill_of_the_readme_runs() {
    let readme = readme();
    let mut manifests = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let manifest = manifests.find(|text| text.contains("\n  - backfill:")).unwrap();
    let database = Database::new();
    let charges = database.open().await.collection::<Document>("charges");
    let charge = |id: i32| doc! { "_id": id, "items": [{ "amount": id }, { "amount": 5 }] };
    charges.insert_many((0..100).map(charge)).await.unwrap();
    let scene = Scene::new().manifest("20261201_totals", manifest).variable("MONGODB_URI", database.uri());
    let ledger = format!("sqlite:{}", scene.state().join("ledger.db").display());
    let scene = scene.variable("STOPOVER_LEDGER", ledger);
    scene.must(&["run", "20261201_totals", "--wait"]);
    let right = doc! { "$expr": { "$eq": ["$total", { "$add": ["$_id", 5] }] } };
    assert_eq!(charges.count_documents(right).await.unwrap(), 100);
    assert_eq!(scene.run("20261201_totals")["remaining"], 0);
}
