//! The sample catalog: every migration in it runs, fails, stops and goes on as it says.
//!
//! Each is run as the program it is, with the environment that Stopover gives it, so that a failure here is the sample's own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use bson::{Document, doc};
use rustix::process::{Pid, Signal, kill_process};
use stopover::catalog::{Catalog, CommandTemplate, Entry, Migration, MigrationId, Params, Remaining, Work};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::mongo::Database;
use crate::support::scene::Scene;

/// The samples, and a directory of their own for their data.
struct Samples {
    catalog: Catalog,
    data: TempDir,
}

impl Samples {
    fn new() -> Self {
        let catalog = Catalog::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("stopover.yaml"));
        Self { catalog, data: TempDir::new().unwrap() }
    }

    fn migration(&self, name: &str) -> &Migration {
        match self.catalog.entry(&MigrationId::new(name).unwrap()) {
            Some(Entry::Ready(migration)) => migration,
            other => panic!("{name} cannot be launched: {other:?}"),
        }
    }

    fn attempt(&self, name: &str) -> Attempt<'_> {
        Attempt { samples: self, migration: self.migration(name), variables: BTreeMap::new(), params: Vec::new() }
            .with("STOPOVER_PARAM_PACE", "1000000")
            .with("STOPOVER_PARAM_PAUSE", "0")
    }

    /// Runs a migration that is to succeed, from its start to its end.
    fn apply(&self, name: &str) -> Output {
        let output = self.attempt(name).output();
        assert!(output.status.success(), "{name}: {output:?}");
        output
    }

    /// What the migration's `remaining` counts now.
    fn remaining(&self, name: &str) -> u64 {
        let migration = self.migration(name);
        let Some(Remaining::Command(template)) = &migration.remaining else { panic!("{name} counts nothing") };
        let output =
            command(template, &migration.id, false).env("STOPOVER_SAMPLE_DIR", self.data.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().parse().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

/// One start of a migration's program.
struct Attempt<'s> {
    samples: &'s Samples,
    migration: &'s Migration,
    variables: BTreeMap<&'static str, String>,
    params: Vec<(String, String)>,
}

impl Attempt<'_> {
    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.insert(variable, value.to_owned());
        self
    }

    fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self) -> Command {
        let template = self.migration.work.program().unwrap();
        let rerun = self.variables.get("STOPOVER_RERUN").is_some_and(|value| value == "true");
        let mut command = command(template, &self.migration.id, rerun);
        let params = Params::resolve(&self.migration.params, &self.params).unwrap();
        command
            .env("STOPOVER_RUN", "00000000-0000-7000-8000-000000000000")
            .env("STOPOVER_MIGRATION", self.migration.id.as_str())
            .env("STOPOVER_RERUN", "false")
            .env("STOPOVER_ATTEMPT", "1")
            .env("STOPOVER_SAMPLE_DIR", self.samples.data.path())
            .envs(
                params.iter().map(|(name, value)| (format!("STOPOVER_PARAM_{}", name.to_uppercase()), value.expose())),
            )
            .envs(&self.variables)
            .env_remove("MONGODB_URI")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self) -> Output {
        self.command().output().unwrap()
    }

    fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }
}

fn command(template: &CommandTemplate, id: &MigrationId, rerun: bool) -> Command {
    let argv = template.render(id, rerun);
    let mut command = Command::new(&argv[0]);
    // Python would leave its compiled modules in the source tree.
    command.args(&argv[1..]).current_dir(&template.directory).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The progress that a program told, in order.
fn told(output: &[u8]) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .filter_map(|line| line.strip_prefix("::stopover "))
        .map(|json| serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}")))
        .collect()
}

/// The latest checkpoint, as it would be handed to the next attempt.
fn checkpoint(told: &[serde_json::Value]) -> String {
    told.iter().filter_map(|progress| progress.get("checkpoint")).next_back().expect("a checkpoint").to_string()
}

#[test]
fn the_sample_catalog_has_no_problem() {
    let samples = Samples::new();
    let problems: Vec<_> = samples.catalog.all_problems().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
    assert!((10..=14).contains(&samples.catalog.entries.len()));
}

#[rstest::rstest]
#[case("20260810_rename_amount_to_cents")]
#[case("20260914_drop_expired_sessions")]
#[case("20261005_archive_settlement_files")]
#[case("20261012_add_currency_to_charges")]
#[case("20261104_add_sender_to_transactions")]
#[case("20261110_recount_balances")]
#[case("20261116_translate_receipts")]
#[case("20261117_replay_webhooks")]
fn a_sample_runs_to_its_end_and_can_be_run_again(#[case] name: &str) {
    let samples = Samples::new();
    samples.apply(name);
    samples.apply(name);
    let rerun = samples.attempt(name).with("STOPOVER_RERUN", "true").output();
    assert!(rerun.status.success(), "{rerun:?}");
}

#[rstest::rstest]
#[case("20261005_archive_settlement_files")]
#[case("20261012_add_currency_to_charges")]
#[case("20261104_add_sender_to_transactions")]
#[case("20261116_translate_receipts")]
#[case("20261117_replay_webhooks")]
fn a_sample_that_speaks_the_protocol_ends_with_everything_done(#[case] name: &str) {
    let told = told(&Samples::new().apply(name).stdout);
    let number = |progress: &serde_json::Value, key: &str| progress[key].as_u64().unwrap();
    let done: Vec<_> = told.iter().map(|progress| number(progress, "done")).collect();
    assert!(done.is_sorted(), "progress never goes back: {done:?}");
    assert_eq!(done.last().copied(), told.last().map(|progress| number(progress, "total")));
}

#[rstest::rstest]
#[case("20261012_add_currency_to_charges", 12_000)]
#[case("20261104_add_sender_to_transactions", 20_000)]
#[case("20261110_recount_balances", 3_000)]
fn what_remains_falls_to_zero(#[case] name: &str, #[case] before: u64) {
    let samples = Samples::new();
    assert_eq!(samples.remaining(name), before);
    samples.apply(name);
    assert_eq!(samples.remaining(name), 0);
}

#[test]
fn the_failing_sample_fails_at_its_item_and_goes_on_from_its_checkpoint_when_resumed() {
    const NAME: &str = "20261019_settle_captured_charges";
    let samples = Samples::new();
    let first = samples.attempt(NAME).output();
    assert_eq!(first.status.code(), Some(1));
    let error = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(error.contains("charge 4242 cannot be settled: payout po_1187 holds its lock"), "{error}");
    let left = samples.remaining(NAME);
    assert!(0 < left && left < 4_000, "{left}");

    let again = told(&first.stdout);
    let resumed =
        samples.attempt(NAME).with("STOPOVER_ATTEMPT", "2").with("STOPOVER_CHECKPOINT", &checkpoint(&again)).output();
    assert!(resumed.status.success(), "{resumed:?}");
    assert!(String::from_utf8_lossy(&resumed.stdout).starts_with("going on after charges "), "{resumed:?}");
    assert_eq!(told(&resumed.stdout).last().unwrap()["done"], 4_000);
    assert_eq!(samples.remaining(NAME), 0);
}

#[rstest::rstest]
#[case("20261012_add_currency_to_charges", "pace", "1000")]
#[case("20261116_translate_receipts", "", "100")]
#[case("20261117_replay_webhooks", "", "0.1")]
fn a_sample_that_is_asked_to_stop_leaves_at_its_checkpoint_and_goes_on_from_there(
    #[case] name: &str,
    #[case] param: &str,
    #[case] slowly: &str,
) {
    let samples = Samples::new();
    let attempt = samples.attempt(name).with("STOPOVER_PARAM_PACE", slowly).with("STOPOVER_PARAM_PAUSE", slowly);
    let attempt = if param.is_empty() { attempt } else { attempt.param(param, slowly) };
    let mut child = attempt.start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = String::new();
    // Under way: some checkpoints are told, and much is left.
    while told(seen.as_bytes()).iter().filter(|progress| progress.get("checkpoint").is_some()).count() < 3 {
        seen.push_str(&lines.next().expect("it ended too early"));
        seen.push('\n');
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    for line in lines {
        seen.push_str(&line);
        seen.push('\n');
    }
    let status = eventually("its end", Duration::from_secs(20), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(75), "{seen}");

    let before = told(seen.as_bytes());
    let resumed =
        samples.attempt(name).with("STOPOVER_ATTEMPT", "2").with("STOPOVER_CHECKPOINT", &checkpoint(&before)).output();
    assert!(resumed.status.success(), "{resumed:?}");
    let after = told(&resumed.stdout);
    assert!(after[0]["done"].as_u64() >= before.last().unwrap()["done"].as_u64(), "nothing is done twice");
    assert_eq!(after.last().unwrap()["done"], after.last().unwrap()["total"]);
}

#[test]
fn the_sample_with_a_choice_takes_only_what_may_be_chosen_and_a_dry_run_changes_nothing() {
    const NAME: &str = "20261026_normalise_customer_phones";
    let samples = Samples::new();
    let migration = samples.migration(NAME);
    assert!(Params::resolve(&migration.params, &[]).is_err(), "a region is required");
    let region = |value: &str| [("region".to_owned(), value.to_owned())];
    assert!(Params::resolve(&migration.params, &region("AR")).is_err());
    let attempt = || samples.attempt(NAME).param("region", "MX").param("pace", "1000000");
    let dry = attempt().param("dry_run", "true").output();
    assert!(dry.status.success());
    assert!(String::from_utf8_lossy(&dry.stdout).contains("would become +52"));
    let first = told(&attempt().output().stdout);
    assert_eq!(first.last().unwrap()["total"], 1_000, "the dry run left everything to do");
    assert_eq!(told(&attempt().output().stdout).last().unwrap()["total"], 0);
}

#[test]
fn the_sample_with_a_secret_writes_its_export_and_never_says_the_secret() {
    const NAME: &str = "20261109_export_transactions_to_auditor";
    let samples = Samples::new();
    let output = samples.attempt(NAME).param("token", "s3cret-of-the-auditor").param("format", "jsonl").output();
    assert!(output.status.success(), "{output:?}");
    for stream in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(stream).contains("s3cret"));
    }
    let export = std::fs::read_to_string(samples.file("transactions.jsonl")).unwrap();
    assert_eq!(export.lines().count(), 20_000);
    assert_eq!(std::fs::read_to_string(samples.file("transactions.jsonl.signature")).unwrap().trim().len(), 64);
}

#[test]
fn the_sample_for_mongodb_says_that_there_is_none() {
    const NAME: &str = "20261120_add_reason_to_refunds";
    let samples = Samples::new();
    assert!(samples.migration(NAME).needs_mongodb);
    let output = samples.attempt(NAME).output();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("there is no MongoDB: set MONGODB_URI"), "{error}");
}

#[test]
fn the_sample_without_a_program_has_steps_that_need_mongodb() {
    let samples = Samples::new();
    let migration = samples.migration("20261123_add_fee_to_refunds");
    assert!(migration.needs_mongodb);
    let Work::Steps(steps) = &migration.work else { panic!("it has a program") };
    assert_eq!(steps.titles(), ["backfill stopover_sample.refunds", "createIndexes stopover_sample.refunds"]);
}

#[tokio::test]
async fn the_sample_of_steps_gives_every_refund_its_fee_and_an_index() {
    const NAME: &str = "20261123_add_fee_to_refunds";
    let server = Database::new();
    let sample = server.open().await.client().database("stopover_sample");
    sample.drop().await.unwrap();
    // As its requirement leaves them, which needs an npm package that a test does not fetch.
    let refunds = (1..=5_000).map(|n| doc! { "_id": n, "amount": 100 + n * 37 % 9_000, "reason": "requested" });
    sample.collection("refunds").insert_many(refunds).await.unwrap();
    let scene = Scene::new().variable("MONGODB_URI", server.uri());
    let ledger = format!("sqlite:{}", scene.state().join("ledger.db").display());
    let catalog = concat!(env!("CARGO_MANIFEST_DIR"), "/stopover.yaml");
    let scene = scene.variable("STOPOVER_LEDGER", ledger).variable("STOPOVER_CATALOG", catalog);

    let refused = scene.stopover(&["run", NAME]);
    assert_eq!(refused.status, 7, "{}", refused.stderr);
    assert!(refused.stderr.contains("20261120_add_reason_to_refunds"), "{}", refused.stderr);
    let pending = scene.must(&["show", NAME]);
    for line in [
        "  steps        1. backfill stopover_sample.refunds",
        r#"                  filter         {"fee":{"$exists":false}}"#,
        r#"                  update         [{"$set":{"fee":{"$toInt":{"$ceil":{"$multiply":["$amount",0.02]}}}}}]"#,
        "               2. createIndexes stopover_sample.refunds",
        r#"                  index          reason_1_fee_-1 {"key":{"reason":1,"fee":-1}}"#,
        "  speed        1 worker at 50 % pace, batches of 100 ms",
        "  hold         replication lag > 2 s, ",
    ] {
        assert!(pending.lines().any(|shown| shown.starts_with(line)), "{line}: {pending}");
    }

    scene.must(&["run", NAME, "--force", "--wait"]);
    let refunds = sample.collection::<Document>("refunds");
    let fee = doc! { "$expr": { "$eq": ["$fee", { "$toInt": { "$ceil": { "$multiply": ["$amount", 0.02] } } }] } };
    assert_eq!(refunds.count_documents(fee).await.unwrap(), 5_000);
    assert_eq!(refunds.list_index_names().await.unwrap(), ["_id_", "reason_1_fee_-1"]);
    let run = scene.run(NAME);
    assert_eq!((&run["state"], &run["remaining"]), (&"succeeded".into(), &0.into()), "{run}");
    let listed = scene.must(&["list"]);
    let row = listed.lines().find(|line| line.contains(NAME)).unwrap();
    assert!(row.contains("applied"), "{row}");
    let shown = scene.must(&["show", NAME]);
    assert!(shown.contains("step         2 of 2: createIndexes stopover_sample.refunds"), "{shown}");
    assert!(!shown.contains("warning      the program"), "{shown}");
    sample.drop().await.unwrap();
}

#[test]
fn samples_that_come_first_at_once_share_the_data() {
    let samples = Samples::new();
    let names =
        ["20261012_add_currency_to_charges", "20261104_add_sender_to_transactions", "20261110_recount_balances"];
    let children: Vec<_> = names.map(|name| samples.attempt(name).start()).into();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
