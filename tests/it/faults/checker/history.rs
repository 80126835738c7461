//! The events of a run, replayed by the rules that users rely on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;

/// What the events of a run say.
#[derive(Debug)]
pub struct History {
    /// Attempts that a worker has claimed.
    pub claimed: BTreeSet<u32>,
    /// Attempts whose worker reported their end itself.
    pub reported: BTreeSet<u32>,
}

/// Where a run stands after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Queued,
    Running,
    Asked,
    Paused,
    Interrupted,
    Failed,
    Succeeded,
    Cancelled,
}

impl Stand {
    /// The words that `--json` may have for it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Queued => &["queued", "lost"],
            Self::Running => &["running", "lost"],
            Self::Asked => &["pausing", "cancelling", "lost"],
            Self::Paused => &["paused"],
            Self::Interrupted => &["interrupted"],
            Self::Failed => &["failed"],
            Self::Succeeded => &["succeeded"],
            Self::Cancelled => &["cancelled"],
        }
    }
}

/// Whether a run occupies its migration.
pub fn is_open(run: &Value) -> bool {
    !["succeeded", "failed", "cancelled"].contains(&run["state"].as_str().unwrap())
}

impl History {
    /// Replays the events of a run, as `show --json` has it.
    ///
    /// # Errors
    /// Says which event cannot follow those before it.
    pub fn replay(run: &Value) -> Result<Self, Violation> {
        let events = run["events"].as_array().unwrap();
        let mut history = Self { claimed: BTreeSet::new(), reported: BTreeSet::new() };
        let mut at = String::new();
        let mut stand: Option<(Stand, u32)> = None;
        for event in events {
            let time = event["at"].as_str().unwrap().to_owned();
            let attempt = u32::try_from(event["attempt"].as_u64().unwrap()).unwrap();
            let kind = event["kind"].as_str().unwrap();
            let wrong = |why: &str| format!("{why}: {event} after {stand:?} in {run:#}");
            if time < at {
                return Err(Violation::Untrue(wrong("the ledger's clock ran backwards")));
            }
            let Some(next) = follow(stand, kind, attempt) else {
                return Err(Violation::Untrue(wrong("an event cannot follow what was before")));
            };
            if kind == "claimed" && !history.claimed.insert(attempt) {
                return Err(Violation::Twice(wrong("an attempt was claimed twice")));
            }
            let ends = matches!(kind, "succeeded" | "failed" | "interrupted" | "paused" | "cancelled");
            // A run that nobody works on is paused and cancelled without its worker.
            if ends
                && matches!(stand, Some((Stand::Running | Stand::Asked, _)))
                && !event["text"].as_str().unwrap().contains(" while it was ")
            {
                history.reported.insert(attempt);
            }
            at = time;
            stand = Some((next, attempt));
        }
        let Some((stand, attempt)) = stand else {
            return Err(Violation::Untrue(format!("a run without any event: {run:#}")));
        };
        if !stand.words().contains(&run["state"].as_str().unwrap()) || run["attempt"] != attempt {
            return Err(Violation::Untrue(format!(
                "the events come to {stand:?} in attempt {attempt}, and the run shows another: {run:#}"
            )));
        }
        Ok(history)
    }
}

/// Where a run stands after an event; `None` when the event cannot follow.
fn follow(before: Option<(Stand, u32)>, kind: &str, attempt: u32) -> Option<Stand> {
    use Stand::{Asked, Cancelled, Failed, Interrupted, Paused, Queued, Running, Succeeded};
    let Some((stand, current)) = before else {
        return (kind == "launched" && attempt == 1).then_some(Queued);
    };
    let is_next = attempt == current + 1;
    if matches!(kind, "resumed" | "takenOver") != is_next || (!is_next && attempt != current) {
        return None;
    }
    Some(match (kind, stand) {
        ("claimed", Queued) => Running,
        ("resumed", Paused | Interrupted | Failed) | ("takenOver", Queued | Running | Asked) => Queued,
        ("pauseRequested" | "cancelRequested", Running | Asked) | ("forceRequested", Asked) => Asked,
        ("paused", Queued | Asked) => Paused,
        ("interrupted", Running | Asked) => Interrupted,
        ("succeeded", Running | Asked) => Succeeded,
        ("failed", Running | Asked) => Failed,
        ("cancelled", Queued | Running | Asked | Paused | Interrupted) => Cancelled,
        ("acknowledged", Running | Asked)
        | ("declined", _)
        | ("tuned", Queued | Running | Asked | Paused | Interrupted) => stand,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Replays events of these kinds and attempts.
    fn replay(state: &str, kinds: &[(&str, u32)]) -> Result<History, Violation> {
        let events: Vec<Value> = kinds
            .iter()
            .zip(1..)
            .map(|((kind, attempt), second)| {
                json!({ "at": format!("2026-01-01T00:00:0{second}Z"), "kind": kind, "attempt": attempt, "text": "" })
            })
            .collect();
        History::replay(&json!({ "state": state, "attempt": kinds.last().unwrap().1, "events": events }))
    }

    #[test]
    fn a_takeover_replays() {
        let kinds = [("launched", 1), ("claimed", 1), ("takenOver", 2), ("claimed", 2), ("succeeded", 2)];
        let history = replay("succeeded", &kinds).unwrap();
        assert_eq!((history.claimed, history.reported), (BTreeSet::from([1, 2]), BTreeSet::from([2])));
    }

    #[test]
    fn what_must_not_be_is_found() {
        for (why, state, kinds) in [
            ("claimed twice", "running", &[("launched", 1), ("claimed", 1), ("claimed", 1)][..]),
            ("two attempts at once", "running", &[("launched", 1), ("claimed", 1), ("resumed", 2), ("claimed", 2)]),
            ("an attempt left out", "queued", &[("launched", 1), ("claimed", 1), ("takenOver", 3)]),
            ("after the end", "failed", &[("launched", 1), ("claimed", 1), ("succeeded", 1), ("failed", 1)]),
            ("an old attempt", "succeeded", &[("launched", 1), ("takenOver", 2), ("claimed", 1), ("succeeded", 1)]),
            ("another state", "failed", &[("launched", 1), ("claimed", 1), ("succeeded", 1)]),
        ] {
            assert!(replay(state, kinds).is_err(), "{why}");
        }
    }
}
