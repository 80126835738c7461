//! The way to the ledger is held up or broken, for less and for more than the lease.

use crate::support::mongo::Database;
use crate::support::proxy::Proxy;

use super::*;

/// A pod that reaches its ledger by a proxy, and the lease it has.
fn by_proxy(lease: &str) -> (Case, Proxy, Database) {
    let database = Database::new();
    let proxy = Proxy::to(database.host());
    let scene = Scene::new().variable("MONGODB_URI", database.uri_by(proxy.host()));
    let mut case = Case::of(scene);
    case.scene = case.scene.variable("STOPOVER_LEASE", lease);
    (case.stamped(), proxy, database)
}

#[test]
fn a_ledger_out_of_reach_for_less_than_the_lease_is_harmless() {
    let (case, proxy, _database) = by_proxy("1m");
    case.start();
    for fault in [Proxy::hold_up, Proxy::break_off] {
        fault(&proxy);
        // More than two heartbeats.
        case.program.works(100);
        proxy.mend();
        case.program.works(20);
    }
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

fn out_of_reach_for_longer(fault: fn(&Proxy)) {
    let (case, proxy, _database) = by_proxy(LEASE);
    let run = case.start();
    fault(&proxy);
    case.until_logged(&run, "the ledger cannot be reached, and the right to run will end");
    case.until_logged(&run, ": interrupted");
    until_dead("the program", case.program.pid());
    proxy.mend();
    let run = case.scene.until(NAME, &["interrupted"]);
    let said = case.program.items();
    assert_eq!(run["checkpoint"], said, "what it had done is known, whatever was said while the ledger was away");
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_ledger_that_does_not_answer_for_longer_than_the_lease_interrupts_the_run() {
    out_of_reach_for_longer(Proxy::hold_up);
}

#[test]
fn a_ledger_that_breaks_connections_off_for_longer_than_the_lease_interrupts_the_run() {
    out_of_reach_for_longer(Proxy::break_off);
}

#[test]
fn a_run_that_another_pod_took_over_meanwhile_is_left_to_it() {
    let (case, proxy, database) = by_proxy(LEASE);
    let other = Scene::new()
        .script(NAME, &case.program.script())
        .variable("STOPOVER_POD", "pod-b")
        .variable("STOPOVER_LEASE", LEASE)
        .variable("MONGODB_URI", database.uri());
    let first = worker_of(&case.start());
    proxy.hold_up();
    other.until(NAME, &["lost"]);
    let checker = Checker { pods: vec![&case.scene, &other], migration: NAME, program: Some(&case.program) };
    let run = checker.resume_and_check();
    assert_eq!((&run["attempt"], &run["pod"]), (&2.into(), &"pod-b".into()));
    proxy.mend();
    until_dead("the first worker", first);
    assert_eq!(checker.check(), run, "it has changed nothing");
}
