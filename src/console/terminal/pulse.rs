//! Whether anybody is there: a status query, asked rarely, whose silence counts only when it repeats.
//!
//! After a lost `kubectl exec` there is no hangup, no end of input and no error, ever; an unanswered query is the only sign.
//! It is asked only after a minute without any input, never at the start, and nothing waits for the answer.

use std::time::Duration;

/// The query (device status report). Every terminal in use answers `ESC [ 0 n`.
pub const QUERY: &[u8] = b"\x1b[5n";

/// Without input for so long, a question is asked; and again after as long.
const QUIET: Duration = Duration::from_mins(1);

/// So many silences in a row mean that nobody is there, of a terminal that has answered before.
const PATIENCE: u32 = 3;

/// The same of one that never has: perhaps it cannot.
const PATIENCE_WITH_THE_MUTE: u32 = 10;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Rest,
    /// Send [`QUERY`].
    Ask,
    /// Leave: nobody is there.
    Leave,
}

/// Keeps count of questions and answers. Times are the console's uptime.
#[derive(Debug, Default)]
pub struct Pulse {
    last_sign: Duration,
    last_asked: Duration,
    unanswered: u32,
    has_answered: bool,
}

impl Pulse {
    /// Something was typed.
    pub fn heard(&mut self, now: Duration) {
        self.last_sign = now;
        self.unanswered = 0;
    }

    /// The terminal answered.
    pub fn answered(&mut self, now: Duration) {
        self.has_answered = true;
        self.heard(now);
    }

    /// What is due at `now`.
    pub fn beat(&mut self, now: Duration) -> Beat {
        if now.saturating_sub(self.last_sign.max(self.last_asked)) < QUIET {
            return Beat::Rest;
        }
        let patience = if self.has_answered { PATIENCE } else { PATIENCE_WITH_THE_MUTE };
        if self.unanswered >= patience {
            return Beat::Leave;
        }
        self.unanswered += 1;
        self.last_asked = now;
        Beat::Ask
    }

    /// When the next beat is due.
    #[must_use]
    pub fn due_in(&self, now: Duration) -> Duration {
        (self.last_sign.max(self.last_asked) + QUIET).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn nothing_is_asked_while_somebody_types() {
        let mut pulse = Pulse::default();
        pulse.heard(Duration::from_secs(50));
        assert_eq!(pulse.beat(Duration::from_secs(100)), Beat::Rest);
        assert_eq!(pulse.beat(Duration::from_secs(110)), Beat::Ask);
        assert_eq!(pulse.beat(Duration::from_secs(111)), Beat::Rest);
    }

    #[test]
    fn three_silences_of_a_terminal_that_could_answer_mean_that_nobody_is_there() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.beat(minutes(1)), Beat::Ask);
        pulse.answered(minutes(1));
        let beats: Vec<_> = (2..=5).map(|minute| pulse.beat(minutes(minute))).collect();
        assert_eq!(beats, [Beat::Ask, Beat::Ask, Beat::Ask, Beat::Leave]);
    }

    #[test]
    fn a_terminal_that_never_answered_gets_more_patience_and_any_key_starts_over() {
        let mut pulse = Pulse::default();
        assert!((1..=10).all(|minute| pulse.beat(minutes(minute)) == Beat::Ask));
        pulse.heard(minutes(10));
        assert!((11..=20).all(|minute| pulse.beat(minutes(minute)) == Beat::Ask));
        assert_eq!(pulse.beat(minutes(21)), Beat::Leave);
    }
}
