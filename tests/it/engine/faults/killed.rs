//! Workers that are killed, over and over, at any point of their work.

use std::fmt;
use std::time::Instant;

use futures_util::future::join_all;
use stopover::process::members_of_session;
use tokio::time::sleep;

use super::random::Random;
use super::*;
use crate::support::mongo::Database as Server;

/// Workers that must be killed at work.
const KILLS: usize = 200;
/// Migrations that run, are killed and resumed beside each other, so that they wait for the end of leases together.
const MIGRATIONS: usize = 30;
/// How often each of them is killed, unless it is done before: more than is needed.
const TIMES: usize = 10;
/// Enough to be divided into ranges, and to outlast being killed.
const DOCUMENTS: i32 = 30_000;

/// When a worker is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Soon after it has claimed its run: it connects.
    Start,
    /// Soon after it has claimed its step: it checks and divides, or takes the ranges over.
    Claimed,
    /// Once it has ranges, at any time.
    Any,
    /// When the last range is done: it looks for what is left, and reports.
    End,
}

/// One migration and its run.
struct Story {
    scene: Arc<Scene>,
    ledger: Arc<dyn LedgerWriter>,
    database: Database,
    name: String,
    random: Random,
    /// The times from a resume until the attempt held the ranges.
    taken: Vec<Duration>,
}

impl Story {
    /// Runs the migration to its end; answers how often its worker was killed at work.
    async fn tell(&mut self) -> usize {
        let run: RunId = self.stopover(&["run", &self.name]).await.trim().parse().unwrap();
        let mut kills = 0;
        let mut attempt = 1;
        let mut asked = Instant::now();
        loop {
            let Some(worker) = self.at_work(run, attempt).await else { return kills };
            let mut hit = false;
            if kills < TIMES {
                let moment = self.moment(kills);
                self.wait_for(moment, run, attempt, worker, asked).await;
                hit = self.kill(worker);
            }
            match self.stands(run).await {
                Standing::Succeeded => return kills,
                Standing::Lost => kills += usize::from(hit),
                // It gave up the run by itself, which a machine that is too slow makes it do.
                Standing::Interrupted => eprintln!("{}: attempt {attempt} was interrupted", self.name),
                other => panic!("{} is {other}: {:?}", self.name, look(&*self.ledger, run).await.1),
            }
            asked = Instant::now();
            self.stopover(&["resume", &self.name]).await;
            attempt += 1;
        }
    }

    /// The worker of an attempt, once it has claimed the run; `None` when the run has succeeded.
    async fn at_work(&self, run: RunId, attempt: u32) -> Option<ProcessIdentity> {
        eventually_async("a worker is at work", PATIENCE, async || {
            let (standing, run) = look(&*self.ledger, run).await;
            match standing {
                Standing::Succeeded => Some(None),
                Standing::Queued => None,
                _ => run.worker.filter(|_| run.attempt == attempt).map(|worker| Some(worker.process)),
            }
        })
        .await
    }

    fn moment(&mut self, kills: usize) -> Moment {
        match self.random.below(10) {
            // At the last chance, so that there is something to be killed before.
            _ if kills + 1 == TIMES => Moment::End,
            0..2 => Moment::Start,
            2..5 => Moment::Claimed,
            _ => Moment::Any,
        }
    }

    async fn wait_for(&mut self, moment: Moment, run: RunId, attempt: u32, worker: ProcessIdentity, asked: Instant) {
        let epoch = doc! { "epoch": { "$gte": i64::from(attempt) } };
        match moment {
            Moment::Start => sleep(self.random.within(Duration::from_millis(60))).await,
            Moment::Claimed => {
                self.until(worker, async || step_record(&self.database, run, epoch.clone()).await.is_some()).await;
                sleep(self.random.within(Duration::from_millis(100))).await;
            }
            Moment::Any => {
                self.until(worker, async || self.range(run, epoch.clone()).await).await;
                if attempt > 1 && worker.is_alive() {
                    self.taken.push(asked.elapsed());
                }
                sleep(self.random.within(Duration::from_millis(800))).await;
            }
            Moment::End => {
                let undone = doc! { "complete": false };
                self.until(worker, async || {
                    step_record(&self.database, run, doc! { "pass": { "$gte": 1 } }).await.is_some()
                        && !self.range(run, undone.clone()).await
                })
                .await;
                sleep(self.random.within(Duration::from_millis(30))).await;
            }
        }
    }

    /// Waits until something holds, or the worker is gone; for as long as documents are changed.
    async fn until(&self, worker: ProcessIdentity, holds: impl AsyncFn() -> bool) {
        let what = format!("{} gets there", self.name);
        let documents = self.database.collection::<Document>(&self.name);
        let mut changed = 0;
        loop {
            let deadline = Instant::now() + LONG;
            while Instant::now() < deadline {
                if !worker.is_alive() || holds().await {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
            let before = changed;
            changed = documents.count_documents(doc! { "touched": { "$exists": true } }).await.unwrap();
            assert!(changed > before, "not within {LONG:?}: {what}; {changed} documents are changed");
        }
    }

    /// Whether the run has a range like this.
    async fn range(&self, run: RunId, mut like: Document) -> bool {
        like.insert("_id", doc! { "$gt": format!("{run}/0/"), "$lt": format!("{run}/00") });
        checkpoints(&self.database).find_one(like).await.unwrap().is_some()
    }

    /// Kills everything of a worker, as when its pod vanishes; sometimes only the worker itself. Whether it lived.
    fn kill(&mut self, worker: ProcessIdentity) -> bool {
        if !worker.is_alive() {
            return false;
        }
        let mut session = members_of_session(worker.pid);
        match self.random.below(3) {
            0 => session.retain(|&pid| pid == worker.pid),
            1 => session.reverse(),
            _ => {}
        }
        let hit: Vec<i32> = session.into_iter().filter(|&pid| signal(pid, Signal::KILL)).collect();
        hit.contains(&worker.pid)
    }

    /// How the run stands when no worker is at it.
    async fn stands(&self, run: RunId) -> Standing {
        eventually_async("its lease is over", LONG, async || {
            sleep(Duration::from_millis(50)).await;
            Some(look(&*self.ledger, run).await.0).filter(|standing| !standing.is_live())
        })
        .await
    }

    async fn stopover(&self, arguments: &[&str]) -> String {
        let (scene, arguments) = (self.scene.clone(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
        spawn_blocking(move || scene.must(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
    }
}

#[tokio::test]
async fn workers_killed_at_any_point_neither_leave_a_document_out_nor_change_one_twice() {
    let seed = Random::seed();
    let server = Server::new();
    let database = server.open().await;
    let names: Vec<String> = (0..MIGRATIONS).map(|index| format!("20270101_adds_{index:02}")).collect();
    // The ledger in a file, and beside the data.
    let catalog = |scene: Scene| {
        names.iter().fold(scene, |scene, name| {
            let workers = 1 + names.iter().position(|other| other == name).unwrap() % 4 / 2;
            scene.manifest(name, &once(name, &format!("workers: {workers}, batch: 10ms")))
        })
    };
    let in_a_file = catalog(pod(server.uri()));
    let file = format!("sqlite:{}", in_a_file.state().join("ledger.db").display());
    let in_a_file = Arc::new(in_a_file.variable("STOPOVER_LEDGER", file));
    let beside = Arc::new(catalog(pod(server.uri())));
    in_a_file.must(&["init", "--environment", "staging"]);
    beside.must(&["init", "--environment", "staging"]);
    let ledgers = [ledger(&in_a_file, None).await, ledger(&beside, Some(server.uri())).await];
    for name in &names {
        fill(&database, name, DOCUMENTS).await;
    }
    let mut stories: Vec<Story> = (0..)
        .zip(&names)
        .map(|(index, name)| Story {
            scene: [&in_a_file, &beside][index % 2].clone(),
            ledger: ledgers[index % 2].clone(),
            database: database.clone(),
            name: name.clone(),
            random: Random::new(seed, index as u64),
            taken: Vec::new(),
        })
        .collect();
    let begun = Instant::now();
    let kills: usize = join_all(stories.iter_mut().map(Story::tell)).await.into_iter().sum();
    let taken: Vec<Duration> = stories.iter().flat_map(|story| story.taken.clone()).collect();
    eprintln!("{kills} kills in {:?}; from resume to the ranges: {}", begun.elapsed(), Spread(taken.clone()));
    for name in &names {
        assert_eq!(by_touched(&database, name).await, [(1, DOCUMENTS)], "{name}");
    }
    assert!(kills >= KILLS, "only {kills} workers were killed at work");
    let longest = taken.into_iter().max().unwrap();
    assert!(longest < Duration::from_secs(15), "an attempt waited {longest:?} for what a killed one had left locked");
}

/// How measured times are spread.
struct Spread(Vec<Duration>);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.0.clone();
        times.sort();
        let at = |part: usize| times.get((times.len().saturating_sub(1)) * part / 100).copied().unwrap_or_default();
        write!(f, "{:.0?} at the median, {:.0?} at p95, {:.0?} at most, of {}", at(50), at(95), at(100), times.len())
    }
}
