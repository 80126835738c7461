//! The pods, their ledgers, the server and the ways to it.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mongodb::Database;
use stopover::process;

use crate::checker::Violation;
use crate::random::Random;
use crate::support::documents::once;
use crate::support::proxy::Proxy;
use crate::support::scene::Scene;
use crate::support::server::Server;
use crate::tally::Tally;

/// The shortest there is.
const LEASE: &str = "3s";
/// How long workers may take to be gone when all is over: those that could not report try for some time.
const QUIET_WITHIN: Duration = Duration::from_mins(2);

/// Pods that share a ledger.
pub struct Place {
    pub pods: Vec<Scene>,
    /// The way of each pod to the server; none where the ledger is a file.
    pub ways: Vec<Proxy>,
}

/// Everything there is.
pub struct World {
    server: Mutex<Server>,
    /// The migrations' data, reached directly.
    pub data: Database,
    pub runtime: tokio::runtime::Runtime,
    /// The embedded ledger's one pod, and three that share a server's.
    pub places: [Place; 2],
    /// How many migrations of steps are there to be run in each place.
    pub steps: usize,
}

/// A migration of steps.
pub fn steps(place: usize, index: usize) -> String {
    format!("20270301_steps_{place}_{index:04}")
}

impl World {
    /// Sets everything up for so long.
    pub fn new(until: Instant) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Server::start_replica_set());
        let direct = format!("{}&directConnection=true", server.writer());
        let data = runtime
            .block_on(async { mongodb::Client::with_uri_str(&direct).await.unwrap().default_database().unwrap() });
        // None takes less than some seconds.
        let steps = usize::try_from(until.saturating_duration_since(Instant::now()).as_secs() / 3 + 10).unwrap();
        let host = direct.split_once('@').and_then(|(_, rest)| rest.split_once('/')).unwrap().0.to_owned();
        let fill = |place: usize, mut scene: Scene| {
            for index in 0..steps {
                let name = self::steps(place, index);
                scene = scene.manifest(&name, &once(&name, "workers: 2, batch: 5ms, pace: 10"));
            }
            scene.variable("STOPOVER_LEASE", LEASE).variable("STOPOVER_GRACE", "2s")
        };
        let embedded = fill(0, Scene::new().variable("MONGODB_URI", &direct));
        let ledger = format!("sqlite:{}", embedded.state().join("ledger.db").display());
        let embedded = Place { pods: vec![embedded.variable("STOPOVER_LEDGER", ledger)], ways: Vec::new() };
        let ways: Vec<Proxy> = (0..3).map(|_| Proxy::to(&host)).collect();
        let pods = ways.iter().zip('a'..).map(|(way, letter)| {
            let uri = direct.replace(&host, way.host());
            fill(1, Scene::new().variable("MONGODB_URI", uri).variable("STOPOVER_POD", format!("pod-{letter}")))
        });
        let shared = Place { pods: pods.collect(), ways };
        for place in [&embedded, &shared] {
            place.pods[0].must(&["init", "--environment", "staging"]);
        }
        Self { server: Mutex::new(server), data, runtime, places: [embedded, shared], steps }
    }

    /// What happens to the server: it stands still, or dies and comes back.
    pub fn weather(&self, mut random: Random, until: Instant, tally: &Tally) {
        loop {
            let pause = Duration::from_secs(5) + random.within(Duration::from_secs(20));
            if Instant::now() + pause > until {
                return;
            }
            sleep(pause);
            let mut server = self.server.lock().unwrap();
            if random.below(3) == 0 {
                tally.fault("deaths of the server");
                server.kill();
                sleep(random.within(Duration::from_secs(3)));
                server.start_again();
            } else {
                tally.fault("freezes of the server");
                server.freeze();
                sleep(random.within(Duration::from_secs(5)));
                server.thaw();
            }
        }
    }

    /// Waits until no worker is left, and tells of those that do not go.
    pub fn all_quiet(&self, tally: &Tally) {
        let states: Vec<String> =
            self.pods().map(|pod| format!("STOPOVER_STATE_DIR={}", pod.state().display())).collect();
        let left = || {
            process::pids()
                .filter(|pid| {
                    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                    environment.split(|&byte| byte == 0).any(|word| states.iter().any(|state| state.as_bytes() == word))
                })
                .collect::<Vec<_>>()
        };
        let deadline = Instant::now() + QUIET_WITHIN;
        while !left().is_empty() {
            if Instant::now() > deadline {
                let left = format!("workers are left when all runs have ended: {:?}", left());
                tally.violation(&Violation::Twice(left));
                return;
            }
            sleep(Duration::from_millis(200));
        }
    }

    fn pods(&self) -> impl Iterator<Item = &Scene> {
        self.places.iter().flat_map(|place| &place.pods)
    }

    /// Copies what is there to a place that outlives this process.
    pub fn keep(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("stopover-soak-{}", std::process::id()));
        fs::create_dir_all(&kept).unwrap();
        for (pod, index) in self.pods().zip(0..) {
            let into = kept.join(format!("pod-{index}"));
            let _ = std::process::Command::new("cp").arg("-r").arg(pod.state()).arg(into).status();
        }
        kept
    }
}
