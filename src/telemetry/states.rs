//! Runs by state, sent by whoever follows the ledger: a pod in which nothing runs has something to tell, too.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::config::Config;
use crate::ledger::Histories;
use crate::time::Timestamp;

use super::census::Census;
use super::health::{Health, Warn};
use super::resource::of_figures;
use super::{End, NO_THREAD, SCOPE, Settings, Signal, Wires, meters, provider, tellable};

/// Sends until it is dropped.
pub struct States {
    census: Arc<Census>,
    provider: SdkMeterProvider,
    _wires: Wires,
}

impl States {
    /// `None` where metrics are not sent. `warn` is told once why they are not, or do not arrive.
    #[must_use]
    pub fn start(config: &Config, warn: impl Fn(String) + Send + Sync + 'static) -> Option<Self> {
        let settings = Settings::of_environment();
        let to = settings.destination(Signal::Metrics)?;
        let of_warnings = settings.clone();
        let warn: Warn = Arc::new(move |text| {
            let text = tellable(&text, |text| of_warnings.masked(text));
            warn(format!("telemetry: runs by state: {text}"));
        });
        let health = Health::of(Signal::Metrics, &to.shown, &warn);
        let started = Wires::new().map_err(|_| NO_THREAD.to_owned()).and_then(|wires| {
            let provider = wires.build(|| provider(to, &settings.pace, &of_figures(config), &health))?;
            Ok((provider, wires))
        });
        match started {
            Ok((provider, wires)) => {
                let census = Arc::new(Census::default());
                meters::observe_runs(&provider.meter(SCOPE), &census);
                Some(Self { census, provider, _wires: wires })
            }
            Err(reason) => {
                health.warn_once(&reason);
                None
            }
        }
    }

    /// Takes in how it is at `now`, a time of the ledger's clock.
    pub fn take(&self, histories: &Histories, now: Timestamp) {
        self.census.take(histories, now);
    }

    /// The ledger is away.
    pub fn forget(&self) {
        self.census.forget();
    }

    /// Sends the last state, for at most `within`; blocks so long.
    pub fn finish(self, within: Duration) {
        let mut end = End::new(within);
        // What does not arrive is of no use any more.
        end.begin(self.provider, |provider, within| drop(provider.shutdown_with_timeout(within)));
        end.wait();
    }
}
