//! What the engine does, as spans: steps, the batches that are kept, and the times in which it is held up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status};

use crate::engine::apply::Counts;
use crate::engine::checkpoint::Totals;
use crate::engine::observer::{Batch, BatchResult, How, Observer, StepBegun, StepEnd};
use crate::engine::throttle::{Hold, Verdict};
use crate::trace_context::TraceContext;

use super::facts::Facts;
use super::sampling::Sampler;
use super::span::{Span, Spans};

/// Makes a text safe to be sent.
pub type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Records one attempt.
pub struct Recorder {
    spans: Arc<Spans>,
    facts: Arc<Facts>,
    mask: Mask,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    step: Option<Step>,
    /// What holds it up, whether or not there is anything to be held up.
    hold: Option<Hold>,
    /// The time in which a step is held up, and since when.
    held: Option<(Hold, SystemTime)>,
}

struct Step {
    index: u32,
    title: String,
    kind: &'static str,
    database: String,
    collection: Option<String>,
    began: SystemTime,
    batches: Sampler,
}

impl Step {
    /// What the server is asked to do, as it calls it.
    fn operation(&self) -> &str {
        match self.kind {
            "backfill" | "copy" => "update",
            // `command collMod`
            "command" => self.title.split_once(' ').map_or("command", |(_, name)| name),
            kind => kind,
        }
    }

    /// Whether it is cut into batches, which are the calls then.
    fn has_batches(&self) -> bool {
        matches!(self.kind, "backfill" | "copy")
    }
}

impl Recorder {
    /// Sends to `spans`.
    #[must_use]
    pub fn new(spans: Arc<Spans>, facts: Arc<Facts>, mask: Mask) -> Self {
        Self { spans, facts, mask, state: Mutex::default() }
    }

    /// Closes what is still open: the engine was given up, and nobody knows what the step has come to.
    pub fn finish(&self) {
        self.end_step(&mut self.state(), None, How::Stopped);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked has left what is open.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_step(&self, index: u32) -> TraceContext {
        TraceContext::of_step(self.facts.run.id, self.facts.run.attempt, index)
    }

    fn end_step(&self, state: &mut State, totals: Option<Totals>, how: How<'_>) {
        self.end_hold(state);
        let Some(step) = state.step.take() else { return };
        let mut attributes = self.facts.common();
        attributes.extend([
            KeyValue::new("stopover.step", i64::from(step.index) + 1),
            KeyValue::new("stopover.step.kind", step.kind),
        ]);
        if let Some(totals) = totals {
            attributes.extend([
                KeyValue::new("stopover.documents.matched", totals.matched),
                KeyValue::new("stopover.documents.modified", totals.modified),
                KeyValue::new("stopover.documents.skipped", totals.skipped),
                KeyValue::new("stopover.documents.quarantined", totals.quarantined),
            ]);
        }
        if !step.has_batches() {
            attributes.extend(self.facts.database(&step.database, step.collection.as_deref(), step.operation()));
        }
        let status = match how {
            How::Done => Status::Ok,
            How::Stopped => Status::Unset,
            How::Failed(why) => {
                attributes.push(KeyValue::new("error.type", "step"));
                Status::error((self.mask)(why))
            }
        };
        self.spans.send(Span {
            at: self.at_step(step.index),
            parent: Some(TraceContext::of_attempt(self.facts.run.id, self.facts.run.attempt)),
            kind: if step.has_batches() { SpanKind::Internal } else { SpanKind::Client },
            name: step.title,
            start: step.began,
            end: SystemTime::now(),
            attributes,
            status,
            exception: None,
        });
    }

    /// A hold belongs to the step that it holds up: one that goes on into the next step is a second one there.
    fn begin_hold(state: &mut State) {
        if state.step.is_some() {
            state.held = state.hold.clone().map(|hold| (hold, SystemTime::now()));
        }
    }

    fn end_hold(&self, state: &mut State) {
        let (Some((hold, since)), Some(step)) = (state.held.take(), &state.step) else { return };
        let mut attributes = self.facts.common();
        attributes.push(KeyValue::new("stopover.hold.reason", hold.kind.word()));
        attributes.push(KeyValue::new("stopover.hold.text", hold.text));
        self.spans.send(Span {
            at: TraceContext::unique(self.facts.run.id),
            parent: Some(self.at_step(step.index)),
            kind: SpanKind::Internal,
            name: format!("hold {}", hold.kind.word()),
            start: since,
            end: SystemTime::now(),
            attributes,
            status: Status::Unset,
            exception: None,
        });
    }
}

impl Observer for Recorder {
    fn step_begins(&self, step: &StepBegun<'_>) {
        let mut state = self.state();
        state.step = Some(Step {
            index: step.index,
            title: step.title.to_owned(),
            kind: step.kind,
            database: step.database.to_owned(),
            collection: step.collection.map(str::to_owned),
            began: SystemTime::now(),
            batches: Sampler::of_step(),
        });
        Self::begin_hold(&mut state);
    }

    fn step_ends(&self, end: &StepEnd<'_>) {
        let mut state = self.state();
        self.end_step(&mut state, Some(end.totals), end.how);
    }

    fn batch(&self, batch: &Batch<'_>) {
        let mut state = self.state();
        let Some(step) = &mut state.step else { return };
        let Some(kept) = step.batches.look(batch, Instant::now()) else { return };
        let mut attributes = self.facts.common();
        attributes.extend(self.facts.database(&step.database, step.collection.as_deref(), step.operation()));
        attributes.extend([
            KeyValue::new("db.operation.batch.size", i64::from(batch.documents)),
            KeyValue::new("stopover.step", i64::from(step.index) + 1),
            KeyValue::new("stopover.range", batch.range.to_owned()),
            KeyValue::new("stopover.sampled.reason", kept.reason.word()),
            KeyValue::new("stopover.sampled.count", i64::try_from(kept.stands_for).unwrap_or(i64::MAX)),
        ]);
        if batch.failures > 0 {
            attributes.push(KeyValue::new("stopover.batch.failures", i64::from(batch.failures)));
        }
        let status = match batch.result {
            BatchResult::Done(counts) => {
                attributes.extend([
                    KeyValue::new("stopover.documents.matched", counts.matched),
                    KeyValue::new("stopover.documents.modified", counts.modified),
                    KeyValue::new("stopover.documents.skipped", counts.skipped),
                ]);
                Status::Unset
            }
            BatchResult::DoneBefore => Status::Unset,
            BatchResult::Failed(why) => {
                attributes.push(KeyValue::new("error.type", "batch"));
                Status::error((self.mask)(why))
            }
        };
        let end = SystemTime::now();
        self.spans.send(Span {
            at: TraceContext::unique(self.facts.run.id),
            parent: Some(self.at_step(step.index)),
            kind: SpanKind::Client,
            name: format!("{} {}", step.operation(), step.collection.as_deref().unwrap_or(&step.database)),
            start: end.checked_sub(batch.took).unwrap_or(end),
            end,
            attributes,
            status,
            exception: None,
        });
    }

    fn confirmed(&self, _: Counts) {}

    fn throttled(&self, verdict: &Verdict) {
        let mut state = self.state();
        // The figures in its text change each second; the span says those of its beginning.
        let is_another = state.hold.as_ref().map(|hold| hold.kind) != verdict.hold.as_ref().map(|hold| hold.kind);
        state.hold.clone_from(&verdict.hold);
        if is_another {
            self.end_hold(&mut state);
            Self::begin_hold(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter};

    use crate::engine::throttle::HoldKind;
    use crate::ledger::samples::{at, queued};
    use crate::telemetry::Signal;
    use crate::telemetry::health::Health;

    use super::*;

    /// Keeps what is sent.
    #[derive(Clone, Debug, Default)]
    struct Shelf(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Shelf {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_hold_belongs_to_the_step_that_it_holds_up_and_ends_with_it() {
        let shelf = Shelf::default();
        let health = Health::of(Signal::Traces, "", &(Arc::new(|_| {}) as _));
        let spans = Arc::new(Spans::new(BatchSpanProcessor::builder(shelf.clone()).build(), health));
        let facts = Arc::new(Facts::of_sample(queued(at(0))));
        let recorder = Recorder::new(spans.clone(), facts.clone(), Arc::new(str::to_owned));
        let begin = |index| {
            recorder.step_begins(&StepBegun {
                index,
                title: "backfill items",
                kind: "backfill",
                database: "shop",
                collection: Some("items"),
            });
        };
        let hold = |kind: Option<HoldKind>| {
            recorder.throttled(&Verdict { hold: kind.map(|kind| kind.because("2 s")), ..Verdict::FREE });
        };
        // Nothing is held up before the first step, and the second ends without a word.
        hold(Some(HoldKind::ReplicationLag));
        begin(0);
        recorder.step_ends(&StepEnd { totals: Totals::default(), how: How::Done });
        begin(1);
        hold(Some(HoldKind::ReplicationLag));
        hold(Some(HoldKind::DirtyCache));
        hold(None);
        hold(Some(HoldKind::ReplicationLag));
        recorder.finish();
        hold(Some(HoldKind::DirtyCache));
        spans.shut_down(Duration::from_secs(10));

        let run = &facts.run;
        let step = |index| SpanId::from_bytes(TraceContext::of_step(run.id, run.attempt, index).span());
        let attempt = SpanId::from_bytes(TraceContext::of_attempt(run.id, run.attempt).span());
        let sent = shelf.0.lock().unwrap();
        let sent: Vec<_> = sent.iter().map(|span| (&*span.name, span.parent_span_id)).collect();
        let expected = [
            ("hold replication_lag", step(0)),
            ("backfill items", attempt),
            ("hold replication_lag", step(1)),
            ("hold dirty_cache", step(1)),
            ("hold replication_lag", step(1)),
            ("backfill items", attempt),
        ];
        assert_eq!(sent, expected);
    }
}
