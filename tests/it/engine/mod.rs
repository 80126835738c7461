//! The native engine, on real databases.

mod backfill;
mod bad_input;
mod command;
mod copy;
mod faults;
mod governor;
mod indexes;
mod permissions;
mod rig;
mod standalone;
mod transform;

use std::sync::Mutex;

use stopover::catalog::Target;
use stopover::engine::fault::Fault;
use stopover::engine::site::Site;
use stopover::engine::tools::Tools;
use stopover::secret::Secret;
use tokio_util::sync::CancellationToken;

pub async fn site(uri: String) -> Site {
    Site::connect(&Secret::new(uri)).await.unwrap()
}

pub fn here(collection: &str) -> Target {
    Target { database: None, collection: collection.to_owned() }
}

/// One report of a step: how much is done, of how much, and what is going on.
type Report = (i64, Option<i64>, Option<String>);

/// Everything that a step says.
#[derive(Default)]
pub struct Said {
    notes: Mutex<Vec<String>>,
    reports: Mutex<Vec<Report>>,
}

impl Said {
    /// The notes so far, as one text.
    pub fn notes(&self) -> String {
        self.notes.lock().unwrap().join("\n")
    }

    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    /// Calls a step with tools that are listened to.
    pub async fn by<T>(&self, site: &Site, stop: &CancellationToken, call: impl AsyncFnOnce(Tools<'_>) -> T) -> T {
        let note = |sentence| self.notes.lock().unwrap().push(sentence);
        let report = |done, total, message| self.reports.lock().unwrap().push((done, total, message));
        call(Tools { site, stop, note: &note, report: &report }).await
    }
}

/// The words of a fault that nothing but a person can help.
#[track_caller]
pub fn fatal<T>(result: Result<T, Fault>) -> String {
    match result {
        Err(Fault::Fatal(words)) => words,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it went well"),
    }
}
