//! What a run depends on here.

use std::path::Path;
use std::time::Instant;

use color_eyre::Result;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::ledger::{LedgerReader, Passport};
use crate::logs::mirror::Mirror;
use crate::notify::{Receivers, Unusable};
use crate::telemetry::{self, Probed, Settings};
use crate::time::short_duration;

/// Less than this is warned of, in MiB.
const LITTLE_SPACE: u64 = 256;

#[derive(Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warning,
    Failed,
}

pub fn check_catalog(catalog: &Catalog, file: &Path) -> Check {
    let problems = catalog.all_problems().count();
    let verdict = if problems == 0 { Verdict::Ok } else { Verdict::Failed };
    let hint = if problems == 0 { "" } else { "; `stopover lint` shows them" };
    Check {
        name: "catalog",
        verdict,
        text: format!("{}: {} migrations, {problems} problems{hint}", file.display(), catalog.entries.len()),
    }
}

/// Tries it, where that may be done: in read-only mode nothing is created.
pub fn check_state_dir(config: &Config) -> Check {
    let path = config.state_dir.path();
    let shown = path.display();
    let check = |verdict, text| Check { name: "state", verdict, text };
    if config.read_only.is_some() {
        return match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
            Ok(()) => check(Verdict::Ok, free_space(path).1),
            Err(error) => check(Verdict::Warning, format!("{shown} cannot be written to: {error}")),
        };
    }
    if let Err(error) = config.state_dir.try_to_write() {
        let remedy = "set STOPOVER_STATE_DIR to a directory that can";
        return check(Verdict::Failed, format!("{shown} cannot be written to: {error}; {remedy}"));
    }
    let (is_little, text) = free_space(path);
    check(if is_little { Verdict::Warning } else { Verdict::Ok }, text)
}

/// Whether there is little, and how much there is.
fn free_space(path: &Path) -> (bool, String) {
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize / (1024 * 1024);
            (free < LITTLE_SPACE, format!("{}: {free} MiB free", path.display()))
        }
        Err(_) => (false, path.display().to_string()),
    }
}

/// Which build of Stopover this is, and in which image.
pub fn check_build(config: &Config) -> Check {
    let place = &config.actor.place;
    let image = place.image.as_ref().map_or_else(String::new, |image| format!(", image {image}"));
    Check { name: "version", verdict: Verdict::Ok, text: format!("{}{image}", place.build()) }
}

pub fn check_mirror(config: &Config) -> Check {
    let missed = "`kubectl logs` will not have what runs print";
    let (verdict, text) = match Mirror::probe(&config.mirror, &config.state_dir) {
        Ok(None) => (Verdict::Ok, format!("off: {missed}")),
        Ok(Some(path)) => {
            let target = std::fs::read_link(&path).map_or_else(|_| String::new(), |to| format!(" ({})", to.display()));
            (Verdict::Ok, format!("{}{target}", path.display()))
        }
        Err(reason) => (Verdict::Warning, format!("{reason}; {missed}")),
    };
    Check { name: "mirror", verdict, text }
}

/// Whether those who are to be told what happens to runs can be; nothing where nobody is.
pub fn check_notify(config: &Config) -> Option<Check> {
    let check = |verdict, text| Some(Check { name: "notify", verdict, text });
    let receivers = Receivers::of_here(config);
    let problem = receivers.problem();
    let Receivers { ready, unusable } = receivers;
    if let Some(Unusable { name, reason }) = unusable.first() {
        let others = match unusable.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more, see `stopover notify`)"),
        };
        return check(Verdict::Warning, format!("{name} is told nothing: {reason}{others}"));
    }
    if ready.is_empty() {
        return None;
    }
    if let Some(problem) = problem {
        return check(Verdict::Warning, format!("{problem}: only public authorities are trusted"));
    }
    let told: Vec<_> = ready.iter().map(|receiver| format!("{} ({})", receiver.name, receiver.shown)).collect();
    check(Verdict::Ok, format!("{}; `stopover notify --test` tries it", told.join(", ")))
}

/// Whether backends take what runs tell them. Nothing is asked where nothing is configured.
pub async fn check_telemetry() -> Check {
    let settings = Settings::of_environment();
    let probed = telemetry::probe(&settings).await;
    let is_fine = settings.problems.is_empty() && probed.iter().all(|probed| probed.result.is_ok());
    let mut told: Vec<String> = probed
        .into_iter()
        .map(|Probed { signal, shown, result }| match result {
            Ok(()) => format!("{} to {shown}", signal.word()),
            Err(reason) => format!("{} would not arrive at {shown}: {reason}", signal.word()),
        })
        .collect();
    told.extend(settings.problems.iter().cloned());
    let told: Vec<_> = told.iter().map(|text| telemetry::tellable(text, |text| settings.masked(text))).collect();
    let text = if told.is_empty() { "off: OTEL_EXPORTER_OTLP_ENDPOINT is not set".to_owned() } else { told.join("; ") };
    Check { name: "telemetry", verdict: if is_fine { Verdict::Ok } else { Verdict::Warning }, text }
}

/// Says where the ledger is, and what that means for it.
pub fn check_ledger(config: &Config, ledger: &dyn LedgerReader, started: Instant) -> Check {
    let verdict = if config.ledger.is_embedded() && in_pod() { Verdict::Warning } else { Verdict::Ok };
    let note = match (config.ledger.is_embedded(), in_pod()) {
        (true, true) => "; embedded: it dies with this pod unless the state directory is on a volume",
        (true, false) => "; embedded: for this machine only",
        (false, _) => "",
    };
    let text = format!("{}: answered in {}{note}", ledger.label(), short_duration(started.elapsed()));
    Check { name: "ledger", verdict, text }
}

/// Whether this process may act on the ledger.
pub async fn check_passport(config: &Config, ledger: &dyn LedgerReader) -> Result<Check> {
    let passport = ledger.passport().await?;
    let cluster = ledger.cluster().await?;
    Ok(match Passport::check(passport.as_ref(), config.environment.as_ref(), cluster.as_deref()) {
        Ok(()) => {
            let text = passport.map_or_else(String::new, |passport| {
                format!("environment `{}`{}", passport.environment, if passport.protected { ", protected" } else { "" })
            });
            Check { name: "passport", verdict: Verdict::Ok, text }
        }
        Err(_) if passport.is_none() && config.ledger.is_embedded() => {
            Check { name: "passport", verdict: Verdict::Ok, text: "none yet; the first launch stamps it".to_owned() }
        }
        Err(wrong) => Check { name: "passport", verdict: Verdict::Failed, text: wrong.to_string() },
    })
}

fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}
