//! `notify:` of `stopover.yaml`: which receivers are told what happens to runs. What is secret of it is only named here, never written.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, Uri};

use crate::secret::{MASK, is_secret_name};

use super::decode::{Decoder, Fields};
use super::nearest;
use super::problem::Position;
use super::yaml::Node;

/// A receiver, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique; how warnings and `stopover notify --test` name it.
    pub name: String,
    /// Where messages go, and in which shape.
    pub receiver: Receiver,
    /// What it is told; never empty.
    pub on: BTreeSet<Occasion>,
    /// The environments that it is told of; empty for all.
    pub environments: Vec<String>,
    /// How long a run is held without a break before that is told.
    pub held_after: Duration,
    /// How long one try may take.
    pub timeout: Duration,
}

/// See [`Target::receiver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// An incoming webhook of Slack, or of what understands the same.
    Slack {
        /// Its address, which is its own password.
        url: Template,
    },
    /// Takes JSON.
    Webhook {
        /// Its address.
        url: Template,
        /// Headers beyond the usual, by name.
        headers: Vec<(String, Template)>,
    },
}

/// Something of a run that people may want to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// An attempt has begun.
    Started,
    /// The state of the server has held it for long.
    Held,
    /// It ended in an error.
    Failed,
    /// Its worker has not been heard of for longer than its lease.
    Lost,
    /// It succeeded, or was cancelled.
    Finished,
    /// It stands still and can be resumed: paused, or interrupted.
    Stopped,
}

impl Occasion {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Started, Self::Held, Self::Failed, Self::Lost, Self::Finished, Self::Stopped];

    /// The word for it, in settings and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// A text in which `${NAME}` stands for a secret of the environment. It prints as a mask: even what is written out may tell too much.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("`${` has no `}`")?;
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err("between `${` and `}` stands no name of a variable");
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Variable(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The variables that it names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text, with what `value` says in place of variables.
    ///
    /// # Errors
    /// The first that `value` answers.
    pub fn fill<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Variable(name) => value(name),
            })
            .collect()
    }

    /// What is written out before the first variable.
    fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Target {
    /// How long a hold lasts before it is told, unless the target says.
    pub const HELD_AFTER: Duration = Duration::from_mins(10);
    /// How long a try may take, unless the target says.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The bounds of that.
    const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
    /// More receivers than this are a mistake: each has a thread of every run.
    const MOST: usize = 16;

    /// The variables that hold its secrets.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let headers = match &self.receiver {
            Receiver::Slack { .. } => &[][..],
            Receiver::Webhook { headers, .. } => headers,
        };
        self.url().variables().chain(headers.iter().flat_map(|(_, value)| value.variables()))
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &Template {
        match &self.receiver {
            Receiver::Slack { url } | Receiver::Webhook { url, .. } => url,
        }
    }
}

const EXAMPLE: &str = "notify: [{ name: oncall, slack: \"${SLACK_WEBHOOK_URL}\" }]";
const ON: &str = "on: [failed, lost, held]";
const REFERENCE: &str = "put it in an environment variable, from a Secret, and write `${ITS_NAME}` here";

pub(super) fn targets(decoder: &mut Decoder<'_>, node: &Node) -> Vec<Target> {
    let targets = decoder.list(node, "notify", EXAMPLE, |decoder, node| Some((node.at, target(decoder, node)?)));
    if targets.len() > Target::MOST {
        let message = format!("`notify` has more than {} receivers", Target::MOST);
        decoder.report(node.at, message, "let one receiver pass messages on to the others");
    }
    let mut names = BTreeSet::new();
    for (at, target) in &targets {
        if !names.insert(&target.name) {
            let message = format!("two receivers are called `{}`", target.name);
            decoder.report(*at, message, "give each a `name` of its own");
        }
    }
    targets.into_iter().map(|(_, target)| target).collect()
}

fn target(decoder: &mut Decoder<'_>, node: &Node) -> Option<Target> {
    const KEYS: [&str; 8] = ["name", "slack", "webhook", "headers", "on", "environments", "heldAfter", "timeout"];
    let fields = decoder.fields(node, "an element of `notify`", &KEYS)?;
    let receiver = receiver(decoder, node.at, fields);
    let name = fields.get("name").map(|node| name(decoder, node));
    let on = match fields.get("on") {
        Some(node) => occasions(decoder, node),
        None => Occasion::ALL.into(),
    };
    let environments = fields.get("environments").map_or_else(Vec::new, |node| {
        decoder.list(node, "environments", "environments: [production]", |decoder, node| {
            decoder.text(node, "an element of `environments`")
        })
    });
    let held_after = fields.get("heldAfter").and_then(|node| decoder.duration(node, "heldAfter"));
    let timeout = fields.get("timeout").and_then(|node| {
        let timeout = decoder.duration(node, "timeout")?;
        if !Target::TIMEOUTS.contains(&timeout) {
            decoder.report(node.at, "`timeout` must be from 100ms to 1min", "write e.g. `timeout: 5s`");
        }
        Some(timeout)
    });
    let receiver = receiver?;
    let (Receiver::Slack { url } | Receiver::Webhook { url, .. }) = &receiver;
    let name = match name {
        Some(name) => name?,
        None => default_name(url),
    };
    Some(Target {
        name,
        receiver,
        on,
        environments,
        held_after: held_after.unwrap_or(Target::HELD_AFTER),
        timeout: timeout.unwrap_or(Target::TIMEOUT),
    })
}

/// The host, where it is written out; else the variable that has it.
fn default_name(url: &Template) -> String {
    let host = url.beginning().parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.or_else(|| url.variables().next().map(str::to_owned)).unwrap_or_default()
}

fn name(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let name = decoder.text(node, "name")?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !(1..=64).contains(&name.chars().count()) || !name.chars().all(allowed) {
        let message = "a receiver's name has 1 to 64 letters, digits, `_`, `-` and `.`";
        decoder.report(node.at, message, "write e.g. `name: payments-oncall`");
        return None;
    }
    Some(name)
}

fn occasions(decoder: &mut Decoder<'_>, node: &Node) -> BTreeSet<Occasion> {
    let words = Occasion::ALL.map(Occasion::word);
    let list = words.map(|word| format!("`{word}`")).join(", ");
    let before = decoder.count_of_problems();
    let on: BTreeSet<_> = decoder
        .list(node, "on", ON, |decoder, node| {
            let word = decoder.text(node, "an element of `on`")?;
            let found = Occasion::ALL.into_iter().find(|occasion| occasion.word() == word);
            if found.is_none() {
                let hint = nearest(&word, &words).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                decoder.report(node.at, format!("nothing is called `{word}`"), format!("{hint}known are {list}"));
            }
            found
        })
        .into_iter()
        .collect();
    if on.is_empty() && decoder.count_of_problems() == before {
        decoder.report(node.at, "`on` is empty: nothing would be told", format!("write it as `{ON}`, or leave it out"));
    }
    on
}

fn receiver(decoder: &mut Decoder<'_>, at: Position, fields: Fields<'_>) -> Option<Receiver> {
    match (fields.get("slack"), fields.get("webhook")) {
        (Some(node), None) => {
            if let Some(key) = fields.key("headers") {
                decoder.report(key.at, "`headers` are for a `webhook`, not for `slack`", "leave them out");
            }
            Some(Receiver::Slack { url: url(decoder, node, "slack")? })
        }
        (None, Some(node)) => {
            let url = url(decoder, node, "webhook");
            let headers = fields.get("headers").map_or_else(Vec::new, |node| headers(decoder, node));
            Some(Receiver::Webhook { url: url?, headers })
        }
        (slack, _) => {
            let message = if slack.is_some() {
                "an element of `notify` has both `slack` and `webhook`"
            } else {
                "an element of `notify` needs `slack` or `webhook`"
            };
            decoder.report(at, message, format!("write one of them, e.g. `{EXAMPLE}`"));
            None
        }
    }
}

fn template(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Template> {
    match Template::parse(&decoder.text(node, what)?) {
        Ok(template) => Some(template),
        Err(message) => {
            decoder.report_hidden(node.at, message, "write a variable as `${ITS_NAME}`");
            None
        }
    }
}

/// An address. What could be a password in it must not be written out; what is wrong with a variable's value shows when it is used.
fn url(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Template> {
    let url = template(decoder, node, what)?;
    let (is_literal, written) = (url.variables().next().is_none(), url.beginning());
    let authority = written.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let lower = written.to_ascii_lowercase();
    let query = lower.split_once('?').map_or("", |(_, query)| query);
    let mut refuse = |message: &str, remedy: &str| {
        decoder.report_hidden(node.at, message, remedy);
        None
    };
    if is_literal && (what == "slack" || lower.contains("://hooks.slack.com")) {
        return refuse("the address of an incoming webhook is its own password", REFERENCE);
    }
    if authority.contains('@') {
        return refuse(
            "the address holds a user or password",
            "leave them out, and send a header, e.g. `Authorization`",
        );
    }
    // A value that follows in a variable is no longer in here.
    if is_literal && query.split('&').any(|part| part.split_once('=').is_some_and(|(name, _)| is_secret_name(name))) {
        return refuse("the address holds what looks like a secret", REFERENCE);
    }
    if is_literal {
        let uri = written.parse::<Uri>().ok();
        let is_usable = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_usable {
            return refuse("this is no address of a receiver", "write it like `https://hooks.example.com/stopover`");
        }
    }
    Some(url)
}

fn headers(decoder: &mut Decoder<'_>, node: &Node) -> Vec<(String, Template)> {
    /// What Stopover or the protocol sets.
    const OURS: [&str; 7] =
        ["host", "content-type", "content-length", "connection", "transfer-encoding", "idempotency-key", "user-agent"];
    let mut headers = Vec::new();
    for (key, value) in decoder.entries(node, "headers", "headers: { Authorization: \"Bearer ${ALERT_TOKEN}\" }") {
        let lower = key.name.to_ascii_lowercase();
        if HeaderName::from_bytes(key.name.as_bytes()).is_err() {
            decoder.report_hidden(key.at, "this is no name of a header", "write it like `Authorization`");
            continue;
        }
        if OURS.contains(&lower.as_str()) {
            decoder.report_hidden(key.at, format!("the header `{}` is not free", key.name), "leave it out");
            continue;
        }
        let Some(value_of) = template(decoder, value, &key.name) else { continue };
        if is_secret_name(&lower) && value_of.variables().next().is_none() {
            let message = format!("the value of the header `{}` is a secret", key.name);
            decoder.report_hidden(value.at, message, REFERENCE);
            continue;
        }
        headers.push((key.name.clone(), value_of));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_its_variables_and_is_filled_with_their_values() {
        let template = Template::parse("Bearer ${A_1}-${B}!").unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["A_1", "B"]);
        assert_eq!(template.fill(|name| Ok::<_, ()>(name.to_lowercase())), Ok("Bearer a_1-b!".to_owned()));
        assert_eq!(template.fill(|_| Err::<String, _>("unset")), Err("unset"));
        assert_eq!(format!("{template:?}"), "***");
        for wrong in ["${", "${}", "${a b}", "${1A}", "x${A", "${é}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Template::parse("$A {B} $").unwrap().variables().count(), 0);
    }
}
