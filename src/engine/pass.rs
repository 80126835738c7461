//! One pass over the ranges of a step, by as many lanes as the speed allows at the moment.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::checkpoint::RangeRecord;
use super::fault::Fault;
use super::lane::{Lane, Left, Shared};
use super::source::Source;

/// Works off all ranges. `source` makes what a lane of a range is fed from; `most_lanes` bounds the lanes whatever the speed says.
///
/// # Errors
/// The first that a lane does not mend; the others stop at their checkpoints first.
pub async fn run(
    shared: &Shared<'_>,
    ranges: Vec<RangeRecord>,
    most_lanes: usize,
    source: impl Fn(&RangeRecord) -> Source,
) -> Result<(), Fault> {
    for range in &ranges {
        shared.tally.range(&range.id, range.totals, None);
    }
    let halt = shared.stop.child_token();
    let shared = &Shared { stop: &halt, marks: shared.marks.clone(), ..*shared };
    let mut waiting: VecDeque<RangeRecord> = ranges.into_iter().filter(|range| !range.complete).collect();
    let active = AtomicUsize::new(0);
    let wanted = || usize::from(shared.throttle.workers()).min(most_lanes);
    let superfluous = || {
        active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |lanes| (lanes > wanted()).then(|| lanes - 1)).is_ok()
    };
    let mut lanes = FuturesUnordered::new();
    let mut failed = None;
    loop {
        let changed = shared.throttle.changed();
        while failed.is_none() && active.load(Ordering::SeqCst) < wanted() {
            let Some(range) = waiting.pop_front() else { break };
            active.fetch_add(1, Ordering::SeqCst);
            let fed = source(&range);
            lanes.push(async {
                let kept = range.clone();
                (kept, Lane::work(shared, range, fed, superfluous).await)
            });
        }
        tokio::select! {
            left = lanes.next() => match left {
                None => return failed.map_or(Ok(()), Err),
                Some((_, Ok(Left::Complete))) => { active.fetch_sub(1, Ordering::SeqCst); }
                Some((range, Ok(Left::Unfinished))) => waiting.push_front(range),
                Some((_, Err(fault))) => {
                    active.fetch_sub(1, Ordering::SeqCst);
                    halt.cancel();
                    // What stopped because of the first fault says nothing new.
                    if failed.is_none() {
                        failed = Some(fault);
                    }
                }
            },
            () = changed => {}
        }
    }
}
