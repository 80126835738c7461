//! The promises that only hold when the database keeps them: real processes that want the same thing at the same moment, and one that is
//! killed as it writes.
//!
//! A contender is this test binary again, told by [`ADDRESS`] which ledger to open; it obeys lines on its standard input.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use stopover::ledger::{Interruption, LogChunk, RunQuery, WishKind};

use super::*;
use crate::support::eventually_async;

/// Names the ledger to a contender.
const ADDRESS: &str = "STOPOVER_TEST_LEDGER";
/// What a contender answers begins with this, unlike what the test harness prints.
const ANSWER: &str = "answer: ";

const CONTENDERS: usize = 4;
const ROUNDS: usize = 20;

struct Contender {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Contender {
    fn start(home: &Home) -> Self {
        let address = match home.address() {
            LedgerAddress::Mongo(uri) => uri.expose().to_owned(),
            LedgerAddress::Sqlite(path) => format!("sqlite:{}", path.display()),
        };
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::race::contender", "--ignored", "--nocapture"])
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, orders, answers }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut lines = self.answers.by_ref().map(Result::unwrap);
        lines.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned)).expect("a contender answers")
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts processes that have all opened the ledger, as its first writers, at once.
fn contenders(home: &Home) -> Vec<Contender> {
    let mut contenders: Vec<_> = (0..CONTENDERS).map(|_| Contender::start(home)).collect();
    for contender in &mut contenders {
        assert_eq!(contender.answer(), "ready");
    }
    contenders
}

/// Gives the same order to all at once, and returns the answers of those who did not simply lose.
fn race(contenders: &mut [Contender], order: &str) -> Vec<String> {
    for contender in &mut *contenders {
        contender.order(order);
    }
    let answers = contenders.iter_mut().map(Contender::answer);
    answers.filter(|answer| answer != "lost").collect()
}

/// What runs in the other processes.
#[tokio::test]
#[ignore = "the other process of the races, which start it themselves"]
async fn contender() {
    let address = LedgerAddress::parse(&std::env::var(ADDRESS).unwrap()).unwrap();
    let hand = Hand(open_writer(&address).await.unwrap());
    println!("{ANSWER}ready");
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let (verb, object) = order.split_once(' ').unwrap();
        let run = || object.parse::<RunId>().unwrap();
        let outcome = match verb {
            "launch" => hand.0.open(launch_of(object, LEASE)).await.map(|_| ()),
            "resume" => hand.0.act(run(), Action::resume(actor("ana"), LEASE)).await.map(|_| ()),
            "recover" => hand.0.act(run(), recovery(&format!("pod-{}", std::process::id()))).await.map(|_| ()),
            "claim" => {
                let worker = worker(std::process::id().try_into().unwrap());
                hand.0.act(run(), Action::Claim { attempt: 2, worker, lease: LEASE }).await.map(|_| ())
            }
            "work" => work_until_killed(&hand, object).await,
            _ => panic!("{order}"),
        };
        match outcome {
            Ok(()) => println!("{ANSWER}won"),
            Err(LedgerError::Occupied { .. } | LedgerError::Refused(_)) => println!("{ANSWER}lost"),
            Err(other) => println!("{ANSWER}{other}"),
        }
    }
}

async fn work_until_killed(hand: &Hand, name: &str) -> Result<(), LedgerError> {
    loop {
        let run = hand.launch_and_claim(name).await;
        for step in 0..5_u32 {
            hand.0.beat(run.id, 1, beat(step.into(), LEASE)).await?;
            let chunk = LogChunk { run: run.id, attempt: 1, offset: u64::from(step) * 4_096, bytes: vec![b'x'; 4_096] };
            hand.0.archive(chunk).await?;
        }
        hand.finish(&run, Outcome::Succeeded).await;
    }
}

async fn one_of_many_processes_launches(home: Home) {
    let mut contenders = contenders(&home);
    for round in 0..ROUNDS {
        assert_eq!(race(&mut contenders, &format!("launch m{round}")), ["won"], "round {round}");
    }
    let histories = home.reader().await.histories().await.unwrap().value;
    assert_eq!(histories.len(), ROUNDS);
    assert_eq!(home.reader().await.runs(RunQuery::default()).await.unwrap().value.len(), ROUNDS);
}

async fn one_of_many_processes_takes_a_lost_run_over(home: Home) {
    let mut contenders = contenders(&home);
    let hand = Hand(home.writer().await);
    for round in 0..ROUNDS {
        let run = hand.0.open(launch_of(&format!("m{round}"), Duration::ZERO)).await.unwrap();
        assert_eq!(race(&mut contenders, &format!("resume {}", run.id)), ["won"], "round {round}");
        assert_eq!(race(&mut contenders, &format!("claim {}", run.id)), ["won"], "round {round}");
        let taken = hand.0.run(run.id).await.unwrap().value.unwrap();
        assert_eq!((taken.attempt, taken.is_held_by(2)), (2, true));
        assert_eq!(hand.0.events(run.id).await.unwrap().len(), 3);
    }
}

async fn one_of_many_pods_recovers_an_interrupted_run(home: Home) {
    let mut contenders = contenders(&home);
    let hand = Hand(home.writer().await);
    for round in 0..ROUNDS {
        let run = hand.launch_and_claim(&format!("m{round}")).await;
        hand.finish(&run, Outcome::Interrupted(Interruption::Shutdown)).await;
        assert_eq!(race(&mut contenders, &format!("recover {}", run.id)), ["won"], "round {round}");
        let recovered = hand.0.run(run.id).await.unwrap().value.unwrap();
        assert_eq!((recovered.attempt, recovered.recoveries.len()), (2, 1));
        assert_eq!(race(&mut contenders, &format!("claim {}", run.id)), ["won"], "round {round}");
    }
}

async fn a_process_that_is_killed_as_it_writes_leaves_a_whole_ledger(home: Home) {
    let hand = Hand(home.writer().await);
    for round in 0..5 {
        let names = [format!("a{round}"), format!("b{round}")];
        let mut workers: Vec<_> = names.iter().map(|_| Contender::start(&home)).collect();
        for (worker, name) in workers.iter_mut().zip(&names) {
            assert_eq!(worker.answer(), "ready");
            worker.order(&format!("work {name}"));
        }
        let runs_of = async |name: &str| {
            let query = RunQuery { migration: Some(migration(name)), limit: None };
            hand.0.runs(query).await.unwrap().value
        };
        for name in &names {
            eventually_async("each has finished a run", Duration::from_secs(20), async || {
                (runs_of(name).await.len() >= 2).then_some(())
            })
            .await;
        }
        // SIGKILL, in the midst of whatever it writes.
        drop(workers);
        for name in &names {
            // A server may still be at the killed process's last write.
            eventually_async("what was left open can be ended", Duration::from_secs(20), async || {
                let runs = runs_of(name).await;
                let open: Vec<_> = runs.iter().filter(|run| run.is_open()).collect();
                assert!(open.len() <= 1, "{open:?}");
                let Some(run) = open.first() else { return Some(()) };
                let end = match run.started_at {
                    Some(_) => Action::Finish { attempt: 1, outcome: Outcome::Succeeded },
                    None => Action::Stop { kind: WishKind::Cancel, by: actor("ana") },
                };
                hand.0.act(run.id, end).await.ok().and(None)
            })
            .await;
            for run in runs_of(name).await {
                let recorded = if run.started_at.is_some() { 3 } else { 2 };
                assert_eq!(hand.0.events(run.id).await.unwrap().len(), recorded, "a change and its event are one");
            }
            hand.launch(name).await;
        }
    }
    if let LedgerAddress::Sqlite(path) = home.address() {
        let file = rusqlite::Connection::open(path).unwrap();
        let verdict: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

macro_rules! races {
    ($($race:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $race() { super::$race(super::Home::sqlite()).await; })*
        }
        mod mongo {
            $(#[tokio::test] async fn $race() { super::$race(super::Home::mongo()).await; })*
        }
    };
}

races! {
    one_of_many_processes_launches
    one_of_many_processes_takes_a_lost_run_over
    one_of_many_pods_recovers_an_interrupted_run
    a_process_that_is_killed_as_it_writes_leaves_a_whole_ledger
}
