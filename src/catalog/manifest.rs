//! Migrations declared in YAML.
//!
//! Reading a manifest touches no file but its own: whether what it names exists is checked by [`super::discover`].

use std::path::Path;
use std::time::Duration;

use super::decode::Decoder;
use super::problem::{Position, Problem};
use super::yaml::{Node, Value};
use super::{MigrationId, ParamSpec, filter, params};

/// What a manifest says, as far as it could be understood.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub description: String,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// Empty when there is none that could be understood.
    pub command: Vec<Word>,
    pub params: Vec<ParamSpec>,
    pub remaining: Option<Remaining>,
    pub requires: Vec<Requirement>,
    pub timeout: Option<Duration>,
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

/// As [`super::Remaining`], but not yet bound to a directory.
#[derive(Debug)]
pub(super) enum Remaining {
    Count { database: Option<String>, collection: String, filter: bson::Document },
    Command(Vec<Word>),
}

const KEYS: &[&str] =
    &["description", "owner", "tags", "command", "params", "remaining", "requires", "timeout", "needs"];
const COMMAND: &str = "command: [python3, backfill.py]";

/// Everything that is wrong with a manifest's text, as far as the text alone can tell. This is what the fuzzer feeds.
#[must_use]
pub fn check_manifest(text: &str) -> Vec<Problem> {
    parse(Path::new("manifest.yaml"), text).1
}

/// Reads a manifest; the two are to be used together only when there are no problems.
pub(super) fn parse(file: &Path, text: &str) -> (Manifest, Vec<Problem>) {
    let mut decoder = Decoder::new(file, text);
    let manifest = decoder
        .parse(&format!("write what it runs, e.g. `{COMMAND}`, or delete the file"))
        .and_then(|root| decode(&mut decoder, &root))
        .unwrap_or_default();
    (manifest, decoder.finish())
}

fn decode(decoder: &mut Decoder<'_>, root: &Node) -> Option<Manifest> {
    let fields = decoder.fields(root, "a manifest", KEYS)?;
    let command = if let Some(node) = fields.get("command") {
        self::command(decoder, node, "command")
    } else {
        decoder.report(root.at, "a manifest needs a `command`", format!("write what it runs, e.g. `{COMMAND}`"));
        Vec::new()
    };
    let remaining = fields.get("remaining").and_then(|node| remaining(decoder, node));
    let needs = fields.get("needs").is_some_and(|node| needs(decoder, node));
    Some(Manifest {
        command,
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
        needs_mongodb: needs || matches!(remaining, Some(Remaining::Count { .. })),
        remaining,
        requires: fields.get("requires").map(|node| requires(decoder, node)).unwrap_or_default(),
        timeout: fields.get("timeout").and_then(|node| decoder.duration(node, "timeout")),
    })
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

fn remaining(decoder: &mut Decoder<'_>, node: &Node) -> Option<Remaining> {
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
        return (!words.is_empty()).then_some(Remaining::Command(words));
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
