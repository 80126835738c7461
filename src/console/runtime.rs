//! The loop: takes messages in, carries effects out, draws when something changed and the terminal is ready for it.

use std::io::Write;
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
use crate::ledger::LedgerReader;

/// At most about 30 frames a second.
const FRAME: Duration = Duration::from_millis(33);
/// Messages taken in before the next look at the screen.
const MOST_AT_ONCE: usize = 256;
/// A terminal that does not take a frame within this time is given up.
const STUCK: Duration = Duration::from_mins(1);
/// While the size may still come, and afterwards.
const SIZE_AT_FIRST: Duration = Duration::from_millis(50);
const SIZE_LATER: Duration = Duration::from_secs(5);

/// Opens the console and stays until the operator leaves or the terminal is gone.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn run(config: Config, look: Appearance) -> Result<()> {
    let access = Access::of(&config);
    stay(App::new(Arc::new(config), look, first_size()), access).await
}

/// Opens a wall display and stays until somebody leaves or the terminal is gone. It has no way to a writer, whatever `config` allows.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn watch(config: Config, look: Appearance, every: Every) -> Result<()> {
    stay(App::wall(config, look, every, first_size()), Access::ReadOnly).await
}

fn first_size() -> (u16, u16) {
    terminal::size().unwrap_or(ASSUMED_SIZE)
}

async fn stay(app: App, access: Access) -> Result<()> {
    let taken = terminal::take()?;
    let mut console = Console::start(app, access)?;
    let ending = console.follow().await;
    let drained = console.output.drain(Duration::from_millis(300));
    drop(taken);
    match ending {
        Ending::Left if drained => {
            farewell(&console.app);
            Ok(())
        }
        Ending::Left => Ok(()),
        // Nobody is there to read an error, and a thread may be stuck in a write: nothing is left to wait for.
        Ending::Gone => std::process::exit(0),
    }
}

enum Ending {
    /// The operator left, or a signal asked to.
    Left,
    /// The terminal is gone.
    Gone,
}

/// What goes on is said after the screen is gone, where it stays to be read.
fn farewell(app: &App) {
    if app.wall.is_some() {
        return;
    }
    let live = app.table.live();
    let Some(first) = live.first() else { return };
    let what = if live.len() == 1 { format!("{first} goes on") } else { format!("{} runs go on", live.len()) };
    let _ = writeln!(std::io::stdout(), "{what} without this console; `stopover logs {first} -f` follows.");
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
        let mut output = Output::start()?;
        output.send(terminal::opening().to_vec());
        input::listen(typed)?;
        tokio::spawn(feed::follow(config.ledger.clone(), paced, publish, messages.clone()));
        tokio::spawn(inspector::follow(inspected, readers.clone(), messages.clone()));
        let now = Instant::now();
        let console = Self {
            access: Arc::new(access),
            app: App { in_kubernetes: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(), ..app },
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
                _ = terminate.recv() => return Ending::Left,
                _ = interrupt.recv() => return Ending::Left,
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
            if self.output.is_broken() || self.output.busy_for() > STUCK {
                return Ending::Gone;
            }
            match self.pulse.beat(self.started.elapsed()) {
                Beat::Rest => {}
                // A terminal that is still busy has its own deadline.
                Beat::Ask => {
                    self.output.send(pulse::QUERY.to_vec());
                }
                Beat::Leave => return Ending::Gone,
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
            Some(Input::Heard(Heard::Alive)) => self.pulse.answered(now),
            Some(Input::Heard(Heard::Key(key))) => {
                self.pulse.heard(now);
                self.take(Message::Key(key));
            }
            Some(Input::Heard(Heard::Paste(text))) => {
                self.pulse.heard(now);
                self.take(Message::Paste(text));
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
        if self.app.dirty && self.output.is_idle() {
            wake = wake.min(self.until_next_frame());
        }
        wake.max(Duration::from_millis(1))
    }

    fn until_next_frame(&self) -> Duration {
        self.last_frame.map_or(Duration::ZERO, |at| FRAME.saturating_sub(at.elapsed()))
    }

    /// Draws, if there is something to draw and the terminal can take it.
    fn draw(&mut self) {
        if !self.app.dirty || !self.output.is_idle() || !self.until_next_frame().is_zero() {
            return;
        }
        self.app.clock.advance(self.started.elapsed());
        let app = &self.app;
        let Ok(bytes) = self.screen.frame(app.size, |buffer| view(app, buffer)) else { return };
        self.last_frame = Some(Instant::now());
        self.app.dirty = false;
        if !bytes.is_empty() && !self.output.send(bytes) {
            // It was idle a moment ago; should it ever not have taken the frame, the next one draws everything.
            self.screen.invalidate();
            self.app.dirty = true;
        }
    }

    fn load_catalog(&self) {
        let file = self.app.config.catalog.clone();
        let messages = self.messages.clone();
        tokio::task::spawn_blocking(move || {
            let catalog = Arc::new(Catalog::load(&file));
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
