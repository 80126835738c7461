//! What Prometheus is told about a pod: what the ledger knows, and what the pod's workers have counted.
//!
//! It is put together anew whenever somebody asks, by a short-lived process: `stopover metrics`. A ledger that is away costs its part and no
//! more. There are at most so many series, however many migrations there are.

pub mod families;
mod keeper;
mod ledger;
pub mod text;
mod workers;

use std::time::Duration;

use tokio::time::timeout;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::ledger::{Histories, LedgerError, Seen, open_reader};
use crate::place::{REVISION, VERSION};
use crate::time::short_duration;

use text::Writer;

/// How long the ledger is waited for.
const LEDGER_WITHIN: Duration = Duration::from_secs(3);
/// Migrations with series of their own, of what the ledger knows: ten each.
const MOST_UNFINISHED: usize = 200;
/// The same of what workers have counted: up to eighty each.
const MOST_COUNTED: usize = 50;

/// A page, and what is missing in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// In the text format.
    pub text: String,
    /// Why the ledger's part is missing, if it is.
    pub trouble: Option<String>,
}

/// Puts a page together.
pub async fn compose(config: &Config) -> Page {
    // The ledger answers while the files are read.
    let file = config.catalog.clone();
    let catalog = tokio::task::spawn_blocking(move || Catalog::load(&file));
    let seen = timeout(LEDGER_WITHIN, histories(config)).await.unwrap_or_else(|_| {
        Err(LedgerError::Unreachable {
            ledger: config.ledger.to_string(),
            reason: format!("no answer within {}", short_duration(LEDGER_WITHIN)),
        })
    });
    let catalog = catalog.await.unwrap_or_default();
    let (counted, uncounted) = super::keeping::all(&config.state_dir, MOST_COUNTED);

    let mut page = Writer::default();
    let build = [("version", VERSION), ("revision", REVISION.unwrap_or("unknown"))];
    page.family(&families::BUILD_INFO, |series| series.add(&build, 1));
    page.family(&families::LEDGER_UP, |series| series.add(&[], u8::from(seen.is_ok())));
    let unfinished = seen.as_ref().ok().map(|seen| ledger::unfinished(&seen.value, seen.now, MOST_UNFINISHED));
    page.family(&families::LEFT_OUT, |series| {
        if let Some((_, left_out)) = &unfinished {
            series.add(&[("source", "ledger")], left_out);
        }
        series.add(&[("source", "pod")], uncounted);
    });
    if let (Ok(seen), Some((runs, _))) = (&seen, &unfinished) {
        ledger::states(&mut page, &catalog, &seen.value, seen.now);
        ledger::runs(&mut page, runs, seen.now);
    }
    workers::counts(&mut page, &counted);
    keeper::facts(&mut page, &config.state_dir);
    Page { text: page.finish(), trouble: seen.err().map(|error| error.to_string()) }
}

async fn histories(config: &Config) -> Result<Seen<Histories>, LedgerError> {
    open_reader(&config.ledger).await?.histories().await
}
