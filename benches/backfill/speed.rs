//! How fast, and with how much memory.

use crate::bare;
use crate::measure::{median, show};
use crate::node::Peer;
use crate::payments::{change, undone};
use crate::scene::{CODE, CODE_TWO, ONE, Outcome, Scene, TWO, Way, seconds};
use crate::server::Server;

/// The plain loop is so slow that it gets only this part of the documents.
const SAMPLE: u32 = 50;

/// Figures of one way over all rounds.
#[derive(Default)]
struct Figures {
    /// Documents per second.
    speed: Vec<f64>,
    /// MiB.
    peak: Vec<f64>,
}

impl Figures {
    fn add(&mut self, documents: u32, seconds: f64, peak: f64) {
        self.speed.push(f64::from(documents) / seconds);
        self.peak.push(peak);
    }

    fn show(&self, what: &str) {
        let peak = median(self.peak.clone());
        let memory = if peak > 0.0 { format!("{peak:>6.0} MiB") } else { String::new() };
        let rounds: Vec<String> = self.speed.iter().map(|speed| format!("{speed:.0}")).collect();
        show(what, &format!("{:>8.0} documents/s {memory}  ({})", median(self.speed.clone()), rounds.join(", ")));
    }

    /// The median of the ratios of each round.
    fn over(&self, other: &Self) -> f64 {
        median(self.speed.iter().zip(&other.speed).map(|(one, other)| one / other).collect())
    }
}

/// Prints the table.
pub fn run(server: &Server, scene: &Scene, documents: u32, rounds: usize) {
    let [mut limit, mut plain, mut bulk, mut one, mut two, mut bare_, mut code, mut code_two, mut compute] =
        std::array::from_fn::<Figures, 9, _>(|_| Figures::default());
    let sample = (documents / SAMPLE).max(100);
    for _ in 0..rounds {
        server.reset(None);
        let (time, ()) = seconds(|| {
            server.wait(async {
                let concern =
                    mongodb::options::WriteConcern::builder().w(mongodb::options::Acknowledgment::Nodes(1)).build();
                server.payments().update_many(undone(), change()).write_concern(concern).await.expect("mongod updates");
            });
        });
        limit.add(documents, time, 0.0);

        let outcome = stopover(server, scene, &ONE);
        one.add(documents, outcome.seconds, outcome.peak);

        server.reset(None);
        let (time, ()) = seconds(|| bare::run(server, outcome.batch));
        bare_.add(documents, time, 0.0);

        let outcome = stopover(server, scene, &TWO);
        two.add(documents, outcome.seconds, outcome.peak);

        server.reset(None);
        let (time, peak) = Peer::Bulk.run(&server.uri());
        server.assert_done();
        bulk.add(documents, time, peak);

        let outcome = stopover(server, scene, &CODE);
        code.add(documents, outcome.seconds, outcome.peak);

        let outcome = stopover(server, scene, &CODE_TWO);
        code_two.add(documents, outcome.seconds, outcome.peak);

        server.reset(None);
        let (time, peak) = Peer::Compute.run(&server.uri());
        server.assert_done();
        compute.add(documents, time, peak);

        server.reset(Some(sample));
        let (time, peak) = Peer::Loop.run(&server.uri());
        server.assert_done();
        plain.add(sample, time, peak);
    }

    println!("\nspeed: {documents} payments, one replica set of one member, median of {rounds}, interleaved");
    limit.show("A  one updateMany over everything, w: 1: the limit");
    plain.show(&format!("B  Node: for await, updateOne (1/{SAMPLE} of the documents)"));
    bulk.show("C  Node: bulkWrite in thousands");
    one.show("D  Stopover, one worker, exactly once");
    two.show("E  Stopover, two workers, exactly once");
    code.show("F  Stopover with application code in Node");
    code_two.show("F2 the same, two workers");
    compute.show("G  Node: the same code, bulkWrite in thousands");
    bare_.show("H  the batches of D without checkpoint and heartbeat");
    let ratio = |what: &str, figure: f64| show(what, &format!("{figure:.2}"));
    ratio("D / A (aim: 0.95)", one.over(&limit));
    ratio("E / A (aim: 1.2 where a core is free)", two.over(&limit));
    ratio("D / C (aim: 4)", one.over(&bulk));
    ratio("D / B (aim: 60)", one.over(&plain));
    ratio("F / G (aim: 1.8)", code.over(&compute));
    ratio("F2 / G", code_two.over(&compute));
    show("H: checkpoint and heartbeat (aim: under 5 %)", &format!("{:.1} %", (1.0 - one.over(&bare_)) * 100.0));
    let peak =
        [&one, &two, &code, &code_two].iter().flat_map(|ways| &ways.peak).fold(0.0_f64, |most, peak| most.max(*peak));
    show("most memory of a worker (aim: under 30 MB)", &format!("{:.1} MB", peak * 1.048_576));
}

fn stopover(server: &Server, scene: &Scene, way: &Way) -> Outcome {
    server.reset(None);
    let outcome = scene.run(way);
    server.assert_done();
    outcome
}
