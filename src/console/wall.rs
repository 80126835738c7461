//! The wall display's turns: which of the runs that are at work is shown in large, and for how long. In place of an operator's cursor.
//!
//! Turns go round by id: after one comes the next greater id that is at work, after the last the first. So there is no list to keep, and
//! whatever comes and goes meanwhile, none is shown twice before every other that stays has been shown once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::catalog::MigrationId;

/// How long one run is shown before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(Duration);

impl Every {
    /// Shorter than this nobody can read.
    pub const SHORTEST: Duration = Duration::from_secs(1);
    /// Longer than this is no rotation.
    pub const LONGEST: Duration = Duration::from_mins(10);

    /// The time itself.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Default for Every {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match humantime::parse_duration(text) {
            Ok(every) if (Self::SHORTEST..=Self::LONGEST).contains(&every) => Ok(Self(every)),
            _ => Err("a time from 1s to 10min, such as 10s or 1min".to_owned()),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// What is shown, and since when.
#[derive(Clone, Debug)]
pub struct Wall {
    every: Every,
    turn: Option<Turn>,
}

#[derive(Clone, Debug)]
struct Turn {
    migration: MigrationId,
    /// In the console's uptime, which no setting of a clock changes.
    since: Duration,
    /// Its run stands still: it is shown once more for a whole turn, so that its end can be read.
    ended: bool,
}

impl Wall {
    /// Before anything is known.
    #[must_use]
    pub fn new(every: Every) -> Self {
        Self { every, turn: None }
    }

    /// How long a turn is.
    #[must_use]
    pub fn every(&self) -> Every {
        self.every
    }

    /// The migration whose run is shown; `None` while nothing is at work and the last end has been read.
    #[must_use]
    pub fn shown(&self) -> Option<&MigrationId> {
        self.turn.as_ref().map(|turn| &turn.migration)
    }

    /// Looks at what is at work `now` (uptime), in the order of ids. Answers whether the run that is shown has just come to stand still.
    pub fn look(&mut self, live: &[MigrationId], now: Duration) -> bool {
        let begin = |id: &MigrationId| Turn { migration: id.clone(), since: now, ended: false };
        let Some(turn) = &mut self.turn else {
            self.turn = live.first().map(begin);
            return false;
        };
        let is_live = live.binary_search(&turn.migration).is_ok();
        if turn.ended == is_live {
            // It has ended, or goes on again: either is read for a whole turn.
            turn.ended = !is_live;
            turn.since = now;
            return turn.ended;
        }
        if now.saturating_sub(turn.since) >= self.every.0 {
            let after = live.partition_point(|id| *id <= turn.migration);
            self.turn = live.get(after).or(live.first()).map(begin);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(names: impl IntoIterator<Item = u8>) -> Vec<MigrationId> {
        let names: BTreeSet<_> = names.into_iter().collect();
        names.into_iter().map(|name| MigrationId::new(format!("2026_{name:03}")).unwrap()).collect()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn wall(every: &str) -> Wall {
        Wall::new(every.parse().unwrap())
    }

    #[test]
    fn runs_take_turns_in_the_order_of_their_ids() {
        let mut wall = wall("10s");
        let live = ids([1, 2, 3]);
        let shown: Vec<_> = (0..40)
            .step_by(10)
            .map(|now| {
                assert!(!wall.look(&live, seconds(now)));
                wall.shown().unwrap().clone()
            })
            .collect();
        assert_eq!(shown, [&live[..], &live[..1]].concat());
        wall.look(&live, seconds(39));
        assert_eq!(wall.shown(), live.first(), "not before its time is over");
    }

    #[test]
    fn a_run_that_ends_is_told_of_once_and_shown_for_a_turn_more() {
        let mut wall = wall("10s");
        let both = ids([1, 2]);
        wall.look(&both, seconds(0));
        assert!(wall.look(&both[1..], seconds(9)));
        assert!(!wall.look(&both[1..], seconds(18)));
        assert_eq!(wall.shown(), both.first());
        wall.look(&both[1..], seconds(19));
        assert_eq!(wall.shown(), both.last());
        assert!(wall.look(&[], seconds(20)));
        wall.look(&[], seconds(30));
        assert_eq!(wall.shown(), None, "nothing is at work, and that can be seen");
        wall.look(&both, seconds(31));
        assert_eq!(wall.shown(), both.first(), "what begins is shown at once");
    }

    #[test]
    fn a_run_that_goes_on_again_is_no_ended_one() {
        let mut wall = wall("10s");
        let live = ids([1, 2]);
        wall.look(&live, seconds(0));
        assert!(wall.look(&live[1..], seconds(1)));
        assert!(!wall.look(&live, seconds(2)));
        wall.look(&live, seconds(11));
        assert_eq!(wall.shown(), live.first(), "its turn began anew");
        assert!(wall.look(&live[1..], seconds(11)));
    }

    #[test]
    fn a_turn_is_neither_a_flicker_nor_a_still() {
        for (text, good) in [("1s", true), ("10min", true), ("999ms", false), ("11min", false), ("soon", false)] {
            assert_eq!(text.parse::<Every>().is_ok(), good, "{text}");
        }
        assert_eq!(Every::default().to_string(), "10s");
    }

    proptest! {
        /// Runs come and go, time passes by jumps: whatever is shown is at work, or has ended less than a turn ago; it is nothing only
        /// when nothing is at work; a turn is never cut short by another run.
        #[test]
        fn what_is_shown_is_true(steps in prop::collection::vec((0u64..25, prop::collection::btree_set(0u8..6, 0..6)), 1..200)) {
            let mut wall = wall("10s");
            let mut now = Duration::ZERO;
            let mut shown: Option<(MigrationId, Duration)> = None;
            for (pause, live) in steps {
                now += seconds(pause);
                let live = ids(live);
                let told = wall.look(&live, now);
                match wall.shown() {
                    None => prop_assert!(live.is_empty()),
                    Some(id) => {
                        let ended = wall.turn.as_ref().unwrap().ended;
                        prop_assert_eq!(ended, !live.contains(id));
                        prop_assert!(!told || ended);
                        prop_assert!(now.saturating_sub(wall.turn.as_ref().unwrap().since) < seconds(10), "a turn is over");
                    }
                }
                if let Some((before, since)) = &shown && wall.shown() != Some(before) {
                    prop_assert!(now.saturating_sub(*since) >= seconds(10), "a turn was cut short");
                }
                if shown.as_ref().map(|(id, _)| id) != wall.shown() {
                    shown = wall.shown().map(|id| (id.clone(), now));
                }
            }
        }

        /// Between two turns of one run, every other that was at work all the while has had exactly one.
        #[test]
        fn none_is_left_out(staying in prop::collection::btree_set(0u8..40, 1..8), others in prop::collection::vec(prop::collection::btree_set(40u8..80, 0..5), 1..60)) {
            let mut wall = wall("1s");
            let mut turns = Vec::new();
            let mut now = Duration::ZERO;
            for other in others {
                let live = ids(staying.iter().copied().chain(other));
                wall.look(&live, now);
                if wall.turn.as_ref().is_some_and(|turn| turn.since == now && !turn.ended) {
                    turns.push(wall.shown().unwrap().clone());
                }
                now += seconds(1);
            }
            let staying = ids(staying);
            turns.retain(|id| staying.contains(id));
            turns.dedup();
            for window in turns.windows(staying.len()) {
                let seen: BTreeSet<_> = window.iter().collect();
                prop_assert_eq!(seen.len(), staying.len(), "{:?}", window);
            }
        }
    }
}
