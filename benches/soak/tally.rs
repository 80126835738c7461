//! What is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use crate::checker::Violation;
use crate::story::Work;

/// Shared by all.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    runs: BTreeMap<Work, usize>,
    faults: BTreeMap<&'static str, usize>,
    lost: usize,
    twice: usize,
    untrue: usize,
    told: BTreeSet<String>,
}

impl Tally {
    /// A run has come to its end, and was looked at.
    pub fn run(&self, work: Work) {
        *self.0.lock().unwrap().runs.entry(work).or_default() += 1;
    }

    /// Something was done to a run.
    pub fn fault(&self, kind: &'static str) {
        *self.0.lock().unwrap().faults.entry(kind).or_default() += 1;
    }

    /// Something does not hold. It is told at once.
    pub fn violation(&self, violation: &Violation) {
        let mut counts = self.0.lock().unwrap();
        // A run is looked at again with each later one of its migration.
        if !counts.told.insert(violation.to_string()) {
            return;
        }
        eprintln!("VIOLATION: {violation}");
        match violation {
            Violation::Lost(_) => counts.lost += 1,
            Violation::Twice(_) => counts.twice += 1,
            Violation::Untrue(_) => counts.untrue += 1,
        }
    }

    /// Runs of a kind.
    pub fn runs_of(&self, work: Work) -> usize {
        self.0.lock().unwrap().runs.get(&work).copied().unwrap_or_default()
    }

    /// How often each fault was produced.
    pub fn kinds(&self) -> String {
        let counts = self.0.lock().unwrap();
        counts.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether everything holds.
    pub fn is_clean(&self) -> bool {
        let counts = self.0.lock().unwrap();
        counts.lost + counts.twice + counts.untrue == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap();
        let (runs, faults) = (counts.runs.values().sum::<usize>(), counts.faults.values().sum::<usize>());
        write!(f, "{runs} runs, {faults} faults, {} lost, {} twice", counts.lost, counts.twice)?;
        if counts.untrue > 0 {
            write!(f, ", {} untrue", counts.untrue)?;
        }
        Ok(())
    }
}
