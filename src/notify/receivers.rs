//! The receivers of here: settings of `stopover.yaml` with the secrets of this environment filled in.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Uri};

use crate::catalog::notify::{Occasion, Receiver, Target, Template};
use crate::config::{Config, variable};
use crate::reading::{self, each_within, small_file};
use crate::secret::{MASK, SHORTEST_IN_HEADERS, Secret};

use super::THREAD;
use super::authorities::{self, Authorities};

/// A secret that is longer is none: what is named is another file.
const LONGEST_SECRET: u64 = 64 * 1024;
/// A part of an address that is shorter is no password.
const SHORTEST_PATH: usize = 8;

/// Where messages can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// How it is called.
    pub name: String,
    /// Whether it is told in Slack's shape.
    pub is_slack: bool,
    /// Its address.
    pub url: Secret,
    /// What may be shown of that.
    pub shown: String,
    /// Headers beyond the usual.
    pub headers: Vec<(String, Secret)>,
    /// What it is told.
    pub on: BTreeSet<Occasion>,
    /// How long a hold lasts before it is told.
    pub held_after: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// Whom it may be certified by beside the public authorities.
    pub authorities: Option<Authorities>,
    /// What is wrong with those, where only the public ones are left.
    pub problem: Option<String>,
}

/// A receiver that cannot be told anything here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// How it is called.
    pub name: String,
    /// Why not, and what to do; without any secret.
    pub reason: String,
}

/// What of the settings counts here.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    /// Those that can be told.
    pub ready: Vec<Ready>,
    /// Those that should be, and cannot.
    pub unusable: Vec<Unusable>,
}

impl Receivers {
    /// Those that are told of this environment.
    #[must_use]
    pub fn of_here(config: &Config) -> Self {
        let targets: Vec<Target> = config.notify.iter().filter(|target| is_of_here(target, config)).cloned().collect();
        let mut receivers = Self::default();
        for resolved in Ready::resolve_all(targets) {
            match resolved {
                Ok(ready) => receivers.ready.push(ready),
                Err(unusable) => receivers.unusable.push(unusable),
            }
        }
        receivers
    }

    /// What is wrong although they can be told, if anything is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.ready.iter().find_map(|ready| ready.problem.clone())
    }
}

/// Whether a receiver is told what happens in this environment.
#[must_use]
pub fn is_of_here(target: &Target, config: &Config) -> bool {
    let here = config.environment.as_ref().map(crate::ledger::EnvironmentName::as_str);
    target.environments.is_empty() || here.is_some_and(|here| target.environments.iter().any(|name| name == here))
}

/// Everything secret that this environment holds for receivers, those of other environments among them.
#[must_use]
pub fn secrets(config: &Config) -> Vec<Secret> {
    let of = |names: fn(&Target) -> Vec<String>| config.notify.iter().flat_map(names).collect::<BTreeSet<_>>();
    let of_addresses = of(|target| target.url().variables().map(str::to_owned).collect());
    let names = of(|target| target.variables().map(str::to_owned).collect());
    let in_files = names.iter().any(|name| is_in_file(name));
    let values = patiently(in_files, names.iter().cloned().collect(), |name: String| value(&name));
    let mut secrets = Vec::new();
    for (name, value) in names.into_iter().zip(values) {
        let Ok(Ok(value)) = value else { continue };
        // A word in a header opens nothing, and would be blanked out everywhere.
        if value.len() < SHORTEST_IN_HEADERS && !of_addresses.contains(&name) {
            continue;
        }
        // An error of a receiver's side may quote an address without its host.
        let path = value.parse::<Uri>().ok().and_then(|uri| Some(uri.path_and_query()?.as_str().to_owned()));
        let path = path.map(|path| path.trim_matches('/').to_owned()).filter(|path| path.len() >= SHORTEST_PATH);
        secrets.extend([Some(value), path].into_iter().flatten().map(Secret::new));
    }
    secrets
}

impl Ready {
    /// Fills in what the environment has, for each; a file system that does not answer is waited for only so long.
    #[must_use]
    pub fn resolve_all(targets: Vec<Target>) -> Vec<Result<Self, Unusable>> {
        let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
        let in_files =
            variable(authorities::VARIABLE).is_some() || targets.iter().flat_map(Target::variables).any(is_in_file);
        let resolved = patiently(in_files, targets, |target| Self::resolve(&target));
        let pairs = names.into_iter().zip(resolved);
        pairs.map(|(name, resolved)| resolved.unwrap_or_else(|reason| Err(Unusable { name, reason }))).collect()
    }

    /// Fills in what the environment has.
    ///
    /// # Errors
    /// When something is missing, or cannot be used.
    fn resolve(target: &Target) -> Result<Self, Unusable> {
        let unusable = |reason| Unusable { name: target.name.clone(), reason };
        let fill = |template: &Template| template.fill(value).map_err(unusable);
        let (url, is_slack, headers) = match &target.receiver {
            Receiver::Slack { url } => (url, true, &[][..]),
            Receiver::Webhook { url, headers } => (url, false, &headers[..]),
        };
        let of = url.variables().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
        let from = if of.is_empty() { "its address".to_owned() } else { format!("its address, from {of},") };
        let url = fill(url)?;
        let shown = shown(&url).map_err(|wrong| unusable(format!("{from} {wrong}")))?;
        let headers = headers.iter().map(|(name, value)| {
            let value = fill(value)?;
            if HeaderValue::from_str(&value).is_err() {
                let reason = format!("the value of its header `{name}` has characters that no header can hold");
                return Err(unusable(reason));
            }
            Ok((name.clone(), Secret::new(value)))
        });
        let authorities = if is_encrypted(&shown) { Authorities::of_environment() } else { Ok(None) };
        let (authorities, problem) = authorities.map_or_else(|problem| (None, Some(problem)), |it| (it, None));
        Ok(Self {
            name: target.name.clone(),
            authorities,
            problem,
            is_slack,
            headers: headers.collect::<Result<_, _>>()?,
            url: Secret::new(url),
            shown,
            on: target.on.clone(),
            held_after: target.held_after,
            timeout: target.timeout,
        })
    }
}

/// What may be shown of an address: who is asked, and not for what.
fn shown(url: &str) -> Result<String, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no address; write it like `https://hooks.example.com/stopover`")?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is no address of a web server; it begins with `https://` or `http://`");
    };
    if authority.as_str().contains('@') {
        return Err("holds a user or password; send a header instead, e.g. `Authorization`");
    }
    Ok(format!("{scheme}://{authority}/{MASK}"))
}

fn is_encrypted(shown: &str) -> bool {
    shown.starts_with("https:")
}

/// Does what may read files so that a file system that does not answer holds nobody up.
fn patiently<I: Send + 'static, T: Send + 'static>(
    in_files: bool,
    items: Vec<I>,
    work: fn(I) -> T,
) -> Vec<Result<T, String>> {
    if in_files {
        each_within(&format!("{THREAD}-settings"), reading::WITHIN, items, work)
    } else {
        items.into_iter().map(|item| Ok(work(item))).collect()
    }
}

/// Whether a secret is in a file.
fn is_in_file(name: &str) -> bool {
    variable(name).is_none() && variable(&format!("{name}_FILE")).is_some()
}

/// The value of a variable, or of the file that the variable with `_FILE` names.
fn value(name: &str) -> Result<String, String> {
    if let Some(value) = variable(name) {
        return Ok(value.trim().to_owned());
    }
    let file = format!("{name}_FILE");
    let Some(path) = variable(&file).map(PathBuf::from) else {
        return Err(format!("`{name}` is not set here, nor is `{file}`; set one of them in the pod's manifest"));
    };
    let text =
        small_file(&path, LONGEST_SECRET).map_err(|wrong| format!("{file} names {}, which {wrong}", path.display()))?;
    let text = String::from_utf8(text).map_err(|_| format!("{file} names {}, which is no text", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_server_is_shown() {
        assert_eq!(shown("https://hooks.slack.com/services/T0/B0/xyz").unwrap(), "https://hooks.slack.com/***");
        assert_eq!(shown("http://127.0.0.1:8080/a?b=c").unwrap(), "http://127.0.0.1:8080/***");
        for wrong in ["", "hooks.slack.com/x", "ftp://a/b", "/services", "https://ana:pw@host/", "https://a b/"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
