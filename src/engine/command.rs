//! Running one command of the database.

use bson::{Bson, Document};
use mongodb::error::{Error, ErrorKind};

use crate::catalog::DatabaseCommand;

use super::answer::{code, code_of, majority, number, verify, whole};
use super::fault::{Fault, cut, server_error};
use super::tools::Tools;

/// Commands that a probe may be: they change nothing, and their answers tell whether something was found.
const READING: [&str; 6] = ["aggregate", "count", "distinct", "find", "listCollections", "listIndexes"];

/// Commands that write, and take a `writeConcern`.
const WRITING: [&str; 22] = [
    "cloneCollectionAsCapped",
    "collMod",
    "convertToCapped",
    "create",
    "createIndexes",
    "createRole",
    "createUser",
    "delete",
    "deleteIndexes",
    "drop",
    "dropDatabase",
    "dropIndexes",
    "dropRole",
    "dropUser",
    "findAndModify",
    "findandmodify",
    "insert",
    "mapReduce",
    "renameCollection",
    "update",
    "updateRole",
    "updateUser",
];

/// How long a probe may take, in milliseconds.
const PROBE_WITHIN: i32 = 60_000;

/// Answers of a server that has not begun: it is no primary.
const NOT_BEGUN: [i32; 3] = [10_107, 13_435, 13_436];

/// Runs the command, unless its probe finds that it is done.
///
/// # Errors
/// [`Fault::Fatal`] when it failed, or when nobody can know whether it did and it must not run twice; [`Fault::Passing`] when it may be
/// tried again; [`Fault::Stopped`] before it has begun. One that has begun is waited for, because nothing could call it back.
pub async fn run(tools: &Tools<'_>, step: &DatabaseCommand) -> Result<(), Fault> {
    if tools.stop.is_cancelled() {
        return Err(Fault::Stopped);
    }
    let doing = doing(tools, step, &step.command);
    if is_done(tools, step).await? {
        tools.note(format!("{doing}: `skipIf` finds that it is done already"));
        return Ok(());
    }
    let database = tools.site.database(step.database.as_deref());
    let command = confirmed(step.command.clone());
    let mut running = std::pin::pin!(database.run_command(command).into_future());
    let answered = tokio::select! {
        answered = &mut running => answered,
        () = tools.stop.cancelled() => {
            tools.note(format!("{doing} has begun and cannot be called back; waiting for its end"));
            running.await
        }
    };
    let answer = answered.map_err(|error| fault(&error, step, &doing))?;
    verify(&answer, &doing).map_err(|fault| settled(whole(fault, &doing), step, &doing))?;
    // Of `bulkWrite`, which lists its failures elsewhere.
    match number(&answer, "nErrors") {
        0 => Ok(()),
        errors => {
            Err(Fault::Fatal(format!("{doing}: {errors} of its operations failed; look at the documents they meant")))
        }
    }
}

/// Asks the step's probe; without one the answer is no.
///
/// # Errors
/// As [`run`].
pub async fn is_done(tools: &Tools<'_>, step: &DatabaseCommand) -> Result<bool, Fault> {
    let Some(probe) = &step.skip_if else {
        return Ok(false);
    };
    if !reads(probe) {
        return Err(Fault::Fatal(format!(
            "`skipIf` is `{}`, which is none of the reading commands {}",
            name(probe),
            READING.join(", ")
        )));
    }
    let doing = doing(tools, step, probe);
    let mut probe = probe.clone();
    if !probe.contains_key("maxTimeMS") {
        probe.insert("maxTimeMS", PROBE_WITHIN);
    }
    match tools.site.database(step.database.as_deref()).run_command(probe).await {
        Ok(answer) => Ok(found(&answer)),
        // A collection that is not there holds nothing.
        Err(error) if code_of(&error) == Some(code::NAMESPACE_NOT_FOUND) => Ok(false),
        Err(error) => Err(whole(Fault::of(&error, &doing), &format!("the step's `skipIf`, {doing},"))),
    }
}

/// Whether a command changes nothing.
fn reads(command: &Document) -> bool {
    let writes = |stage: &Bson| {
        stage.as_document().is_some_and(|stage| stage.contains_key("$out") || stage.contains_key("$merge"))
    };
    READING.contains(&name(command)) && !command.get_array("pipeline").is_ok_and(|stages| stages.iter().any(writes))
}

/// Whether a reading command found anything.
fn found(answer: &Document) -> bool {
    let some = |document: &Document, list| document.get_array(list).is_ok_and(|list| !list.is_empty());
    answer.get_document("cursor").is_ok_and(|cursor| some(cursor, "firstBatch"))
        || number(answer, "n") > 0
        || some(answer, "values")
}

/// The command with a demand for confirmation by a majority, if it writes and says nothing else.
fn confirmed(mut command: Document) -> Document {
    let writes = WRITING.contains(&name(&command)) || name(&command) == "aggregate" && !reads(&command);
    if writes && !command.contains_key("writeConcern") {
        command.insert("writeConcern", majority());
    }
    command
}

/// What a failed command means.
fn fault(error: &Error, step: &DatabaseCommand, doing: &str) -> Fault {
    match (Fault::of(error, doing), server_error(error)) {
        // It comes with the code of a missing privilege, which it is not.
        (_, Some((code::UNAUTHORIZED, _, message))) if message.contains("against the admin database") => {
            Fault::Fatal(format!("{doing}: it must be run on the database `admin`; add `database: admin` to the step"))
        }
        (Fault::Poison(_) | Fault::TooMuch(_), Some((code, name, message))) if code != code::WRITE_CONFLICT => {
            Fault::Fatal(format!("{doing} failed: {} ({name}, code {code})", cut(message)))
        }
        (fault, _) if may_have_begun(error) => settled(whole(fault, doing), step, doing),
        (fault, _) => fault,
    }
}

/// A command whose fate is not known is tried again only if it may run twice.
fn settled(fault: Fault, step: &DatabaseCommand, doing: &str) -> Fault {
    match fault {
        Fault::Passing(reason) if step.skip_if.is_none() && !step.at_least_once => Fault::Fatal(format!(
            "{doing}: {reason}, and whether it took effect is not known; look at the database. With a `skipIf`, or with `atLeastOnce: true`, it would be tried again"
        )),
        fault => fault,
    }
}

fn may_have_begun(error: &Error) -> bool {
    match code_of(error) {
        Some(code) => !NOT_BEGUN.contains(&code),
        None => !matches!(*error.kind, ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. }),
    }
}

/// The command and what it is run on, as for [`Fault::of`]: `collMod on shop.orders`.
fn doing(tools: &Tools<'_>, step: &DatabaseCommand, command: &Document) -> String {
    let database = tools.site.database_name(step.database.as_deref());
    match command.iter().next() {
        Some((name, Bson::String(collection))) if name != "renameCollection" => {
            format!("{name} on {database}.{collection}")
        }
        Some((name, _)) => format!("{name} on {database}"),
        None => "a command without a name".to_owned(),
    }
}

fn name(command: &Document) -> &str {
    command.keys().next().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_probe_finds_documents_counts_and_values() {
        for answer in [
            doc! { "cursor": { "firstBatch": [{}] }, "ok": 1 },
            doc! { "n": 2, "ok": 1 },
            doc! { "values": [1], "ok": 1 },
        ] {
            assert!(found(&answer), "{answer}");
        }
        for answer in
            [doc! { "cursor": { "firstBatch": [] } }, doc! { "n": 0 }, doc! { "values": [] }, doc! { "ok": 1 }]
        {
            assert!(!found(&answer), "{answer}");
        }
    }

    #[test]
    fn only_a_reading_command_is_a_probe() {
        assert!(reads(&doc! { "find": "a" }));
        assert!(!reads(&doc! { "delete": "a" }));
        assert!(!reads(&doc! { "aggregate": "a", "pipeline": [{ "$out": "b" }] }));
    }

    #[test]
    fn a_writing_command_is_confirmed_by_a_majority_unless_it_says_otherwise() {
        let concern = |command| confirmed(command).get_document("writeConcern").cloned().ok();
        assert_eq!(concern(doc! { "collMod": "a" }), Some(majority()));
        assert_eq!(concern(doc! { "collMod": "a", "writeConcern": { "w": 1 } }), Some(doc! { "w": 1 }));
        assert_eq!(concern(doc! { "aggregate": "a", "pipeline": [{ "$merge": "b" }] }), Some(majority()));
        assert_eq!(concern(doc! { "count": "a" }), None);
    }
}
