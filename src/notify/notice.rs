//! What receivers are told, as a webhook has it. Everything in it is bounded.

use std::time::Duration;

use serde::Serialize;

use crate::catalog::ResumePolicy;
use crate::catalog::notify::Occasion;
use crate::config::Config;
use crate::ledger::{EnvironmentName, Run, RunState, Standing};
use crate::logs::sanitise;
use crate::time::{Timestamp, short_duration};
use crate::trace_context::TraceContext;

/// Characters of a reason.
const LONGEST_REASON: usize = 1_500;
/// Characters of what names something: a pod, an operator.
const LONGEST_NAME: usize = 256;
/// Bytes of the last lines, as JSON.
const MOST_LINES: usize = 12 * 1024;
/// See the module.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    id: String,
    event: &'static str,
    /// What it tells of; a test tells of nothing.
    #[serde(skip)]
    pub(super) occasion: Option<Occasion>,
    at: String,
    pub(super) migration: Option<String>,
    pub(super) run: Option<String>,
    pub(super) attempt: Option<u32>,
    pub(super) environment: Option<String>,
    operator: Option<String>,
    pub(super) pod: Option<String>,
    namespace: Option<String>,
    trace_id: Option<String>,
    state: Option<&'static str>,
    done: Option<i64>,
    total: Option<i64>,
    remaining: Option<i64>,
    hold: Option<Hold>,
    pub(super) error: Option<Failed>,
    text: String,
    #[serde(skip)]
    pub(super) headline: Headline,
}

#[derive(Clone, Debug, Serialize)]
struct Hold {
    reason: String,
    seconds: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failed {
    message: String,
    pub(super) last_lines: Vec<String>,
}

/// What a message for people is made of.
#[derive(Clone, Debug)]
pub(super) struct Headline {
    /// Says the same as the word, for who skims.
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
    /// What happened, beyond the word.
    pub(super) what: String,
    /// The next step.
    pub(super) next: String,
}

/// What of a run's end people may want to be told, if it has come to stand still.
fn occasion_of_end(run: &Run) -> Option<Occasion> {
    match run.state {
        RunState::Queued { .. } | RunState::Running { .. } => None,
        RunState::Paused { .. } | RunState::Interrupted { .. } => Some(Occasion::Stopped),
        RunState::Failed { .. } => Some(Occasion::Failed),
        RunState::Succeeded { .. } | RunState::Cancelled { .. } => Some(Occasion::Finished),
    }
}

impl Notice {
    /// An attempt was claimed.
    #[must_use]
    pub fn started(run: &Run, environment: Option<&EnvironmentName>) -> Self {
        let (word, verb) = if run.attempt > 1 { ("RESUMED", "resumed") } else { ("STARTED", "launched") };
        let what = format!("{verb} by {}, attempt {} in pod {}", operator(run), run.attempt, run.place().pod);
        let next = format!("`stopover logs {} -f` follows it", run.id.short());
        let headline = Headline { symbol: "▶", word, what, next };
        Self::of(run, Occasion::Started, "", environment, run.updated_at, headline)
    }

    /// Something has held it for `time`; it is the attempt's hold number `number`.
    #[must_use]
    pub fn held(run: &Run, environment: Option<&EnvironmentName>, reason: &str, time: Duration, number: u32) -> Self {
        let reason = clipped(reason, LONGEST_REASON);
        let what = format!("nothing was changed for {}: {reason}", short_duration(Duration::from_secs(time.as_secs())));
        let next = format!(
            "it goes on by itself when that is over; `stopover show {}` says how far it is, `stopover pause {}` stops it",
            run.migration,
            run.id.short()
        );
        let headline = Headline { symbol: "⏳", word: "HELD", what, next };
        let now = Timestamp::of_this_machine();
        let mut notice = Self::of(run, Occasion::Held, &format!("/{number}"), environment, now, headline);
        notice.hold = Some(Hold { reason, seconds: time.as_secs() });
        notice
    }

    /// It has come to stand still; `None` when it has not.
    #[must_use]
    pub fn ended(run: &Run, environment: Option<&EnvironmentName>) -> Option<Self> {
        let occasion = occasion_of_end(run)?;
        let at = run.ended_at().unwrap_or(run.updated_at);
        let reason = clipped(&run.reason().unwrap_or_default(), LONGEST_REASON);
        let next = run.account(at).map_or_else(|| "nothing is left to do".to_owned(), |account| account.next);
        let (symbol, word) = match run.state {
            RunState::Succeeded { .. } => ("✔", "SUCCEEDED"),
            RunState::Cancelled { .. } => ("■", "CANCELLED"),
            RunState::Failed { .. } => ("✖", "FAILED"),
            RunState::Paused { .. } => ("⏸", "PAUSED"),
            _ => ("⏸", "INTERRUPTED"),
        };
        let what = match &run.state {
            RunState::Succeeded { .. } => {
                let took = run.started_at.map_or_else(String::new, |start| {
                    format!(" after {}", short_duration(Duration::from_secs(at.since(start).as_secs())))
                });
                let done = run.progress.done.map_or_else(String::new, |done| format!(", {done} done"));
                format!("attempt {} succeeded{took}{done}", run.attempt)
            }
            RunState::Interrupted { .. } => format!("{reason}{}", by_itself(run)),
            _ => reason.clone(),
        };
        let mut notice = Self::of(run, occasion, "", environment, at, Headline { symbol, word, what, next });
        if let RunState::Failed { failure, .. } = &run.state {
            notice.error = Some(Failed { message: reason, last_lines: last_lines(&failure.last_lines) });
        }
        Some(notice)
    }

    /// Its lease has expired at `now`, a time of the ledger's clock.
    #[must_use]
    pub fn lost(run: &Run, environment: Option<&EnvironmentName>, now: Timestamp) -> Self {
        let account = run.account(now);
        let (what, next) = account.map_or_else(Default::default, |account| (account.what, account.next));
        let what = format!("{what}{}", by_itself(run));
        let headline = Headline { symbol: "⚠", word: "LOST", what, next };
        let mut notice = Self::of(run, Occasion::Lost, "", environment, now, headline);
        notice.state = Some(Standing::Lost.word());
        notice
    }

    /// Nothing has happened; it is only shown that messages arrive.
    #[must_use]
    pub fn test(config: &Config) -> Self {
        let at = Timestamp::of_this_machine();
        let operator = clipped(&config.actor.operator, LONGEST_NAME);
        let what = format!("{operator} tries from pod {} whether messages of Stopover arrive", config.actor.place.pod);
        let next = "they do, and nothing is to be done".to_owned();
        let mut notice = Self {
            id: format!("test/{}/{}", config.actor.place.pod, at.as_millis()),
            event: "test",
            occasion: None,
            at: at.rfc3339(),
            migration: None,
            run: None,
            attempt: None,
            environment: config.environment.as_ref().map(ToString::to_string),
            operator: Some(operator),
            pod: Some(clipped(&config.actor.place.pod, LONGEST_NAME)),
            namespace: config.actor.place.namespace.as_deref().map(|name| clipped(name, LONGEST_NAME)),
            trace_id: None,
            state: None,
            done: None,
            total: None,
            remaining: None,
            hold: None,
            error: None,
            text: String::new(),
            headline: Headline { symbol: "✉", word: "TEST", what, next },
        };
        notice.text = notice.sentence();
        notice
    }

    fn of(
        run: &Run,
        occasion: Occasion,
        suffix: &str,
        environment: Option<&EnvironmentName>,
        at: Timestamp,
        headline: Headline,
    ) -> Self {
        let (place, progress) = (run.place(), &run.progress);
        let headline = Headline { what: clipped(&headline.what, LONGEST_REASON + 300), ..headline };
        let mut notice = Self {
            id: format!("{}/{}/{}{suffix}", run.id, run.attempt, occasion.word()),
            event: occasion.word(),
            occasion: Some(occasion),
            at: at.rfc3339(),
            migration: Some(run.migration.to_string()),
            run: Some(run.id.to_string()),
            attempt: Some(run.attempt),
            environment: environment.map(ToString::to_string),
            operator: Some(operator(run)),
            pod: Some(clipped(&place.pod, LONGEST_NAME)),
            namespace: place.namespace.as_deref().map(|name| clipped(name, LONGEST_NAME)),
            trace_id: Some(TraceContext::of_run(run.id).trace_hex()),
            state: Some(run.standing(at).word()),
            done: progress.done,
            total: progress.total,
            remaining: progress.remaining.as_ref().map(|remaining| remaining.count),
            hold: None,
            error: None,
            text: String::new(),
            headline,
        };
        notice.text = notice.sentence();
        notice
    }

    /// The same whenever and from wherever this very notice is sent: by it, a receiver knows what it has already.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// With what it has come to by now.
    #[must_use]
    pub fn with_progress(mut self, done: Option<i64>, total: Option<i64>, remaining: Option<i64>) -> Self {
        self.done = done.or(self.done);
        self.total = total.or(self.total);
        self.remaining = remaining.or(self.remaining);
        self
    }

    /// One sentence for people, and the next step.
    fn sentence(&self) -> String {
        let Headline { word, what, next, .. } = &self.headline;
        let of = self.migration.as_deref().unwrap_or("Stopover");
        let place = self.environment.as_ref().map_or_else(String::new, |name| format!(" in {name}"));
        format!("{of}{place}: {}: {what}. Next: {next}.", word.to_lowercase())
    }

    /// The body for a webhook that takes JSON.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a notice has string keys and no failing serializers")
    }
}

fn operator(run: &Run) -> String {
    let by = run.resumed.as_ref().map_or(&run.launch.by, |resumed| &resumed.by);
    clipped(&by.operator, LONGEST_NAME)
}

fn by_itself(run: &Run) -> &'static str {
    match run.launch.resume {
        ResumePolicy::Auto => "; a pod with the same migration continues it by itself (`resume: auto`)",
        ResumePolicy::Manual => "",
    }
}

/// The last of the lines, as many as there is room for.
fn last_lines(lines: &[String]) -> Vec<String> {
    let mut room = MOST_LINES;
    let mut kept = Vec::new();
    for line in lines.iter().rev() {
        let line = sanitise::plain(line.as_bytes());
        // Quotes and backslashes take two, and the comma one.
        let size = line.len() + line.matches(['"', '\\']).count() + 3;
        if size > room {
            break;
        }
        room -= size;
        kept.push(line);
    }
    kept.reverse();
    kept
}

/// One line of at most so many characters, with nothing in it that steers a terminal.
fn clipped(text: &str, most: usize) -> String {
    let text = sanitise::plain(text.replace(['\n', '\r'], " ").as_bytes());
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ledger::samples::{at, claim, failure, finish, queued, resume, running, stop};
    use crate::ledger::{Failure, FailureCause, Interruption, Outcome, WishKind};

    fn production() -> EnvironmentName {
        EnvironmentName::new("production").unwrap()
    }

    fn body(notice: &Notice) -> Value {
        serde_json::from_slice(&notice.json()).unwrap()
    }

    fn text(notice: &Notice) -> String {
        let slack: Value = serde_json::from_slice(&notice.slack()).unwrap();
        slack["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_failure_names_what_where_why_and_the_next_step() {
        let lines = vec!["first".to_owned(), "out of <memory> & `luck`".to_owned()];
        let failure = Failure { cause: FailureCause::Exit { status: 3 }, last_lines: lines };
        let run = running(at(0)).after(finish(1, Outcome::Failed(failure)), at(9));
        let notice = Notice::ended(&run, Some(&production())).unwrap();
        let json = body(&notice);
        assert_eq!(json["id"], format!("{}/1/failed", run.id));
        assert_eq!((&json["event"], &json["state"]), (&"failed".into(), &"failed".into()));
        assert_eq!(json["at"], at(9).rfc3339());
        assert_eq!(json["error"]["message"], "exit status 3");
        assert_eq!(json["error"]["lastLines"][0], "first");
        assert_eq!((&json["operator"], &json["pod"]), (&"ana".into(), &"worker-1".into()));
        assert_eq!(json["traceId"], run.id.to_string().replace('-', ""));
        let short = run.id.short();
        assert_eq!(
            json["text"],
            format!(
                "20261104_sample in production: failed: exit status 3. Next: `stopover resume {short}` continues it, `stopover run 20261104_sample --rerun` starts over."
            )
        );
        assert_eq!(
            text(&notice),
            format!(
                "✖ *FAILED*: `20261104_sample` in *production*\nexit status 3\nNext: `stopover resume {short}` continues it, `stopover run 20261104_sample --rerun` starts over.\nRun `{}`, attempt 1, pod worker-1\n```first\nout of &lt;memory&gt; &amp; 'luck'\n```",
                run.id
            )
        );
    }

    #[test]
    fn every_end_has_its_word() {
        let word = |run: &Run| body(&Notice::ended(run, None).unwrap())["text"].as_str().unwrap().to_owned();
        let done = running(at(0)).after(finish(1, Outcome::Succeeded), at(90));
        assert_eq!(
            word(&done),
            "20261104_sample: succeeded: attempt 1 succeeded after 1 min 30 s. Next: nothing is left to do."
        );
        let wished = |kind| running(at(0)).after(stop(kind, "ben"), at(1)).after(finish(1, Outcome::Stopped), at(2));
        assert!(word(&wished(WishKind::Pause)).contains(": paused: paused by ben. Next: `stopover resume "));
        assert!(word(&wished(WishKind::Cancel)).contains(": cancelled: cancelled by ben. Next: nothing"));
        let mut run = running(at(0)).after(finish(1, Outcome::Interrupted(Interruption::Shutdown)), at(2));
        assert!(word(&run).contains(": interrupted: its pod was shut down. Next: `stopover resume "));
        run.launch.resume = ResumePolicy::Auto;
        assert!(word(&run).contains("its pod was shut down; a pod with the same migration continues it by itself"));
        assert!(Notice::ended(&running(at(0)), None).is_none());
    }

    #[test]
    fn what_is_under_way_is_told_as_such() {
        let started = Notice::started(&running(at(0)), None);
        assert!(
            body(&started)["text"]
                .as_str()
                .unwrap()
                .starts_with("20261104_sample: started: launched by ana, attempt 1")
        );
        let again =
            running(at(0)).after(finish(1, failure(1)), at(1)).after(resume("ben"), at(2)).after(claim(2), at(3));
        let again = Notice::started(&again, None);
        assert!(
            text(&again).starts_with("▶ *RESUMED*: `20261104_sample`\nresumed by ben, attempt 2"),
            "{}",
            text(&again)
        );
        assert!(again.id().ends_with("/2/started"));
        let held = Notice::held(&running(at(0)), None, "replication lag 4.2 s > 2 s", Duration::from_secs(601), 2);
        assert_eq!(body(&held)["hold"], serde_json::json!({ "reason": "replication lag 4.2 s > 2 s", "seconds": 601 }));
        assert!(held.id().ends_with("/1/held/2"));
        assert!(text(&held).contains("nothing was changed for 10 min 1 s: replication lag 4.2 s &gt; 2 s"));
        let lost = body(&Notice::lost(&running(at(0)), None, at(90)));
        assert_eq!((&lost["event"], &lost["state"]), (&"lost".into(), &"lost".into()));
        assert!(lost["text"].as_str().unwrap().contains("takes it over"), "{lost}");
        let unclaimed = body(&Notice::lost(&queued(at(0)), None, at(90)));
        assert!(unclaimed["text"].as_str().unwrap().contains("no worker had claimed it"), "{unclaimed}");
    }

    proptest! {
        #[test]
        fn whatever_was_said_messages_are_bounded_and_whole(
            message in ".{0,4000}", lines in prop::collection::vec("(.|[\"\\\\\u{0}-\u{1f}]){0,500}", 0..21), pod in ".{0,600}",
        ) {
            let failure = Failure { cause: FailureCause::Start { message }, last_lines: lines };
            let mut run = running(at(0)).after(finish(1, Outcome::Failed(failure)), at(9));
            run.launch.by.operator = pod.clone();
            if let Some(worker) = &mut run.worker {
                let place = crate::place::Place { pod, ..(*worker.place).clone() };
                worker.place = place.into();
            }
            let notice = Notice::ended(&run, Some(&production())).unwrap();
            prop_assert!(notice.json().len() < 32 * 1024);
            let text = text(&notice);
            prop_assert!(text.chars().count() < 3_000, "{}", text.chars().count());
            prop_assert_eq!(text.matches("```").count() % 2, 0);
            prop_assert!(!text.contains('<') && !text.contains('>'));
            let whole = ["&amp;", "&lt;", "&gt;"].iter().fold(text.clone(), |text, entity| text.replace(entity, ""));
            prop_assert!(!whole.contains('&'), "{}", whole);
        }
    }
}
