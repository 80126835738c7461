//! The console's model: everything that is shown, and nothing else. Only [`super::update`] changes it.

use std::sync::Arc;
use std::time::Duration;

use tui_input::Input;

use crate::catalog::{Catalog, Entry, MigrationId, Speed, Work};
use crate::config::{Config, ReadOnly};
use crate::ledger::{Event, Histories, History, Passport, Run, RunId, Standing, WrongEnvironment};

use super::clock::Clock;
use super::dialog::{Basis, Dialog};
use super::effect::Subject;
use super::keymap::Context;
use super::link::Link;
use super::log_pane::LogPane;
use super::table::{Sort, Table, is_live};
use super::theme::Appearance;
use super::ui::text::capitalised;
use super::wall::{Every, Wall};

/// The whole model.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
pub struct App {
    /// How it looks.
    pub look: Appearance,
    /// What this process was told.
    pub config: Arc<Config>,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Time, here and in the ledger.
    pub clock: Clock,
    /// How the ledger's answers are coming in.
    pub link: Link,
    /// What the ledger says about where it is.
    pub belonging: Belonging,
    /// The image's migrations; `None` while they are being read.
    pub catalog: Option<Arc<Catalog>>,
    /// What the ledger knows; `None` before its first answer.
    pub histories: Option<Histories>,
    /// The turns of a wall display; `None` for an operator's console.
    pub wall: Option<Wall>,
    /// The rows.
    pub table: Table,
    /// Which pane has the keyboard.
    pub focus: Pane,
    /// Whether that pane has the whole screen.
    pub zoomed: bool,
    /// More about the selected migration.
    pub detail: Detail,
    /// The selected run's log.
    pub log: LogPane,
    /// The line of input, while one is typed.
    pub prompt: Option<Prompt>,
    /// The question that is asked, while one is.
    pub dialog: Option<Dialog>,
    /// How far the list of keys is scrolled, while it is shown.
    pub help: Option<u16>,
    /// The latest thing to tell.
    pub notice: Option<Notice>,
    /// Whether this process is in a pod, where what is not on a volume dies with it.
    pub in_kubernetes: bool,
    /// Whether the ledger was last told to be looked at often.
    pub lively: bool,
    /// Whether something that is shown has changed.
    pub dirty: bool,
    /// Whether the operator wants to leave.
    pub leaving: bool,
}

/// What the ledger says about where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Belonging {
    /// It has not answered yet.
    #[default]
    Unknown,
    /// It has.
    Known {
        /// `None` while nobody has stamped it.
        passport: Option<Passport>,
        /// The cluster that answered, where that can be told.
        cluster: Option<String>,
    },
}

/// A part of the screen that can have the keyboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The migrations.
    #[default]
    Table,
    /// The selected one.
    Detail,
    /// Its run's log.
    Log,
}

/// What the detail pane shows beside catalog and history.
#[derive(Debug, Default)]
pub struct Detail {
    /// What was asked for last.
    pub subject: Option<Subject>,
    /// Runs of the subject, newest first; `None` until they are read.
    pub runs: Option<Vec<Run>>,
    /// Index into `runs`: whose events and log are shown.
    pub selected: usize,
    /// The selected run's events, oldest first.
    pub events: Vec<Event>,
    /// Why runs or events could not be read.
    pub failure: Option<String>,
    /// The first visible line.
    pub scroll: u16,
    /// What the latest run looked like when it was last asked for: a change asks again.
    pub fingerprint: Option<(RunId, u32, Standing)>,
}

/// A line of input at the foot of the screen.
#[derive(Debug)]
pub struct Prompt {
    /// What it is for.
    pub kind: PromptKind,
    /// What was typed.
    pub input: Input,
}

/// See [`Prompt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKind {
    /// Filters the table as one types.
    Filter,
    /// Searches the log.
    Search,
}

/// One sentence for the operator.
#[derive(Debug)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
    /// The state it speaks of: it goes when that has moved on.
    pub about: Option<(MigrationId, Basis)>,
    /// When it goes by itself, in uptime; errors stay until the next key.
    pub until: Option<Duration>,
}

/// See [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Done.
    Good,
    /// To know.
    Plain,
    /// Refused or failed.
    Bad,
}

impl App {
    /// The model before anything is known.
    #[must_use]
    pub fn new(config: Arc<Config>, look: Appearance, size: (u16, u16)) -> Self {
        Self {
            look,
            config,
            size,
            clock: Clock::default(),
            link: Link::default(),
            belonging: Belonging::default(),
            catalog: None,
            histories: None,
            wall: None,
            table: Table::default(),
            focus: Pane::default(),
            zoomed: false,
            detail: Detail::default(),
            log: LogPane::default(),
            prompt: None,
            dialog: None,
            help: None,
            notice: None,
            in_kubernetes: false,
            lively: false,
            dirty: true,
            leaving: false,
        }
    }

    /// The model of a wall display, which is read-only whatever `config` says.
    #[must_use]
    pub fn wall(config: Config, look: Appearance, every: Every, size: (u16, u16)) -> Self {
        let config = Config { read_only: config.read_only.or(Some(ReadOnly::Watch)), ..config };
        let mut app = Self { wall: Some(Wall::new(every)), ..Self::new(Arc::new(config), look, size) };
        app.table.sort_by(Sort::AtWork);
        app
    }

    /// Who has the keyboard.
    #[must_use]
    pub fn context(&self) -> Context {
        if self.wall.is_some() {
            Context::Wall
        } else if self.dialog.is_some() {
            Context::Dialog
        } else if self.prompt.is_some() {
            Context::Prompt
        } else if self.help.is_some() {
            Context::Help
        } else {
            match self.focus {
                Pane::Table => Context::Table,
                Pane::Detail => Context::Detail,
                Pane::Log => Context::Log,
            }
        }
    }

    /// The selected migration: the one under the cursor, or the one whose turn it is.
    #[must_use]
    pub fn selected_id(&self) -> Option<&MigrationId> {
        match &self.wall {
            Some(wall) => wall.shown(),
            None => self.table.selected().map(|row| &row.id),
        }
    }

    /// Whether keys can change something, so that hints may name them.
    #[must_use]
    pub fn has_hands(&self) -> bool {
        self.config.read_only.is_none()
    }

    /// The catalog's entry of a migration.
    #[must_use]
    pub fn entry(&self, id: &MigrationId) -> Option<&Entry> {
        self.catalog.as_ref()?.entry(id)
    }

    /// What the ledger knows of a migration.
    #[must_use]
    pub fn history(&self, id: &MigrationId) -> Option<&History> {
        self.histories.as_ref()?.get(id)
    }

    /// What a dialog about a migration rests on now.
    #[must_use]
    pub fn basis(&self, id: &MigrationId) -> Basis {
        let latest = self.history(id).and_then(|history| history.latest.as_deref()).map(|run| {
            let standing = match run.standing(self.clock.judged_at()) {
                // Its worker has come, as it should: nobody needs to look again for that.
                Standing::Queued => Standing::Running,
                standing => standing,
            };
            (run.id, run.attempt, standing)
        });
        Basis { latest, protected: self.is_protected() }
    }

    /// The latest run of the selected migration, as fresh as the ledger's last answer.
    #[must_use]
    pub fn latest_run(&self) -> Option<&Run> {
        self.history(self.selected_id()?)?.latest.as_deref()
    }

    /// How fast a run of steps may go: what operators set, over what its manifest or else its worker says.
    #[must_use]
    pub fn speed(&self, run: &Run) -> Speed {
        let declared = match self.entry(&run.migration) {
            Some(Entry::Ready(migration)) => match &migration.work {
                Work::Steps(steps) => Some(steps.speed),
                Work::Executable(_) => None,
            },
            _ => None,
        };
        let told = run.progress.engine.as_ref().map(|engine| engine.speed);
        let speed = declared.or(told).unwrap_or_default();
        run.speed().map_or(speed, |change| change.over(speed))
    }

    /// The run whose events and log are shown: one that was chosen from the list, or the latest.
    #[must_use]
    pub fn shown_run(&self) -> Option<&Run> {
        let latest = self.latest_run();
        if self.detail.selected == 0 || !self.detail_is_of_selected() {
            return latest;
        }
        self.detail.runs.as_ref()?.get(self.detail.selected).or(latest)
    }

    /// Whether what the detail pane holds belongs to the selected migration.
    #[must_use]
    pub fn detail_is_of_selected(&self) -> bool {
        self.detail.subject.as_ref().map(|subject| &subject.migration) == self.selected_id()
    }

    /// Whether anything is at work that the operator can see.
    #[must_use]
    pub fn anything_live(&self) -> bool {
        crate::ledger::MigrationState::ALL.into_iter().any(|state| is_live(state) && self.table.count(state) > 0)
    }

    /// Whether this console may write to this ledger, or why it refuses `what`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn may_act(&self, what: &str) -> Result<(), String> {
        if let Err(refusal) = self.config.may_change(what, Some("stopover")) {
            return Err(capitalised(&refusal));
        }
        if !self.link.is_healthy() {
            return Err("The ledger does not answer: nothing can be changed until it does.".to_owned());
        }
        match self.wrong_environment() {
            Some(wrong) if !matches!(wrong, WrongEnvironment::Unstamped) => Err(wrong.to_string()),
            _ => Ok(()),
        }
    }

    /// Why this ledger is not one to write to from here.
    #[must_use]
    pub fn wrong_environment(&self) -> Option<WrongEnvironment> {
        let Belonging::Known { passport, cluster } = &self.belonging else {
            return None;
        };
        Passport::check(passport.as_ref(), self.config.environment.as_ref(), cluster.as_deref()).err()
    }

    /// The ledger's passport, once known.
    #[must_use]
    pub fn passport(&self) -> Option<&Passport> {
        match &self.belonging {
            Belonging::Known { passport, .. } => passport.as_ref(),
            Belonging::Unknown => None,
        }
    }

    /// Whether launching asks for the migration's name.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.passport().is_some_and(|passport| passport.protected)
    }

    /// Tells the operator something.
    pub fn tell(&mut self, tone: Tone, text: impl Into<String>) {
        let until = (tone != Tone::Bad).then(|| self.clock.uptime() + Duration::from_secs(8));
        self.notice = Some(Notice { text: text.into(), tone, about: None, until });
    }

    /// How long what is shown stays true without any message: when the next look at the clock is due.
    #[must_use]
    pub fn next_tick(&self) -> Duration {
        if self.wall.is_some() {
            // Its clock shows that it lives, to the second.
            Duration::from_millis(if self.anything_live() { 250 } else { 500 })
        } else if self.anything_live() || !self.link.is_healthy() || self.notice.is_some() {
            Duration::from_millis(250)
        } else {
            // Ages of what stands still are counted in minutes; that no answer comes is to be seen at once.
            let until_silent = |age| Link::SILENT.saturating_sub(age).max(Duration::from_millis(250));
            self.clock.age().map_or(Duration::from_secs(5), until_silent)
        }
    }
}
