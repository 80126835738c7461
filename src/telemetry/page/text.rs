//! The text format of Prometheus, version 0.0.4.
//!
//! The library that is usual for it holds the figures itself and writes out its own process. Here they are of many processes, and come from the
//! ledger and from files: what is left to do is the writing.

use std::fmt::{Display, Write};

use crate::catalog::MigrationId;
use crate::telemetry::distribution::Distribution;

/// What HTTP calls it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The last line of every whole page: a comment to who parses it.
pub const END: &str = "# EOF\n";

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Counts by bounds.
    Histogram,
}

/// A metric: what all of its series have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
}

/// Name and value of each label.
pub type Labels<'a> = [(&'a str, &'a str)];

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Writer(String);

impl Writer {
    /// Writes all series of a metric; nothing if there is none.
    pub fn family(&mut self, family: &Family, add: impl FnOnce(&mut Series<'_>)) {
        let head = self.0.len();
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.0.push_str("# HELP ");
        self.0.push_str(family.name);
        self.0.push(' ');
        escape(&mut self.0, family.help, false);
        self.0.push_str("\n# TYPE ");
        self.0.push_str(family.name);
        self.0.push(' ');
        self.0.push_str(kind);
        self.0.push('\n');
        let body = self.0.len();
        add(&mut Series { text: &mut self.0, name: family.name });
        if self.0.len() == body {
            self.0.truncate(head);
        }
    }

    /// Writes a metric that has a value for each of these migrations, or for some.
    pub fn by_migration<'a, V: Display>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = (&'a MigrationId, Option<V>)>,
    ) {
        self.family(family, |series| {
            for (migration, value) in values {
                if let Some(value) = value {
                    series.add(&[("migration", migration.as_str())], value);
                }
            }
        });
    }

    /// The whole page.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.push_str(END);
        self.0
    }
}

/// The series of a metric.
pub struct Series<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Series<'_> {
    /// Adds one.
    pub fn add(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.sample("", labels, None, value);
    }

    /// Adds one of a histogram.
    pub fn distribution(&mut self, labels: &Labels<'_>, times: &Distribution) {
        for (bound, count) in times.cumulative() {
            self.sample("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), times.count());
        self.sample("_sum", labels, None, times.seconds());
        self.sample("_count", labels, None, times.count());
    }

    fn sample(&mut self, suffix: &str, labels: &Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, value, true);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, " {value}");
    }
}

/// What would end the text or its line early is written in another way.
fn escape(to: &mut String, text: &str, quoted: bool) {
    for letter in text.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '"' if quoted => to.push_str("\\\""),
            letter => to.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const FAMILY: Family = Family { name: "stopover_runs", kind: Kind::Gauge, help: "Runs\\by \"state\"\nat once" };

    #[test]
    fn a_metric_has_its_head_once_and_none_without_series() {
        let mut page = Writer::default();
        page.family(&FAMILY, |_| {});
        page.family(&FAMILY, |series| {
            series.add(&[("state", "lost"), ("migration", "a\"b\\c\nd")], 3);
            series.add(&[], 2.5);
        });
        let expected = concat!(
            "# HELP stopover_runs Runs\\\\by \"state\"\\nat once\n# TYPE stopover_runs gauge\n",
            "stopover_runs{state=\"lost\",migration=\"a\\\"b\\\\c\\nd\"} 3\nstopover_runs 2.5\n# EOF\n",
        );
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn a_histogram_ends_with_all_its_sum_and_its_count() {
        let mut times = Distribution::default();
        times.add(Duration::from_millis(7));
        times.add(Duration::from_mins(1));
        let mut page = Writer::default();
        page.family(&Family { kind: Kind::Histogram, ..FAMILY }, |series| series.distribution(&[("a", "b")], &times));
        let text = page.finish();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 12 + 3 + 1);
        assert_eq!(lines[0], "stopover_runs_bucket{a=\"b\",le=\"0.005\"} 0");
        assert_eq!(lines[1], "stopover_runs_bucket{a=\"b\",le=\"0.01\"} 1");
        let end = [
            "stopover_runs_bucket{a=\"b\",le=\"+Inf\"} 2",
            "stopover_runs_sum{a=\"b\"} 60.007",
            "stopover_runs_count{a=\"b\"} 2",
            "# EOF",
        ];
        assert_eq!(lines[12..], end);
    }

    /// The value of a label as a reader understands it, and what follows it.
    fn read(text: &str) -> (String, &str) {
        let (mut value, mut letters) = (String::new(), text.chars());
        loop {
            match letters.next().expect("the value ends") {
                '"' => return (value, letters.as_str()),
                '\n' => panic!("a line ends within a value"),
                '\\' => value.push(match letters.next() {
                    Some('n') => '\n',
                    Some(letter @ ('\\' | '"')) => letter,
                    other => panic!("{other:?} is no escape"),
                }),
                letter => value.push(letter),
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_label_says_is_read_back_as_it_was(one in any::<String>(), other in any::<String>()) {
            let mut page = Writer::default();
            page.family(&FAMILY, |series| series.add(&[("a", &one), ("b", &other)], 1));
            let text = page.finish();
            let (_, rest) = text.split_once("{a=\"").unwrap();
            let (first, rest) = read(rest);
            let (second, rest) = read(rest.strip_prefix(",b=\"").unwrap());
            prop_assert_eq!((first, second, rest), (one, other, "} 1\n# EOF\n"));
        }
    }
}
