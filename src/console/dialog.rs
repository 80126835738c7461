//! What the console asks before it acts.

use tui_input::Input;

use crate::catalog::{MigrationId, Speed};
use crate::ledger::{EnvironmentName, MigrationState, Run, RunId, Standing, WishKind};
use crate::time::Timestamp;

use super::form::{Field, FieldKind, Form};
use super::keymap::Command;

/// What a dialog's words rest on: when it is no longer so, the dialog must be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The migration's latest run, its attempt, and how it stood.
    pub latest: Option<(RunId, u32, Standing)>,
    /// Whether the environment was protected.
    pub protected: bool,
}

/// An open dialog. While one is open it has the keyboard.
#[derive(Debug)]
pub enum Dialog {
    /// Launch a migration.
    Launch(LaunchDialog),
    /// Resume a run.
    Resume {
        /// As it was when the dialog was opened.
        run: Box<Run>,
        /// How it stood then.
        standing: Standing,
        /// What the dialog rests on.
        basis: Basis,
        /// Whether its migration's content is no longer what was launched: to go on executes what it is now.
        changed: bool,
        /// Secret params, to be given again; the word of proof where one is asked for.
        form: Form,
    },
    /// Pause or cancel a run.
    Stop {
        /// Which.
        run: RunId,
        /// Of which migration.
        migration: MigrationId,
        /// How it stood when the dialog was opened.
        standing: Standing,
        /// What the dialog rests on.
        basis: Basis,
        /// For a while, or for good.
        kind: WishKind,
        /// Whether its program is no longer left the time to stop.
        by_force: bool,
        /// Without fields; with force, the migration's name as proof.
        form: Form,
    },
    /// Set the speed of a run's steps.
    Tune {
        /// Which.
        run: RunId,
        /// Of which migration.
        migration: MigrationId,
        /// What the dialog rests on.
        basis: Basis,
        /// Workers and pace.
        form: Form,
    },
    /// Say which environment the ledger belongs to.
    Stamp {
        /// The environment's name, and whether it is protected.
        form: Form,
        /// The launch to go on with, and whether it was asked for as a rerun.
        then: (MigrationId, bool),
    },
    /// Why something was not done.
    Refusal {
        /// One line.
        title: String,
        /// What is the matter.
        text: String,
        /// Commands that help, which work from here.
        ways_out: Vec<(Command, &'static str)>,
    },
}

/// The dialog before a launch.
#[derive(Debug)]
pub struct LaunchDialog {
    /// What is to be launched.
    pub migration: MigrationId,
    /// What the dialog rests on.
    pub basis: Basis,
    /// What came before.
    pub before: Before,
    /// Requirements that are not applied: to go on overrides them.
    pub missing: Vec<(MigrationId, MigrationState)>,
    /// Whether a second application changes documents again that the first has changed: to go on overrides the guard against that.
    pub repeats: bool,
    /// Params, and the word of proof where one is asked for.
    pub form: Form,
}

/// What came before a launch, and so what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// It was never applied, and nothing of an earlier run is thrown away.
    Nothing,
    /// It is applied: this runs it again.
    Applied {
        /// When it succeeded last.
        at: Timestamp,
        /// The short id of that run.
        run: String,
    },
    /// An earlier run left a checkpoint, which this will not use.
    Checkpoint {
        /// The short id of that run.
        run: String,
    },
}

impl Before {
    /// Whether the launch must be asked for as a rerun.
    #[must_use]
    pub fn is_rerun(&self) -> bool {
        *self != Self::Nothing
    }
}

impl Dialog {
    /// Its form, if it has one.
    pub fn form_mut(&mut self) -> Option<&mut Form> {
        match self {
            Self::Launch(launch) => Some(&mut launch.form),
            Self::Resume { form, .. }
            | Self::Stop { form, .. }
            | Self::Tune { form, .. }
            | Self::Stamp { form, .. } => Some(form),
            Self::Refusal { .. } => None,
        }
    }

    /// The migration it is about and what its words rest on, if it acts on one.
    #[must_use]
    pub fn basis(&self) -> Option<(&MigrationId, Basis)> {
        match self {
            Self::Launch(launch) => Some((&launch.migration, launch.basis)),
            Self::Resume { run, basis, .. } => Some((&run.migration, *basis)),
            Self::Stop { migration, basis, .. } | Self::Tune { migration, basis, .. } => Some((migration, *basis)),
            Self::Stamp { .. } | Self::Refusal { .. } => None,
        }
    }

    /// The dialog that sets the speed of `run`, filled in with the one that holds.
    #[must_use]
    pub fn tune(run: &Run, basis: Basis, speed: Speed) -> Self {
        let field = |name: &str, hint: String, value: u8| Field {
            name: name.to_owned(),
            hint,
            kind: FieldKind::Text { input: Input::new(value.to_string()), secret: false },
        };
        let form = Form::new(vec![
            field("workers", format!("1 to {}: batches under way at once", Speed::MOST_WORKERS), speed.workers),
            field("pace", "1 to 100 %: the share of the time it works".to_owned(), speed.pace),
        ]);
        Self::Tune { run: run.id, migration: run.migration.clone(), basis, form }
    }

    /// The dialog that stamps a ledger. Where this process knows its environment, that name must be typed.
    #[must_use]
    pub fn stamp(here: Option<&EnvironmentName>, then: (MigrationId, bool)) -> Self {
        let name = match here {
            Some(here) => Field { name: "environment".to_owned(), ..Field::proof(here.as_str()) },
            None => Field {
                name: "environment".to_owned(),
                hint: "its name, e.g. staging".to_owned(),
                kind: FieldKind::Text { input: Input::default(), secret: false },
            },
        };
        let protected = Field {
            name: "protected".to_owned(),
            hint: "yes: every launch asks to type the migration's name".to_owned(),
            kind: FieldKind::Choice { options: vec!["no".to_owned(), "yes".to_owned()], chosen: None },
        };
        // Words of proof stand last on the screen, so they come last here.
        let fields = if here.is_some() { vec![protected, name] } else { vec![name, protected] };
        Self::Stamp { form: Form::new(fields), then }
    }
}
