//! One migration after another, each through some faults to its end.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checker::program::Diligent;
use crate::checker::{Checker, Violation};
use crate::faults::{Fault, Victim};
use crate::random::Random;
use crate::support::documents::{by_touched, fill};
use crate::support::scene::Scene;
use crate::tally::Tally;
use crate::world::{Place, World, steps};

/// Documents of a migration of steps.
const DOCUMENTS: i32 = 3_000;
/// How long anything may take while everything happens.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Program,
    Steps,
}

/// Migrations that run one after the other in one place.
pub struct Story {
    world: Arc<World>,
    place: usize,
    name: String,
    /// `None` for steps.
    program: Option<Diligent>,
}

impl Story {
    /// Two programs and one series of steps in each place.
    pub fn all(world: &Arc<World>) -> Vec<Self> {
        let mut stories = Vec::new();
        for place in 0..world.places.len() {
            for index in 0..2 {
                let name = format!("20270302_program_{place}_{index}");
                let program = Diligent::new();
                for pod in &world.places[place].pods {
                    pod.add_script(&name, &program.script());
                }
                stories.push(Self { world: world.clone(), place, name, program: Some(program) });
            }
            stories.push(Self { world: world.clone(), place, name: format!("steps_{place}"), program: None });
        }
        stories
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Goes on until the time is over.
    pub fn tell(&self, mut random: Random, until: Instant, tally: &Tally) {
        let mut index = 0;
        while Instant::now() < until {
            match &self.program {
                Some(_) => {
                    self.run(&self.name, &mut random, tally);
                    tally.run(Work::Program);
                }
                None if index < self.world.steps => {
                    let name = steps(self.place, index);
                    self.again(|| fill(&self.world.data, &name, DOCUMENTS));
                    self.run(&name, &mut random, tally);
                    self.count(&name, tally);
                    tally.run(Work::Steps);
                    index += 1;
                }
                None => return,
            }
        }
    }

    /// Launches a migration, has some faults happen to it, and lets it come to its end.
    fn run(&self, name: &str, random: &mut Random, tally: &Tally) {
        let place: &Place = &self.world.places[self.place];
        let checker = Checker { pods: place.pods.iter().collect(), migration: name, program: self.program.as_ref() };
        let launched = Instant::now();
        while !self.launch(name, random, tally) {
            assert!(launched.elapsed() < PATIENCE, "{name} cannot be launched: {:#}", checker.latest());
        }
        for _ in 0..random.below(5) {
            let Some(run) = self.at_work(&checker, random) else { break };
            sleep(random.within(Duration::from_millis(1_500)));
            let fault = Fault::any(random, self.program.is_some());
            if (Victim { place, name, run: &run }).suffers(fault, random) {
                tally.fault(fault.word());
            }
        }
        self.world.places[self.place].mend();
        if checker.latest()["state"] != "cancelled" {
            if self.program.is_none() {
                let _ = self.pod(random).stopover(&["tune", name, "--pace", "100"]);
            }
            checker.finish();
        }
        let (_, violations) = checker.look();
        for violation in violations {
            tally.violation(&violation);
        }
    }

    /// Whether a run was recorded. Sometimes many want to launch, and sometimes the launcher is killed at once.
    fn launch(&self, name: &str, random: &mut Random, tally: &Tally) -> bool {
        let mut arguments = vec!["run", name];
        if self.program.is_some() {
            arguments.push("--rerun");
        }
        let count = if random.below(4) == 0 { 3 } else { 1 };
        let mut launchers: Vec<_> = (0..count)
            .map(|_| {
                self.pod(random)
                    .command(&arguments)
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        if count > 1 {
            tally.fault("launches at once");
        }
        if random.below(6) == 0 {
            tally.fault("launchers killed");
            sleep(random.within(Duration::from_millis(150)));
            let _ = launchers[0].kill();
        }
        let printed = launchers.into_iter().filter_map(|launcher| launcher.wait_with_output().ok());
        let launched = printed.filter(|output| output.status.success()).count();
        if launched > 1 {
            tally.violation(&Violation::Twice(format!("{name} was launched {launched} times at once")));
        }
        let shown = self.pod(random).stopover(&["show", name, "--json"]);
        let shown: Option<Value> = serde_json::from_str(&shown.stdout).ok();
        // A launcher that was killed may have recorded it, or not.
        launched > 0
            || shown.is_some_and(|shown| {
                shown["runs"][0]["state"].as_str().is_some_and(|state| !["succeeded", "cancelled"].contains(&state))
            })
    }

    /// The run when a worker is at it, which takes a resume when it stands still; `None` when it has come to its end.
    fn at_work(&self, checker: &Checker<'_>, random: &mut Random) -> Option<Value> {
        let begun = Instant::now();
        loop {
            let run = checker.latest();
            match run["state"].as_str().unwrap() {
                "running" => return Some(run),
                "succeeded" | "cancelled" => return None,
                "lost" | "paused" | "interrupted" | "failed" => {
                    // Two operators, or one.
                    let resume = ["resume", run["id"].as_str().unwrap()];
                    let mut resumes: Vec<_> = (0..=random.below(2))
                        .map(|_| {
                            let mut command = self.pod(random).command(&resume);
                            let streams =
                                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                            streams.spawn().unwrap()
                        })
                        .collect();
                    for resume in &mut resumes {
                        let _ = resume.wait();
                    }
                }
                _ => sleep(Duration::from_millis(100)),
            }
            assert!(begun.elapsed() < PATIENCE, "nobody works on {run:#}");
        }
    }

    /// Looks at the documents of a migration of steps that has ended.
    fn count(&self, name: &str, tally: &Tally) {
        let groups = self.again(|| by_touched(&self.world.data, name));
        for (times, count) in groups {
            match times {
                0 => tally.violation(&Violation::Lost(format!("{count} documents of {name} were left out"))),
                1 => {}
                _ => {
                    tally.violation(&Violation::Twice(format!(
                        "{count} documents of {name} were changed {times} times"
                    )));
                }
            }
        }
        self.again(|| async {
            self.world.data.collection::<bson::Document>(name).drop().await.unwrap();
        });
    }

    /// Asks the server, again when it is away just then.
    fn again<T: Send + 'static, F: Future<Output = T>>(&self, ask: impl Fn() -> F) -> T {
        let begun = Instant::now();
        loop {
            let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.world.runtime.block_on(ask())));
            match asked {
                Ok(answer) => return answer,
                Err(panic) if begun.elapsed() > PATIENCE => std::panic::resume_unwind(panic),
                Err(_) => sleep(Duration::from_secs(1)),
            }
        }
    }

    fn pod(&self, random: &mut Random) -> &Scene {
        let pods = &self.world.places[self.place].pods;
        &pods[usize::try_from(random.below(pods.len() as u64)).unwrap()]
    }
}
