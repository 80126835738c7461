//! Everything that can be said of a run from here: its process, its pod, its lease, what was asked and done about it, and what a resume would do.

use std::time::Duration;

use serde::Serialize;

use crate::catalog::{Catalog, Entry, ParamError, ResumePolicy};
use crate::cli::json::{RecoveryView, WishView};
use crate::config::Config;
use crate::launch::{PlanRefusal, ResumeRequest, left_here, resumption};
use crate::ledger::{Account, Lease, Run, Standing, Worker};
use crate::place::Place;
use crate::process::ProcessIdentity;
use crate::time::{Timestamp, short_duration};
use crate::worker::guard;

/// Most characters of a checkpoint that are shown.
const SHORT_CHECKPOINT: usize = 60;

/// From where runs are looked at.
pub struct Surroundings<'a> {
    pub config: &'a Config,
    /// Of this image.
    pub catalog: &'a Catalog,
    /// Why this process may not act on the ledger, if it may not.
    pub wrong_environment: Option<String>,
}

/// A run, with what it needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained<'a> {
    /// Its short id.
    pub run: String,
    pub migration: String,
    pub state: &'static str,
    pub text: String,
    pub next: String,
    id: String,
    attempt: u32,
    /// The latest worker; null when none has started.
    worker: Option<Whereabouts>,
    lease: Option<LeaseView>,
    wish: Option<WishView<'a>>,
    recoveries: Vec<RecoveryView<'a>>,
    /// `auto` or `manual`: who continues it when it is interrupted or lost; null when this image does not have it.
    policy: Option<ResumePolicy>,
    /// What a resume from here would do now; null when there is nothing to resume.
    resume: Option<DryRun>,
    /// How each part of this is told to a person.
    #[serde(skip)]
    told: Vec<(&'static str, String)>,
}

/// Where a worker is, as far as it can be told from here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whereabouts {
    pod: String,
    namespace: Option<String>,
    pid: i32,
    /// `here`, `earlierContainer` (of this pod), `gone` (of this container) or `elsewhere`.
    place: &'static str,
    /// Null where that cannot be seen.
    is_alive: Option<bool>,
    /// Whether its guard is on its post; null where that cannot be seen.
    is_guarded: Option<bool>,
    /// Processes of it that a resume or a cancel kills first.
    left: Vec<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseView {
    renewed_at: String,
    expires_at: String,
    is_over: bool,
}

/// What a resume would do, without doing it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    /// Whether it would be allowed, once what it needs is given.
    is_possible: bool,
    attempt: u32,
    from_checkpoint: bool,
    /// The migration's content is another than what was launched: it needs `--changed`.
    is_changed: bool,
    /// Secret params that must be given again.
    secrets: Vec<String>,
    /// Why it would be refused.
    refusal: Option<String>,
}

impl Surroundings<'_> {
    /// Explains `run` as it is at `now`, a time of the ledger's clock.
    pub fn explain<'r>(&self, run: &'r Run, now: Timestamp) -> Explained<'r> {
        let standing = run.standing(now);
        let Account { what, next } = run.account(now).unwrap_or_else(|| Account {
            what: format!("{standing} {} ago", whole(now.since(run.ended_at().unwrap_or(now)))),
            next: "nothing is left to be done".to_owned(),
        });
        let mut told = vec![("now", what.clone())];
        // Where the worker of what has ended was is of interest to nobody.
        let worker = run.worker.as_ref().filter(|_| run.lease().is_some()).map(|worker| {
            let (whereabouts, words) = self.find(worker, left_here(self.config, run, now));
            told.push(("process", words));
            whereabouts
        });
        let lease = run.lease().map(|lease| {
            told.push(("lease", describe_lease(lease, now)));
            LeaseView {
                renewed_at: lease.renewed_at.rfc3339(),
                expires_at: lease.expires_at.rfc3339(),
                is_over: lease.is_expired(now),
            }
        });
        for recovery in &run.recoveries {
            told.push(("recovery", format!("{}, {} ago", recovery.describe(), whole(now.since(recovery.at)))));
        }
        let policy = self.policy(run);
        if matches!(standing, Standing::Interrupted | Standing::Lost) {
            told.push(("policy", describe_policy(policy).to_owned()));
        }
        let resume = standing.is_resumable().then(|| self.try_out(run));
        if let Some(resume) = &resume {
            told.push(("resume", resume.describe(run)));
        }
        told.push(("next", next.clone()));
        Explained {
            run: run.id.short(),
            migration: run.migration.to_string(),
            state: standing.word(),
            text: what,
            next,
            id: run.id.to_string(),
            attempt: run.attempt,
            worker,
            lease,
            wish: run.wish().map(WishView::new),
            recoveries: run.recoveries.iter().map(RecoveryView::new).collect(),
            policy,
            resume,
            told,
        }
    }

    fn policy(&self, run: &Run) -> Option<ResumePolicy> {
        match self.catalog.entry(&run.migration) {
            Some(Entry::Ready(migration)) => Some(migration.resume),
            Some(Entry::Broken(_)) | None => None,
        }
    }

    fn find(&self, worker: &Worker, left: Vec<i32>) -> (Whereabouts, String) {
        let Worker { place, process } = worker;
        let here = &self.config.actor.place;
        let (at, is_alive, is_guarded, words) = if place.pod != here.pod {
            let words = format!(
                "in another pod, {}: only there can be seen whether it is alive; `{}` tells whether that pod still exists",
                place.pod,
                get_pod(place)
            );
            ("elsewhere", None, None, words)
        } else if process.is_alive() {
            let guard = guard::of(*process);
            let guarded = guard.map_or_else(
                || {
                    "its guard is not on its post; the worker replaces it within a second, if it is not frozen"
                        .to_owned()
                },
                |guard| format!("its guard is pid {}", guard.pid),
            );
            let words =
                format!("pid {} (started at tick {}) is alive here; {guarded}", process.pid, process.start_ticks);
            ("here", Some(true), Some(guard.is_some()), words)
        } else if began_before_this_container(*process) {
            let words = format!("pid {} was of an earlier container of this pod, and is gone with it", process.pid);
            ("earlierContainer", Some(false), Some(false), words)
        } else {
            let other = ProcessIdentity::of(process.pid).map_or("", |_| ", and its pid is another process by now");
            let words = format!("pid {} was of this pod and is gone{other}", process.pid);
            ("gone", Some(false), Some(false), words)
        };
        let words = if left.is_empty() {
            words
        } else {
            let pids = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{words}; still there, and killed by a resume or a cancel: pid {pids}")
        };
        let whereabouts = Whereabouts {
            pod: place.pod.clone(),
            namespace: place.namespace.clone(),
            pid: process.pid,
            place: at,
            is_alive,
            is_guarded,
            left,
        };
        (whereabouts, words)
    }

    /// Asks the very function that decides on a resume, giving in to what an operator can give.
    fn try_out(&self, run: &Run) -> DryRun {
        let mut request = ResumeRequest::default();
        let refusal = loop {
            match resumption(self.catalog, self.config, run, &request) {
                Ok(_) => break self.may_not_act(),
                Err(PlanRefusal::ContentChanged { .. }) if !request.accept_changed => request.accept_changed = true,
                Err(PlanRefusal::Param { error: ParamError::SecretNotStored { name }, .. })
                    if request.params.iter().all(|(given, _)| *given != name) =>
                {
                    request.params.push((name, String::new()));
                }
                Err(refusal) => break Some(refusal.to_string()),
            }
        };
        DryRun {
            is_possible: refusal.is_none(),
            attempt: run.attempt.saturating_add(1),
            from_checkpoint: run.checkpoint.is_some(),
            is_changed: request.accept_changed,
            secrets: request.params.into_iter().map(|(name, _)| name).collect(),
            refusal,
        }
    }

    fn may_not_act(&self) -> Option<String> {
        let read_only = self.config.read_only.map(|why| format!("this Stopover is read-only: {why}"));
        read_only.or_else(|| self.wrong_environment.clone())
    }
}

impl DryRun {
    fn describe(&self, run: &Run) -> String {
        let from = match &run.checkpoint {
            Some(checkpoint) => format!("from its checkpoint {}", shortened(checkpoint.as_json())),
            None => "from the start".to_owned(),
        };
        if let Some(refusal) = &self.refusal {
            return format!("would be attempt {}, {from}, but is refused here: {refusal}", self.attempt);
        }
        let content = if self.is_changed {
            "this image has another content than was launched, which needs `--changed`"
        } else {
            "this image has it unchanged"
        };
        let secrets = match self.secrets.as_slice() {
            [] => String::new(),
            names => {
                let options: Vec<_> = names.iter().map(|name| format!("`--param {name}=@FILE`")).collect();
                format!("; secret params must be given again: {}", options.join(", "))
            }
        };
        format!("would be attempt {}, {from}; {content}{secrets}", self.attempt)
    }
}

impl Explained<'_> {
    /// What is told to a person, by name.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.told.iter().map(|(name, text)| (*name, text.as_str()))
    }
}

fn describe_policy(policy: Option<ResumePolicy>) -> &'static str {
    match policy {
        Some(ResumePolicy::Auto) => {
            "resume: auto; a pod whose keeper looks after runs continues it by itself, as far as it may"
        }
        Some(ResumePolicy::Manual) => "resume: manual; it waits for an operator",
        None => "this image does not have it, or cannot read it; one that has says whether it goes on by itself",
    }
}

fn describe_lease(lease: Lease, now: Timestamp) -> String {
    let heard = whole(now.since(lease.renewed_at));
    if lease.is_expired(now) {
        let over = whole(now.since(lease.expires_at));
        format!("last heard of {heard} ago; the lease is over for {over}, and the run may be taken over")
    } else {
        format!("last heard of {heard} ago; {} are left unless it is renewed", whole(lease.expires_at.since(now)))
    }
}

/// To the second.
fn whole(time: Duration) -> String {
    short_duration(Duration::from_secs(time.as_secs()))
}

/// The command that tells whether a pod exists.
fn get_pod(place: &Place) -> String {
    let namespace = place.namespace.as_ref().map_or_else(String::new, |namespace| format!(" -n {namespace}"));
    format!("kubectl get pod {}{namespace}", place.pod)
}

/// Both times count from the start of the machine, which containers share.
fn began_before_this_container(process: ProcessIdentity) -> bool {
    ProcessIdentity::of(1).is_some_and(|first| process.start_ticks < first.start_ticks)
}

fn shortened(json: &str) -> String {
    if json.chars().count() <= SHORT_CHECKPOINT {
        return json.to_owned();
    }
    let start: String = json.chars().take(SHORT_CHECKPOINT).collect();
    format!("{start}…")
}
