//! Prometheus' own tool: it reads what Prometheus reads.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it; it must have nothing to complain about.
#[track_caller]
pub fn promtool(arguments: &[&str], directory: &Path, input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`promtool` is needed: apt-get install --no-install-recommends prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "promtool {}: {said:?}\n{input}", arguments.join(" "));
    assert!(arguments != ["check", "metrics"] || said.iter().all(String::is_empty), "{said:?}\n{input}");
}

/// A page of figures that is well formed, whole and named in the usual way.
pub struct Figures(String);

impl Figures {
    /// Reads a page.
    #[track_caller]
    pub fn of(page: &str) -> Self {
        promtool(&["check", "metrics"], Path::new("."), page);
        assert!(page.ends_with("\n# EOF\n"), "{page}");
        Self(page.to_owned())
    }

    /// The value of a series, written as on the page, e.g. `stopover_runs{state="lost"}`.
    pub fn get(&self, series: &str) -> Option<f64> {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = values.next()?.parse().unwrap();
        assert_eq!(values.next(), None, "{series} comes once");
        Some(value)
    }

    /// The same as a whole number.
    #[track_caller]
    pub fn count(&self, series: &str) -> i64 {
        let value = self.get(series).unwrap_or_else(|| panic!("no {series}:\n{}", self.0));
        assert!(value.fract().abs() < f64::EPSILON, "{series} {value}");
        #[expect(clippy::cast_possible_truncation, reason = "the figures of a test are small")]
        let whole = value as i64;
        whole
    }

    /// How many series a metric has.
    pub fn series(&self, metric: &str) -> usize {
        self.0.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric)).count()
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        &self.0
    }
}
