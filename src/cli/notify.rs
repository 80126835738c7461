//! `stopover notify`: who is told what happens to runs, and a message to try it.

use std::io::Write as _;
use std::time::Instant;

use color_eyre::Result;
use serde::Serialize;

use crate::catalog::Project;
use crate::catalog::notify::{Occasion, Receiver, Target};
use crate::config::Config;
use crate::notify::{Notice, Post, Ready, Unusable, is_of_here};
use crate::time::short_duration;

use super::{Context, Exit, UserError, json};

/// Arguments of `stopover notify`.
#[derive(clap::Args)]
pub struct Args {
    /// Send a message to all who are told of this environment, or to the one that is named, and wait for it
    #[arg(long)]
    test: bool,
    /// With --test: only this receiver, whatever it is told of
    #[arg(requires = "test")]
    name: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether a message is sent.
    pub fn tests(&self) -> bool {
        self.test
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'a str,
    kind: &'static str,
    /// Without what is secret of it.
    url: Option<String>,
    on: Vec<&'static str>,
    environments: &'a [String],
    /// Whether it is told of this environment.
    is_here: bool,
    held_after_seconds: f64,
    timeout_seconds: f64,
    /// Why it can be told nothing.
    problem: Option<String>,
}

#[derive(Serialize)]
struct Tried {
    name: String,
    url: Option<String>,
    delivered: bool,
    status: Option<u16>,
    seconds: Option<f64>,
    problem: Option<String>,
}

/// Lists, or tests.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let config = &context.config;
    if Project::load(&config.catalog).is_err() {
        let file = config.catalog.display();
        return Err(UserError::Refused(format!("{file} has problems; `stopover lint` shows them")).into());
    }
    if !args.test {
        return list(config, args.json);
    }
    let chosen = choose(config, args.name.as_deref())?;
    let tried = tokio::task::spawn_blocking({
        let body = Notice::test(config);
        move || {
            let names: Vec<_> = chosen.iter().map(|target| target.name.clone()).collect();
            let resolved = Ready::resolve_all(chosen).into_iter().zip(names);
            resolved.map(|(ready, name)| attempt(name, ready, &body)).collect::<Vec<_>>()
        }
    })
    .await?;
    if args.json {
        json::print(&tried)?;
    } else {
        let mut out = std::io::stdout().lock();
        for tried in &tried {
            writeln!(out, "{}", tried.line())?;
        }
    }
    Ok(if tried.iter().all(|tried| tried.delivered) { Exit::Fine } else { Exit::Failed })
}

/// Who is to be tried.
fn choose(config: &Config, named: Option<&str>) -> Result<Vec<Target>, UserError> {
    if config.notify.is_empty() {
        let file = config.catalog.display();
        return Err(UserError::Refused(format!("{file} names nobody under `notify`; add a receiver, then try it")));
    }
    let all = || config.notify.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen: Vec<_> = match named {
        Some(named) => config.notify.iter().filter(|target| target.name == named).cloned().collect(),
        None => config.notify.iter().filter(|target| is_of_here(target, config)).cloned().collect(),
    };
    match (chosen.is_empty(), named) {
        (false, _) => Ok(chosen),
        (true, Some(named)) => {
            Err(UserError::Usage(format!("there is no receiver `{named}` under `notify`; there are {}", all())))
        }
        (true, None) => Err(UserError::Refused(format!(
            "nobody under `notify` is told of this environment; `stopover notify --test NAME` tries one of {} all the same",
            all()
        ))),
    }
}

/// Once: who tries wants to know now.
fn attempt(name: String, ready: Result<Ready, Unusable>, notice: &Notice) -> Tried {
    let failed =
        |url, problem| Tried { name: name.clone(), url, delivered: false, status: None, seconds: None, problem };
    let ready = match ready {
        Ok(ready) => ready,
        Err(unusable) => return failed(None, Some(unusable.reason)),
    };
    let body = if ready.is_slack { notice.slack() } else { notice.json() };
    let (url, timeout, begun) = (Some(ready.shown.clone()), ready.timeout, Instant::now());
    let and = ready.problem.as_ref().map_or_else(String::new, |problem| format!("; {problem}"));
    match Post::new(ready).send(notice.id(), &body, timeout) {
        Ok(status) => Tried {
            name,
            url,
            delivered: true,
            status: Some(status),
            seconds: Some(begun.elapsed().as_secs_f64()),
            problem: None,
        },
        Err(trouble) => failed(url, Some(trouble.reason + &and)),
    }
}

impl Tried {
    fn line(&self) -> String {
        let Self { name, url, status, seconds, problem, .. } = self;
        let to = url.as_ref().map_or_else(String::new, |url| format!(" to {url}"));
        match (status, seconds) {
            (Some(status), Some(seconds)) => format!("{name}: delivered{to} ({status}) in {seconds:.2} s"),
            _ => format!("{name}: not delivered{to}: {}", problem.as_deref().unwrap_or_default()),
        }
    }
}

fn list(config: &Config, as_json: bool) -> Result<Exit> {
    let resolved = Ready::resolve_all(config.notify.to_vec());
    let listed: Vec<_> =
        config.notify.iter().zip(resolved).map(|(target, ready)| Listed::new(target, ready, config)).collect();
    if as_json {
        json::print(&listed)?;
        return Ok(Exit::Fine);
    }
    let mut out = std::io::stdout().lock();
    if listed.is_empty() {
        writeln!(out, "nobody is told what happens to runs; `notify` of {} says who is", config.catalog.display())?;
    }
    for (listed, target) in listed.iter().zip(config.notify.iter()) {
        let place = match (listed.environments, listed.is_here) {
            ([], _) => String::new(),
            (names, true) => format!(", in {}", names.join(", ")),
            (names, false) => format!(", in {}, which this is not", names.join(", ")),
        };
        let held = if target.on.contains(&Occasion::Held) {
            format!(" (after {})", short_duration(target.held_after))
        } else {
            String::new()
        };
        let url = listed.url.as_deref().unwrap_or("no address");
        writeln!(out, "{}: {} {url}: {}{held}{place}", listed.name, listed.kind, listed.on.join(", "))?;
        if let Some(problem) = &listed.problem {
            writeln!(out, "  told nothing: {problem}")?;
        }
    }
    Ok(Exit::Fine)
}

impl<'a> Listed<'a> {
    fn new(target: &'a Target, ready: Result<Ready, Unusable>, config: &Config) -> Self {
        let (url, problem) = match ready {
            Ok(ready) => (Some(ready.shown), None),
            Err(unusable) => (None, Some(unusable.reason)),
        };
        let is_here = is_of_here(target, config);
        Self {
            name: &target.name,
            kind: match target.receiver {
                Receiver::Slack { .. } => "slack",
                Receiver::Webhook { .. } => "webhook",
            },
            url,
            on: target.on.iter().map(|occasion| occasion.word()).collect(),
            environments: &target.environments,
            is_here,
            held_after_seconds: target.held_after.as_secs_f64(),
            timeout_seconds: target.timeout.as_secs_f64(),
            problem,
        }
    }
}
