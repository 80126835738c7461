//! What a backfill costs, measured on whole processes and a server of its own: `cargo bench --bench backfill`.
//!
//! A million payments of about 487 bytes get a field that is computed from another. Every way of doing it begins with the same state of a fresh
//! collection, rounds are interleaved, and medians and ratios of one run are shown. Options (after `--`): `--documents N`, `--rounds N`, and words that
//! choose parts (`speed`, `foreground`, `telemetry`).

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are for people"
)]

#[path = "../main_job/measure.rs"]
#[expect(dead_code, reason = "shared with another bench, which needs more of it")]
mod measure;

#[path = "../../tests/it/support/otlp.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "the tests need more of it, and fail by panicking")]
mod otlp;

mod bare;
mod foreground;
mod node;
mod payments;
mod scene;
mod server;
mod speed;
mod telemetry;

use scene::Scene;
use server::Server;

/// What is asked for.
struct Options {
    documents: u32,
    rounds: usize,
    parts: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { documents: 1_000_000, rounds: 3, parts: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number =
                || arguments.next().and_then(|number| number.parse::<u32>().ok()).expect("a number follows the option");
            match argument.as_str() {
                "--documents" => options.documents = number().max(1_000),
                "--rounds" => options.rounds = number().max(1) as usize,
                // `--bench` comes from cargo.
                other if other.starts_with("--") => {}
                word => options.parts.push(word.to_owned()),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|word| part.contains(word.as_str()))
    }
}

fn main() {
    let options = Options::read();
    node::install();
    let server = Server::start();
    server.fill(options.documents);
    let scene = Scene::new(server.uri());
    if options.wants("speed") {
        speed::run(&server, &scene, options.documents, options.rounds);
    }
    if options.wants("foreground") {
        foreground::run(&server, &scene, options.documents, options.rounds);
    }
    if options.wants("telemetry") {
        telemetry::run(&server, &scene, options.documents, options.rounds);
    }
}
