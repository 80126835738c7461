//! Names of databases and collections, as the server takes them, and as Stopover may touch them.

use crate::catalog::decode::{Decoder, Fields};
use crate::catalog::steps::Target;
use crate::catalog::yaml::Node;

/// Reads `database` and `collection` of a step that is `what`.
pub(super) fn target(decoder: &mut Decoder<'_>, node: &Node, fields: Fields<'_>, what: &str) -> Option<Target> {
    let database = match fields.get("database") {
        Some(node) => Some(database(decoder, node, &format!("{what}.database"))?),
        None => None,
    };
    if let (Some(name), Some(node)) = (&database, fields.get("database"))
        && ["admin", "config", "local"].contains(&name.as_str())
    {
        let message = format!("`{name}` is the server's own database");
        decoder.report(node.at, message, "name the database of your product, or none for the connection string's");
        return None;
    }
    let Some(collection) = fields.get("collection") else {
        let message = format!("`{what}` needs a `collection`");
        decoder.report(node.at, message, "name the collection, e.g. `collection: charges`");
        return None;
    };
    Some(Target { database, collection: self::collection(decoder, collection, &format!("{what}.collection"))? })
}

/// Reads the name of a database.
pub(super) fn database(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<String> {
    let name = decoder.text(node, what)?;
    if name.is_empty() || name.len() > 63 || name.contains(|c: char| "/\\. \"$*<>:|?\0".contains(c)) {
        let message = format!("`{what}` cannot be the name of a database");
        decoder.report(node.at, message, "write its plain name: 1 to 63 letters, digits, `_` and `-`");
        return None;
    }
    Some(name)
}

fn collection(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<String> {
    let name = decoder.text(node, what)?;
    if name.is_empty() || name.starts_with('.') || name.contains(['$', '\0']) {
        let message = format!("`{what}` cannot be the name of a collection");
        decoder.report(node.at, message, "write its plain name: not empty, no `$`, no NUL, no `.` at its start");
        return None;
    }
    if let Some((message, remedy)) = forbidden(&name) {
        decoder.report(node.at, message, remedy);
        return None;
    }
    Some(name)
}

/// Why a collection must not be touched by a step, and what to do.
pub(super) fn forbidden(collection: &str) -> Option<(String, &'static str)> {
    if collection.starts_with("system.") {
        return Some((
            format!("`{collection}` belongs to the server itself"),
            "name a collection of your product; the server's own change by its commands",
        ));
    }
    if collection.starts_with("stopover_") {
        return Some((
            format!("`{collection}` belongs to Stopover itself"),
            "name a collection of your product: a run must not change the records of runs",
        ));
    }
    None
}
