//! What is told of a run whose worker cannot do so any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Config;
use crate::ledger::{LedgerError, LedgerReader, Run};

use super::facts::Facts;
use super::health::{Health, Warn};
use super::resource::resource;
use super::trace::{Absent, Ending, end_for_another};
use super::{Settings, Signal, Wires, spans};

/// Tells of `run` as it stands now, if its traces are sent and there is anything to tell, and takes at most `within` for it. Nothing depends on it.
pub async fn tell_of(config: &Config, ledger: &dyn LedgerReader, run: &Run, absent: Absent, within: Duration) {
    let settings = Settings::of_environment();
    let Some(to) = settings.destination(Signal::Traces) else { return };
    let Some((outcome, wish)) = run.ending() else { return };
    let looked =
        timeout(within / 2, async { Ok::<_, LedgerError>((ledger.events(run.id).await?, ledger.now().await?)) });
    let Ok(Ok((events, now))) = looked.await else { return };
    let Ok(wires) = Wires::new() else { return };
    // Nobody is here who could be warned: `doctor` says what is wrong, and so does every worker.
    let unheard: Warn = Arc::new(|_| {});
    let health = Health::of(Signal::Traces, &to.shown, &unheard);
    let Ok(spans) = wires.build(|| spans(to, &settings.pace, &resource(config), &health)) else { return };
    let ending = Ending { outcome: &outcome, wish, progress: &run.progress, events: &events };
    end_for_another(spans.clone(), Facts::at(config, run, now), absent, &ending);
    // The time is the exporter's own: waited for beside whatever else goes on here.
    let _ = tokio::task::spawn_blocking(move || {
        spans.shut_down(within / 2);
        drop(wires);
    })
    .await;
}
