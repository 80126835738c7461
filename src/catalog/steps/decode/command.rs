//! `command`: one command of the database.

use bson::{Bson, Document};

use super::{flag, names};
use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::filter;
use crate::catalog::steps::DatabaseCommand;
use crate::catalog::yaml::{Node, Value};

/// Commands that only look and answer with documents or values, so that there may be none.
const READING: &[&str] = &["find", "aggregate", "count", "distinct", "listCollections", "listIndexes"];
const EXAMPLE: &str = "command: { run: { collMod: charges, validator: {} }, atLeastOnce: true }";

/// Reads a command. `None` only with a problem.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node) -> Option<DatabaseCommand> {
    if matches!(node.value, Value::List(_)) {
        let remedy = format!(
            "here it is one of the database, e.g. `{EXAMPLE}`; a program is the `command` of a manifest without steps"
        );
        decoder.wrong(node, "command", "a mapping", remedy);
        return None;
    }
    let fields = decoder.fields(node, "command", &["run", "database", "skipIf", "atLeastOnce"])?;
    let database = match fields.get("database") {
        Some(node) => Some(names::database(decoder, node, "command.database")?),
        None => None,
    };
    let at_least_once = flag(decoder, fields, "command", "atLeastOnce", false);
    let skip_if = match fields.get("skipIf") {
        Some(node) => Some(probe(decoder, node)?),
        None => None,
    };
    let Some(run) = fields.get("run") else {
        decoder.report(node.at, "`command` needs `run`", format!("write the command as a document: `{EXAMPLE}`"));
        return None;
    };
    let command = document(decoder, run, "command.run")?;
    refuse_foreign(decoder, run, fields, &command);
    if skip_if.is_none() && !at_least_once {
        let message = "nothing tells whether the command was run already";
        let remedy = "a crash between the command and its record would run it again: add `skipIf` with a reading command that finds something once it was run, or `atLeastOnce: true` if running it twice does no harm";
        decoder.report(node.at, message, remedy);
    }
    Some(DatabaseCommand { database, command, skip_if, at_least_once })
}

/// A command as a document, whose first key is its name.
fn document(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Document> {
    let document = filter::document(decoder, node, what, "a command", "{ collMod: charges, validator: {} }")?;
    let name = document.keys().next();
    if name.is_none_or(|name| name.is_empty() || name.starts_with('$')) {
        let message = format!("`{what}` names no command");
        decoder.report(node.at, message, "the first key is the command's name, e.g. `{ collMod: charges, ... }`");
        return None;
    }
    Some(document)
}

/// A command on a collection that no step may touch.
fn refuse_foreign(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>, command: &Document) {
    let collection = command.values().next().and_then(Bson::as_str).unwrap_or_default();
    if let Some((message, remedy)) = names::forbidden(collection) {
        let at = fields.key("run").map_or(node.at, |key| key.at);
        decoder.report(at, message, remedy);
    }
}

fn probe(decoder: &mut Decoder<'_>, node: &Node) -> Option<Document> {
    let probe = document(decoder, node, "command.skipIf")?;
    let name = probe.keys().next().map_or("", String::as_str);
    if !READING.contains(&name) {
        let list = READING.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        decoder.report(node.at, format!("`{name}` is no reading command"), format!("`command.skipIf` takes {list}"));
        return None;
    }
    let stages = probe.get_array("pipeline").map(Vec::as_slice).unwrap_or_default();
    let writes = |stage: &Bson| {
        stage.as_document().is_some_and(|stage| stage.contains_key("$out") || stage.contains_key("$merge"))
    };
    if stages.iter().any(writes) {
        let remedy = "remove `$out` and `$merge`: it is asked again and again, and must not change anything";
        decoder.report(node.at, "`command.skipIf` writes", remedy);
        return None;
    }
    Some(probe)
}
