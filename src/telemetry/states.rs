//! Runs by state, sent by whoever follows the ledger: a pod in which nothing runs has something to tell, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::config::Config;
use crate::ledger::Histories;
use crate::time::Timestamp;

use super::census::Census;
use super::delivery::Delivery;
use super::health::{Health, Warn};
use super::resource::of_figures;
use super::threads::{End, Wires};
use super::{Destination, SCOPE, Settings, Signal, meters, tellable};

/// Sends until it is dropped.
pub struct States {
    census: Arc<Census>,
    provider: SdkMeterProvider,
    health: Arc<Health>,
    /// What had not arrived when the provider was made.
    missed: u64,
    /// The settings of now, for what must not be told.
    settings: Arc<Mutex<Settings>>,
    wires: Wires,
}

impl States {
    /// `None` where metrics are not sent. `warn` is told once why they are not, or do not arrive.
    #[must_use]
    pub fn start(config: &Config, warn: impl Fn(String) + Send + Sync + 'static) -> Option<Self> {
        let read = Settings::of_environment();
        let to = read.destination(Signal::Metrics)?;
        let settings = Arc::new(Mutex::new(read.clone()));
        let of_warnings = settings.clone();
        let warn: Warn = Arc::new(move |text| {
            let settings = of_warnings.lock().unwrap_or_else(PoisonError::into_inner);
            let text = tellable(&text, |text| settings.masked(text));
            warn(format!("telemetry: runs by state: {text}"));
        });
        let health = Health::of(Signal::Metrics, &to.shown, &warn);
        let census = Arc::default();
        let started = Wires::new().and_then(|wires| {
            let provider = begin(config, &read, to, &health, &wires, &census)?;
            Ok((provider, wires))
        });
        match started {
            Ok((provider, wires)) => Some(Self { census, provider, health, missed: 0, settings, wires }),
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

    /// Where something has not arrived since, and files say what opens the backend, goes on by what they say now: a pod may outlive its secrets.
    pub fn refresh(&mut self, config: &Config) {
        let missed = self.health.failed();
        if missed == std::mem::replace(&mut self.missed, missed) {
            return;
        }
        let read = Settings::of_environment();
        let Some(to) = read.destination(Signal::Metrics).filter(|to| to.is_of_files()) else { return };
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = read.clone();
        if let Ok(provider) = begin(config, &read, to, &self.health, &self.wires, &self.census) {
            // What it would send at its end is sent by the new one.
            End::new(Duration::ZERO).begin(std::mem::replace(&mut self.provider, provider), shut_down);
        }
    }

    /// Sends the last state, for at most `within`; blocks so long.
    pub fn finish(self, within: Duration) {
        let mut end = End::new(within);
        end.begin(self.provider, shut_down);
        end.wait();
    }
}

fn begin(
    config: &Config,
    settings: &Settings,
    to: &Destination,
    health: &Arc<Health>,
    wires: &Wires,
    census: &Arc<Census>,
) -> Result<SdkMeterProvider, String> {
    let delivery = Delivery { to, pace: &settings.pace, resource: &of_figures(config), health };
    let provider = wires.build(|| delivery.figures())?;
    meters::observe_runs(&provider.meter(SCOPE), census);
    Ok(provider)
}

fn shut_down(provider: &SdkMeterProvider, within: Duration) {
    // What does not arrive is of no use any more.
    let _ = provider.shutdown_with_timeout(within);
}
