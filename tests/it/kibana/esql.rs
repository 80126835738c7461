//! Queries in ES|QL, read by the grammar that Elasticsearch reads them by.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{rules, text};

/// What the grammar has against each query.
fn complaints(queries: &[&str]) -> Vec<Vec<String>> {
    let parser = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool")).arg("esql-parser").output();
    let parser = parser.expect("scripts/tool is there and can be run");
    let told = String::from_utf8_lossy(&parser.stderr);
    assert!(parser.status.success(), "`scripts/tool provision` fetches the grammar: {told}");
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kibana/esql.py"));
    command.env("PYTHONPATH", String::from_utf8(parser.stdout).unwrap().trim()).env("PYTHONDONTWRITEBYTECODE", "1");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("python3 is there: apt-get install python3");
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(queries).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_query_of_a_rule_is_one_in_esql() {
    let rules = rules();
    let queries = rules.iter().filter_map(|(name, rule)| Some((name, rule["params"]["esqlQuery"].get("esql")?)));
    let (names, queries): (Vec<_>, Vec<_>) = queries.map(|(name, query)| (name, text(query))).unzip();
    assert!(queries.len() > 2);
    for (name, complaints) in names.into_iter().zip(complaints(&queries)) {
        assert_eq!(complaints, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_is_no_esql_is_refused() {
    let broken = [
        "FROM logs | WERE level == 1",
        "FROM logs | STATS most = MAX(level), BY pod",
        "FROM logs | EVAL late = CASE(@timestamp > NOW() - 3 minutes, 1",
        "FROM logs | WHERE 'a' == level",
    ];
    for (query, complaints) in broken.iter().zip(complaints(&broken)) {
        assert!(!complaints.is_empty(), "{query}");
    }
}
