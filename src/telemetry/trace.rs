//! A run as a trace.
//!
//! ```text
//! 20261104_add_sender                       root: the whole run, sent when it is over
//! ├── launch 20261104_add_sender            sent when a worker has claimed it: a sign of life
//! ├── attempt 1                             one process; ended, stopped or lost
//! │   ├── backfill transactions             a step
//! │   │   ├── update transactions           a batch
//! │   │   └── hold replication_lag          a time in which it was held up
//! │   └── (what the program's own agent sends, by TRACEPARENT)
//! └── attempt 2
//! ```
//!
//! A run that has failed is over: its root is sent. When it is resumed after all, what follows is a second whole below the first, with an
//! outcome of its own.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status};

use crate::ledger::{Event, EventKind, Outcome, Progress, RunId, WishKind};
use crate::time::Timestamp;
use crate::trace_context::TraceContext;

use super::facts::{Facts, kind, state};
use super::recorder::{Mask, Recorder};
use super::span::{Exception, Span, Spans};

/// How an attempt ended.
pub struct Ending<'a> {
    /// As it was reported to the ledger.
    pub outcome: &'a Outcome,
    /// What an operator had asked for.
    pub wish: Option<WishKind>,
    /// How far it is.
    pub progress: &'a Progress,
    /// What the ledger has recorded of the run, oldest first, if it could be read.
    pub events: &'a [Event],
}

/// Why a worker does not tell how its attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It was killed with its pod.
    Killed,
    /// It had ended, or was lost, before the run was cancelled.
    Gone,
}

/// The trace of one attempt.
pub struct Trace {
    teller: Teller,
    recorder: Arc<Recorder>,
}

impl Trace {
    /// Of an attempt that begins now.
    #[must_use]
    pub fn begin(spans: Arc<Spans>, facts: Facts, mask: Mask) -> Self {
        let facts = Arc::new(facts);
        let recorder = Arc::new(Recorder::new(spans.clone(), facts.clone(), mask));
        let teller = Teller { spans, facts, began: SystemTime::now() };
        teller.launched();
        Self { teller, recorder }
    }

    /// Who records what the engine does.
    #[must_use]
    pub fn recorder(&self) -> Arc<Recorder> {
        self.recorder.clone()
    }

    /// Sends what is known at the end of the attempt, whose work is over.
    pub fn end(&self, ending: &Ending<'_>) {
        self.teller.attempt(ending);
        self.teller.whole(ending);
    }
}

/// Sends what the worker of the latest attempt cannot tell any more.
pub fn end_for_another(spans: Arc<Spans>, facts: Facts, absent: Absent, ending: &Ending<'_>) {
    let number = facts.run.attempt;
    let of = |kinds: &[EventKind]| {
        let mut own = ending.events.iter().filter(|event| event.attempt == number);
        own.find(|event| kinds.contains(&event.kind)).map(|event| event.at)
    };
    let claimed = of(&[EventKind::Claimed]);
    let stood_still = of(&[EventKind::Paused, EventKind::Failed, EventKind::Interrupted]).is_some();
    let began = claimed.map_or_else(SystemTime::now, |at| facts.here(at));
    let teller = Teller { spans, facts: Arc::new(facts), began };
    match (absent, claimed) {
        (Absent::Killed, Some(_)) => teller.attempt(ending),
        (Absent::Gone, Some(since)) if !stood_still => {
            let run = &teller.facts.run;
            let whole = Whole::of(run.id, number, ending.events);
            teller.spans.send(teller.lost(&Lost { attempt: number, since, until: run.updated_at }, whole.at));
        }
        _ => {}
    }
    teller.whole(ending);
}

/// Tells of an attempt as a whole.
struct Teller {
    spans: Arc<Spans>,
    facts: Arc<Facts>,
    began: SystemTime,
}

impl Teller {
    fn launched(&self) {
        let run = &self.facts.run;
        let (by, asked) = run.resumed.as_ref().map_or((&run.launch.by, run.created_at), |it| (&it.by, it.at));
        let mut attributes = self.facts.common();
        attributes.extend([
            KeyValue::new("type", "launch"),
            KeyValue::new("stopover.operator", by.operator.clone()),
            KeyValue::new("stopover.launched_from", by.place.pod.clone()),
        ]);
        self.spans.send(Span {
            at: TraceContext::of_launch(run.id, run.attempt),
            parent: Some(TraceContext::of_run(run.id)),
            // Asked for by one process and taken up by another, later.
            kind: SpanKind::Consumer,
            name: format!("launch {}", run.migration),
            start: self.facts.here(asked),
            end: self.began,
            attributes,
            status: Status::Unset,
            exception: None,
        });
    }

    /// Sends the attempt, and those right before it of which nobody has told.
    fn attempt(&self, ending: &Ending<'_>) {
        let run = &self.facts.run;
        let whole = Whole::of(run.id, run.attempt, ending.events);
        for lost in lost_before(run.attempt, ending.events) {
            self.spans.send(self.lost(&lost, whole.at));
        }
        let mut attributes = self.facts.common();
        attributes.extend(told(ending));
        attributes.push(KeyValue::new("stopover.pod", run.place().pod.clone()));
        self.spans.send(Span {
            at: TraceContext::of_attempt(run.id, run.attempt),
            parent: Some(whole.at),
            kind: SpanKind::Internal,
            name: format!("attempt {}", run.attempt),
            start: self.began,
            end: SystemTime::now(),
            attributes,
            status: status(ending.outcome),
            exception: None,
        });
    }

    /// Sends the whole, if it is over, and if it is known which: a span that was sent before must not be sent again.
    fn whole(&self, ending: &Ending<'_>) {
        let run = &self.facts.run;
        if run.attempt > 1 && ending.events.is_empty() {
            return;
        }
        let is_over = match ending.outcome {
            Outcome::Succeeded | Outcome::Failed(_) => true,
            Outcome::Stopped => ending.wish == Some(WishKind::Cancel),
            Outcome::Interrupted(_) => false,
        };
        if is_over {
            let whole = Whole::of(run.id, run.attempt, ending.events);
            self.spans.send(self.root(ending, whole));
        }
    }

    fn root(&self, ending: &Ending<'_>, whole: Whole) -> Span {
        let run = &self.facts.run;
        let exception = match ending.outcome {
            Outcome::Failed(failure) => Some(Exception {
                kind: kind(&failure.cause),
                message: failure.cause.to_string(),
                last_lines: failure.last_lines.clone(),
            }),
            _ => None,
        };
        let mut attributes = self.facts.common();
        // What Elastic calls the transaction's type.
        attributes.push(KeyValue::new("type", "migration"));
        attributes.extend(self.facts.launch());
        attributes.extend(told(ending));
        let begun = whole.since.unwrap_or(run.created_at);
        Span {
            at: whole.at,
            parent: whole.below,
            kind: if whole.below.is_some() { SpanKind::Consumer } else { SpanKind::Internal },
            name: run.migration.to_string(),
            start: self.facts.here(begun),
            end: SystemTime::now(),
            attributes,
            status: status(ending.outcome),
            exception,
        }
    }

    /// An attempt of which nobody else will tell.
    fn lost(&self, lost: &Lost, parent: TraceContext) -> Span {
        let mut attributes = self.facts.common_of(lost.attempt);
        attributes.extend([KeyValue::new("stopover.state", "lost"), KeyValue::new("error.type", "lost")]);
        Span {
            at: TraceContext::of_attempt(self.facts.run.id, lost.attempt),
            parent: Some(parent),
            kind: SpanKind::Internal,
            name: format!("attempt {}", lost.attempt),
            start: self.facts.here(lost.since),
            end: self.facts.here(lost.until),
            attributes,
            status: Status::error("its worker was not heard of any more"),
            exception: None,
        }
    }
}

/// What both the run and its attempt have come to.
fn told(ending: &Ending<'_>) -> Vec<KeyValue> {
    let progress = ending.progress;
    let mut attributes = vec![KeyValue::new("stopover.state", state(ending.outcome, ending.wish))];
    if let Outcome::Failed(failure) = ending.outcome {
        attributes.push(KeyValue::new("error.type", kind(&failure.cause)));
    }
    if let Outcome::Interrupted(cause) = ending.outcome {
        attributes.push(KeyValue::new("stopover.interrupted", cause.reason()));
    }
    let figures = [
        ("stopover.documents.done", progress.done),
        ("stopover.documents.total", progress.total),
        ("stopover.remaining", progress.remaining.as_ref().map(|remaining| remaining.count)),
    ];
    attributes.extend(figures.into_iter().filter_map(|(name, count)| Some(KeyValue::new(name, count?))));
    attributes
}

fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Succeeded => Status::Ok,
        Outcome::Failed(failure) => Status::error(failure.cause.to_string()),
        Outcome::Stopped | Outcome::Interrupted(_) => Status::Unset,
    }
}

/// The span that attempts belong to: the run, or what it did after it had failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whole {
    at: TraceContext,
    below: Option<TraceContext>,
    /// When it began, by the ledger's clock, where that is not the launch.
    since: Option<Timestamp>,
}

impl Whole {
    fn of(run: RunId, attempt: u32, events: &[Event]) -> Self {
        let before = events.iter().filter(|event| event.attempt < attempt);
        let failed = before.filter(|event| event.kind == EventKind::Failed).map(|event| event.attempt).max();
        let Some(first) = failed.map(|failed| failed + 1) else {
            return Self { at: TraceContext::of_run(run), below: None, since: None };
        };
        let since = events.iter().find(|event| event.attempt == first).map(|event| event.at);
        Self { at: TraceContext::of_resumption(run, first), below: Some(TraceContext::of_run(run)), since }
    }
}

/// An attempt that was never heard of again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lost {
    attempt: u32,
    since: Timestamp,
    until: Timestamp,
}

/// The attempts right before this one that did not report an end: each attempt that ends tells of those.
fn lost_before(attempt: u32, events: &[Event]) -> Vec<Lost> {
    let of = |number: u32| events.iter().filter(move |event| event.attempt == number);
    let mut lost = Vec::new();
    for number in (1..attempt).rev() {
        let Some(first) = of(number).next() else { break };
        if of(number).any(|event| is_end(event.kind)) {
            break;
        }
        let claimed = of(number).find(|event| event.kind == EventKind::Claimed);
        let since = claimed.unwrap_or(first).at;
        let until = of(number + 1).next().map_or(since, |next| next.at);
        lost.push(Lost { attempt: number, since, until });
    }
    lost.reverse();
    lost
}

/// Whether an attempt has ended with it, and told so.
fn is_end(kind: EventKind) -> bool {
    use EventKind::{Cancelled, Failed, Interrupted, Paused, Succeeded};
    matches!(kind, Paused | Interrupted | Succeeded | Failed | Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(attempt: u32, kind: EventKind, seconds: i64) -> Event {
        let at = Timestamp::from_millis(seconds * 1_000);
        Event { at, attempt, kind, by: None, text: String::new() }
    }

    #[test]
    fn attempts_belong_to_the_run_until_it_has_failed() {
        use EventKind::{Claimed, Failed, Interrupted, Launched, Resumed};
        let run = RunId::generate();
        let events = [
            event(1, Launched, 0),
            event(1, Claimed, 1),
            event(1, Interrupted, 2),
            event(2, Resumed, 3),
            event(2, Claimed, 4),
            event(2, Failed, 5),
            event(3, Resumed, 6),
            event(3, Claimed, 7),
        ];
        let root = Whole { at: TraceContext::of_run(run), below: None, since: None };
        assert_eq!(Whole::of(run, 1, &events[..2]), root);
        assert_eq!(Whole::of(run, 2, &events[..5]), root);
        let again = Whole::of(run, 3, &events);
        assert_eq!((again.at, again.below), (TraceContext::of_resumption(run, 3), Some(root.at)));
        assert_eq!(again.since, Some(Timestamp::from_millis(6_000)));
        assert_eq!(Whole::of(run, 3, &[]), root, "where the record could not be read");
    }

    #[test]
    fn an_attempt_tells_of_those_right_before_it_that_did_not_end() {
        use EventKind::{Claimed, Interrupted, Launched, TakenOver};
        let events = [
            event(1, Launched, 0),
            event(1, Claimed, 1),
            event(1, Interrupted, 2),
            event(2, TakenOver, 10),
            event(2, Claimed, 11),
            event(3, TakenOver, 50),
            event(3, Claimed, 51),
            event(4, TakenOver, 90),
            event(4, Claimed, 91),
        ];
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!(
            lost_before(4, &events),
            [Lost { attempt: 2, since: at(11), until: at(50) }, Lost { attempt: 3, since: at(51), until: at(90) }]
        );
        assert_eq!(lost_before(2, &events), []);
        assert_eq!(lost_before(4, &[]), []);
    }
}
