//! Whether a backend would take what a run tells: asked with requests that hold nothing.

use std::thread;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::SpanExporter;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::time::short_duration;

use super::client::Answers;
use super::settings::{Destination, Settings, Signal};
use super::{NO_THREAD, THREADS, exporters, health};

/// How much longer than an export may take its answer is waited for: its own words for what was wrong say more.
const MARGIN: Duration = Duration::from_secs(2);

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

/// Asks for each signal that is to be sent, all at once, each on a thread of its own, and waits no longer than one export may take.
pub async fn probe(settings: &Settings) -> Vec<Probed> {
    let asked = Signal::ALL.into_iter().filter_map(|signal| {
        let to = settings.destination(signal)?.clone();
        let (shown, within) = (to.shown.clone(), to.timeout);
        let (tell, told) = oneshot::channel();
        let ask = move || {
            // Nobody listens any more when the time is over.
            let _ = tell.send(ask(signal, &to));
        };
        let begun = thread::Builder::new().name(format!("{}-probe", THREADS[1])).spawn(ask);
        Some((signal, shown, within, begun.map(|_| told)))
    });
    // Begun before the first is waited for.
    let asked: Vec<_> = asked.collect();
    let begun = Instant::now();
    let mut all = Vec::with_capacity(asked.len());
    for (signal, shown, within, told) in asked {
        let result = match told {
            Ok(told) => match timeout_at(begun + within + MARGIN, told).await {
                Ok(Ok(answer)) => answer,
                // The SDK panics where it gets no thread.
                Ok(Err(_)) => Err(NO_THREAD.to_owned()),
                Err(_) => Err(format!("it did not answer within {}", short_duration(within))),
            },
            Err(_) => Err(NO_THREAD.to_owned()),
        };
        all.push(Probed { signal, shown, result });
    }
    all
}

fn ask(signal: Signal, to: &Destination) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("nothing can be sent from here: {error}"))?;
    let answers = Answers::default();
    let answer: Result<OTelSdkResult, String> = runtime.block_on(async {
        Ok(match signal {
            Signal::Traces => exporters::spans(to, &answers)?.export(Vec::new()).await,
            Signal::Metrics => {
                exporters::metrics(to, Temporality::default(), &answers)?.export(&ResourceMetrics::default()).await
            }
            Signal::Logs => exporters::logs(to, &answers)?.export(LogBatch::new(&[])).await,
        })
    });
    // A name that is still being looked up is waited for by nobody.
    runtime.shutdown_background();
    answer?.map_err(|error| health::reason(&error, &answers))
}
