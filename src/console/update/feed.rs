//! News of the ledger.

use crate::catalog::MigrationId;
use crate::console::app::{App, Belonging};
use crate::console::link::Link;
use crate::console::message::Feed;
use crate::ledger::{Histories, Run};

/// Takes in what the ledger answered. Answers whether anything that is shown has changed.
pub(super) fn take(app: &mut App, news: Feed) -> bool {
    match news {
        Feed::Passport { passport, cluster } => {
            let new = Belonging::Known { passport, cluster };
            let changed = app.belonging != new;
            app.belonging = new;
            changed
        }
        Feed::Everything { mut seen, latency } => {
            app.clock.set(seen.now);
            app.link = Link::Healthy { latency };
            // What was learnt from older runs is not told again.
            for (id, known) in app.histories.take().unwrap_or_default() {
                if let Some(history) = seen.value.get_mut(&id) {
                    history.begun = history.begun.max(known.begun);
                }
            }
            app.histories = Some(seen.value);
            rebuild(app);
            true
        }
        Feed::Changes { seen, latency } => {
            let was = std::mem::replace(&mut app.link, Link::Healthy { latency });
            let slow = |link: &Link| matches!(link, Link::Healthy { latency } if *latency >= Link::SLOW);
            let link_changed = !was.is_healthy() || slow(&was) || slow(&app.link);
            app.clock.set(seen.now);
            absorb(app, seen.value) || link_changed
        }
        Feed::Away { reason } => {
            app.link = match std::mem::take(&mut app.link) {
                Link::Away { since, .. } => Link::Away { since, reason },
                _ => Link::Away { since: app.clock.uptime(), reason },
            };
            true
        }
    }
}

/// Takes in runs as they are now, and judges anew what time alone may have changed.
pub(super) fn absorb(app: &mut App, runs: Vec<Run>) -> bool {
    let histories = app.histories.get_or_insert_with(Histories::new);
    let mut changed: Vec<MigrationId> = Vec::new();
    for run in runs {
        let history = histories.entry(run.migration.clone()).or_default();
        if history.latest.as_deref() != Some(&run) {
            changed.push(run.migration.clone());
            history.absorb(run);
        }
    }
    let judged_at = app.clock.judged_at();
    let mut shows = !changed.is_empty();
    for id in changed.into_iter().chain(app.table.live()) {
        shows |= app.table.refresh(&id, app.catalog.as_deref(), histories, judged_at);
    }
    shows
}

/// Makes the table anew from all that is known.
pub(super) fn rebuild(app: &mut App) {
    // Before the ledger's first answer nothing can be said to be pending.
    let (Some(catalog), Some(histories)) = (&app.catalog, &app.histories) else {
        return;
    };
    app.table.rebuild(Some(catalog), histories, app.clock.judged_at());
}
