//! Turns the server's figures into a verdict. Pure: time comes with every sample.
//!
//! What would get worse with any work at all holds the run until it is clearly better. What gets better with less work slows it down:
//! by a good part at once, and back little by little.

use std::time::{Duration, Instant};

use super::calm::{Calm, Pressure};
use super::sample::{Flow, Sample, Tickets};
use crate::catalog::Holds;
use crate::engine::throttle::{Hold, HoldKind, Verdict};
use crate::time::short_duration;

/// A hold ends below this part of its limit.
const CLEARLY: f64 = 0.8;
/// A lag counts when it is seen so often in a row: a secondary that has had nothing to do for long looks late for a moment.
const LATE: u32 = 2;
/// Dirty bytes at which the server has the operations of its clients clean up.
const EVICTION: f64 = 0.2;
/// Fewer free tickets than this part of all is congestion.
const TICKETS: f64 = 0.1;
/// Flow control that lets through fewer writes per second than this lets through next to none.
const STARVING: f64 = 1_000.0;
/// A hold for the oplog has to widen its window by this part of the time that it takes.
const WIDENS: f64 = 0.5;
/// When to look whether it does.
const WIDENS_WITHIN: Duration = Duration::from_mins(2);

/// Judges sample after sample.
#[derive(Debug)]
pub struct Judge {
    holds: Holds,
    lag: Gate,
    flow: Gate,
    tickets: Gate,
    dirty: Gate,
    oplog: Gate,
    /// When the hold for the oplog began, and its window then.
    oplog_since: Option<(Instant, Duration)>,
    oplog_in_vain: bool,
    calm: Option<Calm>,
    pausing: bool,
    held: bool,
    brake: Brake,
}

impl Judge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(holds: Holds) -> Self {
        Self {
            holds,
            lag: Gate::after(LATE),
            flow: Gate::after(1),
            tickets: Gate::after(1),
            dirty: Gate::after(1),
            oplog: Gate::after(1),
            oplog_since: None,
            oplog_in_vain: false,
            calm: holds.foreground.map(Calm::new),
            pausing: false,
            held: false,
            brake: Brake::new(),
        }
    }

    /// Whether samples are wanted more often, because the run pauses for them.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        self.pausing
    }

    /// What the run shall do after this sample.
    pub fn judge(&mut self, sample: &Sample, now: Instant) -> Verdict {
        let hold = self.hold(sample, now);
        let foreground = self.foreground(sample, now, hold.is_some());
        let pausing = foreground == Pressure::Pause;
        self.pausing = pausing;
        let before = std::mem::replace(&mut self.held, hold.is_some());
        let pressure = match (&hold, self.congestion(sample)) {
            // After it, the run goes more slowly than what led to it; while it lasts, there is nothing to learn.
            (Some(why), _) if !before => Pressure::Strong(why.text.clone()),
            (Some(_), _) => Pressure::Steady,
            (None, Some(why)) => Pressure::Strong(why),
            (None, None) => foreground,
        };
        self.brake.step(pressure, now);
        let pause =
            || pausing.then(|| HoldKind::Measuring.because("measuring the foreground latency without this run"));
        Verdict {
            hold: hold.or_else(pause),
            slow: self.brake.reason.clone(),
            factor: self.brake.factor,
            scale: self.brake.scale,
        }
    }

    fn foreground(&mut self, sample: &Sample, now: Instant, held: bool) -> Pressure {
        let slow = self.brake.slow_since.is_some_and(|since| now - since >= Brake::LONG);
        match (&mut self.calm, &sample.foreground) {
            // While it holds for something else, the server is not as it is in calm, nor is it ours to judge.
            (Some(calm), Some(seen)) if !held || self.pausing => calm.look(seen, now, slow),
            _ => Pressure::None,
        }
    }

    /// Why nothing may be done.
    fn hold(&mut self, sample: &Sample, now: Instant) -> Option<Hold> {
        let holds = self.holds;
        // Each gate sees every sample, whichever of them is told.
        let lag = sample.lag.as_ref().zip(holds.replication_lag).and_then(|((member, lag), limit)| {
            let closed = self.lag.closes(lag.as_secs_f64(), limit.as_secs_f64());
            closed.then(|| format!("replication lag {} ({member})", exceeds(*lag, limit)))
        });
        let flow = sample.flow.filter(|_| holds.congestion).and_then(|Flow { lagged, rate }| {
            // More is worse for a gate.
            let closed = self.flow.closes(if lagged { 1.0 / rate.max(1.0) } else { 0.0 }, 1.0 / STARVING);
            closed.then(|| format!("flow control lets {rate:.0} writes per second through, for a majority is behind"))
        });
        let tickets = sample.tickets.filter(|_| holds.congestion).and_then(|Tickets { free, total }| {
            let closed = self.tickets.closes(1.0 - free / total, 0.999);
            closed.then(|| format!("{free:.0} of {total:.0} write tickets are free"))
        });
        let dirty = sample.dirty.zip(holds.dirty_cache).and_then(|(dirty, limit)| {
            let limit = (2.0 * limit).min(EVICTION).max(limit);
            self.dirty
                .closes(dirty, limit)
                .then(|| format!("{} of the cache is dirty > {}", percent(dirty), percent(limit)))
        });
        let oplog = sample.oplog.zip(holds.oplog_window).and_then(|(window, limit)| self.oplog(window, limit, now));
        let because = |kind: HoldKind| move |text: String| kind.because(text);
        lag.map(because(HoldKind::ReplicationLag))
            .or(flow.map(because(HoldKind::FlowControl)))
            .or(tickets.map(because(HoldKind::WriteTickets)))
            .or(dirty.map(because(HoldKind::DirtyCache)))
            .or(oplog.map(because(HoldKind::OplogWindow)))
    }

    /// Holding widens the window only if the writes that narrow it are ours: where it does not, it is in vain.
    fn oplog(&mut self, window: Duration, limit: Duration, now: Instant) -> Option<String> {
        let half = limit / 2;
        if !self.oplog.closes(1.0 / window.as_secs_f64().max(1.0), 1.0 / half.as_secs_f64().max(1.0)) {
            (self.oplog_since, self.oplog_in_vain) = (None, false);
            return None;
        }
        let (since, then) = *self.oplog_since.get_or_insert((now, window));
        let held = now - since;
        if held >= WIDENS_WITHIN && window < then + held.mul_f64(WIDENS) {
            self.oplog_in_vain = true;
        }
        (!self.oplog_in_vain).then(|| format!("oplog window {} < {}", short_duration(window), short_duration(half)))
    }

    /// What gets better with less work.
    fn congestion(&self, sample: &Sample) -> Option<String> {
        let holds = self.holds;
        let flow = || {
            let lagged = holds.congestion && sample.flow?.lagged;
            lagged.then(|| "flow control is at work, for a majority is behind".to_owned())
        };
        let tickets = || {
            let Tickets { free, total } = sample.tickets.filter(|_| holds.congestion)?;
            (free < TICKETS * total).then(|| format!("{free:.0} of {total:.0} write tickets are free"))
        };
        let dirty = || {
            let (dirty, limit) = sample.dirty.zip(holds.dirty_cache)?;
            (dirty > limit).then(|| format!("{} of the cache is dirty > {}", percent(dirty), percent(limit)))
        };
        let oplog = || {
            let (window, limit) = sample.oplog.zip(holds.oplog_window)?;
            (window < limit).then(|| format!("oplog window {} < {}", short_duration(window), short_duration(limit)))
        };
        flow().or_else(tickets).or_else(dirty).or_else(oplog)
    }
}

/// Closes above a limit and opens clearly below it.
#[derive(Debug)]
struct Gate {
    closed: bool,
    above: u32,
    after: u32,
}

impl Gate {
    fn after(after: u32) -> Self {
        Self { closed: false, above: 0, after }
    }

    fn closes(&mut self, figure: f64, limit: f64) -> bool {
        self.above = if figure > limit { self.above.saturating_add(1) } else { 0 };
        self.closed = if self.closed { figure > CLEARLY * limit } else { self.above >= self.after };
        self.closed
    }
}

/// Smaller batches first, for they cost little; then rests between them.
#[derive(Debug)]
struct Brake {
    factor: f64,
    scale: f64,
    reason: Option<String>,
    /// Since when it has been pressed hard.
    slow_since: Option<Instant>,
    latest: Option<Instant>,
}

impl Brake {
    /// However hard it brakes, the run gets somewhere.
    const LEAST: f64 = 0.1;
    /// Per second.
    const RECOVERY: f64 = 0.05;
    /// So long under hard pressure is a reason to ask whether it is still our doing.
    const LONG: Duration = Duration::from_mins(1);

    fn new() -> Self {
        Self { factor: 1.0, scale: 1.0, reason: None, slow_since: None, latest: None }
    }

    fn step(&mut self, pressure: Pressure, now: Instant) {
        let elapsed = self.latest.replace(now).map_or(0.0, |latest| (now - latest).as_secs_f64().min(5.0));
        match pressure {
            Pressure::Strong(why) => {
                self.press(0.6, 0.6);
                self.reason = Some(why);
            }
            Pressure::Some(why) => {
                let at_its_least = self.scale <= Self::LEAST;
                self.press(if at_its_least { 0.9 } else { 1.0 }, 0.8);
                self.reason = Some(why);
            }
            Pressure::None => self.recover(Self::RECOVERY * elapsed),
            Pressure::Steady | Pressure::Pause => {}
        }
        let slow = self.factor <= 0.5 || self.scale <= 2.0 * Self::LEAST;
        self.slow_since = if slow { self.slow_since.or(Some(now)) } else { None };
    }

    fn press(&mut self, factor: f64, scale: f64) {
        self.factor = (self.factor * factor).max(Self::LEAST);
        self.scale = (self.scale * scale).max(Self::LEAST);
    }

    /// What it did last is undone first.
    fn recover(&mut self, by: f64) {
        if self.factor < 1.0 {
            self.factor = (self.factor + by).min(1.0);
        } else {
            self.scale = (self.scale + by).min(1.0);
        }
        if self.factor >= 1.0 && self.scale >= 1.0 {
            self.reason = None;
        }
    }
}

fn exceeds(lag: Duration, limit: Duration) -> String {
    format!("{:.1} s > {}", lag.as_secs_f64(), short_duration(limit))
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[cfg(test)]
mod tests;
