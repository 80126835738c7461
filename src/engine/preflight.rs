//! What is checked before the first write, on the real data and without changing it.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::ClientSession;
use mongodb::action::Action as _;

use crate::catalog::{Backfill, Change, Target, nearest};

use super::answer::number;
use super::apply::{Apply, Counts};
use super::checkpoint::{Checkpoints, Plan};
use super::context::Context;
use super::count;
use super::fault::{Fault, server_error};
use super::site::{Site, Topology};
use super::slice::Slice;
use super::walk::id_of;

/// How long samples may be searched for.
const SEARCH_WITHIN: Duration = Duration::from_secs(3);
/// Documents on which a change is tried out.
const SAMPLES: i64 = 10;
/// Bytes of copies on which it is tried out, at most, and one document.
const SAMPLED_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of documents that a batch should change at once.
const BATCH_BYTES: i64 = 32 * 1024 * 1024;
/// Most documents of a batch, however small they are.
const BATCH_DOCUMENTS: i64 = 20_000;

/// Checks a backfill and finds out what its passes need to know. `scratch` makes what applies the step's change to another collection.
///
/// # Errors
/// [`Fault::Fatal`] for everything that would go wrong later.
pub async fn check(
    context: &Context,
    step: &Backfill,
    checkpoints: &Checkpoints,
    apply: &dyn Apply,
    scratch: impl Fn(&str) -> Result<Box<dyn Apply>, Fault>,
) -> Result<Plan, Fault> {
    let site = &context.site;
    context.say("checking the step");
    exists(context, &step.target).await?;
    if site.topology == Topology::Standalone && !step.idempotent {
        return Err(Fault::Fatal(
            "`idempotent: false` needs transactions, which a standalone server does not have: a batch could be applied twice; make it a replica set (one member is enough)"
                .to_owned(),
        ));
    }
    accepted(context, step, apply).await?;
    let extent = size(site, &step.target).await;
    if site.has_transactions() && extent.as_ref().is_some_and(|size| size.capped) {
        return Err(Fault::Fatal(format!(
            "{} is capped, and transactions cannot write to it; use a program, or `copy` it into a plain collection",
            site.full_name(&step.target)
        )));
    }
    tell_cost(context, step, extent.as_ref()).await;
    let trial = try_out(context, step, checkpoints, apply, scratch).await?;
    judge(context, step, &trial)?;
    let (total, estimated) = if count::is_done_beside(site, &step.filter) {
        (None, false)
    } else {
        context.say("counting what there is to do");
        count::total(site, &step.target, &step.filter, step.hint.as_ref(), None).await
    };
    Ok(Plan {
        total,
        estimated,
        shrinks: matches!(trial, Trial::Shrinks),
        ceiling: None,
        verifying: false,
        verified: false,
        most: most(extent.as_ref()),
    })
}

/// Tries the change out again: on what is left after a pass, or with what the manifest says now.
///
/// # Errors
/// As [`check`].
pub async fn recheck(
    context: &Context,
    step: &Backfill,
    checkpoints: &Checkpoints,
    apply: &dyn Apply,
    scratch: impl Fn(&str) -> Result<Box<dyn Apply>, Fault>,
) -> Result<(), Fault> {
    exists(context, &step.target).await?;
    accepted(context, step, apply).await?;
    let trial = try_out(context, step, checkpoints, apply, scratch).await?;
    judge(context, step, &trial)
}

/// Most documents of a batch, by what they weigh.
#[must_use]
pub fn most(size: Option<&Size>) -> u32 {
    let average = size.map_or(0, |size| size.average);
    u32::try_from((BATCH_BYTES / average.max(1)).clamp(1, BATCH_DOCUMENTS)).unwrap_or(1)
}

/// The collection is there, and is one that can be changed.
async fn exists(context: &Context, target: &Target) -> Result<(), Fault> {
    let site = &context.site;
    let database = site.database(target.database.as_deref());
    let list = |filter: Document| {
        let command = doc! { "listCollections": 1, "filter": filter, "nameOnly": true, "authorizedCollections": true };
        let database = database.clone();
        async move {
            let fault = |error: mongodb::error::Error| Fault::of(&error, "listCollections");
            let answer = database.run_command(command).await.map_err(fault)?;
            let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
            Ok(batch
                .map(|batch| batch.iter().filter_map(Bson::as_document).cloned().collect::<Vec<_>>())
                .unwrap_or_default())
        }
    };
    let found = context.patiently(|| list(doc! { "name": &target.collection })).await?;
    let Some(collection) = found.first() else {
        let all = context.patiently(|| list(doc! {})).await?;
        let names: Vec<&str> = all.iter().filter_map(|collection| collection.get_str("name").ok()).collect();
        let hint = match nearest(&target.collection, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "check its name and the database, and that the user has the privilege for find on it".to_owned(),
        };
        return Err(Fault::Fatal(format!("there is no collection {}; {hint}", site.full_name(target))));
    };
    match collection.get_str("type") {
        Ok("view") => {
            Err(Fault::Fatal(format!("{} is a view; name the collection that it looks at", site.full_name(target))))
        }
        Ok("timeseries") => Err(Fault::Fatal(format!(
            "{} is a time series, whose measurements have no `_id` to walk by; use a program instead",
            site.full_name(target)
        ))),
        _ => Ok(()),
    }
}

/// The server accepts the change as such: it reads it even when there is nothing to change.
async fn accepted(context: &Context, step: &Backfill, apply: &dyn Apply) -> Result<(), Fault> {
    if matches!(step.change, Change::Transform(_)) {
        return Ok(());
    }
    let nothing = Slice::List(Vec::new());
    let result = context
        .patiently(|| async {
            match apply.apply(None, &nothing).await {
                Err(Fault::Poison(reason)) => Err(Fault::Fatal(format!("the update is refused: {reason}"))),
                other => other,
            }
        })
        .await;
    result.map(|_| ())
}

/// How large the collection is; `None` without the privilege to ask.
pub struct Size {
    documents: i64,
    bytes: i64,
    average: i64,
    capped: bool,
}

/// How large a collection is.
pub async fn size(site: &Site, target: &Target) -> Option<Size> {
    let collection = site.collection(target);
    let mut found = collection.aggregate([doc! { "$collStats": { "storageStats": {} } }]).await.ok()?;
    let stats = found.advance().await.ok()?.then(|| found.deserialize_current().ok()).flatten()?;
    let stats = stats.get_document("storageStats").ok()?;
    let (documents, bytes) = (number(stats, "count"), number(stats, "size"));
    let capped = stats.get_bool("capped").unwrap_or(false);
    Some(Size { documents, bytes, average: bytes / documents.max(1), capped })
}

/// What finding the documents costs, where no index serves the filter.
async fn tell_cost(context: &Context, step: &Backfill, size: Option<&Size>) {
    if step.filter.is_empty() || step.hint.is_some() {
        return;
    }
    let database = context.site.database(step.target.database.as_deref());
    let find = doc! { "find": &step.target.collection, "filter": step.filter.clone() };
    let explained = database.run_command(doc! { "explain": find, "verbosity": "queryPlanner" }).await;
    let Some(plan) = explained
        .ok()
        .and_then(|answer| answer.get_document("queryPlanner").ok()?.get_document("winningPlan").ok().cloned())
    else {
        return;
    };
    let cost = size.map_or_else(
        || "the whole collection is read".to_owned(),
        |size| format!("{} documents ({}) are read", size.documents, bytes(size.bytes)),
    );
    match index_of(&plan) {
        Some(index) => (context.note)(format!(
            "the collection is walked in the order of `_id`: {cost} once. If the filter selects few of them, `hint: {index}` finds them by that index instead"
        )),
        None => context
            .warn(format!("no index serves the filter: {cost} once to find what it selects, in the order of `_id`")),
    }
}

/// The index of a plan, wherever in it that stands.
fn index_of(plan: &Document) -> Option<&str> {
    if let Ok(name) = plan.get_str("indexName") {
        return Some(name);
    }
    plan.values().find_map(|value| match value {
        Bson::Document(inner) => index_of(inner),
        Bson::Array(inners) => inners.iter().filter_map(Bson::as_document).find_map(index_of),
        _ => None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn bytes(count: i64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// What came of trying a change out.
enum Trial {
    /// A changed document is no longer selected.
    Shrinks,
    /// It still is, but a second application changes nothing.
    Settles,
    /// A second application changes it again. An example.
    Repeats(Bson),
    /// There was nothing to try it on.
    Nothing,
    /// It could not be tried. Says why.
    Unknown(String),
}

async fn try_out(
    context: &Context,
    step: &Backfill,
    checkpoints: &Checkpoints,
    apply: &dyn Apply,
    scratch: impl Fn(&str) -> Result<Box<dyn Apply>, Fault>,
) -> Result<Trial, Fault> {
    let samples = match samples(context, step).await? {
        Ok(samples) if samples.is_empty() => return Ok(Trial::Nothing),
        Ok(samples) => samples,
        Err(reason) => return Ok(Trial::Unknown(reason.to_owned())),
    };
    // Where one is refused, others need not be.
    for some in std::iter::once(&samples[..]).chain(samples.chunks(1)) {
        let tried = if context.site.has_transactions() {
            try_on(context, step, checkpoints, apply, some).await?
        } else {
            try_on_copies(context, step, &scratch, some).await?
        };
        if let Some(trial) = tried {
            return Ok(trial);
        }
    }
    Ok(Trial::Unknown("all documents that it was tried on are refused".to_owned()))
}

/// Tries the change on documents, in a transaction that is aborted.
async fn try_on(
    context: &Context,
    step: &Backfill,
    checkpoints: &Checkpoints,
    apply: &dyn Apply,
    samples: &[RawDocumentBuf],
) -> Result<Option<Trial>, Fault> {
    let ids = ids_of(samples)?;
    let attempt = || async {
        let Some(mut session) = checkpoints.session().await? else { return Ok(None) };
        let fault = |error: mongodb::error::Error| Fault::of(&error, "a transaction");
        session.start_transaction().await.map_err(fault)?;
        let trial = trial(context, step, &step.target, apply, Some(&mut session), &ids).await;
        if session.abort_transaction().await.is_err() || trial.is_err() {
            checkpoints.end_sessions(vec![session.id().clone()]).await;
        }
        trial
    };
    context.patiently(attempt).await
}

/// Tries the change on copies, where there are no transactions.
async fn try_on_copies(
    context: &Context,
    step: &Backfill,
    scratch: impl Fn(&str) -> Result<Box<dyn Apply>, Fault>,
    samples: &[RawDocumentBuf],
) -> Result<Option<Trial>, Fault> {
    let ids = ids_of(samples)?;
    let name = format!("stopover_scratch_{}", context.run.short());
    let target = Target { database: step.target.database.clone(), collection: name.clone() };
    let collection = context.site.collection(&target);
    let scratch = scratch(&name)?;
    let tried = async {
        let doing = format!("insert on {}", context.site.full_name(&target));
        // An attempt that was killed may have left some.
        collection.drop().await.map_err(|error| Fault::of(&error, &doing))?;
        collection.insert_many(samples).await.map_err(|error| Fault::of(&error, &doing))?;
        trial(context, step, &target, &*scratch, None, &ids).await
    };
    let tried = tried.await;
    if collection.drop().await.is_err() {
        (context.note)(format!("the scratch collection {} could not be removed", context.site.full_name(&target)));
    }
    match tried {
        // Where a repetition is accepted, nothing depends on it.
        Err(Fault::Fatal(reason) | Fault::Poison(reason)) if step.at_least_once => Ok(Some(Trial::Unknown(reason))),
        tried => tried,
    }
}

fn ids_of(samples: &[RawDocumentBuf]) -> Result<Vec<Bson>, Fault> {
    samples.iter().map(|sample| id_of(sample)).collect()
}

/// A few documents that the filter selects, or why there are none.
async fn samples(context: &Context, step: &Backfill) -> Result<Result<Vec<RawDocumentBuf>, &'static str>, Fault> {
    let collection = context.site.collection(&step.target);
    let doing = format!("find on {}", context.site.full_name(&step.target));
    let look = || async {
        let mut find = collection.find(step.filter.clone()).limit(SAMPLES).batch_size(1).max_time(SEARCH_WITHIN);
        if context.site.has_transactions() {
            // Nothing but their ids is needed where they are tried out in place.
            find = find.projection(doc! { "_id": 1 });
        }
        let find = find.optional(step.hint.as_ref(), |find, hint| find.hint(hint.into()));
        let fault = |error: mongodb::error::Error| match Fault::of(&error, &doing) {
            Fault::Poison(reason) => Fault::Fatal(format!("the filter is refused: {reason}")),
            fault => fault,
        };
        let found = async {
            let mut found = find.await?;
            let (mut samples, mut size) = (Vec::new(), 0);
            while size < SAMPLED_BYTES && found.advance().await? {
                size += found.current().as_bytes().len();
                samples.push(found.current().to_owned());
            }
            Ok::<_, mongodb::error::Error>(samples)
        };
        match found.await {
            Ok(samples) => Ok(Ok(samples)),
            Err(error) if server_error(&error).is_some_and(|(.., message)| message.contains("hint provided")) => {
                Err(Fault::Fatal(format!(
                    "{} has no index like the step's `hint`; name one that is there, or leave `hint` out",
                    context.site.full_name(&step.target)
                )))
            }
            Err(error) => match fault(error) {
                Fault::TooMuch(_) => Ok(Err("no document that the filter selects was found within 3 s")),
                fault => Err(fault),
            },
        }
    };
    context.patiently(look).await
}

/// Applies the change twice; `None` when it is refused.
async fn trial(
    context: &Context,
    step: &Backfill,
    target: &Target,
    apply: &dyn Apply,
    mut session: Option<&mut ClientSession>,
    ids: &[Bson],
) -> Result<Option<Trial>, Fault> {
    let slice = Slice::List(ids.to_vec());
    let refused = |fault| match fault {
        // One that is refused need not be all of them: the passes will tell.
        Fault::Poison(reason) => {
            (context.note)(format!("one of the first documents is refused: {reason}"));
            Ok(None)
        }
        fault => Err(fault),
    };
    let first = match apply.apply(session.as_deref_mut(), &slice).await {
        Ok(counts) => counts,
        Err(fault) => return refused(fault),
    };
    let doing = format!("find on {}", context.site.full_name(target));
    let collection = context.site.collection(target);
    let still = collection.count_documents(slice.select(&step.filter));
    let still = match session.as_deref_mut() {
        Some(session) => still.session(session).await,
        None => still.await,
    };
    let still = i64::try_from(still.map_err(|error| Fault::of(&error, &doing))?).unwrap_or(i64::MAX);
    if still == 0 {
        return Ok(Some(Trial::Shrinks));
    }
    match apply.apply(session, &slice).await {
        // Where it helps some and not others, what is left at the end is told.
        Ok(Counts { modified: 0, .. }) if still < first.matched => Ok(Some(Trial::Shrinks)),
        Ok(Counts { modified: 0, .. }) => Ok(Some(Trial::Settles)),
        Ok(_) => Ok(Some(Trial::Repeats(ids.first().cloned().unwrap_or(Bson::Null)))),
        Err(fault) => refused(fault),
    }
}

/// Whether what was found allows what the manifest asks for.
fn judge(context: &Context, step: &Backfill, trial: &Trial) -> Result<(), Fault> {
    if let (Trial::Repeats(id), true) = (trial, step.idempotent) {
        return Err(Fault::Fatal(format!(
            "a second application would change documents again (tried on the one with _id {}, nothing was written); let the filter exclude what is done, or say `idempotent: false`: then the set of documents is fixed at the start and each is changed exactly once",
            id.clone().into_relaxed_extjson()
        )));
    }
    if let (Trial::Unknown(reason), true) = (trial, step.idempotent) {
        (context.note)(format!("whether a second application changes nothing could not be tried out: {reason}"));
    }
    if let (Trial::Settles, Some(_)) = (trial, &step.hint) {
        return Err(Fault::Fatal(
            "a changed document is still selected by the filter, so that an index would find it for ever; let the filter exclude what is done, or leave `hint` out"
                .to_owned(),
        ));
    }
    if context.site.has_transactions() {
        return Ok(());
    }
    let demand = "the server is standalone and has no transactions, so a batch may be repeated after a crash";
    match trial {
        Trial::Nothing => {
            (context.note)(format!("{demand}; no document is selected, so there is none to repeat"));
            Ok(())
        }
        Trial::Shrinks => {
            (context.note)(format!("{demand}; that is harmless here: the filter excludes what is done"));
            Ok(())
        }
        _ if step.at_least_once => {
            context.warn(format!("{demand}; the manifest accepts that (`atLeastOnce: true`)"));
            Ok(())
        }
        _ => Err(Fault::Fatal(format!(
            "{demand}; let the filter exclude what is done, say `atLeastOnce: true` if a repetition does no harm, or make it a replica set (one member is enough)"
        ))),
    }
}
