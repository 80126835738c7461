//! What telemetry costs: the same backfill without it, with a backend that takes everything, with one that never answers, and with none where
//! one should be.

use crate::measure::{median, show};
use crate::otlp::{Mode, Receiver};
use crate::scene::{ONE, Scene};
use crate::server::Server;

/// What a run is told about its backend.
struct Backend {
    name: &'static str,
    variables: Vec<(&'static str, String)>,
    speed: Vec<f64>,
}

impl Backend {
    fn at(name: &'static str, port: u16) -> Self {
        // Metrics each second instead of each minute: a short run must not look better than a long one is.
        let variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
        ];
        Self { name, variables, speed: Vec::new() }
    }
}

/// Prints the table.
pub fn run(server: &Server, scene: &Scene, documents: u32, rounds: usize) {
    let (takes, hangs) = (Receiver::http(), Receiver::http());
    hangs.behave(Mode::Hang);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let mut backends = [
        Backend { name: "off", variables: Vec::new(), speed: Vec::new() },
        Backend::at("on", takes.port()),
        Backend::at("a backend that never answers", hangs.port()),
        Backend::at("nobody there", closed.expect("a port that is free").port()),
    ];
    for round in 0..rounds {
        // Each is first in turn: what comes first finds the server in another state.
        for place in 0..backends.len() {
            let backend = &mut backends[(round + place) % 4];
            server.reset(None);
            let outcome = scene.run_with(&ONE, &backend.variables);
            server.assert_done();
            backend.speed.push(f64::from(documents) / outcome.seconds);
        }
    }
    println!(
        "\ntelemetry: {documents} payments, one worker, traces, metrics and logs over HTTP, median of {rounds}, interleaved"
    );
    let [off, others @ ..] = &backends;
    // Round by round: what else this machine does changes from one to the next.
    let over = |speed: &[f64]| median(speed.iter().zip(&off.speed).map(|(speed, off)| speed / off).collect());
    for Backend { name, speed, .. } in &backends {
        let rounds: Vec<String> = speed.iter().map(|speed| format!("{speed:.0}")).collect();
        let ratio = over(speed);
        show(name, &format!("{:>8.0} documents/s  {ratio:.3} of off  ({})", median(speed.clone()), rounds.join(", ")));
    }
    let worst = others.iter().map(|backend| over(&backend.speed)).fold(f64::MAX, f64::min);
    show("the worst (aim: 0.98)", &format!("{worst:.3}"));
    let told = takes.received();
    show(
        "spans, metrics and log records that arrived",
        &format!("{}, {}, {}", told.spans.len(), told.metrics.len(), told.logs.len()),
    );
}
