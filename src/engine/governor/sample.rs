//! The server's figures, read from its answers. Every one may be missing: versions differ, and so do permissions.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Bson, Document, doc};

use super::latency::{Counted, Histogram};

/// An oplog smaller than any that a server makes by itself was made small on purpose: no window can be expected of it.
const LEAST_OPLOG: f64 = 990.0 * 1024.0 * 1024.0;
/// An oplog that is filled so far drops its oldest entries.
const FULL: f64 = 0.9;
/// The state of a member that follows the primary, see the server's `MemberState`.
const SECONDARY: f64 = 2.0;
const PRIMARY: f64 = 1.0;

/// What is known of the server at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The secondary that is furthest behind, and how far.
    pub lag: Option<(String, Duration)>,
    /// Flow control.
    pub flow: Option<Flow>,
    /// Tickets to write with.
    pub tickets: Option<Tickets>,
    /// Dirty bytes in the cache, as a part of it.
    pub dirty: Option<f64>,
    /// How far back the oplog reaches, where it drops its oldest entries.
    pub oplog: Option<Duration>,
    /// What the foreground asked since the previous sample, and how long it took.
    pub foreground: Option<Histogram>,
}

/// The server slows down its own writes while a majority is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Whether a majority is behind.
    pub lagged: bool,
    /// How many writes it lets through per second.
    pub rate: f64,
}

/// How many operations may be under way in the storage engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tickets {
    /// How many more could begin.
    pub free: f64,
    /// How many there are.
    pub total: f64,
}

/// The command for the figures of the server itself, without the sections that nobody here reads.
#[must_use]
pub fn server_status(with_oplog: bool) -> Document {
    let mut command = doc! { "serverStatus": 1, "opLatencies": { "histograms": true }, "oplog": i32::from(with_oplog) };
    let unread = [
        "asserts",
        "connections",
        "defaultRWConcern",
        "electionMetrics",
        "extra_info",
        "globalLock",
        "indexBulkBuilder",
        "locks",
        "logicalSessionRecordCache",
        "mem",
        "metrics",
        "mirroredReads",
        "network",
        "opReadConcernCounters",
        "opcounters",
        "opcountersRepl",
        "opWriteConcernCounters",
        "queryAnalyzers",
        "readConcernCounters",
        "repl",
        "scramCache",
        "security",
        "shardSplits",
        "storageEngine",
        "tcmalloc",
        "tenantMigrations",
        "trafficRecording",
        "transactions",
        "transportSecurity",
        "twoPhaseCommitCoordinator",
    ];
    command.extend(unread.map(|section| (section.to_owned(), Bson::Int32(0))));
    command
}

/// Flow control, from `serverStatus`.
#[must_use]
pub fn flow(status: &Document) -> Option<Flow> {
    let flow = status.get_document("flowControl").ok()?;
    Some(Flow { lagged: flow.get_bool("isLagged").ok()?, rate: number(flow, &["targetRateLimit"]).unwrap_or(f64::MAX) })
}

/// Tickets for writing, from `serverStatus`: servers before 8.0 tell of them as a matter of the storage engine.
#[must_use]
pub fn tickets(status: &Document) -> Option<Tickets> {
    let of = |place: &[&str]| {
        let figure = |name| number(status, &[place, &[name]].concat());
        let tickets = Tickets { free: figure("available")?, total: figure("totalTickets")? };
        (tickets.total > 0.0).then_some(tickets)
    };
    of(&["queues", "execution", "write"]).or_else(|| of(&["wiredTiger", "concurrentTransactions", "write"]))
}

/// The dirty part of the cache, from `serverStatus`.
#[must_use]
pub fn dirty(status: &Document) -> Option<f64> {
    let figure = |name| number(status, &["wiredTiger", "cache", name]);
    let (dirty, most) = (figure("tracked dirty bytes in the cache")?, figure("maximum bytes configured")?);
    (most > 0.0).then(|| dirty / most)
}

/// Latencies, from `serverStatus`.
#[must_use]
pub fn counted(status: &Document) -> Option<Counted> {
    let latencies = status.get_document("opLatencies").ok()?;
    let kind = |name| Some(Histogram::of(latencies.get_document(name).ok()?));
    let server = format!("{} {:?}", status.get_str("host").unwrap_or_default(), number(status, &["pid"]));
    Some(Counted { server, reads: kind("reads")?, writes: kind("writes")? })
}

/// How far back the oplog reaches, from `serverStatus` with its section `oplog`.
#[must_use]
pub fn window(status: &Document) -> Option<Duration> {
    let Bson::Timestamp(earliest) = status.get_document("oplog").ok()?.get("earliestOptime")? else { return None };
    let now = status.get_datetime("localTime").ok()?.timestamp_millis();
    u64::try_from(now - i64::from(earliest.time) * 1_000).ok().map(Duration::from_millis)
}

/// What the oplog's size says of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OplogSize {
    /// It is not full: its window grows with every second, and says nothing.
    Young,
    /// It is smaller than any that a server makes by itself.
    Tiny,
    /// It drops its oldest entries.
    Full,
}

/// The size of the oplog, from its `collStats`.
#[must_use]
pub fn oplog_size(stats: &Document) -> Option<OplogSize> {
    let (size, most) = (number(stats, &["size"])?, number(stats, &["maxSize"])?);
    Some(match () {
        () if most < LEAST_OPLOG => OplogSize::Tiny,
        () if size < FULL * most => OplogSize::Young,
        () => OplogSize::Full,
    })
}

/// The members that are waited for, from `replSetGetConfig`: those that vote, hold data and are not behind on purpose.
#[must_use]
pub fn followers(answer: &Document) -> Option<BTreeSet<String>> {
    let members = answer.get_document("config").ok()?.get_array("members").ok()?;
    let waited = |member: &Document| {
        let above = |name: &str| number(member, &[name]).is_some_and(|figure| figure > 0.0);
        let votes = number(member, &["votes"]).is_none_or(|votes| votes > 0.0);
        votes
            && !member.get_bool("arbiterOnly").unwrap_or(false)
            && !above("secondaryDelaySecs")
            && !above("slaveDelay")
    };
    Some(
        members.iter().filter_map(Bson::as_document).filter(|member| waited(member)).filter_map(host("host")).collect(),
    )
}

/// The same from `hello`, which needs no privilege: those that may become primary, which no delayed member may.
#[must_use]
pub fn electable(hello: &Document) -> Option<BTreeSet<String>> {
    Some(hello.get_array("hosts").ok()?.iter().filter_map(|host| host.as_str().map(str::to_owned)).collect())
}

/// How the secondaries follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replication {
    /// The one that is furthest behind, and how far.
    pub lag: Option<(String, Duration)>,
    /// Those that do not follow at all: down, or in an initial sync. They are not waited for.
    pub absent: BTreeSet<String>,
}

/// Lag of `followers`, from `replSetGetStatus`; `None` while there is no primary.
#[must_use]
pub fn replication(status: &Document, followers: &BTreeSet<String>) -> Option<Replication> {
    let members: Vec<&Document> = status.get_array("members").ok()?.iter().filter_map(Bson::as_document).collect();
    let state = |member: &Document| number(member, &["state"]).unwrap_or(-1.0);
    let is = |member: &Document, wanted: f64| (state(member) - wanted).abs() < 0.5;
    let primary = applied(members.iter().find(|member| is(member, PRIMARY))?)?;
    let mut replication = Replication::default();
    for member in members {
        let Some(name) = host("name")(member).filter(|name| followers.contains(name)) else { continue };
        let healthy = number(member, &["health"]).is_none_or(|health| health > 0.0);
        if is(member, PRIMARY) {
            continue;
        }
        let applied = applied(member).filter(|_| healthy && is(member, SECONDARY));
        let Some(applied) = applied else {
            replication.absent.insert(name);
            continue;
        };
        let behind = Duration::from_millis(u64::try_from(primary - applied).unwrap_or(0));
        if replication.lag.as_ref().is_none_or(|(_, most)| behind > *most) {
            replication.lag = Some((name, behind));
        }
    }
    Some(replication)
}

/// When the latest operation that a member has was done, in milliseconds; servers before 5.0 say it to the second only.
fn applied(member: &Document) -> Option<i64> {
    let exact = member.get_datetime("lastAppliedWallTime").or_else(|_| member.get_datetime("optimeDate")).ok()?;
    Some(exact.timestamp_millis())
}

fn host(field: &'static str) -> impl Fn(&Document) -> Option<String> {
    move |member| member.get_str(field).ok().map(str::to_owned)
}

/// A number at a place, whatever its type.
pub(super) fn number(document: &Document, path: &[&str]) -> Option<f64> {
    let (last, above) = path.split_last()?;
    let parent = above.iter().try_fold(document, |document, name| document.get_document(name).ok())?;
    match parent.get(last)? {
        Bson::Int32(figure) => Some(f64::from(*figure)),
        #[expect(clippy::cast_precision_loss, reason = "figures of a server are compared, not counted")]
        Bson::Int64(figure) => Some(*figure as f64),
        Bson::Double(figure) if figure.is_finite() => Some(*figure),
        _ => None,
    }
}

/// A figure that counts something.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of this kind saturates")]
pub(super) fn whole(figure: f64) -> u64 {
    figure as u64
}

#[cfg(test)]
mod tests;
