//! Whether anybody is there, and how much a terminal may be sent before it has shown the rest: one status query tells both.
//!
//! After a lost `kubectl exec` there is no hangup, no end of input and no error, ever: the pod's end of the terminal takes some 85 KB
//! more and then blocks. An unanswered query is the only sign. The same buffer hides a slow link: whatever is written into it is
//! taken at once and shown seconds later.
//!
//! **Questions.** A terminal that has answered before is asked after every second without a sign of it, and in the midst of
//! its output, after every `ASK_EVERY` bytes. Nothing waits for an answer. Answers come in the order of the questions, so each tells how
//! much the terminal has shown. An idle console costs four bytes a second in each direction. That also keeps load balancers
//! from closing a session for being idle.
//!
//! **Leaving.** Nobody is there when neither a key nor an answer has come for a patience. It counts from when the terminal *took*
//! a question: one that waits behind a frame is not yet asked. On a link that answers quickly it is three seconds after a second of quiet: that
//! makes four, so that a console is gone within five seconds of its terminal's death, with one second for the machine to be busy. A
//! shorter one would leave for every hiccup of a connection, a longer one leaves processes behind. A link that has shown itself slow is given
//! four times its slowest recent answer, and the time in which the slowest link would carry what stands before the question. Since questions are
//! spread through large frames, a slow link shows life for every few KB of them.
//!
//! **Holding.** No frame is drawn while more than `WINDOW` bytes are unanswered. So what a slow link has before it is one frame and a bit,
//! and what comes next is drawn from the latest state.
//!
//! The first question comes after a second, or after `WINDOW` bytes. A terminal that has never answered perhaps cannot: but for the first three
//! seconds it is held back by nothing but its own writes, it is asked ever more rarely, and left after many minutes without a key. And what this process missed while it was itself stopped says nothing about anybody.

use std::collections::VecDeque;
use std::time::Duration;

/// The query (device status report). Every terminal in use answers `ESC [ 0 n`; tmux and screen do so even while nobody is attached.
pub const QUERY: &[u8] = b"\x1b[5n";

/// Without a sign for so long, a terminal that answers is asked.
const QUIET: Duration = Duration::from_secs(1);

/// A terminal that has not answered yet is asked first after [`QUIET`], then after ever longer pauses up to this.
const QUIET_OF_THE_MUTE: Duration = Duration::from_mins(1);

/// The least and the most that an answer may take, whatever the link has shown.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(3);
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// A link is given so many times its slowest recent answer.
const TIMES_SLOWEST: u32 = 4;

/// An answer waits for what is shown before it: no link is taken for slower than so many bytes a second without having shown it.
const SLOWEST_LINK: u32 = 6_000;

/// Each answer takes this part of what is remembered of slower ones.
const FORGOTTEN: u32 = 64;

/// A terminal that has never answered is left after so long without a key, or when it takes nothing for so long.
const PATIENCE_WITH_THE_MUTE: Duration = Duration::from_mins(10);
const STUCK: Duration = Duration::from_mins(1);

/// Keys come, but for so long no answer: it is the answers that are missing, not the operator.
const FELL_MUTE: Duration = Duration::from_mins(1);

/// So many bytes of output carry a question.
const ASK_EVERY: u64 = 4 * 1024;

/// With more bytes than this unanswered, no frame is drawn.
const WINDOW: u64 = 8 * 1024;

/// So many unanswered questions are kept: more than fit between two answers that come in time.
const MOST_QUESTIONS: usize = 64;

/// Between two looks at a write that is under way.
const LOOK: Duration = Duration::from_millis(250);

/// Not having been asked for a beat for so long after it was due, this process was stopped, or starved.
const STOPPED: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Rest,
    /// Send [`QUERY`].
    Ask,
    /// Leave: there was no sign of anybody for so long.
    Leave(Duration),
}

/// Bytes on their way to the terminal, counted from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handed over to the thread that writes.
    pub sent: u64,
    /// Taken by the terminal, or by what is between.
    pub written: u64,
}

impl Traffic {
    fn is_idle(self) -> bool {
        self.written >= self.sent
    }
}

/// A question that has not been answered.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// How many bytes an answer says to be shown.
    position: u64,
    /// When the terminal took it, once it has.
    taken: Option<Duration>,
}

/// Keeps count of questions and answers. Times are the console's uptime.
#[derive(Debug, Default)]
pub struct Pulse {
    traffic: Traffic,
    /// When bytes were last seen to be taken.
    progressed: Duration,
    /// When a key or an answer last came.
    last_sign: Duration,
    last_asked: Duration,
    /// Questions to a terminal that has not answered yet.
    asked_in_vain: u32,
    /// Unanswered, oldest first.
    questions: VecDeque<Question>,
    /// Bytes up to the last question.
    asked_at: u64,
    /// Bytes that are known to be shown.
    shown: u64,
    /// The slowest recent answer; `None` of a terminal that has not answered.
    slowest: Option<Duration>,
    /// When the next beat was due, as this was last told.
    expected: Option<Duration>,
}

impl Pulse {
    /// Something came from the terminal.
    pub fn heard(&mut self, now: Duration) {
        self.look_at_clock(now);
        self.last_sign = now;
    }

    /// An answer came.
    pub fn answered(&mut self, now: Duration) {
        self.heard(now);
        self.asked_in_vain = 0;
        let answered = self.questions.pop_front();
        let took =
            answered.and_then(|question| question.taken).map_or(Duration::ZERO, |taken| now.saturating_sub(taken));
        let remembered = self.slowest.unwrap_or_default();
        self.slowest = Some(took.max(remembered.saturating_sub(remembered / FORGOTTEN)));
        if let Some(question) = answered {
            self.shown = self.shown.max(question.position);
        }
    }

    /// Puts questions into a frame, between its control sequences. Answers the frame and where in it questions end.
    #[must_use]
    pub fn with_questions(&self, frame: Vec<u8>) -> (Vec<u8>, Vec<usize>) {
        let mut since = self.traffic.sent - self.asked_at;
        if self.slowest.is_none() || since + (frame.len() as u64) < ASK_EVERY {
            return (frame, Vec::new());
        }
        let mut asking = Vec::with_capacity(frame.len() + 64);
        let mut ends = Vec::new();
        let mut copied = 0;
        // Only there is certainly no sequence and no character torn.
        for at in memchr::memchr_iter(0x1b, &frame) {
            if since + ((at - copied) as u64) >= ASK_EVERY {
                asking.extend_from_slice(&frame[copied..at]);
                asking.extend_from_slice(QUERY);
                ends.push(asking.len());
                copied = at;
                since = 0;
            }
        }
        asking.extend_from_slice(&frame[copied..]);
        (asking, ends)
    }

    /// Bytes were handed over, with questions that end at these places of them.
    pub fn handed_over(&mut self, length: usize, questions: &[usize], now: Duration) {
        if self.traffic.is_idle() {
            self.progressed = now;
        }
        let start = self.traffic.sent;
        self.traffic.sent += length as u64;
        for end in questions {
            let position = start + *end as u64;
            if self.slowest.is_none() {
                self.asked_in_vain += 1;
            }
            // Of one that does not answer not every question is kept; the oldest is, from which its silence counts.
            if self.questions.len() == MOST_QUESTIONS {
                self.questions.pop_back();
            }
            self.questions.push_back(Question { position, taken: None });
            self.asked_at = position;
            self.last_asked = now;
        }
    }

    /// What is due, when so many bytes have been written.
    pub fn beat(&mut self, now: Duration, written: u64) -> Beat {
        if written > self.traffic.written {
            self.traffic.written = written;
            self.progressed = now;
        }
        self.look_at_clock(now);
        for question in self.questions.iter_mut().filter(|question| question.position <= written) {
            question.taken.get_or_insert(now);
        }
        let keys_alone =
            self.oldest().is_some_and(|taken| now.saturating_sub(taken) >= FELL_MUTE.max(self.patience() * 2));
        if self.slowest.is_some() && keys_alone && now.saturating_sub(self.last_sign) < self.patience() {
            self.slowest = None;
            self.questions.clear();
        }
        let beat = if self.leaves_at().is_some_and(|at| now >= at) {
            Beat::Leave(now.saturating_sub(self.last_sign))
        } else if self.traffic.is_idle() && now >= self.asks_at() {
            Beat::Ask
        } else {
            Beat::Rest
        };
        self.expected = Some(now + self.due_in(now));
        beat
    }

    /// When the next beat is due.
    #[must_use]
    pub fn due_in(&self, now: Duration) -> Duration {
        let asks = if self.traffic.is_idle() { self.asks_at() } else { now + LOOK };
        self.leaves_at().map_or(asks, |leaves| leaves.min(asks)).saturating_sub(now)
    }

    /// Whether the terminal is to be spared another frame for now.
    #[must_use]
    pub fn is_behind(&self, now: Duration) -> bool {
        // Not for ever: perhaps an answer was lost on the way.
        let lately = self.questions.front().is_some_and(|oldest| {
            oldest.taken.is_none_or(|taken| now.saturating_sub(taken) < self.patience_with_oldest())
        });
        self.may_answer() && lately && self.traffic.sent - self.shown > WINDOW
    }

    /// Whether an answer may still come.
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        self.may_answer() && !self.questions.is_empty()
    }

    /// Whether answers are worth waiting for: of a terminal that has answered, and at first of any other.
    fn may_answer(&self) -> bool {
        self.slowest.is_some() || (1..=2).contains(&self.asked_in_vain)
    }

    /// What was not heard while this process did not run says nothing: every wait begins anew.
    fn look_at_clock(&mut self, now: Duration) {
        if self.expected.is_some_and(|expected| now > expected + STOPPED) {
            self.expected = None;
            self.last_sign = now;
            self.progressed = now;
            for question in &mut self.questions {
                question.taken = question.taken.map(|_| now);
            }
        }
    }

    /// When the terminal took the oldest unanswered question.
    fn oldest(&self) -> Option<Duration> {
        self.questions.front().and_then(|question| question.taken)
    }

    fn patience(&self) -> Duration {
        (self.slowest.unwrap_or_default() * TIMES_SLOWEST).clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }

    /// How long the answer to the oldest question may take, behind what is to be shown before it. Questions stand close together, so that this
    /// is much only of what was sent before the terminal was known to answer.
    fn patience_with_oldest(&self) -> Duration {
        let before = self.questions.front().map_or(0, |oldest| oldest.position.saturating_sub(self.shown));
        let shows = Duration::from_secs(before) / SLOWEST_LINK;
        if self.slowest.is_some() { (self.patience() + shows).min(LONGEST_PATIENCE) } else { SHORTEST_PATIENCE }
    }

    fn asks_at(&self) -> Duration {
        if self.slowest.is_some() {
            return self.last_sign.max(self.last_asked) + QUIET;
        }
        // The first question does not wait for a pause in typing: the sooner it is known whether the terminal answers, the better,
        // and before much is sent it must be.
        if self.asked_in_vain == 0 && self.traffic.sent > WINDOW {
            return self.last_asked;
        }
        let pause = QUIET_OF_THE_MUTE.min(QUIET * 2_u32.saturating_pow(self.asked_in_vain));
        self.last_asked + pause
    }

    /// When it is to be left if nothing comes; `None` while nothing speaks for it.
    fn leaves_at(&self) -> Option<Duration> {
        let stuck = |patience| (!self.traffic.is_idle()).then(|| self.progressed.max(self.last_sign) + patience);
        if self.slowest.is_none() {
            let silent = self.last_sign + PATIENCE_WITH_THE_MUTE;
            return Some(stuck(STUCK).map_or(silent, |stuck| stuck.min(silent)));
        }
        match self.oldest() {
            Some(taken) => Some(taken.max(self.last_sign) + self.patience_with_oldest()),
            None => stuck(self.patience()),
        }
    }
}

#[cfg(test)]
mod tests;
