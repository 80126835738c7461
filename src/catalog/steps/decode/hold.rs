//! `hold`: the state of the server at which steps hold until it is better.

use super::{flag, percent};
use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::steps::Holds;
use crate::catalog::yaml::{Node, Value};

const KEYS: &[&str] = &["replicationLag", "oplogWindow", "dirtyCache", "foreground", "congestion"];

/// Reads what is looked at. `None` only with a problem.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<Holds> {
    if is_off(node) {
        return Some(Holds::NONE);
    }
    if !matches!(node.value, Value::Map(_)) {
        decoder.wrong(node, "hold", "a mapping or `off`", "write e.g. `hold: { replicationLag: 5s }`, or `hold: off`");
        return None;
    }
    let fields = decoder.fields(node, "hold", KEYS)?;
    let usual = Holds::default();
    let mut limits = Limits { decoder, fields };
    Some(Holds {
        replication_lag: limits.read("replicationLag", usual.replication_lag, Decoder::duration),
        oplog_window: limits.read("oplogWindow", usual.oplog_window, Decoder::duration),
        dirty_cache: limits.read("dirtyCache", usual.dirty_cache, share),
        foreground: limits.read("foreground", usual.foreground, times),
        congestion: flag(decoder, fields, "hold", "congestion", usual.congestion),
    })
}

struct Limits<'d, 'a, 'n> {
    decoder: &'d mut Decoder<'a>,
    fields: Fields<'n>,
}

impl<'a> Limits<'_, 'a, '_> {
    /// The limit of this name; `None` where it is off.
    fn read<T>(
        &mut self,
        name: &str,
        usual: Option<T>,
        read: impl Fn(&mut Decoder<'a>, &Node, &str) -> Option<T>,
    ) -> Option<T> {
        match self.fields.get(name) {
            None => usual,
            Some(node) if is_off(node) => None,
            Some(node) => read(self.decoder, node, &format!("hold.{name}")),
        }
    }
}

/// A percentage as a part of one.
fn share(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<f64> {
    percent(decoder, node, what).map(|percent| percent / 100.0)
}

/// How many times slower than calm; not more than once would hold for ever.
fn times(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<f64> {
    let times = match node.value {
        #[expect(clippy::cast_precision_loss, reason = "nobody waits for a latency of quadrillions")]
        Value::Integer(number) => number as f64,
        Value::Number(number) => number,
        _ => f64::NAN,
    };
    if times.is_finite() && times > 1.0 {
        return Some(times);
    }
    decoder.wrong(
        node,
        what,
        "a number over 1",
        "write how many times the calm latency is too much, e.g. `2`, or `off`",
    );
    None
}

fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "off")
}
