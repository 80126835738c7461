//! A notice as Slack has it, and what understands the same.

use super::notice::{Headline, Notice};

/// Characters of a message: Slack cuts what has more than 4,000.
const LONGEST: usize = 2_900;
/// Characters of what happened, and of a name.
const LONGEST_WHAT: usize = 1_100;
const LONGEST_NAME: usize = 300;

impl Notice {
    /// The body for an incoming webhook.
    #[must_use]
    pub fn slack(&self) -> Vec<u8> {
        let body = serde_json::json!({ "text": self.slack_text() });
        serde_json::to_vec(&body).expect("a text is JSON")
    }

    fn slack_text(&self) -> String {
        let Headline { symbol, word, what, next } = &self.headline;
        let of = self.migration.as_deref().unwrap_or("Stopover");
        let place = self.environment.as_ref().map(|name| format!(" in *{}*", escaped(name, LONGEST_NAME)));
        let place = place.unwrap_or_default();
        let what = escaped(what, LONGEST_WHAT);
        // Its own words: the ticks in it are for commands.
        let next = escape(next);
        let run = self.run.as_ref().zip(self.attempt).map_or_else(String::new, |(run, attempt)| {
            let pod = self.pod.as_deref().map(|pod| format!(", pod {}", escaped(pod, LONGEST_NAME)));
            format!("\nRun `{run}`, attempt {attempt}{}", pod.unwrap_or_default())
        });
        let head = format!("{symbol} *{word}*: `{of}`{place}\n{what}\nNext: {next}.{run}");
        let lines = self.error.as_ref().map_or(&[][..], |error| &error.last_lines);
        match last_lines(lines, LONGEST.saturating_sub(head.chars().count() + "\n```\n```".len())) {
            lines if lines.is_empty() => head,
            lines => format!("{head}\n```{lines}\n```"),
        }
    }
}

/// The last of the lines that have room.
fn last_lines(lines: &[String], mut room: usize) -> String {
    let mut shown = Vec::new();
    for line in lines.iter().rev() {
        let line = escape(&line.replace('`', "'"));
        let length = line.chars().count() + 1;
        if length > room {
            break;
        }
        room -= length;
        shown.push(line);
    }
    shown.reverse();
    shown.join("\n")
}

/// What others wrote: it can neither call people nor make links, and has at most so many characters.
fn escaped(text: &str, most: usize) -> String {
    let text = escape(&text.replace('@', "@\u{200b}").replace("```", "'''"));
    if text.chars().count() <= most {
        return text;
    }
    let cut: String = text.chars().take(most - 1).collect();
    // Not in the middle of an entity.
    let end = cut.rfind('&').filter(|&at| !cut[at..].contains(';')).unwrap_or(cut.len());
    format!("{}…", &cut[..end])
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_calls_nobody() {
        assert_eq!(escaped("<!channel> @here & co", 99), "&lt;!channel&gt; @\u{200b}here &amp; co");
        assert_eq!(escaped("aaaa<<<", 10), "aaaa&lt;…");
    }

    #[test]
    fn of_many_lines_the_last_are_shown() {
        let lines: Vec<_> = (0..100).map(|line| format!("line {line}")).collect();
        assert_eq!(last_lines(&lines, 20), "line 98\nline 99");
        assert_eq!(last_lines(&lines, 3), "");
    }
}
