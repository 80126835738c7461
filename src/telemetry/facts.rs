//! What all spans of an attempt say, and the words that several of them share.

use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;

use crate::config::Config;
use crate::ledger::{FailureCause, Outcome, Run, RunState, WishKind};
use crate::time::Timestamp;

/// Whose spans they are.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The run as it was claimed.
    pub run: Run,
    /// Host and port of the database, if there is one.
    pub server: Option<(String, Option<i64>)>,
    /// How far this machine's clock is ahead of the ledger's, in milliseconds.
    ahead: i64,
}

impl Facts {
    /// Of a run that was claimed just now.
    #[must_use]
    pub fn of(config: &Config, run: &Run) -> Self {
        let claimed = match run.state {
            RunState::Running { since, .. } => since,
            _ => run.updated_at,
        };
        Self::at(config, run, claimed)
    }

    /// Of a run, when the ledger's clock says `now`.
    #[must_use]
    pub fn at(config: &Config, run: &Run, now: Timestamp) -> Self {
        let ahead = Timestamp::of_this_machine().as_millis() - now.as_millis();
        let server = config.database.as_ref().and_then(|uri| server(uri.expose()));
        Self { run: run.clone(), server, ahead }
    }

    /// Of a run without a database, on a machine whose clock is the ledger's.
    #[cfg(test)]
    pub fn of_sample(run: Run) -> Self {
        Self { run, server: None, ahead: 0 }
    }

    /// A time of the ledger's clock as this machine would have it.
    #[must_use]
    pub fn here(&self, at: Timestamp) -> SystemTime {
        let millis = at.as_millis().saturating_add(self.ahead);
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// On every span.
    #[must_use]
    pub fn common(&self) -> Vec<KeyValue> {
        self.common_of(self.run.attempt)
    }

    /// On every span of another attempt.
    #[must_use]
    pub fn common_of(&self, attempt: u32) -> Vec<KeyValue> {
        vec![
            KeyValue::new("stopover.run", self.run.id.to_string()),
            KeyValue::new("stopover.migration", self.run.migration.to_string()),
            KeyValue::new("stopover.attempt", i64::from(attempt)),
        ]
    }

    /// What was decided when the run was launched. The value of a secret param is not in the record.
    #[must_use]
    pub fn launch(&self) -> Vec<KeyValue> {
        let launch = &self.run.launch;
        let mut attributes = vec![
            KeyValue::new("stopover.operator", launch.by.operator.clone()),
            KeyValue::new("stopover.rerun", launch.rerun),
            KeyValue::new("stopover.checksum", launch.checksum.short().to_owned()),
        ];
        let params = launch.params.iter();
        attributes
            .extend(params.map(|param| KeyValue::new(format!("stopover.param.{}", param.name), param.value.clone())));
        attributes
    }

    /// Of spans that are calls to the database, see <https://opentelemetry.io/docs/specs/semconv/database/>.
    #[must_use]
    pub fn database(&self, namespace: &str, collection: Option<&str>, operation: &str) -> Vec<KeyValue> {
        let mut attributes = vec![
            KeyValue::new("db.system.name", "mongodb"),
            // Its name before 2025, by which backends still know a database.
            KeyValue::new("db.system", "mongodb"),
            KeyValue::new("db.namespace", namespace.to_owned()),
            KeyValue::new("db.operation.name", operation.to_owned()),
        ];
        attributes.extend(collection.map(|name| KeyValue::new("db.collection.name", name.to_owned())));
        if let Some((host, port)) = &self.server {
            attributes.push(KeyValue::new("server.address", host.clone()));
            attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
        }
        attributes
    }
}

/// The first host of a connection string.
fn server(uri: &str) -> Option<(String, Option<i64>)> {
    let (_, rest) = uri.split_once("://")?;
    let hosts = rest.split('?').next()?;
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    let first = hosts.split(['/', ',']).next().filter(|host| !host.is_empty())?;
    let (host, port) = match first.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (first, None),
    };
    // An address of IPv6 stands in brackets there, which are no part of it.
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((plain.to_owned(), port))
}

/// Where an outcome leaves the run, in the words of its states.
#[must_use]
pub fn state(outcome: &Outcome, wish: Option<WishKind>) -> &'static str {
    match (outcome, wish) {
        (Outcome::Succeeded, _) => "succeeded",
        (Outcome::Failed(_), _) => "failed",
        (Outcome::Stopped, Some(WishKind::Cancel)) => "cancelled",
        (Outcome::Stopped, _) => "paused",
        (Outcome::Interrupted(_), _) => "interrupted",
    }
}

/// The kind of a failure in one word.
#[must_use]
pub fn kind(cause: &FailureCause) -> &'static str {
    match cause {
        FailureCause::Exit { .. } => "exit",
        FailureCause::Signal { .. } => "signal",
        FailureCause::Timeout { .. } => "timeout",
        FailureCause::Start { .. } => "start",
        FailureCause::Step { .. } => "step",
        FailureCause::Worker { .. } => "worker",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_first_host_of_the_connection_string() {
        let found = |uri| server(uri).map(|(host, port)| (host, port.unwrap_or(0)));
        assert_eq!(found("mongodb://app:p%40ss@db-0:27017,db-1:27018/shop?x=@y"), Some(("db-0".to_owned(), 27017)));
        assert_eq!(found("mongodb+srv://cluster.example/shop"), Some(("cluster.example".to_owned(), 0)));
        assert_eq!(found("mongodb://[::1]:27017"), Some(("::1".to_owned(), 27017)));
        assert_eq!(found("mongodb://[::1]"), Some(("::1".to_owned(), 0)));
        assert_eq!(found("mongodb:///shop"), None);
    }
}
