//! The loop: takes messages in, carries effects out, draws when something changed and the terminal is ready for it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use color_eyre::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::access::Access;
use super::actions::{Confirmed, carry_out};
use super::app::App;
use super::effect::{Effect, Subject};
use super::feed::{self, Pace};
use super::inspector;
use super::log_reader::{OpenLog, Part};
use super::message::{Acted, Message};
use super::terminal::input::{self, Input};
use super::terminal::keys::Heard;
use super::terminal::output::{Output, Screen};
use super::terminal::pulse::{self, Beat, Pulse};
use super::terminal::{self, ASSUMED_SIZE};
use super::theme::Appearance;
use super::ui::view;
use super::update::update;
use super::wall::Every;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::diagnostics::CONSOLE;
use crate::ledger::LedgerReader;
use crate::place::{self, Actor};
use crate::pod::Shutdown;

/// At most about 30 frames a second.
const FRAME: Duration = Duration::from_millis(33);
/// Messages taken in before the next look at the screen.
const MOST_AT_ONCE: usize = 256;
/// How long leaving may wait for the last frame, and for the answer to the last question, which must not be left to a shell.
const LAST_FRAME: Duration = Duration::from_millis(300);
const LAST_ANSWER: Duration = Duration::from_millis(500);
/// Leaving takes no longer than this, with somebody there and without.
const LEAVING: Duration = Duration::from_secs(2);
const LEAVING_NOBODY: Duration = Duration::from_millis(500);
/// While the size may still come, and afterwards.
const SIZE_AT_FIRST: Duration = Duration::from_millis(50);
const SIZE_LATER: Duration = Duration::from_secs(5);

/// Opens the console and stays until the operator leaves or the terminal is gone. After this the process must end: a thread of it may
/// be stuck in a write. It is ended in any case; either way its status is the one that `status` gives to the ending.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn run<S>(config: Config, look: Appearance, status: impl FnOnce(Ending) -> S) -> Result<S>
where
    S: Copy + Into<i32>,
{
    let access = Access::of(&config);
    stay(App::new(Arc::new(config), look, first_size()), access, status).await
}

/// Opens a wall display, as [`run`] opens the console. It has no way to a writer, whatever `config` allows.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn watch<S>(config: Config, look: Appearance, every: Every, status: impl FnOnce(Ending) -> S) -> Result<S>
where
    S: Copy + Into<i32>,
{
    stay(App::wall(config, look, every, first_size()), Access::ReadOnly, status).await
}

fn first_size() -> (u16, u16) {
    terminal::size().unwrap_or(ASSUMED_SIZE)
}

async fn stay<S>(app: App, access: Access, status: impl FnOnce(Ending) -> S) -> Result<S>
where
    S: Copy + Into<i32>,
{
    let taken = terminal::take()?;
    let mut console = Console::start(app, access)?;
    let ending = console.follow().await;
    tracing::info!(target: CONSOLE, uptime = ?console.started.elapsed(), "leaves: {ending}");
    let status = status(ending);
    match ending {
        Ending::Left | Ending::Asked => {
            terminal::end_within(LEAVING, status.into());
            console.part().await;
        }
        Ending::Silent(_) | Ending::Gone => terminal::end_within(LEAVING_NOBODY, status.into()),
    }
    drop(taken);
    if let Some(farewell) = farewell(ending, &console.app) {
        terminal::say(&farewell);
    }
    Ok(status)
}

/// Why the console ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The operator left.
    Left,
    /// A signal asked it to.
    Asked,
    /// Nobody answered at the terminal for so long.
    Silent(Duration),
    /// The terminal is gone.
    Gone,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the operator left"),
            Self::Asked => f.write_str("a signal asked for it"),
            Self::Silent(silence) => write!(f, "nobody answered at the terminal for {silence:?}"),
            Self::Gone => f.write_str("the terminal is gone"),
        }
    }
}

/// What is said after the screen is gone, where it stays to be read.
fn farewell(ending: Ending, app: &App) -> Option<String> {
    let live = app.table.live();
    let goes_on = match (live.first(), live.len()) {
        (None, _) => None,
        (Some(first), 1) => Some(format!("{first} goes on")),
        (Some(_), count) => Some(format!("{count} runs go on")),
    };
    let place = &app.config.actor.place;
    let (name, verb) = if app.wall.is_some() { ("wall display", " watch") } else { ("console", "") };
    let again = format!("Attach again with: {}{verb}", place.invocation(true));
    match ending {
        // Nobody came to it for a run.
        Ending::Left if app.wall.is_some() => None,
        Ending::Left => {
            let (what, first) = (goes_on?, live.first()?);
            let stopover = place.invocation(false);
            Some(format!("{what} without this console; `{stopover} logs {first} -f` follows."))
        }
        Ending::Asked if Shutdown::under_way(&app.config.state_dir).is_some() => Some(format!(
            "This pod is being shut down, so the {name} left. Its runs stop at a checkpoint; attach to the pod that takes its place."
        )),
        Ending::Asked => {
            let what = goes_on.map(|what| format!("; {what} without it")).unwrap_or_default();
            Some(format!("The {name} was asked to end{what}. {again}"))
        }
        Ending::Silent(silence) => Some(format!(
            "Nobody answered at this terminal for {} s, so the {name} left; {}. {again}",
            silence.as_secs(),
            goes_on.map_or_else(|| "runs go on".to_owned(), |what| format!("{what} without it")),
        )),
        Ending::Gone => None,
    }
}

struct Console {
    app: App,
    started: Instant,
    access: Arc<Access>,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    inputs: mpsc::Receiver<Input>,
    readers: watch::Receiver<Option<Arc<dyn LedgerReader>>>,
    pace: watch::Sender<Pace>,
    subjects: watch::Sender<Option<Subject>>,
    log: Option<OpenLog>,
    output: Output,
    screen: Screen,
    pulse: Pulse,
    last_frame: Option<Instant>,
    last_tick: Instant,
    sized: Instant,
}

impl Console {
    fn start(app: App, access: Access) -> Result<Self> {
        let (size, config) = (app.size, Arc::clone(&app.config));
        let (messages, inbox) = mpsc::channel(MOST_AT_ONCE);
        let (typed, inputs) = mpsc::channel(MOST_AT_ONCE);
        let (pace, paced) = watch::channel(Pace::default());
        let (publish, readers) = watch::channel(None);
        let (subjects, inspected) = watch::channel(None);
        let output = Output::start()?;
        input::listen(typed)?;
        tokio::spawn(feed::follow(config.ledger.clone(), paced, publish, messages.clone()));
        tokio::spawn(inspector::follow(inspected, readers.clone(), messages.clone()));
        let kind = if app.wall.is_some() { "wall display" } else { "console" };
        let Actor { operator, place } = &config.actor;
        tracing::info!(
            target: CONSOLE,
            %operator,
            pod = place.pod,
            version = place.build(),
            ledger = %config.ledger,
            terminal = ?size,
            read_only = matches!(access, Access::ReadOnly),
            "{kind} starts"
        );
        let now = Instant::now();
        let mut console = Self {
            access: Arc::new(access),
            app: App { in_kubernetes: place::in_kubernetes(), ..app },
            started: now,
            messages,
            inbox,
            inputs,
            readers,
            pace,
            subjects,
            log: None,
            output,
            screen: Screen::new(size),
            pulse: Pulse::default(),
            last_frame: None,
            last_tick: now,
            sized: now,
        };
        console.send(terminal::opening().to_vec(), &[]);
        console.load_catalog();
        Ok(console)
    }

    /// Takes in whatever happens, one after another, until it is over.
    async fn follow(&mut self) -> Ending {
        let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt), Ok(mut resized)) = (
            signal(SignalKind::hangup()),
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::window_change()),
        ) else {
            return Ending::Left;
        };
        loop {
            let wake = self.wake_in();
            tokio::select! {
                biased;
                _ = hangup.recv() => return Ending::Gone,
                _ = terminate.recv() => return Ending::Asked,
                _ = interrupt.recv() => return Ending::Asked,
                _ = resized.recv() => self.look_at_size(),
                input = self.inputs.recv() => {
                    if self.heard(input) {
                        return Ending::Gone;
                    }
                }
                Some(message) = self.inbox.recv() => {
                    self.take(message);
                    for _ in 0..MOST_AT_ONCE {
                        let Ok(message) = self.inbox.try_recv() else { break };
                        self.take(message);
                    }
                }
                () = self.output.taken() => {}
                () = tokio::time::sleep(wake) => self.tick(),
            }
            if self.app.leaving {
                return Ending::Left;
            }
            if self.output.is_broken() {
                return Ending::Gone;
            }
            match self.pulse.beat(self.started.elapsed(), self.output.written()) {
                Beat::Rest => {}
                Beat::Ask => {
                    self.send(pulse::QUERY.to_vec(), &[pulse::QUERY.len()]);
                }
                Beat::Leave(silence) => return Ending::Silent(silence),
            }
            self.draw();
        }
    }

    /// Takes in a message and starts what it leads to.
    fn take(&mut self, message: Message) {
        self.app.clock.advance(self.started.elapsed());
        for effect in update(&mut self.app, message) {
            self.carry_out(effect);
        }
    }

    /// Takes in what the terminal sent. Answers whether the terminal is gone.
    fn heard(&mut self, input: Option<Input>) -> bool {
        let now = self.started.elapsed();
        match input {
            None | Some(Input::Gone) => return true,
            Some(Input::Heard(heard)) => {
                self.pulse.heard(now);
                for heard in heard {
                    match heard {
                        Heard::Alive => self.pulse.answered(now),
                        Heard::Key(key) => self.take(Message::Key(key)),
                        Heard::Paste(text) => self.take(Message::Paste(text)),
                    }
                }
            }
        }
        false
    }

    fn tick(&mut self) {
        if self.sized.elapsed() >= self.size_pace() {
            self.look_at_size();
        }
        if self.last_tick.elapsed() >= self.app.next_tick() {
            self.last_tick = Instant::now();
            self.take(Message::Tick);
        }
    }

    fn look_at_size(&mut self) {
        self.sized = Instant::now();
        if let Some((columns, rows)) = terminal::size().filter(|size| *size != self.app.size) {
            self.take(Message::Resized { columns, rows });
        }
    }

    /// The size may come late and without a signal: looked at often in the first second.
    fn size_pace(&self) -> Duration {
        if self.started.elapsed() < Duration::from_secs(1) { SIZE_AT_FIRST } else { SIZE_LATER }
    }

    /// When the loop must wake although nothing happened.
    fn wake_in(&self) -> Duration {
        let tick = self.app.next_tick().saturating_sub(self.last_tick.elapsed());
        let size = self.size_pace().saturating_sub(self.sized.elapsed());
        let beat = self.pulse.due_in(self.started.elapsed());
        let mut wake = tick.min(size).min(beat);
        if self.app.dirty && self.output.is_idle() && !self.pulse.is_behind(self.started.elapsed()) {
            wake = wake.min(self.until_next_frame());
        }
        wake.max(Duration::from_millis(1))
    }

    fn until_next_frame(&self) -> Duration {
        self.last_frame.map_or(Duration::ZERO, |at| FRAME.saturating_sub(at.elapsed()))
    }

    /// Draws, if there is something to draw and the terminal can take it.
    fn draw(&mut self) {
        let now = self.started.elapsed();
        if !self.app.dirty || !self.output.is_idle() || self.pulse.is_behind(now) || !self.until_next_frame().is_zero()
        {
            return;
        }
        self.app.clock.advance(now);
        let app = &self.app;
        let begun = Instant::now();
        let Ok(bytes) = self.screen.frame(app.size, |buffer| view(app, buffer)) else { return };
        if begun.elapsed() > FRAME {
            tracing::debug!(target: CONSOLE, took = ?begun.elapsed(), size = ?app.size, "a slow frame");
        }
        self.last_frame = Some(Instant::now());
        self.app.dirty = false;
        let (bytes, questions) = self.pulse.with_questions(bytes);
        if !bytes.is_empty() && !self.send(bytes, &questions) {
            // It was idle a moment ago; should it ever not have taken the frame, the next one draws everything.
            self.screen.invalidate();
            self.app.dirty = true;
        }
    }

    /// Hands bytes to the terminal, with questions that end at these places of them.
    fn send(&mut self, bytes: Vec<u8>, questions: &[usize]) -> bool {
        let length = bytes.len();
        let is_sent = self.output.send(bytes);
        if is_sent {
            self.pulse.handed_over(length, questions, self.started.elapsed());
        }
        is_sent
    }

    /// Before the terminal is given back: what is under way to it gets there, and what it still answers is not left to a shell.
    async fn part(&mut self) {
        if !self.output.drain(LAST_FRAME) {
            return;
        }
        let answered = async {
            while self.pulse.awaits_answer()
                && let Some(Input::Heard(heard)) = self.inputs.recv().await
            {
                // Keys mean nothing to the console any more.
                for _ in heard.into_iter().filter(|heard| *heard == Heard::Alive) {
                    self.pulse.answered(self.started.elapsed());
                }
            }
        };
        let _ = tokio::time::timeout(LAST_ANSWER, answered).await;
    }

    fn load_catalog(&self) {
        let file = self.app.config.catalog.clone();
        let messages = self.messages.clone();
        tokio::task::spawn_blocking(move || {
            let catalog = Arc::new(Catalog::load(&file));
            let problems = catalog.all_problems().count();
            tracing::debug!(target: CONSOLE, migrations = catalog.entries.len(), problems, "the catalog is read");
            let _ = messages.blocking_send(Message::Catalog(catalog));
        });
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::LoadCatalog => self.load_catalog(),
            Effect::Inspect(subject) => {
                self.subjects.send_replace(Some(subject));
            }
            Effect::OpenLog(run) => {
                let part = if self.app.wall.is_some() { Part::End } else { Part::Whole };
                // The one that was open lets go of its files first.
                self.log = None;
                self.log = run.map(|run| {
                    let state = self.app.config.state_dir.clone();
                    OpenLog::open(state, run, part, self.readers.clone(), self.messages.clone())
                });
            }
            Effect::Log(wish) => {
                if let Some(log) = &self.log {
                    log.wish(wish);
                }
            }
            Effect::Launch(plan) => self.act(Confirmed::Launch(plan)),
            Effect::Resume { run, request } => {
                if let Some(catalog) = self.app.catalog.clone() {
                    self.act(Confirmed::Resume(catalog, run, request));
                }
            }
            Effect::Stop { run, migration, kind, by_force } => {
                self.act(Confirmed::Stop { run, migration, kind, by_force });
            }
            Effect::Tune { run, migration, speed } => self.act(Confirmed::Tune(run, migration, speed)),
            Effect::Stamp(passport) => self.act(Confirmed::Stamp(passport)),
            Effect::LookSoon => self.pace.send_modify(|pace| pace.nudges += 1),
            Effect::Pace { lively } => self.pace.send_modify(|pace| pace.lively = lively),
            Effect::Redraw => self.screen.invalidate(),
        }
    }

    fn act(&self, confirmed: Confirmed) {
        let (access, config, messages) =
            (Arc::clone(&self.access), Arc::clone(&self.app.config), self.messages.clone());
        tokio::spawn(async move {
            let acted: Acted = carry_out(&access, &config, confirmed).await;
            let _ = messages.send(Message::Acted(acted)).await;
        });
    }
}
