//! Where this process is, in the words of Kubernetes: what every record says about who acted from where.

use std::cell::RefCell;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision of the sources of this build, if the build knew it: twelve digits of git's hash, with `-dirty` where they had been
/// changed since, or what `STOPOVER_REVISION` said at build time.
pub const REVISION: Option<&str> = option_env!("STOPOVER_BUILD_REVISION");

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
    /// The revision that it was built from, if known. See [`REVISION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
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
            version: VERSION.to_owned(),
            revision: REVISION.map(str::to_owned),
        }
    }

    /// Version and revision in one: `0.1.0 (3f2a9c1d0b5e)`.
    #[must_use]
    pub fn build(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{} ({revision})", self.version),
            None => self.version.clone(),
        }
    }

    /// How to call this binary here: from outside where this is a pod, with a terminal if it is for a console.
    #[must_use]
    pub fn invocation(&self, with_terminal: bool) -> String {
        if !in_kubernetes() {
            return "stopover".to_owned();
        }
        let terminal = if with_terminal { "-it " } else { "" };
        let namespace = self.namespace.as_ref().map(|name| format!("-n {name} ")).unwrap_or_default();
        format!("kubectl exec {terminal}{namespace}{} -- stopover", self.pod)
    }
}

/// Whether this process is in a pod.
#[must_use]
pub fn in_kubernetes() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// A person (or script), as claimed by `--operator` or `STOPOVER_OPERATOR`, and the place they acted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The claimed name.
    pub operator: String,
    /// Where the action was made.
    #[serde(with = "shared")]
    pub place: Arc<Place>,
}

/// Reading a place as one of the few there are: a ledger holds many thousand runs, made in a handful of pods, and a console holds
/// the latest of every migration.
pub(crate) mod shared {
    use super::{Arc, Deserialize, Deserializer, Place, RefCell, Serialize, Serializer};

    /// More places than this at a time are not worth looking through.
    const KEPT: usize = 16;

    thread_local! {
        /// The places met last, the latest at the end.
        static MET: RefCell<Vec<Arc<Place>>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn serialize<S: Serializer>(place: &Arc<Place>, serializer: S) -> Result<S::Ok, S::Error> {
        Place::serialize(place, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Place>, D::Error> {
        let place = Place::deserialize(deserializer)?;
        MET.with_borrow_mut(|met| {
            if let Some(known) = met.iter().find(|known| ***known == place) {
                return Ok(Arc::clone(known));
            }
            if met.len() == KEPT {
                met.remove(0);
            }
            let place = Arc::new(place);
            met.push(Arc::clone(&place));
            Ok(place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_read_twice_is_kept_once() {
        let actor = Actor { operator: "ada".to_owned(), place: Arc::new(Place::current()) };
        let text = serde_json::to_string(&actor).unwrap();
        let read = || serde_json::from_str::<Actor>(&text).unwrap();
        let (first, second) = (read(), read());
        assert_eq!(first, actor);
        assert!(Arc::ptr_eq(&first.place, &second.place));
    }

    #[test]
    fn a_place_says_its_build_and_one_of_an_older_record_as_much_as_is_known() {
        let here = Place::current();
        assert_eq!((here.version.as_str(), here.revision.as_deref()), (VERSION, REVISION));
        let text = |place: &Place| serde_json::to_string(place).unwrap();
        let built = Place { revision: Some("3f2a9c1d0b5e-dirty".to_owned()), ..here };
        assert_eq!(built.build(), format!("{VERSION} (3f2a9c1d0b5e-dirty)"));
        assert_eq!(serde_json::from_str::<Place>(&text(&built)).unwrap(), built);
        let old: Place = serde_json::from_str(r#"{"pod":"pod-a","version":"0.0.9"}"#).unwrap();
        assert_eq!((old.revision.as_deref(), old.build().as_str()), (None, "0.0.9"));
        assert!(!text(&old).contains("revision"));
    }

    #[test]
    fn many_places_are_read_as_what_they_are() {
        for pod in 0..40 {
            let actor = Actor {
                operator: "ada".to_owned(),
                place: Arc::new(Place { pod: format!("pod-{pod}"), ..Place::current() }),
            };
            let text = serde_json::to_string(&actor).unwrap();
            assert_eq!(serde_json::from_str::<Actor>(&text).unwrap(), actor);
        }
    }
}
