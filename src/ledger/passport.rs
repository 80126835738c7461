//! The identity of the environment that a ledger belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::place::Actor;
use crate::time::Timestamp;

/// What a ledger says about where it is. Stamped once, by `stopover init`; an embedded ledger is stamped at its first use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Passport {
    /// The environment, e.g. `staging`.
    pub environment: EnvironmentName,
    /// Whether launching asks the operator to type the migration's name.
    pub protected: bool,
    /// The cluster that the ledger was stamped on (`NAME/MEMBER,MEMBER`, of a replica set), where that can be told:
    /// a ledger restored from another cluster's backup is noticed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// When it was stamped, by the ledger's clock.
    pub stamped_at: Timestamp,
    /// Who stamped it.
    pub stamped_by: Actor,
}

/// The name of an environment: 1 to 64 letters, digits, `_`, `-` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// The reason why the text cannot be an environment's name.
    pub fn new(name: impl Into<String>) -> Result<Self, String> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(format!("an environment's name has 1 to 64 letters, digits, `_`, `-` and `.`, not {name:?}"));
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for EnvironmentName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// Why a ledger may be looked at, but not written to, from here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongEnvironment {
    /// Nobody has said yet which environment this ledger belongs to.
    #[error(
        "this ledger has no passport yet; `stopover init --environment NAME` says once which environment it belongs to"
    )]
    Unstamped,
    /// This process believes to be somewhere else.
    #[error(
        "this ledger belongs to environment `{ledger}`, but STOPOVER_ENVIRONMENT here is `{here}`; check which database the connection string points at"
    )]
    Mismatch {
        /// The passport's.
        ledger: EnvironmentName,
        /// This process's.
        here: EnvironmentName,
    },
    /// The ledger's data has moved to another cluster.
    #[error(
        "this ledger was stamped for environment `{environment}` on cluster `{stamped}`, but lives on `{actual}` now (restored from a backup?); `stopover init --environment NAME --restamp` says where it belongs"
    )]
    OtherCluster {
        /// The passport's environment.
        environment: EnvironmentName,
        /// The passport's cluster.
        stamped: String,
        /// The cluster that answered.
        actual: String,
    },
}

impl Passport {
    /// Whether this process, which believes to be in `here` and talks to `cluster`, may write.
    ///
    /// # Errors
    /// See [`WrongEnvironment`].
    pub fn check(
        passport: Option<&Self>,
        here: Option<&EnvironmentName>,
        cluster: Option<&str>,
    ) -> Result<(), WrongEnvironment> {
        let passport = passport.ok_or(WrongEnvironment::Unstamped)?;
        if let Some(here) = here.filter(|here| **here != passport.environment) {
            return Err(WrongEnvironment::Mismatch { ledger: passport.environment.clone(), here: here.clone() });
        }
        match (&passport.cluster, cluster) {
            (Some(stamped), Some(actual)) if !is_same_cluster(stamped, actual) => Err(WrongEnvironment::OtherCluster {
                environment: passport.environment.clone(),
                stamped: stamped.clone(),
                actual: actual.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether two descriptions are of one replica set. Members come and go, so one that is in both is enough.
fn is_same_cluster(stamped: &str, actual: &str) -> bool {
    let parts = |cluster: &str| -> Option<(String, Vec<String>)> {
        let (name, members) = cluster.split_once('/')?;
        Some((name.to_owned(), members.split(',').map(str::to_owned).collect()))
    };
    match (parts(stamped), parts(actual)) {
        (Some((name, members)), Some((other_name, others))) => {
            name == other_name && members.iter().any(|member| others.contains(member))
        }
        _ => stamped == actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_stays_itself_while_its_members_change_one_by_one() {
        assert!(is_same_cluster("rs0/a:27017,b:27017", "rs0/b:27017,c:27017"));
        assert!(!is_same_cluster("rs0/a:27017,b:27017", "rs0/c:27017"));
        assert!(!is_same_cluster("rs0/a:27017", "rs1/a:27017"));
    }
}
