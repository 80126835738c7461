//! What a keeper is told: flags over environment.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{ConfigError, duration, variable};

/// See the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long the pod has from SIGTERM to SIGKILL: its `terminationGracePeriodSeconds`, less what a preStop hook takes.
    pub grace: Duration,
    /// Where probes are answered over HTTP, if anywhere.
    pub listen: Option<SocketAddr>,
}

impl Settings {
    /// What Kubernetes gives a pod that does not say.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

    /// From `--grace` and `--listen`, over `STOPOVER_TERMINATION_GRACE` and `STOPOVER_LISTEN`.
    ///
    /// # Errors
    /// [`ConfigError`] for a value that cannot be used.
    pub fn load(grace: Option<Duration>, listen: Option<&str>) -> Result<Self, ConfigError> {
        let grace = match grace {
            Some(grace) => grace,
            None => duration("STOPOVER_TERMINATION_GRACE")?.unwrap_or(Self::DEFAULT_GRACE),
        };
        let listen = match (listen, variable("STOPOVER_LISTEN")) {
            (Some(text), _) => Some(address("--listen", text)?),
            (None, Some(text)) => Some(address("STOPOVER_LISTEN", &text)?),
            (None, None) => None,
        };
        Ok(Self { grace, listen })
    }
}

fn address(name: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| ConfigError::Invalid {
        name,
        reason: format!(
            "{text:?} is not an address with a port; `127.0.0.1:8080` answers this pod only, `0.0.0.0:8080` the kubelet, too"
        ),
    })
}
