//! What a program finds in its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::config::Config;
use crate::ledger::Run;
use crate::secret::Secret;
use crate::trace_context::TraceContext;

use super::strays::Mark;

/// What the worker's own environment holds and its program has no business with: first of all the ledger's password.
const WITHHELD: [&str; 11] = [
    "STOPOVER_LEDGER",
    "STOPOVER_LEDGER_FILE",
    "STOPOVER_CHECKPOINT",
    "STOPOVER_LEASE",
    "STOPOVER_LEASE_RENEWAL",
    "STOPOVER_LEASE_MARGIN",
    "STOPOVER_GRACE",
    "STOPOVER_MIRROR",
    "STOPOVER_CATALOG",
    "STOPOVER_STATE_DIR",
    // Of the trace in which the launch happened, not of the run's own.
    "TRACESTATE",
];

/// The variable in which a program finds a param.
#[must_use]
pub fn param_variable(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{PARAM}{name}")
}

const PARAM: &str = "STOPOVER_PARAM_";

/// Whether a variable of the surrounding environment must not reach a new worker or program: a param of another run would be
/// taken for one of its own.
#[must_use]
pub fn is_param(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PARAM.as_bytes())
}

/// The secret params that the launcher left in this worker's environment.
#[must_use]
pub fn secret_params(run: &Run) -> Vec<(String, Secret)> {
    let secret = run.launch.params.iter().filter(|param| param.secret);
    secret
        .filter_map(|param| Some((param.name.clone(), Secret::new(std::env::var(param_variable(&param.name)).ok()?))))
        .collect()
}

/// The whole environment of the program: what the worker inherited, and what the protocol promises.
#[must_use]
pub fn of_program(config: &Config, run: &Run, secrets: &[(String, Secret)]) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os()
        .filter(|(name, _)| !is_param(name) && !WITHHELD.iter().any(|withheld| name == withheld))
        .collect();
    let mut set = |name: &str, value: &str| variables.insert(name.into(), value.into());
    set(Mark::VARIABLE, Mark::of_this_worker().as_str());
    set("STOPOVER_RUN", &run.id.to_string());
    set("STOPOVER_MIGRATION", run.migration.as_str());
    set("STOPOVER_RERUN", if run.launch.rerun { "true" } else { "false" });
    set("STOPOVER_ATTEMPT", &run.attempt.to_string());
    set("TRACEPARENT", &TraceContext::of_attempt(run.id, run.attempt).to_string());
    if let Some(checkpoint) = &run.checkpoint {
        set("STOPOVER_CHECKPOINT", checkpoint.as_json());
    }
    if let Some(environment) = &config.environment {
        set("STOPOVER_ENVIRONMENT", environment.as_str());
    }
    if let Some(uri) = &config.database {
        set("MONGODB_URI", uri.expose());
    }
    for param in run.launch.params.iter().filter(|param| !param.secret) {
        set(&param_variable(&param.name), &param.value);
    }
    for (name, value) in secrets {
        set(&param_variable(name), value.expose());
    }
    variables
}
