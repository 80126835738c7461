//! A soak: many migrations, programs and steps, in several pods, with both kinds of ledger, and everything that can happen to them, at random, for as long as is asked for. `scripts/soak
//! MINUTES [SEED]` runs it. At its end the checker of the tests has looked at every run; the exit status tells whether anything was lost or done twice.
//!
//! What happens is chosen by the seed; when it hits is not, for processes are what they are.

#![allow(clippy::unwrap_used, reason = "what should not be ends the soak")]

#[path = "../../tests/it/faults/checker/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests, which need more of it")]
mod checker;
#[path = "../../tests/it/engine/faults/random.rs"]
mod random;
#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

mod faults;
mod story;
mod tally;
mod world;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use random::Random;
use story::{Story, Work};
use tally::Tally;
use world::World;

/// What is asked for.
struct Options {
    minutes: f64,
    seed: u64,
}

impl Options {
    fn read() -> Self {
        let numbers: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
        let minutes = numbers.first().map_or(Ok(1.0), |number| number.parse());
        let minutes = minutes.expect("the first number is how many minutes it shall go on");
        let seed = numbers.get(1).map(|number| number.parse().expect("the second number is a seed"));
        Self { minutes, seed: seed.unwrap_or_else(Random::seed) }
    }
}

fn main() {
    let options = Options::read();
    println!("{} minutes, seed {}", options.minutes, options.seed);
    let until = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let tally = Arc::new(Tally::default());
    let world = Arc::new(World::new(until));
    let weather = {
        let (world, tally, random) = (world.clone(), tally.clone(), Random::new(options.seed, 1));
        thread::spawn(move || world.weather(random, until, &tally))
    };
    let stories: Vec<_> = Story::all(&world)
        .into_iter()
        .zip(2..)
        .map(|(story, sequence)| {
            let (tally, random) = (tally.clone(), Random::new(options.seed, sequence));
            (story.name().to_owned(), thread::spawn(move || story.tell(random, until, &tally)))
        })
        .collect();
    for (name, story) in stories {
        if let Err(panic) = story.join() {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            tally.violation(&checker::Violation::Lost(format!("{name}: {}", words.unwrap_or_default())));
        }
    }
    weather.join().unwrap();
    world.all_quiet(&tally);
    let kinds = [Work::Program, Work::Steps].map(|work| tally.runs_of(work));
    println!("{} of programs, {} of steps; {}", kinds[0], kinds[1], tally.kinds());
    println!("{tally}");
    if !tally.is_clean() {
        println!("seed {}; what is left to look at is in {}", options.seed, world.keep().display());
        std::process::exit(1);
    }
}
