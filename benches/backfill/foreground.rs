//! What those who use the database feel of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use mongodb::{Client, Collection};

use crate::measure::{median, show};
use crate::payments::{change, undone};
use crate::scene::{GENTLE, ONE, Scene, seconds};
use crate::server::{DATABASE, PAYMENTS, Server};

/// Operations per second: half of them read a payment by `_id`, half of them change one.
const RATE: u32 = 200;
/// How long the idle server is looked at.
const IDLE: Duration = Duration::from_secs(15);
/// A governed run is looked at for so long at most.
const LONGEST: Duration = Duration::from_secs(90);

/// One phase: how long operations took, and the backfill's documents per second.
#[derive(Default)]
struct Phase {
    p50: Vec<f64>,
    p99: Vec<f64>,
    speed: Vec<f64>,
}

impl Phase {
    fn add(&mut self, mut latencies: Vec<f64>, speed: f64) {
        latencies.sort_by(f64::total_cmp);
        let part = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
        self.p50.push(part(0.5));
        self.p99.push(part(0.99));
        self.speed.push(speed);
    }

    fn show(&self, what: &str) {
        let rounds: Vec<String> = self.p99.iter().map(|p99| format!("{p99:.0}")).collect();
        show(
            what,
            &format!(
                "p50 {:>6.1} ms  p99 {:>6.1} ms  {:>7.0} documents/s  (p99: {})",
                median(self.p50.clone()),
                median(self.p99.clone()),
                median(self.speed.clone()),
                rounds.join(", ")
            ),
        );
    }
}

/// Prints the table.
pub fn run(server: &Server, scene: &Scene, documents: u32, rounds: usize) {
    let [mut idle, mut whole, mut free, mut gentle] = std::array::from_fn::<Phase, 4, _>(|_| Phase::default());
    for _ in 0..rounds {
        server.reset(None);
        let load = Load::start(server);
        std::thread::sleep(IDLE);
        idle.add(load.stop(), 0.0);

        let load = Load::start(server);
        let (time, ()) = seconds(|| {
            server.wait(async {
                let concern =
                    mongodb::options::WriteConcern::builder().w(mongodb::options::Acknowledgment::Nodes(1)).build();
                server.payments().update_many(undone(), change()).write_concern(concern).await.expect("mongod updates");
            });
        });
        whole.add(load.stop(), f64::from(documents) / time);

        for (way, phase) in [(&ONE, &mut free), (&GENTLE, &mut gentle)] {
            server.reset(None);
            let load = Load::start(server);
            let begun = Instant::now();
            let mut running = scene.launch(way);
            while !running.is_over() && begun.elapsed() < LONGEST {
                std::thread::sleep(Duration::from_millis(20));
            }
            let latencies = load.stop();
            let outcome = if running.is_over() { running.outcome() } else { running.cancel() };
            phase.add(latencies, outcome.modified as f64 / outcome.seconds);
        }
    }

    println!("\nforeground: {RATE} operations/s on the same collection, {documents} payments, median of {rounds}");
    idle.show("idle");
    whole.show("during one updateMany");
    free.show("during Stopover, one worker, `hold: off`");
    gentle.show("during Stopover, one worker, at its default");
    let over = |one: &[f64], other: &[f64]| {
        format!("{:.2}", median(one.iter().zip(other).map(|(one, other)| one / other).collect()))
    };
    show("p99 at its default / idle (aim: at most 1.5)", &over(&gentle.p99, &idle.p99));
    show("p99 with `hold: off` / idle", &over(&free.p99, &idle.p99));
    show("p99 during updateMany / idle", &over(&whole.p99, &idle.p99));
    show("speed at its default / `hold: off` (aim: 0.3)", &over(&gentle.speed, &free.speed));
}

/// A load of a fixed rate, from a thread and connections of its own. An operation's time begins when it is due, so that one that
/// keeps others waiting is felt as it would be.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<f64>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let (uri, stop) = (server.uri(), Arc::new(AtomicBool::new(false)));
        let ids: Vec<ObjectId> = server.wait(async {
            let sample = [doc! { "$sample": { "size": 20_000 } }, doc! { "$project": { "_id": 1 } }];
            let mut found = server.payments().aggregate(sample).await.expect("mongod reads");
            let mut ids = Vec::new();
            while found.advance().await.expect("mongod reads") {
                let id = found.current().get_object_id("_id").expect("every payment has one");
                ids.push(id);
            }
            ids
        });
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(load(&uri, &ids, &asked))
        });
        Self { stop, thread }
    }

    /// Milliseconds of each operation.
    fn stop(self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load goes on until it is stopped")
    }
}

async fn load(uri: &str, ids: &[ObjectId], stop: &AtomicBool) -> Vec<f64> {
    let client = Client::with_uri_str(uri).await.expect("mongod is there");
    let payments = client.database(DATABASE).collection::<Document>(PAYMENTS);
    // Connections are made before anything is measured.
    futures_util::future::join_all((0..8).map(async |_| payments.find_one(doc! {}).await)).await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let begun = tokio::time::Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let due = begun + Duration::from_secs(1) / RATE * number;
        tokio::time::sleep_until(due).await;
        // A walk that visits all of them, in no order.
        let id = ids[number as usize * 7_919 % ids.len()];
        let (payments, times) = (payments.clone(), times.clone());
        running.spawn(async move {
            operation(&payments, id, number % 2 == 0).await;
            times.lock().expect("nobody panics").push(due.elapsed().as_secs_f64() * 1_000.0);
        });
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
    std::mem::take(&mut *times.lock().expect("nobody panics"))
}

async fn operation(payments: &Collection<Document>, id: ObjectId, reads: bool) {
    if reads {
        payments.find_one(doc! { "_id": id }).await.expect("mongod reads");
    } else {
        let touch = doc! { "$set": { "updatedAt": DateTime::now() } };
        payments.update_one(doc! { "_id": id }, touch).await.expect("mongod updates");
    }
}
