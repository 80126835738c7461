//! Telling people of lost runs: their workers cannot, so a pod that looks after runs does.
//!
//! The ledger decides which pod it is ([`crate::ledger::Action::TellLoss`]), and knows who is done with: who has the message, or refuses it for
//! good. A pod that dies before it could tell, or cannot reach a receiver, leaves the rest to whoever asks after a while; so a loss is told at
//! least once, in general once, and always with the same id.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::notify::Occasion;
use crate::config::Config;
use crate::events::Level;
use crate::ledger::{LossNotice, Run, RunId, Standing};
use crate::notify::{Again, Notice, Ready, Receivers, Sender, Told, is_of_here};
use crate::time::Timestamp;
use crate::voice::Voice;

/// What was lost longer before this pod began to look is no news.
const OLDEST: Duration = Duration::from_hours(1);
/// How long a pod that is told to leave stays for what is under way.
const LINGER: Duration = Duration::from_secs(2);

/// See the module.
pub struct Teller {
    /// Who is to be told here, by name, whether that is possible just now or not.
    wanting: BTreeSet<String>,
    /// Who can be, since it was looked last.
    ready: Vec<Ready>,
    sender: Sender,
    answers: Arc<Mutex<Vec<Told>>>,
    /// Losses that this pod tells of, by the id of the notice.
    losses: HashMap<String, Loss>,
    /// Attempts that this pod need not ask for before a while.
    later: HashMap<(RunId, u32), Instant>,
    /// Of whom was said already that they cannot be told, and why.
    warned: HashSet<(String, String)>,
}

/// A lost attempt, and who has to do with it.
struct Loss {
    run: RunId,
    attempt: u32,
    /// Receivers that have not answered yet.
    asked: BTreeSet<String>,
    /// Receivers that are done with.
    done: BTreeSet<String>,
    /// Whether the ledger knows that.
    is_recorded: bool,
}

/// What the ledger is to know.
#[derive(Clone, Debug)]
pub struct Report {
    id: String,
    /// The run.
    pub run: RunId,
    /// Which attempt is lost.
    pub attempt: u32,
    /// Who is done with.
    pub told: BTreeSet<String>,
    /// Whether these are all.
    pub is_delivered: bool,
}

impl Teller {
    /// For this pod; says which receivers cannot be told.
    #[must_use]
    pub fn new(config: &Config, voice: &Voice) -> Self {
        let is_wanting = |name: &str| {
            let mut all = config.notify.iter();
            all.any(|target| target.name == name && target.on.contains(&Occasion::Lost) && is_of_here(target, config))
        };
        let names = config.notify.iter().map(|target| target.name.clone());
        let mut teller = Self {
            wanting: names.filter(|name| is_wanting(name)).collect(),
            ready: Vec::new(),
            sender: Sender::start(Vec::new(), |_| {}),
            answers: Arc::default(),
            losses: HashMap::new(),
            later: HashMap::new(),
            warned: HashSet::new(),
        };
        teller.take_in(Receivers::of_here(config), voice);
        teller
    }

    /// Whether anybody wants to be told of what is lost.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.wanting.is_empty()
    }

    /// Whether `run` is to be told of at `now`, by a pod that looks since `since`.
    #[must_use]
    pub fn is_due(&self, run: &Run, since: Timestamp, now: Timestamp) -> bool {
        let expired = run.lease().map(|lease| lease.expires_at);
        let is_told = |notice: &LossNotice| notice.attempt == run.attempt && notice.delivered;
        let is_in_hand = |loss: &Loss| {
            loss.run == run.id && (!loss.asked.is_empty() || loss.attempt == run.attempt && self.is_done(&loss.done))
        };
        self.is_needed()
            && run.standing(now) == Standing::Lost
            && expired.is_some_and(|at| at >= since.minus(OLDEST))
            && !run.loss.as_ref().is_some_and(is_told)
            && self.later.get(&(run.id, run.attempt)).is_none_or(|until| Instant::now() >= *until)
            && !self.losses.values().any(is_in_hand)
    }

    /// Another pod tells of it, or this one does from now on: it need not ask before a while.
    pub fn put_off(&mut self, run: &Run) {
        self.later.insert((run.id, run.attempt), Instant::now() + LossNotice::WITHIN);
    }

    /// Tells of a lost run whoever is not done with. Addresses and secrets are read anew for that: this pod may have started before they were there,
    /// or long before they were replaced.
    pub async fn tell(&mut self, config: &Config, run: &Run, now: Timestamp, voice: &Voice) {
        let here = config.clone();
        if let Ok(receivers) = tokio::task::spawn_blocking(move || Receivers::of_here(&here)).await {
            self.take_in(receivers, voice);
        }
        let notice = Notice::lost(run, config.environment.as_ref(), now);
        let loss = self.losses.entry(notice.id().to_owned()).or_insert_with(|| Loss {
            run: run.id,
            attempt: run.attempt,
            asked: BTreeSet::new(),
            done: BTreeSet::new(),
            is_recorded: true,
        });
        let recorded = run.loss.iter().filter(|notice| notice.attempt == run.attempt);
        loss.done.extend(recorded.flat_map(|notice| notice.told.iter().cloned()));
        let due = |index: usize| self.ready.get(index).is_some_and(|ready| !loss.done.contains(&ready.name));
        let asked = self.sender.tell(&notice, due);
        loss.asked = asked.into_iter().filter_map(|index| Some(self.ready.get(index)?.name.clone())).collect();
        // All that was missing may be whom other settings named.
        loss.is_recorded &= !self.wanting.is_subset(&loss.done);
    }

    /// Takes in what receivers answered; says which cannot be told.
    pub fn hear(&mut self, voice: &Voice) {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for Told { name, receiver, id, result, .. } in answers {
            let is_over = match &result {
                Ok(()) => true,
                Err(trouble) => trouble.again == Again::Never,
            };
            if let Some(loss) = self.losses.get_mut(&id) {
                loss.asked.remove(&name);
                if is_over {
                    loss.is_recorded &= !loss.done.insert(name.clone());
                }
            }
            match result {
                Ok(()) => self.warned.retain(|(warned, _)| *warned != name),
                Err(trouble) => {
                    let next = if is_over { "which is final" } else { "and is tried again" };
                    let text = format!("{receiver} could not be told of a lost run, {next}: {trouble}");
                    self.warn(name, if is_over { &text } else { "" }, &text, voice);
                }
            }
        }
    }

    /// Something that the ledger is to know, if there is.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let (id, loss) = self.losses.iter().find(|(_, loss)| !loss.is_recorded)?;
        let (id, told, is_delivered) = (id.clone(), loss.done.clone(), self.is_done(&loss.done));
        Some(Report { id, run: loss.run, attempt: loss.attempt, told, is_delivered })
    }

    /// The ledger knows it.
    pub fn reported(&mut self, report: &Report) {
        if let Some(loss) = self.losses.get_mut(&report.id) {
            loss.is_recorded = loss.done == report.told;
        }
        self.losses.retain(|_, loss| !(loss.is_recorded && loss.asked.is_empty()));
    }

    /// Waits a little for what is under way.
    pub async fn settle(&mut self) {
        let nobody = Sender::start(Vec::new(), |_| {});
        let end = Instant::now() + LINGER;
        std::mem::replace(&mut self.sender, nobody).settle(|| end).await;
    }

    fn is_done(&self, done: &BTreeSet<String>) -> bool {
        self.wanting.is_subset(done)
    }

    /// Who can be told now. Those who are being told by the addresses of before go on to be.
    fn take_in(&mut self, receivers: Receivers, voice: &Voice) {
        for unusable in receivers.unusable {
            let text = format!("{} is not told of runs: {}", unusable.name, unusable.reason);
            self.warn(unusable.name, &text, &text, voice);
        }
        let ready: Vec<_> = receivers.ready.into_iter().filter(|it| it.on.contains(&Occasion::Lost)).collect();
        if ready != self.ready {
            let heard = self.answers.clone();
            let hear = move |told| heard.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            self.sender = Sender::start(ready.clone(), hear);
            self.ready = ready;
        }
    }

    /// Says it once for each receiver and `kind`, until it is told something again.
    fn warn(&mut self, name: String, kind: &str, text: &str, voice: &Voice) {
        if self.warned.insert((name, kind.to_owned())) {
            voice.tell(Level::Warn, None, text);
        }
    }
}
