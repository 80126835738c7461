//! How often telemetry is sent, and how much of it may wait meanwhile.
//!
//! The SDK would take these variables as they are: without a pause it sends without end, and it makes room for a whole queue at once. A mistake
//! here is told, and what holds instead; that signal is sent all the same.

use std::num::IntErrorKind;
use std::ops::RangeInclusive;
use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::settings::Signal;

/// Milliseconds between two exports.
const PAUSE: RangeInclusive<u64> = 100..=3_600_000;
/// What may wait.
const QUEUE: RangeInclusive<u64> = 1..=65_536;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Of spans.
    pub spans: Queue,
    /// Of log records.
    pub records: Queue,
    /// Between two reports of metrics.
    pub interval: Duration,
    /// Whether figures are those of all time.
    pub temporality: Temporality,
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How much may wait.
    pub size: usize,
    /// How much of that is sent at once, at most.
    pub batch: usize,
    /// How long less than that may wait.
    pub delay: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self::of(&|_| None, |_| true, &mut Vec::new())
    }
}

impl Pace {
    /// Reads the variables of the signals that are sent, and tells what is wrong with them.
    #[must_use]
    pub fn of(
        variable: &dyn Fn(&str) -> Option<String>,
        is_sent: impl Fn(Signal) -> bool,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut reader = Reader { variable, is_sent: &is_sent, problems };
        Self {
            spans: reader.queue(Signal::Traces, "OTEL_BSP", 5_000),
            records: reader.queue(Signal::Logs, "OTEL_BLRP", 1_000),
            interval: reader.millis(Signal::Metrics, "OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            temporality: reader.temporality(),
        }
    }
}

/// Reads variables.
struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    is_sent: &'a dyn Fn(Signal) -> bool,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    /// What is said for a signal, if it is sent.
    fn text(&self, of: Signal, name: &str) -> Option<String> {
        (self.variable)(name).filter(|_| (self.is_sent)(of))
    }

    fn queue(&mut self, of: Signal, prefix: &str, delay: u64) -> Queue {
        let size = self.number(of, &format!("{prefix}_MAX_QUEUE_SIZE"), 2_048, QUEUE);
        let batch = self.number(of, &format!("{prefix}_MAX_EXPORT_BATCH_SIZE"), size.min(512), 1..=size);
        let delay = self.millis(of, &format!("{prefix}_SCHEDULE_DELAY"), delay);
        let count = |number| usize::try_from(number).expect("the largest queue has its place in memory");
        Queue { size: count(size), batch: count(batch), delay }
    }

    fn millis(&mut self, of: Signal, name: &str, default: u64) -> Duration {
        Duration::from_millis(self.number(of, name, default, PAUSE))
    }

    fn number(&mut self, of: Signal, name: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(text) = self.text(of, name) else { return default };
        let (least, most) = range.into_inner();
        let (wrong, holds) = match text.trim().parse::<u64>() {
            Ok(number) if number < least => (format!("is less than {least}"), least),
            Ok(number) if number <= most => return number,
            Err(error) if *error.kind() != IntErrorKind::PosOverflow => ("is no whole number".to_owned(), default),
            _ => (format!("is more than {most}"), most),
        };
        self.problems.push(format!("{name} {wrong}; {holds} holds"));
        holds
    }

    fn temporality(&mut self) -> Temporality {
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        match self.text(Signal::Metrics, name).map(|text| text.trim().to_lowercase()).as_deref() {
            None | Some("cumulative") => Temporality::Cumulative,
            Some("delta") => Temporality::Delta,
            Some("lowmemory") => Temporality::LowMemory,
            Some(_) => {
                let problem = format!("{name} is none of `cumulative`, `delta` and `lowmemory`; `cumulative` holds");
                self.problems.push(problem);
                Temporality::Cumulative
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// What holds, and what is told, where every signal is sent.
    fn of(variables: &[(&str, &str)]) -> (Pace, Vec<String>) {
        let mut problems = Vec::new();
        let value = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        (Pace::of(&value, |_| true, &mut problems), problems)
    }

    #[test]
    fn where_nothing_is_said_the_defaults_of_the_standard_hold() {
        let (pace, problems) = of(&[]);
        let queue = |delay| Queue { size: 2_048, batch: 512, delay: Duration::from_secs(delay) };
        assert_eq!((pace.spans, pace.records, pace.interval), (queue(5), queue(1), Duration::from_mins(1)));
        assert_eq!((pace.temporality, problems.len(), pace), (Temporality::Cumulative, 0, Pace::default()));
    }

    #[test]
    fn what_is_said_holds() {
        let (pace, problems) = of(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", " 7 "),
            ("OTEL_BLRP_SCHEDULE_DELAY", "250"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "10000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ]);
        assert_eq!((pace.spans.size, pace.spans.batch), (100, 100), "no more is sent at once than may wait");
        assert_eq!((pace.records.batch, pace.records.delay), (7, Duration::from_millis(250)));
        assert_eq!((pace.interval, pace.temporality), (Duration::from_secs(10), Temporality::Delta));
        assert_eq!(problems, Vec::<String>::new());
    }

    #[rstest]
    #[case("OTEL_METRIC_EXPORT_INTERVAL", "0", "is less than 100; 100 holds")]
    #[case("OTEL_METRIC_EXPORT_INTERVAL", "60s", "is no whole number; 60000 holds")]
    #[case("OTEL_BSP_SCHEDULE_DELAY", "-1", "is no whole number; 5000 holds")]
    #[case("OTEL_BLRP_SCHEDULE_DELAY", "99999999999999999999999", "is more than 3600000; 3600000 holds")]
    #[case("OTEL_BSP_MAX_QUEUE_SIZE", "10000000", "is more than 65536; 65536 holds")]
    #[case("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4096", "is more than 2048; 2048 holds")]
    #[case(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "detla",
        "is none of `cumulative`, `delta` and `lowmemory`; `cumulative` holds"
    )]
    fn a_mistake_is_told_with_what_holds_instead(#[case] name: &str, #[case] value: &str, #[case] told: &str) {
        assert_eq!(of(&[(name, value)]).1, [format!("{name} {told}")]);
    }

    #[test]
    fn of_what_is_not_sent_nothing_is_told() {
        let mut problems = Vec::new();
        let pace = Pace::of(&|_| Some("wrong".to_owned()), |_| false, &mut problems);
        assert_eq!((pace, problems.len()), (Pace::default(), 0));
    }

    proptest! {
        #[test]
        fn whatever_is_said_nothing_is_without_end(text in "-?[0-9]{0,24}[a-z]?") {
            let mut problems = Vec::new();
            let pace = Pace::of(&|_| Some(text.clone()), |_| true, &mut problems);
            for queue in [pace.spans, pace.records] {
                prop_assert!((1..=65_536).contains(&queue.size) && (1..=queue.size).contains(&queue.batch));
                prop_assert!((100..=3_600_000).contains(&queue.delay.as_millis()));
            }
            prop_assert!((100..=3_600_000).contains(&pace.interval.as_millis()));
            prop_assert!(!problems.is_empty(), "no text is a number of milliseconds and a temporality");
        }
    }
}
