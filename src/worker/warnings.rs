//! What the operator should know and a run goes on in spite of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a warning is about: each subject has at most one, its latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The log file.
    Log,
    /// The mirror on PID 1's stdout.
    Mirror,
    /// What the program says by the protocol.
    Protocol,
    /// The count of what is left to do.
    Remaining,
    /// What the container's memory did to the program.
    Memory,
    /// What should be told to a backend and does not arrive.
    Telemetry,
}

/// The warnings of an attempt, written by many threads and read by the heartbeat.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    by_subject: BTreeMap<Subject, String>,
    /// Of native steps: findings, which are not taken back.
    findings: Vec<String>,
}

/// Most findings that are kept: the log has all.
const MOST_FINDINGS: usize = 20;

impl Warnings {
    /// Sets the warning of a subject, or takes it back.
    pub fn set(&self, subject: Subject, text: Option<String>) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => warnings.by_subject.insert(subject, text),
            None => warnings.by_subject.remove(&subject),
        };
    }

    /// Sets the warning of a subject unless it has one: the first says most.
    pub fn set_first(&self, subject: Subject, text: String) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.by_subject.entry(subject).or_insert(text);
    }

    /// Adds what a step found out and an operator should know.
    pub fn found(&self, text: String) {
        let findings = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).findings;
        if findings.len() < MOST_FINDINGS && !findings.contains(&text) {
            findings.push(text);
        }
    }

    /// All of them, as the ledger keeps them.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.by_subject.values().chain(&warnings.findings).cloned().collect()
    }
}
