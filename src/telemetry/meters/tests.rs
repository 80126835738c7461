use std::collections::BTreeMap;
use std::sync::Mutex;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

use crate::engine::observer::{BatchResult, Observer};
use crate::ledger::samples::{at, queued};
use crate::ledger::{Histories, History, Progress, Rate};
use crate::telemetry::Signal;
use crate::telemetry::figures::tests::{batch, done, figures};

use super::*;

/// Keeps what it is given, as `name{attribute=value,...} unit` and the value.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<BTreeMap<String, f64>>>);

impl PushMetricExporter for Collected {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut all = self.0.lock().unwrap();
        all.clear();
        for metric in metrics.scope_metrics().flat_map(opentelemetry_sdk::metrics::data::ScopeMetrics::metrics) {
            collect(metric, &mut all);
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[expect(clippy::cast_precision_loss, reason = "the figures of a test are small")]
fn collect(metric: &Metric, all: &mut BTreeMap<String, f64>) {
    let mut put = |attributes: Vec<String>, value: f64| {
        let key = format!("{}{{{}}} {}", metric.name(), attributes.join(","), metric.unit());
        assert_eq!(all.insert(key.clone(), value), None, "{key} comes once");
    };
    let words = |attributes: &mut dyn Iterator<Item = &KeyValue>| {
        let mut words: Vec<_> = attributes.map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        words.sort_unstable();
        words
    };
    match metric.data() {
        AggregatedMetrics::I64(MetricData::Gauge(gauge)) => {
            gauge.data_points().for_each(|point| put(words(&mut point.attributes()), point.value() as f64));
        }
        AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
            gauge.data_points().for_each(|point| put(words(&mut point.attributes()), point.value() as f64));
        }
        AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
            gauge.data_points().for_each(|point| put(words(&mut point.attributes()), point.value()));
        }
        AggregatedMetrics::U64(MetricData::Sum(sum)) => {
            assert!(sum.is_monotonic());
            sum.data_points().for_each(|point| put(words(&mut point.attributes()), point.value() as f64));
        }
        AggregatedMetrics::F64(MetricData::Sum(sum)) => {
            assert!(sum.is_monotonic());
            sum.data_points().for_each(|point| put(words(&mut point.attributes()), point.value()));
        }
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
            for point in histogram.data_points() {
                assert_eq!(point.bounds().collect::<Vec<_>>(), Distribution::bounds());
                put(words(&mut point.attributes()), point.count() as f64);
            }
        }
        other => panic!("{} is none of these: {other:?}", metric.name()),
    }
}

fn provider() -> (SdkMeterProvider, Collected) {
    let collected = Collected::default();
    let reader = PeriodicReader::builder(collected.clone()).with_interval(Duration::from_hours(1)).build();
    (SdkMeterProvider::builder().with_reader(reader).build(), collected)
}

#[test]
fn what_is_counted_is_sent_with_its_unit_by_migration_and_never_by_run() {
    let (provider, collected) = provider();
    let figures = Arc::new(figures());
    observe(&provider.meter("stopover"), &figures);
    figures.batch(&batch(20, 0, BatchResult::Failed("write conflict")));
    figures.batch(&batch(20, 1, done(10)));
    figures.renewed(Duration::from_millis(2), true);
    figures.dropped(Signal::Logs, 4);
    let rate = Some(Rate { recent: 2.5, overall: 1.0 });
    figures.progress(&Progress { done: Some(7), total: Some(9), rate, ..Progress::default() });
    provider.force_flush().unwrap();
    let sent = collected.0.lock().unwrap();
    let lines: Vec<_> = sent.iter().map(|(key, value)| format!("{key} {value}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn runs_by_state_are_told_while_they_are_known() {
    let (provider, collected) = provider();
    let census = Arc::new(Census::default());
    observe_runs(&provider.meter("stopover"), &census);
    provider.force_flush().unwrap();
    assert!(collected.0.lock().unwrap().is_empty());
    let mut history = History::default();
    let run = queued(at(0));
    history.absorb(run.clone());
    census.take(&Histories::from([(run.migration, history)]), at(0));
    provider.force_flush().unwrap();
    let sent = collected.0.lock().unwrap();
    assert_eq!(sent.len(), 10);
    assert_eq!(sent.iter().filter(|(_, count)| **count > 0.0).count(), 1);
    assert!((sent["stopover.runs{stopover.run.state=queued} {run}"] - 1.0).abs() < f64::EPSILON);
}
