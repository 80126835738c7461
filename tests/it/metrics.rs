//! `stopover metrics`, and what is written about it for Prometheus and Grafana.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
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
    assert_eq!(scene.until("20261101_good", &["succeeded"])["warnings"], serde_json::json!([]));
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

#[test]
fn rules_and_dashboard_name_only_series_that_there_are() {
    let known = series();
    let dashboard: Value = serde_json::from_str(&file("assets/grafana/stopover.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 10);
    assert_eq!(dashboard["__inputs"][0]["pluginId"], "prometheus", "who imports it chooses where the figures are");
    let variables = &dashboard["templating"]["list"];
    let queries = variables.as_array().unwrap().iter().filter_map(|variable| variable["definition"].as_str());
    let rules = file("assets/prometheus/rules.yaml");
    let rules = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect::<Vec<_>>();
    assert!(rules.len() > 5);
    for text in expressions.iter().copied().chain(queries).chain(rules) {
        for name in named(text) {
            assert!(known.contains(&name), "{name}, of {text}");
        }
    }
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
fn every_expression_of_the_dashboard_is_one_for_prometheus() {
    let dashboard: Value = serde_json::from_str(&file("assets/grafana/stopover.json")).unwrap();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let panels = dashboard["panels"].as_array().unwrap();
    for (number, target) in
        panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()).enumerate()
    {
        // Grafana's own variables are replaced before Prometheus sees them.
        let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$migration", ".*");
        let expression = serde_json::to_string(&expression).unwrap();
        for line in [format!("  - record: panel_{number}\n"), format!("    expr: {expression}\n")] {
            rules.push_str(&line);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("rules.yaml"), rules).unwrap();
    promtool(&["check", "rules", "rules.yaml"], directory.path(), "");
}
