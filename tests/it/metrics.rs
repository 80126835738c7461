//! `stopover metrics`, and what is written about it for Prometheus and Grafana.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stopover::catalog::{Checksum, MigrationId, ResumePolicy};
use stopover::ledger::{Launch, LedgerAddress, LedgerWriter, NewRun, RunId, open_writer};
use stopover::place::{Actor, Place};
use stopover::telemetry::page::families;
use stopover::telemetry::page::text::{Family, Kind};

use crate::support::promtool::{Figures, promtool};
use crate::support::scene::Scene;

/// A file of this project.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Records a run that waits for its worker.
async fn open(ledger: &dyn LedgerWriter, migration: &str) {
    let launch = Launch {
        by: Actor { operator: "ada".to_owned(), place: Arc::new(Place::current()) },
        rerun: false,
        forced: false,
        command: vec!["true".to_owned()],
        params: vec![],
        checksum: serde_json::from_value::<Checksum>("a".repeat(64).into()).unwrap(),
        resume: ResumePolicy::Manual,
        quarantine_of: None,
    };
    let migration = MigrationId::new(migration).unwrap();
    let run = NewRun { id: RunId::generate(), migration, launch, lease: Duration::from_mins(10) };
    ledger.open(run).await.unwrap();
}

#[tokio::test]
async fn however_many_migrations_are_unfinished_the_series_are_so_many_and_no_more() {
    let scene = Scene::new().script("20260100_stamp", "true");
    scene.launch(&["20260100_stamp", "--wait"]);
    let ledger = open_writer(&LedgerAddress::Sqlite(scene.state().join("ledger.db"))).await.unwrap();
    for number in 0..500 {
        open(&*ledger, &format!("2026_{number:03}-{}", "x".repeat(100))).await;
    }
    let figures = Figures::of(&scene.must(&["metrics"]));
    assert_eq!(figures.count("stopover_runs{state=\"queued\"}"), 500);
    assert_eq!(figures.series("stopover_run_unfinished"), 200);
    assert_eq!(figures.count("stopover_migrations_left_out{source=\"ledger\"}"), 300);
    assert_eq!(figures.count("stopover_migrations_left_out{source=\"pod\"}"), 0);
}

#[test]
fn a_run_whose_figures_cannot_be_kept_is_a_run_like_any_other() {
    let scene = Scene::new().script("20261101_good", "echo '::stopover {\"done\":7}'");
    fs::create_dir(scene.state()).unwrap();
    fs::write(scene.state().join("metrics"), "a file where a directory should be").unwrap();
    scene.launch(&["20261101_good", "--wait"]);
    assert_eq!(scene.until("20261101_good", &["succeeded"])["warnings"], json!([]));
    let figures = Figures::of(&scene.must(&["metrics"]));
    assert_eq!(figures.count("stopover_runs{state=\"succeeded\"}"), 1);
    assert_eq!(figures.series("stopover_documents_processed_total"), 0);
}

#[test]
fn a_damaged_file_of_figures_is_left_out_and_harms_nobody() {
    let scene = Scene::new().script("20261101_good", "echo '::stopover {\"done\":7}'");
    let directory = scene.state().join("metrics");
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in [("20261101_good.json", "{\"migration\":"), ("..json", "{}"), ("a b.json", "\u{0}"), ("x", "y")]
    {
        fs::write(directory.join(name), text).unwrap();
    }
    assert_eq!(Figures::of(&scene.must(&["metrics"])).series("stopover_lease_renewals_total"), 0);
    scene.launch(&["20261101_good", "--wait"]);
    crate::support::eventually("the figures are kept", crate::support::scene::PATIENCE, || {
        let figures = Figures::of(&scene.must(&["metrics"]));
        figures
            .get("stopover_documents_processed_total{migration=\"20261101_good\"}")
            .filter(|done| (done - 7.0).abs() < f64::EPSILON)
    });
}

#[test]
fn the_rules_for_prometheus_are_valid_and_fire_when_they_should() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/prometheus");
    promtool(&["check", "rules", "rules.yaml"], &directory, "");
    promtool(&["test", "rules", "rules.test.yaml"], &directory, "");
}

#[test]
fn the_example_of_a_scrape_is_valid() {
    // What Debian builds cannot ask a cluster for its pods.
    let asks = "kubernetes_sd_configs:\n      - role: pod\n";
    let config = file("assets/prometheus/scrape.yaml");
    assert!(config.contains(asks));
    let directory = tempfile::tempdir().unwrap();
    let config = config.replace(asks, "static_configs:\n      - targets: [\"10.0.0.1:8080\"]\n");
    fs::write(directory.path().join("scrape.yaml"), config).unwrap();
    promtool(&["check", "config", "--syntax-only", "scrape.yaml"], directory.path(), "");
}

/// Every series that the page may have, by the name that queries give it.
fn series() -> BTreeSet<String> {
    let names = |family: &Family| match family.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.name)).to_vec(),
        Kind::Counter | Kind::Gauge => vec![family.name.to_owned()],
    };
    families::ALL.iter().flat_map(names).collect()
}

/// What a text names that looks like a metric of Stopover's.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("stopover_") || word.starts_with("process_")).map(ToOwned::to_owned).collect()
}

/// The dashboard's panels with their queries.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("assets/grafana/stopover.json")).unwrap();
    assert_eq!(dashboard["__inputs"][0]["pluginId"], "prometheus", "who imports it chooses where the figures are");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of = |panel: &Value| panel["targets"].as_array().cloned().unwrap_or_default();
    let queries: Vec<_> = panels
        .flat_map(|panel| of(panel).into_iter().map(|target| (text(&panel["title"]), text(&target["expr"]))))
        .collect();
    assert!(queries.len() > 10);
    queries
}

/// The queries that the dashboard's variables take their values from.
fn variables() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&file("assets/grafana/stopover.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap().clone();
    variables.iter().map(|variable| variable["definition"].as_str().unwrap().to_owned()).collect()
}

/// The queries that the documentation answers questions with.
fn answers() -> Vec<String> {
    let text = file("docs/observability.md");
    let table = text.split("| question | query |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let answers: Vec<_> = table.lines().map(|row| row.split('`').nth(1).unwrap().replace("\\|", "|")).collect();
    assert!(answers.len() > 5);
    answers
}

#[test]
fn rules_dashboard_and_documentation_name_only_series_that_there_are() {
    let known = series();
    let rules = file("assets/prometheus/rules.yaml");
    let rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(ToOwned::to_owned);
    let rules: Vec<_> = rules.collect();
    assert!(rules.len() > 5);
    let queries = dashboard().into_iter().map(|(_, query)| query);
    for text in queries.chain(variables()).chain(rules).chain(answers()) {
        for name in named(&text) {
            assert!(known.contains(&name), "{name}, of {text}");
        }
    }
}

#[test]
fn what_is_asked_of_prometheus_is_asked_of_each_namespace() {
    let queries: Vec<_> = dashboard().into_iter().map(|(_, query)| query).collect();
    for query in &queries {
        for name in named(query) {
            let narrowed = query.matches(&format!("{name}{{namespace=~\"$namespace\"")).count();
            assert_eq!(narrowed, query.matches(&name).count(), "{name}, of {query}");
        }
    }
    for query in queries.into_iter().chain(answers()) {
        for labels in query.split(" by (").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(labels.split(", ").any(|label| label == "namespace"), "{query} mixes them up");
        }
    }
    let variables = variables();
    assert_eq!(variables.iter().filter(|query| query.ends_with(", namespace)")).count(), 1, "{variables:?}");
    let of_migrations = variables.iter().find(|query| query.ends_with(", migration)")).unwrap();
    assert!(of_migrations.contains("stopover_run_unfinished"), "one that no pod has counted is there, too");
}

#[test]
fn one_lost_run_in_staging_and_one_in_production_are_two() {
    let counts = dashboard().into_iter().filter(|(panel, _)| ["Lost", "Failed", "Pending"].contains(&panel.as_str()));
    let of_all = |query: &str| query.replace("$namespace", ".*");
    let tests: Vec<_> = counts
        .map(|(_, query)| json!({ "expr": of_all(&query), "eval_time": "1m", "exp_samples": [{ "labels": "{}", "value": 2 }] }))
        .collect();
    assert_eq!(tests.len(), 3);
    let places = [("staging", "one"), ("staging", "two"), ("production", "three")];
    let told =
        ["stopover_runs{state=\"lost\"", "stopover_runs{state=\"failed\"", "stopover_migrations{state=\"pending\""];
    let series = places.iter().flat_map(|(namespace, pod)| {
        told.map(
            |name| json!({ "series": format!("{name}, namespace=\"{namespace}\", pod=\"{pod}\"}}"), "values": "1x10" }),
        )
    });
    let series: Vec<_> = series.collect();
    let whole = json!({ "tests": [{ "interval": "15s", "input_series": series, "promql_expr_test": tests }] });
    let directory = tempfile::tempdir().unwrap();
    // JSON is YAML, too.
    fs::write(directory.path().join("test.yaml"), whole.to_string()).unwrap();
    promtool(&["test", "rules", "test.yaml"], directory.path(), "");
}

#[test]
fn every_metric_is_in_the_documentation() {
    let documented = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap().flatten();
    let documented = documented.filter(|file| file.file_name().to_string_lossy().starts_with("observability"));
    let text: String = documented.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    for Family { name, .. } in families::ALL {
        assert!(text.contains(&format!("`{name}`")), "docs/observability.md does not tell of {name}");
    }
}

#[test]
fn every_query_of_dashboard_and_documentation_is_one_for_prometheus() {
    // Grafana's own variables are replaced before Prometheus sees them.
    let queries = dashboard().into_iter().map(|(_, query)| {
        query.replace("$__rate_interval", "5m").replace("$migration", ".*").replace("$namespace", ".*")
    });
    let rules = queries.chain(answers()).enumerate();
    let rules: Vec<_> =
        rules.map(|(number, query)| json!({ "record": format!("query_{number}"), "expr": query })).collect();
    let directory = tempfile::tempdir().unwrap();
    let whole = json!({ "groups": [{ "name": "queries", "rules": rules }] });
    fs::write(directory.path().join("rules.yaml"), whole.to_string()).unwrap();
    promtool(&["check", "rules", "rules.yaml"], directory.path(), "");
}
