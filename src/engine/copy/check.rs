//! What is looked at before the first document is copied.

use bson::{Bson, Document, RawDocumentBuf, doc};

use crate::catalog::{Copy, Step, Target};
use crate::engine::answer::{code, code_of, whole};
use crate::engine::fault::Fault;
use crate::engine::site::Site;

use super::WITHIN;

/// Stages that write by themselves.
const WRITING: [&str; 2] = ["$merge", "$out"];

/// Stages whose result depends on which documents they are given together.
const GATHERING: [&str; 11] = [
    "$bucket",
    "$bucketAuto",
    "$count",
    "$densify",
    "$facet",
    "$fill",
    "$limit",
    "$sample",
    "$skip",
    "$sortByCount",
    "$unionWith",
];

/// Looks at a step without writing anything; `before` are the steps that come before it, which may make what is not there yet. Answers
/// with warnings.
///
/// # Errors
/// [`Fault::Fatal`] when the copy could not be right, [`Fault::Passing`] when it cannot be looked at now.
pub async fn check(site: &Site, step: &Copy, before: &[Step]) -> Result<Vec<String>, Fault> {
    let (source, into) = (site.full_name(&step.source), site.full_name(&step.into));
    if source == into {
        return Err(Fault::Fatal(format!(
            "the step copies {source} into itself; use a `backfill` to change documents where they are"
        )));
    }
    for stage in &step.pipeline {
        suits(stage)?;
    }
    let made = before.iter().any(|other| match other {
        Step::Copy(copy) => site.full_name(&copy.into) == source,
        Step::Command(_) => true,
        _ => false,
    });
    if exists(site, &step.source, made).await? {
        try_out(site, step).await?;
    }
    // It need not exist, but must be none of the kinds that cannot be written to.
    exists(site, &step.into, true).await?;
    Ok(Vec::from_iter(unindexed(site, step, before).await?))
}

/// Whether a stage makes the same of a document wherever the work is cut.
fn suits(stage: &Document) -> Result<(), Fault> {
    for (name, argument) in stage {
        let grouped_by = match name.as_str() {
            "$group" => "_id",
            "$setWindowFields" => "partitionBy",
            name if WRITING.contains(&name) => {
                return Err(Fault::Fatal(format!(
                    "the copy's pipeline has a `{name}`; leave it out: what the pipeline makes is written to the collection of `into`"
                )));
            }
            name if GATHERING.contains(&name) => return Err(gathers(name)),
            _ => continue,
        };
        let by = argument.as_document().and_then(|argument| argument.get(grouped_by));
        if !by.is_some_and(of_one_document) {
            return Err(gathers(name));
        }
    }
    Ok(())
}

/// Whether a group expression keeps the documents apart, as what an `$unwind` has taken apart is put together again.
fn of_one_document(by: &Bson) -> bool {
    let is_id = |by: &Bson| by.as_str() == Some("$_id");
    is_id(by) || by.as_document().is_some_and(|by| by.values().any(is_id))
}

fn gathers(stage: &str) -> Fault {
    Fault::Fatal(format!(
        "the copy's pipeline has a `{stage}`, which looks at several documents at once; a copy gives the pipeline one batch at a time, so its result would depend on how the work is cut. Use a `command` step with an `aggregate` that ends in `$merge`"
    ))
}

/// Whether there is such a collection; an error when there is none and `may_lack` is false, or when it is no plain collection.
async fn exists(site: &Site, target: &Target, may_lack: bool) -> Result<bool, Fault> {
    let database = site.database(target.database.as_deref());
    let doing = format!("listCollections on {}", database.name());
    let fault = |error: mongodb::error::Error| whole(Fault::of(&error, &doing), &doing);
    // In this form it needs no privilege of its own.
    let list = doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true };
    let mut found = database.run_cursor_command(list).await.map_err(fault)?;
    let mut names = Vec::new();
    while found.advance().await.map_err(fault)? {
        let entry = found.current();
        let name = entry.get_str("name").unwrap_or_default();
        if name == target.collection {
            return match entry.get_str("type") {
                Ok(kind @ ("view" | "timeseries")) => Err(Fault::Fatal(format!(
                    "{} is a {kind}, and a copy works on plain collections only",
                    site.full_name(target)
                ))),
                _ => Ok(true),
            };
        }
        names.push(name.to_owned());
    }
    if may_lack {
        return Ok(false);
    }
    let meant = match nearest(&target.collection, &names) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!(", or the database user lacks the privilege for find on {}", site.full_name(target)),
    };
    Err(Fault::Fatal(format!("there is no collection {}{meant}", site.full_name(target))))
}

/// Runs the pipeline over nothing, for its form, and then over one document, without writing.
async fn try_out(site: &Site, step: &Copy) -> Result<(), Fault> {
    let source = site.full_name(&step.source);
    let refused =
        |what: &str, reason: &str| Fault::Fatal(format!("{what} is refused by the server for {source}: {reason}"));
    match try_on(site, step, doc! { "$match": { "$alwaysFalse": 1 } }).await {
        Err(Fault::Poison(reason)) => return Err(refused("the copy's `filter` or `pipeline`", &reason)),
        other => other?,
    }
    match try_on(site, step, doc! { "$limit": 1 }).await {
        // Such documents may be left out; this one is seen again when it is its turn.
        Err(Fault::Poison(_)) if step.max_quarantined > 0 => Ok(()),
        Err(Fault::Poison(reason)) => Err(refused("the copy's `pipeline`, tried on one document,", &reason)),
        // The filter alone finds its first document slowly; the copy goes by `_id`.
        Err(Fault::TooMuch(_)) => Ok(()),
        other => other,
    }
}

/// Runs the pipeline over what a stage leaves of the documents that the filter selects.
async fn try_on(site: &Site, step: &Copy, some: Document) -> Result<(), Fault> {
    let stages = [doc! { "$match": step.filter.clone() }, some].into_iter().chain(step.pipeline.clone());
    let fault = |error: mongodb::error::Error| Fault::of(&error, &format!("find on {}", site.full_name(&step.source)));
    let source = site.collection(&step.source);
    let results = source.aggregate(stages).max_time(WITHIN).with_type::<RawDocumentBuf>();
    let mut results = results.await.map_err(fault)?;
    while results.advance().await.map_err(fault)? {}
    Ok(())
}

/// A warning when nothing finds a document of the target by its key, and keeps it the only one.
async fn unindexed(site: &Site, step: &Copy, before: &[Step]) -> Result<Option<String>, Fault> {
    let into = site.full_name(&step.into);
    if step.key.iter().any(|path| path == "_id") {
        return Ok(None);
    }
    let planned = before.iter().filter_map(|other| match other {
        Step::CreateIndexes(create) if site.full_name(&create.target) == into => Some(&create.indexes),
        _ => None,
    });
    if planned.flatten().any(|index| serves(index, &step.key)) {
        return Ok(None);
    }
    let doing = format!("listIndexes on {into}");
    let database = site.database(step.into.database.as_deref());
    match database.run_cursor_command(doc! { "listIndexes": &step.into.collection }).await {
        Ok(mut indexes) => {
            let fault = |error: mongodb::error::Error| whole(Fault::of(&error, &doing), &doing);
            while indexes.advance().await.map_err(fault)? {
                if indexes.deserialize_current().is_ok_and(|index| serves(&index, &step.key)) {
                    return Ok(None);
                }
            }
        }
        Err(error) if code_of(&error) == Some(code::NAMESPACE_NOT_FOUND) => {}
        Err(error) if code_of(&error) == Some(code::UNAUTHORIZED) => {
            return Ok(Some(format!(
                "whether {into} has a unique index on the copy's key is not known, for the database user lacks the privilege for {doing}"
            )));
        }
        Err(error) => return Err(whole(Fault::of(&error, &doing), &doing)),
    }
    Ok(Some(format!(
        "{into} has no unique index on the copy's key: each document that is written scans the whole collection, and two writers could add the same key twice. Put this step before the copy: {}",
        proposal(step)
    )))
}

/// Whether an index finds the one document that has a key: unique, on fields of the key alone, and there for every document and query.
fn serves(index: &Document, key: &[String]) -> bool {
    let set = |name| index.get_bool(name).unwrap_or(false);
    let apart = ["partialFilterExpression", "collation"].iter().any(|name| index.contains_key(name));
    let fields = index.get_document("key").cloned().unwrap_or_default();
    set("unique") && !set("sparse") && !set("hidden") && !apart && fields.keys().all(|field| key.contains(field))
}

/// The step that makes the index, as a manifest has it.
fn proposal(step: &Copy) -> String {
    let fields: Vec<String> = step.key.iter().map(|path| format!("\"{path}\": 1")).collect();
    let database = step.into.database.as_ref().map(|name| format!("database: {name}, ")).unwrap_or_default();
    format!(
        "createIndexes: {{ {database}collection: {}, indexes: [{{ key: {{ {} }}, name: {}_1, unique: true }}] }}",
        step.into.collection,
        fields.join(", "),
        step.key.join("_1_")
    )
}

/// The name that a wrong one was probably meant to be: no more than a third of it differs.
fn nearest<'n>(wrong: &str, names: &'n [String]) -> Option<&'n String> {
    let wrong = wrong.to_lowercase();
    let distances = names.iter().map(|name| (distance(&wrong, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= wrong.chars().count().div_ceil(3)).then_some(name)
}

/// Characters to add, remove or replace between two names.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(stage: &Document) -> Option<String> {
        suits(stage).err().map(|fault| fault.to_string())
    }

    #[test]
    fn a_stage_that_gathers_or_writes_is_refused() {
        for stage in [
            doc! { "$out": "a" },
            doc! { "$limit": 3 },
            doc! { "$group": { "_id": "$customer" } },
            doc! { "$group": { "_id": null } },
        ] {
            let name = stage.keys().next().unwrap();
            assert!(refusal(&stage).is_some_and(|text| text.contains(name)), "{stage}");
        }
        for stage in [doc! { "$unwind": "$a" }, doc! { "$group": { "_id": { "id": "$_id", "kind": "$a.kind" } } }] {
            assert_eq!(refusal(&stage), None);
        }
    }

    #[test]
    fn an_index_serves_when_it_leaves_one_document_for_a_key() {
        let key = ["a".to_owned(), "b".to_owned()];
        assert!(serves(&doc! { "key": { "b": 1 }, "unique": true }, &key));
        for index in [
            doc! { "key": { "a": 1, "b": 1 } },
            doc! { "key": { "a": 1, "c": 1 }, "unique": true },
            doc! { "key": { "a": 1 }, "unique": true, "partialFilterExpression": { "a": { "$gt": 0 } } },
        ] {
            assert!(!serves(&index, &key), "{index}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let names = ["orders".to_owned(), "customers".to_owned()];
        assert_eq!(nearest("order", &names), Some(&names[0]));
        assert_eq!(nearest("Custmoers", &names), Some(&names[1]));
        assert_eq!(nearest("invoices", &names), None);
    }
}
