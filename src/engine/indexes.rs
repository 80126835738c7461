//! Building and removing indexes.
//!
//! A build belongs to the server: it goes on when whoever asked for it is gone, and asking again for the same indexes waits for the
//! build that is under way. So a run that stops leaves it alone, and one that resumes watches it again; one that is cancelled ends it.

mod watch;

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::error::Error;
use tokio::time::{Instant, sleep};

use crate::catalog::{CreateIndexes, DropIndexes, Hint, Target};

use super::answer::{code, code_of, majority, number, verify, whole};
use super::fault::{Fault, server_error};
use super::site::Site;
use super::tools::Tools;
use watch::Watch;

/// How often a build is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long ending a build may take: less than the grace of a program.
const END_WITHIN: Duration = Duration::from_secs(8);
/// How often, and so many times without finding a build, it is looked whether one was begun anew.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const QUIET_LOOKS: u32 = 3;

/// How long removing an index may wait for its collection, in milliseconds: whatever comes after it waits with it.
const DROP_WITHIN: i32 = 5_000;

/// Builds the indexes of a step and reports how far the server is. Returns when they are there.
///
/// # Errors
/// [`Fault::Stopped`] at once when it is to stop, and the build goes on at the server; [`Fault::Fatal`] for indexes that cannot be built,
/// e.g. because another of the same name is there or because documents have the same value.
pub async fn create(tools: &Tools<'_>, step: &CreateIndexes) -> Result<(), Fault> {
    if tools.stop.is_cancelled() {
        return Err(Fault::Stopped);
    }
    let collection = tools.site.full_name(&step.target);
    let doing = format!("createIndexes on {collection}");
    let names = names(step).join(", ");
    let database = tools.site.database(step.target.database.as_deref());
    // Without a limit in time, for that would end the build.
    let command = doc! {
        "createIndexes": &step.target.collection,
        "indexes": step.indexes.clone(),
        "writeConcern": majority(),
    };
    let mut building = std::pin::pin!(database.run_command(command).into_future());
    let mut watch = Watch::new(tools, step);
    let answered = loop {
        tokio::select! {
            answered = &mut building => break answered,
            () = tools.stop.cancelled() => return Err(Fault::Stopped),
            looked = watch.look() => looked?,
        }
    };
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => return Err(refused(tools.site, step, &error, &doing).await),
    };
    verify(&answer, &doing).map_err(|fault| whole(fault, &doing))?;
    if answer.get_bool("createdCollectionAutomatically").unwrap_or(false) {
        tools.note(format!("{collection} did not exist and was created with the indexes {names}"));
    } else if number(&answer, "numIndexesBefore") == number(&answer, "numIndexesAfter") {
        tools.note(format!("{names} on {collection}: there already"));
    } else {
        tools.note(format!("{names} on {collection}: built"));
    }
    Ok(())
}

/// Says what goes on although the run stops.
pub fn leave(tools: &Tools<'_>, step: &CreateIndexes) {
    let (names, collection) = (names(step).join(", "), tools.site.full_name(&step.target));
    tools.note(format!("the server goes on building {names} on {collection}; a resume takes up watching it"));
}

/// Ends the build of a step's indexes, as far as it is under way: for a run that is cancelled. Indexes that are complete stay.
///
/// # Errors
/// [`Fault::Fatal`] when the user may not do that, [`Fault::Passing`] when the server cannot be asked.
pub async fn abort(tools: &Tools<'_>, step: &CreateIndexes) -> Result<(), Fault> {
    let deadline = Instant::now() + END_WITHIN;
    let mut quiet = 0;
    // Whoever has waited at the server for a build that is ended, an earlier attempt among them, may begin it anew there.
    while quiet < QUIET_LOOKS && Instant::now() < deadline {
        quiet = if end_builds(tools, step).await? { 0 } else { quiet + 1 };
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Whether there was one.
async fn end_builds(tools: &Tools<'_>, step: &CreateIndexes) -> Result<bool, Fault> {
    let wanted = names(step);
    let mut builds: Vec<(Bson, Vec<String>)> = Vec::new();
    for (index, build) in list(tools.site, &step.target).await? {
        let (Some(build), Ok(name)) = (build, index.get_str("name")) else { continue };
        match builds.iter_mut().find(|(other, _)| *other == build) {
            Some((_, names)) => names.push(name.to_owned()),
            None => builds.push((build, vec![name.to_owned()])),
        }
    }
    let collection = tools.site.full_name(&step.target);
    // Only a whole build can be ended, and only one that has nothing in it that somebody else asked for.
    builds.retain(|(_, names)| names.iter().all(|name| wanted.contains(&name.as_str())));
    for (_, names) in &builds {
        if remove(tools.site, &step.target, Bson::from(names.clone())).await? {
            tools.note(format!("the build of {} on {collection} is ended; nothing is left of it", names.join(", ")));
        }
    }
    Ok(!builds.is_empty())
}

/// Removes the indexes of a step.
///
/// # Errors
/// [`Fault::Stopped`] between two of them, [`Fault::Fatal`] when one cannot be removed.
pub async fn drop(tools: &Tools<'_>, step: &DropIndexes) -> Result<(), Fault> {
    let collection = tools.site.full_name(&step.target);
    for hint in &step.indexes {
        if tools.stop.is_cancelled() {
            return Err(Fault::Stopped);
        }
        let (index, title) = match hint {
            Hint::Name(name) => (Bson::from(name.as_str()), name.clone()),
            Hint::Keys(key) => (Bson::from(key.clone()), text(key)),
        };
        let removed = remove(tools.site, &step.target, index).await?;
        let outcome = if removed { "removed" } else { "not there, so there is nothing to remove" };
        tools.note(format!("the index {title} on {collection}: {outcome}"));
    }
    Ok(())
}

/// Whether there was anything to remove.
async fn remove(site: &Site, target: &Target, index: Bson) -> Result<bool, Fault> {
    let doing = format!("dropIndexes on {}", site.full_name(target));
    let command = doc! {
        "dropIndexes": &target.collection,
        "index": index,
        "maxTimeMS": DROP_WITHIN,
        "writeConcern": majority(),
    };
    match site.database(target.database.as_deref()).run_command(command).await {
        Ok(answer) => verify(&answer, &doing).map(|()| true).map_err(|fault| whole(fault, &doing)),
        Err(error) => match code_of(&error) {
            Some(code::INDEX_NOT_FOUND | code::NAMESPACE_NOT_FOUND) => Ok(false),
            Some(code::MAX_TIME_EXPIRED) => {
                Err(Fault::Passing(format!("{doing} waits for others to leave the collection")))
            }
            Some(code::BACKGROUND_OPERATION) => {
                Err(Fault::Passing(format!("{doing} waits for the build of another index")))
            }
            _ => Err(whole(Fault::of(&error, &doing), &doing)),
        },
    }
}

/// What a failed build means.
async fn refused(site: &Site, step: &CreateIndexes, error: &Error, doing: &str) -> Fault {
    let collection = site.full_name(&step.target);
    match server_error(error) {
        Some((code::INDEX_OPTIONS_CONFLICT | code::INDEX_KEY_SPECS_CONFLICT, ..)) => conflict(site, step).await,
        Some((code::DUPLICATE_KEY, _, message)) => {
            let unique = step.indexes.iter().filter(|index| index.get_bool("unique").unwrap_or(false));
            let names: Vec<&str> = unique.filter_map(|index| index.get_str("name").ok()).collect();
            // The message goes on with the value, which may be nobody's business.
            let name = names.iter().find(|name| message.contains(&format!("index: {name} dup key")));
            let name = name.map_or_else(|| names.join(" or "), ToString::to_string);
            Fault::Fatal(format!(
                "the unique index {name} cannot be built on {collection}: there are documents with the same value in its fields; find them with a `$group` on these fields, and make them differ first"
            ))
        }
        Some((code::INDEX_BUILD_ABORTED, ..)) => Fault::Fatal(format!(
            "somebody ended the build of {} on {collection}; resume the run to build anew",
            names(step).join(", ")
        )),
        _ => whole(Fault::of(error, doing), doing),
    }
}

/// Names what is there and what is wanted.
async fn conflict(site: &Site, step: &CreateIndexes) -> Fault {
    let there = match list(site, &step.target).await {
        Ok(there) => there,
        Err(fault) => return fault,
    };
    let collection = site.full_name(&step.target);
    for wanted in &step.indexes {
        let alike = |index: &Document| ["name", "key"].iter().any(|field| index.get(field) == wanted.get(field));
        let same = |index: &Document| wanted.iter().all(|(field, value)| index.get(field) == Some(value));
        if let Some((index, _)) = there.iter().find(|(index, _)| alike(index) && !same(index)) {
            let mut index = index.clone();
            index.remove("v");
            return Fault::Fatal(format!(
                "{collection} has the index {}, and wanted is {}; remove the one that is there in a `dropIndexes` step before, or want the same",
                text(&index),
                text(wanted)
            ));
        }
    }
    Fault::Fatal(format!(
        "{collection} has an index like one of {}, with other options; compare them, and remove the one that is there in a `dropIndexes` step before",
        names(step).join(", ")
    ))
}

/// The indexes of a collection, each with the build that it is part of, if that is under way.
async fn list(site: &Site, target: &Target) -> Result<Vec<(Document, Option<Bson>)>, Fault> {
    let doing = format!("listIndexes on {}", site.full_name(target));
    let fault = |error: Error| whole(Fault::of(&error, &doing), &doing);
    let command = doc! { "listIndexes": &target.collection, "includeBuildUUIDs": true };
    let mut cursor = match site.database(target.database.as_deref()).run_cursor_command(command).await {
        Ok(cursor) => cursor,
        Err(error) if code_of(&error) == Some(code::NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
        Err(error) => return Err(fault(error)),
    };
    let mut indexes = Vec::new();
    while cursor.advance().await.map_err(fault)? {
        let index = cursor.deserialize_current().map_err(fault)?;
        // One that is being built stands inside an entry of its own.
        indexes.push(match (index.get_document("spec"), index.get("buildUUID")) {
            (Ok(spec), Some(build)) => (spec.clone(), Some(build.clone())),
            _ => (index, None),
        });
    }
    Ok(indexes)
}

fn names(step: &CreateIndexes) -> Vec<&str> {
    step.indexes.iter().filter_map(|index| index.get_str("name").ok()).collect()
}

fn text(document: &Document) -> String {
    Bson::from(document.clone()).into_relaxed_extjson().to_string()
}
