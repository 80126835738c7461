//! The W3C trace context of runs: which trace a run is, and which spans everybody may name without having seen them.
//!
//! A run is one trace, whichever processes work on it: attempts follow each other in different pods, the program of an attempt may have an
//! agent of its own, and lines of the mirror are correlated by whoever collects them. None of these can ask the others, so all ids are
//! computed from the run's. The trace's id is the run's own, without its hyphens: what an operator copies from a console finds the trace.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::ledger::RunId;

/// A place in a trace, as <https://www.w3.org/TR/trace-context/> has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
}

impl TraceContext {
    /// The root of the run's trace.
    #[must_use]
    pub fn of_run(run: RunId) -> Self {
        Self::new(run, "run", 1)
    }

    /// What the run did after it had failed and was resumed, from this attempt on: a second whole, below the first.
    #[must_use]
    pub fn of_resumption(run: RunId, attempt: u32) -> Self {
        Self::new(run, "run", attempt)
    }

    /// How an attempt came to start.
    #[must_use]
    pub fn of_launch(run: RunId, attempt: u32) -> Self {
        Self::new(run, "launch", attempt)
    }

    /// An attempt.
    #[must_use]
    pub fn of_attempt(run: RunId, attempt: u32) -> Self {
        Self::new(run, "attempt", attempt)
    }

    /// A step of an attempt, counted from 0.
    #[must_use]
    pub fn of_step(run: RunId, attempt: u32, step: u32) -> Self {
        Self::new(run, &format!("attempt {attempt} step"), step)
    }

    /// A place that nobody else knows of.
    #[must_use]
    pub fn unique(run: RunId) -> Self {
        let mut span = [0; 8];
        span.copy_from_slice(&RunId::generate().to_bytes()[8..]);
        Self { trace: run.to_bytes(), span }
    }

    fn new(run: RunId, what: &str, number: u32) -> Self {
        let trace = run.to_bytes();
        let digest = Sha256::new().chain_update(trace).chain_update(format!("{what} {number}")).finalize();
        let mut span = [0; 8];
        span.copy_from_slice(&digest[..8]);
        // All zeros mean that there is none.
        span[7] |= u8::from(span == [0; 8]);
        Self { trace, span }
    }

    /// The trace's id.
    #[must_use]
    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// The span's id.
    #[must_use]
    pub fn span(&self) -> [u8; 8] {
        self.span
    }

    /// The trace's id as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }

    /// The span's id as 16 hexadecimal digits.
    #[must_use]
    pub fn span_hex(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.span))
    }
}

/// As a header or `TRACEPARENT` has it, sampled: whether anything is sent is for whoever joins to know.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace_hex(), self.span_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_of_a_run_is_found_by_its_id_and_every_span_of_it_differs() {
        let run: RunId = "0199e2c4-7c1e-7d3a-9b57-0f6f2a1c4d5e".parse().unwrap();
        let root = TraceContext::of_run(run);
        assert_eq!(root.trace_hex(), run.to_string().replace('-', ""));
        assert_eq!(root, TraceContext::of_resumption(run, 1), "what begins with the first attempt is the run itself");
        assert_eq!(root.to_string(), format!("00-{}-{}-01", root.trace_hex(), root.span_hex()));
        let spans = [
            root,
            TraceContext::of_resumption(run, 2),
            TraceContext::of_launch(run, 1),
            TraceContext::of_attempt(run, 1),
            TraceContext::of_attempt(run, 2),
            TraceContext::of_step(run, 1, 1),
            TraceContext::of_step(run, 2, 1),
        ];
        for (index, span) in spans.iter().enumerate() {
            assert!(spans[..index].iter().all(|other| other.span != span.span && other.trace == span.trace));
        }
    }
}
