//! Where this process is, in the words of Kubernetes: what every record says about who acted from where.

use serde::{Deserialize, Serialize};

/// The pod (or machine) and image a process lives in.
///
/// In a pod the manifests pass these in by the downward API; elsewhere the host name stands in for the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `STOPOVER_POD`, or the host name.
    pub pod: String,
    /// `STOPOVER_NAMESPACE`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `STOPOVER_NODE`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `STOPOVER_IMAGE`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The version of Stopover that acted.
    pub version: String,
}

impl Place {
    /// Reads this process's place from its environment.
    #[must_use]
    pub fn current() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            pod: variable("STOPOVER_POD").unwrap_or_else(host),
            namespace: variable("STOPOVER_NAMESPACE"),
            node: variable("STOPOVER_NODE"),
            image: variable("STOPOVER_IMAGE"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A person (or script), as claimed by `--operator` or `STOPOVER_OPERATOR`, and the place they acted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The claimed name.
    pub operator: String,
    /// Where the action was made.
    pub place: Place,
}
