//! What a person is told of a run that has not come to its final end: where it is, since when, and what can be done.

use std::time::Duration;

use crate::time::{Timestamp, short_duration};

use super::run::{Run, RunState, Standing};
use super::wish::{Wish, WishKind};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The facts, in one sentence without its full stop.
    pub what: String,
    /// The next step, as commands.
    pub next: String,
}

impl Run {
    /// The account of it at `now`, a time of the ledger's clock; `None` when nothing is left to be done with it.
    #[must_use]
    pub fn account(&self, now: Timestamp) -> Option<Account> {
        let standing = self.standing(now);
        let short = self.id.short();
        let from = if self.checkpoint.is_some() { " from its checkpoint" } else { "" };
        let next = match standing {
            Standing::Succeeded | Standing::Cancelled => return None,
            Standing::Queued | Standing::Running => format!("nothing to do; `stopover logs {short} -f` follows it"),
            Standing::Pausing | Standing::Cancelling => {
                let verb = self.wish().map_or(WishKind::Cancel, |wish| wish.kind).verb();
                if self.is_forced() {
                    "nothing to do; it stands still when its lease ends, at the latest".to_owned()
                } else {
                    format!(
                        "nothing to do; if it does not stop in time, `stopover {verb} {short} --force` ends its program"
                    )
                }
            }
            Standing::Failed => format!(
                "`stopover resume {short}` continues it{from}, `stopover run {} --rerun` starts over",
                self.migration
            ),
            Standing::Lost => {
                format!("`stopover resume {short}` takes it over{from}, `stopover cancel {short}` ends it")
            }
            Standing::Paused | Standing::Interrupted => {
                format!("`stopover resume {short}` continues it{from}, `stopover cancel {short}` gives it up")
            }
        };
        let what = match &self.state {
            RunState::Queued { since, lease } if standing == Standing::Lost => format!(
                "attempt {} was asked for {} ago, and no worker had claimed it when its time was over {} ago",
                self.attempt,
                whole(now.since(*since)),
                whole(now.since(lease.expires_at))
            ),
            RunState::Queued { since, .. } => {
                format!(
                    "attempt {} was asked for {} ago; its worker is starting",
                    self.attempt,
                    whole(now.since(*since))
                )
            }
            RunState::Running { lease, wish, .. } => {
                let pod = &self.place().pod;
                let pid =
                    self.worker.as_ref().map_or_else(String::new, |worker| format!(", pid {}", worker.process.pid));
                let heard = whole(now.since(lease.renewed_at));
                let attempt = self.attempt;
                if standing == Standing::Lost {
                    let over = whole(now.since(lease.expires_at));
                    format!(
                        "attempt {attempt} in pod {pod}{pid} was last heard of {heard} ago, and its lease is over for {over}"
                    )
                } else {
                    let asked = wish.as_ref().map_or_else(String::new, |wish| format!("; {}", describe(wish, now)));
                    format!("attempt {attempt} is in pod {pod}{pid}, last heard of {heard} ago{asked}")
                }
            }
            _ => {
                let ago = self.ended_at().map_or_else(String::new, |at| format!(", {} ago", whole(now.since(at))));
                format!("{}{ago}", self.reason().unwrap_or_default())
            }
        };
        Some(Account { what, next })
    }
}

/// A wish and what came of it.
fn describe(wish: &Wish, now: Timestamp) -> String {
    let ago = |at| whole(now.since(at));
    let asked = format!(
        "{} asked it to {} {} ago, from pod {}",
        wish.by.operator,
        wish.kind.verb(),
        ago(wish.at),
        wish.by.place.pod
    );
    match (&wish.force, wish.heard_at) {
        (Some(force), _) => format!("{asked}, and {} by force {} ago", force.by.operator, ago(force.at)),
        (None, Some(at)) => format!("{asked}, which it heard {} ago", ago(at)),
        (None, None) => format!("{asked}, which it has not heard yet"),
    }
}

/// To the second: finer is of no use here.
fn whole(time: Duration) -> String {
    short_duration(Duration::from_secs(time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::samples::{actor, at, failure, finish, queued, running, stop};
    use crate::ledger::{Checkpoint, Force};

    fn told(run: &Run, seconds: i64) -> (String, String) {
        let Account { what, next } = run.account(at(seconds)).unwrap();
        (what, next.replace(&run.id.short(), "R"))
    }

    #[test]
    fn a_lost_run_names_pod_process_and_last_heartbeat() {
        let mut run = running(at(0));
        run.checkpoint = Some(Checkpoint::new("7".to_owned()).unwrap());
        let (what, next) = told(&run, 90);
        assert_eq!(
            what,
            "attempt 1 in pod worker-1, pid 7 was last heard of 1 min 30 s ago, and its lease is over for 1 min"
        );
        assert_eq!(next, "`stopover resume R` takes it over from its checkpoint, `stopover cancel R` ends it");
        let (what, _) = told(&queued(at(0)), 40);
        assert_eq!(
            what,
            "attempt 1 was asked for 40 s ago, and no worker had claimed it when its time was over 10 s ago"
        );
    }

    #[test]
    fn a_run_that_was_asked_to_stop_names_who_asked_and_whether_it_heard() {
        let mut run = running(at(0)).after(stop(WishKind::Pause, "ana"), at(1));
        let (what, next) = told(&run, 4);
        assert_eq!(
            what,
            "attempt 1 is in pod worker-1, pid 7, last heard of 4 s ago; ana asked it to pause 3 s ago, from pod console-1, which it has not heard yet"
        );
        assert_eq!(next, "nothing to do; if it does not stop in time, `stopover pause R --force` ends its program");
        if let RunState::Running { wish: Some(wish), .. } = &mut run.state {
            wish.force = Some(Force { by: actor("ben"), at: at(3), heard_at: None });
        }
        assert!(told(&run, 4).0.ends_with("from pod console-1, and ben by force 1 s ago"));
    }

    #[test]
    fn what_has_ended_needs_nothing_and_what_failed_can_be_continued() {
        let run = running(at(0));
        assert_eq!(run.after(finish(1, crate::ledger::Outcome::Succeeded), at(1)).account(at(2)), None);
        let (what, next) = told(&run.after(finish(1, failure(3)), at(1)), 3);
        assert_eq!(what, "exit status 3, 2 s ago");
        assert_eq!(next, "`stopover resume R` continues it, `stopover run 20261104_sample --rerun` starts over");
    }
}
