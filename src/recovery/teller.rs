//! Telling people of lost runs: their workers cannot, so a pod that looks after runs does.
//!
//! The ledger decides which pod it is ([`Action::TellLoss`]). One that dies before it could, or cannot reach a receiver, leaves it to whoever
//! asks after a while; so a loss is told at least once, in general once, and always with the same id.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::notify::Occasion;
use crate::config::Config;
use crate::events::Level;
use crate::ledger::{Acted, Action, LedgerError, LedgerWriter, LossNotice, Run, RunId, Standing};
use crate::notify::{Notice, Receivers, Sender, Told};
use crate::time::Timestamp;
use crate::voice::Voice;

/// What was lost longer before this pod began to look is no news.
const OLDEST: Duration = Duration::from_hours(1);
/// How long a pod that is told to leave stays for what is under way.
const LINGER: Duration = Duration::from_secs(2);

/// See the module.
pub struct Teller {
    sender: Sender,
    answers: Arc<Mutex<Vec<Told>>>,
    /// Losses that this pod tells of just now, by the id of the notice.
    under_way: HashMap<String, Telling>,
    /// Receivers that have a notice already: they are not told again when another could not be.
    have: HashSet<(String, usize)>,
    /// Attempts that this pod need not ask for before a while.
    later: HashMap<(RunId, u32), Instant>,
    /// Receivers of which was said already that they cannot be told.
    warned: HashSet<usize>,
}

struct Telling {
    run: RunId,
    attempt: u32,
    /// Receivers that have not answered yet.
    left: usize,
    has_failed: bool,
}

impl Teller {
    /// For this pod; says which receivers cannot be told.
    #[must_use]
    pub fn new(config: &Config, voice: &Voice) -> Self {
        let Receivers { ready, unusable } = Receivers::of_here(config);
        for unusable in unusable {
            voice.tell(Level::Warn, None, format_args!("{} is not told of runs: {}", unusable.name, unusable.reason));
        }
        let answers = Arc::<Mutex<Vec<Told>>>::default();
        let heard = answers.clone();
        let ready = ready.into_iter().filter(|receiver| receiver.on.contains(&Occasion::Lost)).collect();
        let sender = Sender::start(ready, move |told| heard.lock().unwrap_or_else(PoisonError::into_inner).push(told));
        Self {
            sender,
            answers,
            under_way: HashMap::new(),
            have: HashSet::new(),
            later: HashMap::new(),
            warned: HashSet::new(),
        }
    }

    /// Whether anybody wants to be told of what is lost.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.sender.wants(Occasion::Lost)
    }

    /// Whether `run` is to be told of at `now`, by a pod that looks since `since`.
    #[must_use]
    pub fn is_due(&self, run: &Run, since: Timestamp, now: Timestamp) -> bool {
        let expired = run.lease().map(|lease| lease.expires_at);
        let is_told = |notice: &LossNotice| notice.attempt == run.attempt && notice.delivered;
        self.is_needed()
            && run.standing(now) == Standing::Lost
            && expired.is_some_and(|at| at >= since.minus(OLDEST))
            && !run.loss.as_ref().is_some_and(is_told)
            && self.later.get(&(run.id, run.attempt)).is_none_or(|until| Instant::now() >= *until)
            && !self.under_way.values().any(|telling| telling.run == run.id)
    }

    /// Takes it upon this pod to tell of a lost run, unless another does; gives back what the ledger has of it then.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn tell(
        &mut self,
        ledger: &dyn LedgerWriter,
        config: &Config,
        run: &Run,
        now: Timestamp,
    ) -> Result<Option<Run>, LedgerError> {
        let attempt = run.attempt;
        self.later.insert((run.id, attempt), Instant::now() + LossNotice::WITHIN);
        let by = config.actor.place.clone();
        let run = match ledger.act(run.id, Action::TellLoss { attempt, by, is_delivered: false }).await {
            Ok(Acted::Changed(run)) => *run,
            Ok(Acted::Already(_)) => return Ok(None),
            Err(error) => {
                self.later.remove(&(run.id, attempt));
                return Err(error);
            }
        };
        let notice = Notice::lost(&run, config.environment.as_ref(), now);
        let id = notice.id().to_owned();
        let left = self.sender.tell(Occasion::Lost, &notice, |index| !self.have.contains(&(id.clone(), index)));
        self.under_way.insert(id, Telling { run: run.id, attempt, left, has_failed: false });
        Ok(Some(run))
    }

    /// Takes in what receivers answered: says which cannot be told, and gives back what is to be recorded as told.
    pub fn hear(&mut self, voice: &Voice) -> Vec<(RunId, u32)> {
        for Told { index, receiver, id, result } in
            std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
        {
            if let Some(telling) = self.under_way.get_mut(&id) {
                telling.left = telling.left.saturating_sub(1);
                telling.has_failed |= result.is_err();
            }
            match result {
                Ok(()) => {
                    self.warned.remove(&index);
                    self.have.insert((id, index));
                }
                Err(reason) if self.warned.insert(index) => {
                    voice.tell(
                        Level::Warn,
                        None,
                        format_args!("{receiver} could not be told of a lost run, and is tried again: {reason}"),
                    );
                }
                Err(_) => {}
            }
        }
        let over = self.under_way.extract_if(|_, telling| telling.left == 0);
        let told = over.filter(|(_, telling)| !telling.has_failed);
        told.map(|(_, telling)| (telling.run, telling.attempt)).collect()
    }

    /// Waits a little for what is under way.
    pub async fn settle(&mut self) {
        let nobody = Sender::start(Vec::new(), |_| {});
        let end = Instant::now() + LINGER;
        std::mem::replace(&mut self.sender, nobody).settle(|| end).await;
    }
}
