//! Migrations declared in YAML.
//!
//! Reading a manifest touches no file but its own: whether what it names exists is checked by [`super::discover`].

use std::path::Path;
use std::time::Duration;

use super::command::Commands;
use super::decode::{Decoder, Fields};
use super::problem::{Position, Problem};
use super::yaml::{Node, Value};
use super::{MigrationId, ParamSpec, Remaining, ResumePolicy, Work, filter, params, steps};

/// What a manifest says, as far as it could be understood.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub description: String,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// `None` when there is none that could be understood.
    pub work: Option<Work>,
    pub params: Vec<ParamSpec>,
    pub remaining: Option<Remaining>,
    pub requires: Vec<Requirement>,
    pub timeout: Option<Duration>,
    /// `None` when it leaves that to `stopover.yaml`.
    pub resume: Option<ResumePolicy>,
    pub needs_mongodb: bool,
}

/// A word of a command and where it stands.
#[derive(Debug)]
pub(super) struct Word {
    pub at: Position,
    pub text: String,
}

/// A required migration and where it is required.
#[derive(Debug)]
pub(super) struct Requirement {
    pub at: Position,
    pub id: MigrationId,
}

const KEYS: &[&str] = &[
    "description",
    "owner",
    "tags",
    "command",
    "params",
    "remaining",
    "requires",
    "timeout",
    "resume",
    "needs",
    "steps",
    "backfill",
    "copy",
    "createIndexes",
    "dropIndexes",
    "speed",
    "hold",
];
const COMMAND: &str = "command: [python3, backfill.py]";
const BACKFILL: &str =
    "backfill: { collection: charges, filter: { settled: { $exists: false } }, update: { $set: { settled: true } } }";

/// Everything that is wrong with a manifest's text, as far as the text alone can tell. This is what the fuzzer feeds.
#[must_use]
pub fn check_manifest(text: &str) -> Vec<Problem> {
    let path = Path::new("/manifest.yaml");
    parse(Path::new("manifest.yaml"), text, &mut Commands::new(Path::new("/").into(), path)).1
}

/// Reads a manifest; the two are to be used together only when there are no problems. Its commands are left in `commands`.
pub(super) fn parse(file: &Path, text: &str, commands: &mut Commands<'_>) -> (Manifest, Vec<Problem>) {
    let mut decoder = Decoder::new(file, text);
    let manifest = decoder
        .parse(&format!("write what it runs, e.g. `{COMMAND}`, or delete the file"))
        .and_then(|root| decode(&mut decoder, &root, commands))
        .unwrap_or_default();
    (manifest, decoder.finish())
}

fn decode(decoder: &mut Decoder<'_>, root: &Node, commands: &mut Commands<'_>) -> Option<Manifest> {
    let fields = decoder.fields(root, "a manifest", KEYS)?;
    let work = work(decoder, root, fields, commands);
    let remaining = fields.get("remaining").and_then(|node| remaining(decoder, node, commands));
    let needs = fields.get("needs").is_some_and(|node| needs(decoder, node));
    Some(Manifest {
        description: fields
            .get("description")
            .and_then(|node| decoder.text(node, "description"))
            .unwrap_or_default()
            .trim()
            .to_owned(),
        owner: fields.get("owner").and_then(|node| decoder.text(node, "owner")),
        tags: fields
            .get("tags")
            .map(|node| decoder.list(node, "tags", "tags: [nightly]", |decoder, node| decoder.text(node, "tags")))
            .unwrap_or_default(),
        params: fields.get("params").map(|node| params::decode(decoder, node)).unwrap_or_default(),
        needs_mongodb: needs
            || matches!(remaining, Some(Remaining::Count { .. }))
            || matches!(work, Some(Work::Steps(_))),
        work,
        remaining,
        requires: fields.get("requires").map(|node| requires(decoder, node)).unwrap_or_default(),
        timeout: fields.get("timeout").and_then(|node| decoder.duration(node, "timeout")),
        resume: fields.get("resume").and_then(|node| resume(decoder, node)),
    })
}

/// What it executes: the one field of the manifest that says so.
fn work(decoder: &mut Decoder<'_>, root: &Node, fields: Fields<'_>, commands: &mut Commands<'_>) -> Option<Work> {
    let kinds = || fields.present().filter(|(key, _)| steps::WORK.contains(&key.name.as_str()));
    let Some((first, node)) = kinds().next() else {
        let remedy =
            format!("write what it runs, e.g. `{COMMAND}`, or what Stopover is to do itself, e.g. `{BACKFILL}`");
        decoder.report(root.at, "a manifest needs a `command` or steps", remedy);
        return None;
    };
    for (other, _) in kinds().skip(1) {
        let message = format!("a manifest has one kind of work, not `{}` and `{}`", first.name, other.name);
        let remedy = "remove one, or make them elements of `steps:`, in order; a program is a manifest of its own";
        decoder.report(other.at, message, remedy);
    }
    if first.name != "command" {
        return steps::decode(decoder, fields, (first, node), commands).map(|steps| Work::Steps(steps.into()));
    }
    for key in ["speed", "hold"].into_iter().filter_map(|name| fields.key(name)) {
        let message = format!("`{}` is for steps that Stopover executes itself", key.name);
        decoder.report(key.at, message, "remove it: a program goes at its own speed, which may be one of its `params`");
    }
    if matches!(node.value, Value::Map(_)) {
        let remedy =
            "a program is a list of words; a command of the database is a step: `steps: [{ command: { run: ... } }]`";
        decoder.wrong(node, "command", "a list of words", remedy);
        return None;
    }
    let words = self::command(decoder, node, "command");
    (!words.is_empty()).then(|| Work::Executable(commands.bind_work(words)))
}

/// The words of a command; empty with a problem when it is none.
pub(super) fn command(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Vec<Word> {
    if let Value::Text(text) = &node.value {
        // A shell line would be split by guesswork; the list says exactly which word is which.
        let remedy = format!(
            "write the words as a list, e.g. `{COMMAND}`, or let a shell split them: `command: [sh, -c, \"...\"]`"
        );
        decoder.report(node.at, format!("`{what}` must be a list of words, not the text `{text}`"), remedy);
        return Vec::new();
    }
    let words = decoder.list(node, what, COMMAND, |decoder, word| {
        let text = decoder.text(word, what)?;
        if text.contains('\0') {
            decoder.report(
                word.at,
                format!("a word of `{what}` has a NUL character"),
                "no program can be given one; remove it",
            );
            return None;
        }
        Some(Word { at: word.at, text })
    });
    if matches!(&node.value, Value::List(list) if list.is_empty())
        || words.first().is_some_and(|word| word.text.is_empty())
    {
        decoder.report(node.at, format!("`{what}` names no program"), format!("write what it runs, e.g. `{COMMAND}`"));
        return Vec::new();
    }
    words
}

fn requires(decoder: &mut Decoder<'_>, node: &Node) -> Vec<Requirement> {
    decoder.list(node, "requires", "requires: [20261104_first]", |decoder, item| {
        let name = decoder.text(item, "requires")?;
        match MigrationId::new(&name) {
            Ok(id) => Some(Requirement { at: item.at, id }),
            Err(reason) => {
                let remedy = "name a migration as `stopover list` does: the stem of its file";
                decoder.report(item.at, format!("`{name}` cannot be a migration: {reason}"), remedy);
                None
            }
        }
    })
}

/// Who continues a run that was interrupted or lost.
pub(super) fn resume(decoder: &mut Decoder<'_>, node: &Node) -> Option<ResumePolicy> {
    let word = decoder.text(node, "resume")?;
    let known = [ResumePolicy::Manual, ResumePolicy::Auto].into_iter().find(|policy| policy.word() == word);
    if known.is_none() {
        let remedy =
            "write `auto` for a pod that continues by itself what was interrupted or lost, or `manual` for an operator";
        decoder.report(node.at, format!("`resume` cannot be `{word}`"), remedy);
    }
    known
}

/// Whether it needs a MongoDB, the only thing there is to need.
fn needs(decoder: &mut Decoder<'_>, node: &Node) -> bool {
    let needs = decoder.list(node, "needs", "needs: [mongodb]", |decoder, item| {
        let need = decoder.text(item, "needs")?;
        if need != "mongodb" {
            decoder.report(item.at, format!("unknown need `{need}`"), "a migration can need only `mongodb`");
        }
        Some(need)
    });
    needs.iter().any(|need| need == "mongodb")
}

fn remaining(decoder: &mut Decoder<'_>, node: &Node, commands: &mut Commands<'_>) -> Option<Remaining> {
    const COUNT: &str = "remaining: { collection: charges, filter: { settled: false } }";
    let fields = decoder.fields(node, "remaining", &["collection", "filter", "database", "command"])?;
    if let Some(command) = fields.get("command") {
        for counting in ["collection", "filter", "database"] {
            if let Some(other) = fields.get(counting) {
                let message = format!("`remaining` has a `command` and a `{counting}`");
                decoder.report(other.at, message, "count by a query or by a program, not both: remove one");
            }
        }
        let words = self::command(decoder, command, "remaining.command");
        return (!words.is_empty()).then(|| Remaining::Command(commands.bind_counting(words)));
    }
    let name = |decoder: &mut Decoder<'_>, field: &str| {
        let node = fields.get(field)?;
        let text = decoder.text(node, &format!("remaining.{field}"))?;
        if text.is_empty() || text.contains('\0') {
            decoder.report(node.at, format!("`remaining.{field}` is no name"), format!("write it as `{COUNT}`"));
            return None;
        }
        Some(text)
    };
    let database = name(decoder, "database");
    let collection = name(decoder, "collection");
    let filter = fields.get("filter").and_then(|node| filter::decode(decoder, node, "remaining.filter"));
    for field in ["collection", "filter"] {
        if fields.get(field).is_none() {
            decoder.report(node.at, format!("`remaining` needs a `{field}`"), format!("write it as `{COUNT}`"));
        }
    }
    Some(Remaining::Count { database, collection: collection?, filter: filter? })
}
