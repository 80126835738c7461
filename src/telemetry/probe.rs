//! Whether a backend would take what a run tells: asked with requests that hold nothing.

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::SpanExporter;

use super::client::Answers;
use super::settings::{Destination, Settings, Signal};
use super::{exporters, health};

/// What came of it for one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Which.
    pub signal: Signal,
    /// Host and port.
    pub shown: String,
    /// Why it would not arrive.
    pub result: Result<(), String>,
}

/// Asks for each signal that is to be sent. Blocks for as long as one export may take, times the number of signals.
pub async fn probe(settings: &Settings) -> Vec<Probed> {
    let mut all = Vec::new();
    for signal in Signal::ALL {
        let Some(to) = settings.destination(signal) else { continue };
        let result = ask(signal, to).await;
        all.push(Probed { signal, shown: to.shown.clone(), result });
    }
    all
}

async fn ask(signal: Signal, to: &Destination) -> Result<(), String> {
    let answers = Answers::default();
    let answer: OTelSdkResult = match signal {
        Signal::Traces => exporters::spans(to, &answers)?.export(Vec::new()).await,
        Signal::Metrics => {
            exporters::metrics(to, Temporality::default(), &answers)?.export(&ResourceMetrics::default()).await
        }
        Signal::Logs => exporters::logs(to, &answers)?.export(LogBatch::new(&[])).await,
    };
    answer.map_err(|error| health::reason(&error, &answers))
}
