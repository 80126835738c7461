//! The log pane's model: which lines of an endless log are shown. Only those that fit the screen are kept.

use std::ops::Range;

use crate::ledger::RunId;
use crate::logs::reader::{Direction, Extent, Line, Origin};

use super::effect::LogWish;

/// What the log pane shows.
#[derive(Debug, Default)]
pub struct LogPane {
    /// Of which run.
    pub run: Option<RunId>,
    /// Where it is read from; `None` until the first answer.
    pub origin: Option<Origin>,
    /// How much there is.
    pub extent: Extent,
    /// The lines at hand.
    pub page: Page,
    /// Whether the end is shown and stays shown.
    pub follow: bool,
    /// The first line shown, when the end is not followed.
    pub top: u64,
    /// Whether long lines are wrapped.
    pub wrap: bool,
    /// Whether the time stands before every line.
    pub times: bool,
    /// Columns scrolled to the right, when lines are cut.
    pub column: u16,
    /// What is searched for.
    pub search: Option<Search>,
    /// Why it cannot be read now.
    pub failure: Option<String>,
    /// What was last asked for, so that it is not asked for again.
    asked: Option<Range<u64>>,
}

/// Consecutive lines.
#[derive(Debug, Default)]
pub struct Page {
    /// The number of the first, from 0.
    pub first: u64,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Page {
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }
}

/// A search and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// What is looked for.
    pub text: String,
    /// The match the pane went to.
    pub at: Option<u64>,
    /// Whether the answer is still out.
    pub pending: bool,
    /// Why the latest step led nowhere.
    pub note: Option<&'static str>,
    /// The lines that match, rising, and whether there are more.
    pub matches: (Vec<u64>, bool),
}

impl LogPane {
    /// Turns to another run's log.
    pub fn open(&mut self, run: Option<RunId>) {
        let (wrap, times) = (self.wrap, self.times);
        *self = Self { run, follow: true, wrap, times, ..Self::default() };
    }

    /// The first and the last line that a window of `height` starts and ends with.
    fn window(&self, height: u64) -> Range<u64> {
        let end = self.extent.lines;
        if self.follow {
            end.saturating_sub(height)..end
        } else {
            let top = self.top.min(end.saturating_sub(1));
            top..(top + height).min(end)
        }
    }

    /// What must be asked for so that a window of `height` lines can be shown.
    pub fn wanted(&mut self, height: u16) -> Option<LogWish> {
        let window = self.window(u64::from(height).max(1));
        if window.is_empty() {
            return None;
        }
        // A screen to either side makes the next step instant.
        let margin = u64::from(height);
        let range = if self.follow {
            window.start.saturating_sub(margin)..window.end
        } else {
            window.start.saturating_sub(margin)..(window.end + margin).min(self.extent.lines)
        };
        let at_hand = self.page.first <= window.start && window.end <= self.page.end();
        if at_hand || self.asked.as_ref() == Some(&range) {
            return None;
        }
        self.asked = Some(range.clone());
        Some(LogWish::Lines(range))
    }

    /// Takes in how much there is. A log that shrank was replaced: what is at hand is not of it.
    pub fn grown(&mut self, extent: Extent, origin: Origin) {
        if extent.lines < self.extent.lines || self.origin.as_ref().is_some_and(|known| *known != origin) {
            self.page = Page::default();
            self.asked = None;
            self.top = self.top.min(extent.lines.saturating_sub(1));
        }
        self.failure = None;
        self.extent = extent;
        self.origin = Some(origin);
    }

    /// Takes in lines that were asked for.
    pub fn filled(&mut self, first: u64, lines: Vec<Line>) {
        self.page = Page { first, lines };
        self.asked = None;
        self.failure = None;
    }

    /// The lines of a window of `height`, as far as they are at hand.
    #[must_use]
    pub fn visible(&self, height: u16) -> &[Line] {
        let mut window = self.window(u64::from(height));
        if self.follow {
            // Until the newest lines arrive the newest known ones are shown: the end never flickers.
            let end = window.end.min(self.page.end());
            window = end.saturating_sub(u64::from(height))..end;
        }
        let index = |line: u64| {
            usize::try_from(line.clamp(self.page.first, self.page.end()) - self.page.first).unwrap_or(usize::MAX)
        };
        self.page.lines.get(index(window.start)..index(window.end)).unwrap_or_default()
    }

    /// Moves the window by so many lines; `height` is that of the window. Moving up leaves the end, reaching it again follows it.
    pub fn scroll(&mut self, lines: i64, height: u16) {
        let last_top = self.extent.lines.saturating_sub(u64::from(height));
        let top = if self.follow { last_top } else { self.top };
        self.top = top.saturating_add_signed(lines).min(last_top);
        self.follow = lines > 0 && self.top == last_top;
    }

    /// To the first line.
    pub fn to_top(&mut self) {
        self.follow = false;
        self.top = 0;
    }

    /// To the end, and stays there.
    pub fn to_end(&mut self) {
        self.follow = true;
    }

    /// Follows, or stops where it is.
    pub fn toggle_follow(&mut self, height: u16) {
        if self.follow {
            self.top = self.window(u64::from(height)).start;
        }
        self.follow = !self.follow;
    }

    /// Starts a search from what is shown upwards or downwards.
    pub fn search(&mut self, text: &str, height: u16) -> Option<LogWish> {
        if text.is_empty() {
            self.search = None;
            return None;
        }
        // From the end one looks back, from elsewhere on.
        let window = self.window(u64::from(height));
        let (from, direction) =
            if self.follow { (window.end.saturating_sub(1), Direction::Up) } else { (window.start, Direction::Down) };
        self.search =
            Some(Search { text: text.to_owned(), at: None, pending: true, note: None, matches: (Vec::new(), false) });
        Some(LogWish::Find { text: text.to_owned(), from, direction, count: true })
    }

    /// Goes on to the next match.
    pub fn next_match(&mut self, direction: Direction) -> Option<LogWish> {
        let top = self.top;
        let last = self.extent.lines.saturating_sub(1);
        let search = self.search.as_mut()?;
        let from = match (search.at, direction) {
            (Some(at), Direction::Down) if at >= last => {
                search.note = Some("no match below");
                return None;
            }
            (Some(0), Direction::Up) => {
                search.note = Some("no match above");
                return None;
            }
            (Some(at), Direction::Down) => at + 1,
            (Some(at), Direction::Up) => at - 1,
            (None, _) => top,
        };
        search.pending = true;
        Some(LogWish::Find { text: search.text.clone(), from, direction, count: false })
    }

    /// Takes in the answer to a search and shows the match in the upper third of a window of `height`.
    pub fn found(&mut self, text: &str, line: Option<u64>, height: u16) {
        let Some(search) = self.search.as_mut().filter(|search| search.text == text) else {
            return;
        };
        search.pending = false;
        match line {
            Some(line) => {
                search.at = Some(line);
                search.note = None;
                self.follow = false;
                let last_top = self.extent.lines.saturating_sub(u64::from(height));
                self.top = line.saturating_sub(u64::from(height / 3)).min(last_top);
            }
            None => search.note = Some(if search.at.is_some() { "no further match" } else { "no match" }),
        }
    }

    /// Takes in the count of matches.
    pub fn counted(&mut self, text: &str, lines: Vec<u64>, more: bool) {
        if let Some(search) = self.search.as_mut().filter(|search| search.text == text) {
            search.matches = (lines, more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64) -> LogPane {
        let mut log = LogPane::default();
        log.open(Some(RunId::generate()));
        log.grown(Extent { lines, bytes: lines * 40 }, Origin::Archive);
        log
    }

    #[test]
    fn the_end_is_followed_until_one_scrolls_up_and_again_once_one_is_back() {
        let mut log = log(100);
        assert_eq!(log.wanted(10), Some(LogWish::Lines(80..100)));
        log.scroll(-3, 10);
        assert!(!log.follow);
        assert_eq!(log.top, 87);
        log.scroll(5, 10);
        assert!(log.follow);
        log.grown(Extent { lines: 105, bytes: 1 }, Origin::Archive);
        assert_eq!(log.wanted(10), Some(LogWish::Lines(85..105)));
    }

    #[test]
    fn the_same_lines_are_asked_for_once() {
        let mut log = log(100);
        assert!(log.wanted(10).is_some());
        assert!(log.wanted(10).is_none());
    }

    #[test]
    fn a_match_is_shown_and_the_ends_are_told() {
        let mut log = log(100);
        let wish = log.search("boom", 10).unwrap();
        assert_eq!(wish, LogWish::Find { text: "boom".to_owned(), from: 99, direction: Direction::Up, count: true });
        log.found("boom", Some(42), 10);
        assert_eq!((log.top, log.follow), (39, false));
        log.next_match(Direction::Down).unwrap();
        log.found("boom", None, 10);
        assert_eq!(log.search.as_ref().unwrap().note, Some("no further match"));
        log.found("another", Some(1), 10);
        assert_eq!(log.search.unwrap().at, Some(42));
    }

    #[test]
    fn a_log_that_was_replaced_is_read_anew() {
        let mut log = log(100);
        log.wanted(10);
        log.grown(Extent { lines: 3, bytes: 90 }, Origin::Archive);
        assert_eq!(log.wanted(10), Some(LogWish::Lines(0..3)));
    }
}
