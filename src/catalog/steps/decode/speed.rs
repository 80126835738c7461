//! `speed`: how fast steps go unless an operator says otherwise.

use std::time::Duration;

use super::percent;
use crate::catalog::decode::Decoder;
use crate::catalog::steps::{Speed, Steps};
use crate::catalog::yaml::{Node, Value};

/// A batch is one transaction, which locks what it changes and which the server ends after a minute.
const LONGEST_BATCH: Duration = Duration::from_secs(10);

/// Reads the speed and the time that one batch should take. `None` only with a problem.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<(Speed, Duration)> {
    let fields = decoder.fields(node, "speed", &["workers", "pace", "batch"])?;
    let usual = Speed::default();
    let workers = fields.get("workers").map_or(Some(usual.workers), |node| workers(decoder, node));
    let pace = fields.get("pace").map_or(Some(usual.pace), |node| pace(decoder, node));
    let batch = fields.get("batch").map_or(Some(Steps::DEFAULT_BATCH), |node| batch(decoder, node));
    Some((Speed { workers: workers?, pace: pace? }, batch?))
}

fn workers(decoder: &mut Decoder<'_>, node: &Node) -> Option<u8> {
    if let Value::Integer(number) = node.value
        && let Ok(workers @ 1..=Speed::MOST_WORKERS) = u8::try_from(number)
    {
        return Some(workers);
    }
    let expected = format!("a number from 1 to {}", Speed::MOST_WORKERS);
    decoder.wrong(node, "speed.workers", &expected, "more only get in each other's way; begin with 1");
    None
}

fn pace(decoder: &mut Decoder<'_>, node: &Node) -> Option<u8> {
    let percent = percent(decoder, node, "speed.pace")?;
    let whole = (1..=100).find(|&whole| f64::from(whole).total_cmp(&percent).is_eq());
    if whole.is_none() {
        decoder.report(node.at, "`speed.pace` must be a whole percentage", "write it as `50%`: from 1% to 100%");
    }
    whole
}

fn batch(decoder: &mut Decoder<'_>, node: &Node) -> Option<Duration> {
    let batch = decoder.duration(node, "speed.batch")?;
    if batch > LONGEST_BATCH {
        let remedy = "write at most `10s`: what a batch changes is locked until it is through";
        decoder.report(node.at, "`speed.batch` is too long", remedy);
        return None;
    }
    Some(batch)
}
