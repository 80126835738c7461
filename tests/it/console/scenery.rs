//! A small payments catalog with a history, and a console that looks at it without any outside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;
use stopover::catalog::{
    Broken, Catalog, Checksum, CommandTemplate, Entry, Migration, MigrationId, ParamKind, ParamSpec, Problem, Work,
};
use stopover::config::{Config, MirrorTarget, StateDir};
use stopover::console::app::App;
use stopover::console::effect::Effect;
use stopover::console::message::{Feed, Inspected, LogNews, Message};
use stopover::console::{Appearance, ui, update};
use stopover::ledger::{
    Checkpoint, EnvironmentName, Event, EventKind, Failure, FailureCause, Histories, Launch, LaunchParam, Lease,
    LedgerAddress, Passport, Progress, Rate, RemainingCount, Run, RunId, RunState, Seen, Worker,
};
use stopover::logs::reader::{Extent, Line, Origin};
use stopover::logs::record::Stream;
use stopover::logs::sanitise::{Colour, Ink, Span};
use stopover::place::{Actor, Place};
use stopover::process::ProcessIdentity;
use stopover::secret::Secret;
use stopover::time::Timestamp;

/// The moment of all pictures, by the ledger's clock.
pub fn now() -> Timestamp {
    "2026-11-23T02:13:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().into()
}

pub fn ago(seconds: u64) -> Timestamp {
    now().minus(Duration::from_secs(seconds))
}

pub fn id(name: &str) -> MigrationId {
    MigrationId::new(name).unwrap()
}

pub fn checksum(digit: char) -> Checksum {
    serde_json::from_value(json!(digit.to_string().repeat(64))).unwrap()
}

pub fn actor(operator: &str, pod: &str) -> Actor {
    let place = Place {
        pod: pod.to_owned(),
        namespace: Some("payments".to_owned()),
        node: None,
        image: Some("registry/payments:1.84.0".to_owned()),
        version: "0.1.0".to_owned(),
        revision: Some("3f2a9c1d0b5e".to_owned()),
    };
    Actor { operator: operator.to_owned(), place: place.into() }
}

pub fn config() -> Config {
    Config {
        catalog: "/app/stopover.yaml".into(),
        state_dir: StateDir::new("/var/lib/stopover"),
        ledger: LedgerAddress::parse("mongodb://stopover:s3cret@db-0:27017/payments").unwrap(),
        database: Some(Secret::new("mongodb://stopover:s3cret@db-0:27017/payments")),
        environment: Some(EnvironmentName::new("production").unwrap()),
        mirror: MirrorTarget::Off,
        log_format: stopover::config::LogFormat::Text,
        diagnostics: stopover::config::Verbosity::default(),
        actor: actor("ana", "stopover-7d9f"),
        from_files: Vec::new(),
        read_only: None,
        lease: stopover::lease::LeaseTerms::new(stopover::lease::LeaseSettings::default()).unwrap(),
        grace: Duration::from_secs(10),
        notify: Arc::default(),
    }
}

pub fn passport(environment: &str, protected: bool) -> Passport {
    Passport {
        environment: EnvironmentName::new(environment).unwrap(),
        protected,
        cluster: None,
        stamped_at: ago(8_000_000),
        stamped_by: actor("kim", "stopover-1a2b"),
    }
}

fn migration(name: &str, description: &str) -> Migration {
    let file = PathBuf::from(format!("migrations/{name}.yaml"));
    Migration {
        id: id(name),
        checksum: checksum('a'),
        description: description.to_owned(),
        owner: Some("payments".to_owned()),
        tags: Vec::new(),
        requires: Vec::new(),
        params: Vec::new(),
        remaining: None,
        timeout: None,
        resume: stopover::catalog::ResumePolicy::Manual,
        needs_mongodb: true,
        work: Work::Executable(CommandTemplate::new(
            vec!["node".to_owned(), format!("{name}.js")],
            Path::new("/app/migrations").into(),
            &file,
        )),
        file,
    }
}

pub const APPLIED: &str = "20261101_backfill_settled_at";
pub const CHANGED: &str = "20261102_translate_receipts";
pub const RUNNING: &str = "20261104_add_sender_to_transactions";
pub const FAILED: &str = "20261105_normalise_customer_phones";
pub const PAUSED: &str = "20261106_merge_duplicate_customers";
pub const LOST: &str = "20261107_replay_webhooks";
pub const PENDING: &str = "20261110_export_transactions_to_auditor";
pub const BROKEN: &str = "20261112_recount_balances";
pub const MISSING: &str = "20260930_drop_legacy_tokens";

pub fn catalog() -> Catalog {
    let param = |name: &str, kind, secret, description: &str| ParamSpec {
        name: name.to_owned(),
        kind,
        default: None,
        required: true,
        secret,
        description: description.to_owned(),
    };
    let region = ParamKind::Choice(vec!["BR".to_owned(), "MX".to_owned()]);
    let ready = |migration: Migration| Entry::Ready(Box::new(migration));
    let entries = vec![
        ready(migration(APPLIED, "Give every captured charge the day it was settled")),
        ready(migration(CHANGED, "Translate the receipts' texts")),
        ready(migration(RUNNING, "Give every old transaction the sender it was created with")),
        ready(migration(FAILED, "Normalise customer phones to E.164, 支払い")),
        ready(migration(PAUSED, "Merge customers that signed up twice")),
        ready(migration(LOST, "Replay the webhooks of the outage in October")),
        ready(Migration {
            params: vec![
                param("region", region, false, "whose transactions"),
                param("token", ParamKind::String, true, "of the auditor's store"),
            ],
            requires: vec![id(APPLIED), id(RUNNING)],
            tags: vec!["audit".to_owned()],
            timeout: Some(Duration::from_hours(2)),
            ..migration(PENDING, "Hand the quarter's transactions to the auditor")
        }),
        Entry::Broken(Broken {
            id: id(BROKEN),
            file: format!("migrations/{BROKEN}.yaml").into(),
            problems: vec![Problem {
                file: format!("migrations/{BROKEN}.yaml").into(),
                position: Some((4, 3)),
                text: Some("  comand: [python3, recount_balances.py]".to_owned()),
                message: "unknown key `comand` in a manifest".to_owned(),
                remedy: "did you mean `command`?".to_owned(),
            }],
        }),
    ];
    Catalog { root: "/app".into(), entries, problems: Vec::new() }
}

/// A run whose id ends in `digits`, eight of them.
pub fn run(name: &str, digits: &str, operator: &str, started: Timestamp, state: RunState) -> Run {
    let updated_at = now();
    Run {
        id: format!("019a0000-0000-7000-8000-0000{digits}").parse().unwrap(),
        migration: id(name),
        created_at: started,
        launch: Launch {
            by: actor(operator, "stopover-7d9f"),
            rerun: false,
            forced: false,
            command: vec!["node".to_owned(), format!("{name}.js")],
            params: Vec::new(),
            checksum: checksum('a'),
            resume: stopover::catalog::ResumePolicy::Manual,
            quarantine_of: None,
        },
        attempt: 1,
        started_at: Some(started),
        worker: Some(Worker {
            place: actor(operator, "stopover-7d9f").place,
            process: ProcessIdentity { pid: 4711, start_ticks: 1 },
        }),
        state,
        tuning: None,
        resumed: None,
        recoveries: Vec::new(),
        loss: None,
        beat: 0,
        progress: Progress::default(),
        checkpoint: None,
        updated_at,
    }
}

pub fn running() -> Run {
    let lease = Lease::granted(ago(2), Duration::from_secs(30));
    let state = RunState::Running { since: ago(320), lease, wish: None };
    let mut run = run(RUNNING, "9f3c1a2b", "ana", ago(320), state);
    run.attempt = 2;
    run.progress = Progress {
        done: Some(1_248_000),
        total: Some(2_400_000),
        message: Some("batch 1,248 of 2,400".to_owned()),
        rate: Some(Rate { recent: 4_210.4, overall: 3_900.0 }),
        remaining: Some(RemainingCount {
            count: 1_152_000,
            at: ago(4),
            history: (0..32).map(|step| 2_400_000 - step * 40_000).collect(),
            stalled_since: None,
        }),
        warnings: vec!["the output of PID 1 cannot be opened: this run is not in `kubectl logs`".to_owned()],
        engine: None,
    };
    run
}

pub fn histories() -> Histories {
    let hour = 3600;
    let succeeded = |at| RunState::Succeeded { at };
    let failure = Failure {
        cause: FailureCause::Exit { status: 3 },
        last_lines: vec!["customer 8812: +55 (11) 9????-1234 is no phone number".to_owned()],
    };
    let mut applied = run(APPLIED, "11112222", "kim", ago(80 * hour), succeeded(ago(76 * hour)));
    applied.progress.remaining =
        Some(RemainingCount { count: 0, at: ago(76 * hour), history: vec![10, 0], stalled_since: None });
    let mut changed = run(CHANGED, "22223333", "ana", ago(100 * hour), succeeded(ago(99 * hour)));
    changed.launch.checksum = checksum('b');
    let mut failed =
        run(FAILED, "ab12cd34", "ana", ago(2 * hour + 240), RunState::Failed { at: ago(2 * hour), failure });
    failed.checkpoint = Some(Checkpoint::new("{\"after\":8811}".to_owned()).unwrap());
    let paused = run(
        PAUSED,
        "33334444",
        "joe",
        ago(9 * hour),
        RunState::Paused { at: ago(8 * hour), by: actor("joe", "stopover-1a2b") },
    );
    let lease = Lease::granted(ago(95), Duration::from_secs(30));
    let mut lost = run(LOST, "44445555", "joe", ago(700), RunState::Running { since: ago(700), lease, wish: None });
    lost.worker = Some(Worker {
        place: actor("joe", "stopover-5c77").place,
        process: ProcessIdentity { pid: 88, start_ticks: 1 },
    });
    let missing = run(MISSING, "55556666", "kim", ago(1500 * hour), succeeded(ago(1499 * hour)));
    let mut histories = Histories::new();
    for run in [applied, changed, running(), failed, paused, lost, missing] {
        histories.entry(run.migration.clone()).or_default().absorb(run);
    }
    histories
}

pub fn events(run: &Run) -> Vec<Event> {
    let event = |seconds, attempt, kind, text: &str| Event {
        at: ago(seconds),
        attempt,
        kind,
        by: Some(run.launch.by.clone()),
        text: text.to_owned(),
    };
    vec![
        event(320, 1, EventKind::Launched, "ana launched it"),
        event(318, 1, EventKind::Claimed, "attempt 1 started in pod stopover-1a2b, pid 210"),
        event(90, 1, EventKind::Interrupted, "interrupted: its pod was shut down"),
        event(60, 2, EventKind::Resumed, "ana resumed it; it was interrupted"),
        event(59, 2, EventKind::Claimed, "attempt 2 started in pod stopover-7d9f, pid 4711"),
    ]
}

/// A console that knows what it is told, and keeps what it asks for.
pub struct Desk {
    pub app: App,
    pub effects: Vec<Effect>,
}

impl Desk {
    /// Before anything is known.
    pub fn blank(config: Config, size: (u16, u16)) -> Self {
        Self { app: App::new(Arc::new(config), Appearance::default(), size), effects: Vec::new() }
    }

    /// With catalog and ledger read, in a protected production.
    pub fn ready(size: (u16, u16)) -> Self {
        Self::with(config(), Some(passport("production", true)), size)
    }

    /// With catalog and ledger read.
    pub fn with(config: Config, passport: Option<Passport>, size: (u16, u16)) -> Self {
        let mut desk = Self::blank(config, size);
        desk.app.clock.advance(Duration::from_secs(3));
        desk.tell(Message::Catalog(Arc::new(catalog())));
        desk.tell(Message::Feed(Feed::Passport { passport, cluster: None }));
        desk.tell(Message::Feed(Feed::Everything {
            seen: Seen { now: now(), value: histories() },
            latency: Duration::from_millis(2),
        }));
        desk
    }

    pub fn tell(&mut self, message: Message) {
        self.effects.extend(update::update(&mut self.app, message));
    }

    /// Presses keys: letters as they are, others by name, set apart by spaces.
    pub fn press(&mut self, keys: &str) {
        for name in keys.split(' ') {
            let (code, modifiers) = match name {
                "enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "esc" => (KeyCode::Esc, KeyModifiers::NONE),
                "tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "up" => (KeyCode::Up, KeyModifiers::NONE),
                "down" => (KeyCode::Down, KeyModifiers::NONE),
                "left" => (KeyCode::Left, KeyModifiers::NONE),
                "right" => (KeyCode::Right, KeyModifiers::NONE),
                "pgdn" => (KeyCode::PageDown, KeyModifiers::NONE),
                "home" => (KeyCode::Home, KeyModifiers::NONE),
                "ctrl-c" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                letter => (KeyCode::Char(letter.chars().next().unwrap()), KeyModifiers::NONE),
            };
            self.tell(Message::Key(KeyEvent::new(code, modifiers)));
        }
    }

    pub fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.tell(Message::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
        }
    }

    pub fn select(&mut self, name: &str) {
        self.app.table.select(&id(name));
        self.tell(Message::Tick);
    }

    /// Answers what the desk asked about the selected migration and its log.
    pub fn inspected(&mut self, log: Vec<Line>) {
        let run = self.app.latest_run().unwrap().clone();
        let mut earlier = run.clone();
        earlier.id = "019a0000-0000-7000-8000-000000000001".parse().unwrap();
        earlier.state = RunState::Cancelled { at: ago(90_000), by: actor("kim", "stopover-1a2b") };
        earlier.created_at = ago(90_100);
        earlier.started_at = Some(ago(90_100));
        earlier.attempt = 1;
        self.tell(Message::Inspected(Box::new(Inspected {
            migration: run.migration.clone(),
            events: events(&run),
            run: Some(run.id),
            runs: Ok(vec![run.clone(), earlier]),
        })));
        let lines = log.len() as u64;
        let extent = Extent { lines, bytes: lines * 60 };
        let origin = Origin::File("/var/lib/stopover/runs/x.log".into());
        self.tell(Message::Log(run.id, LogNews::Extent { extent, origin }));
        self.tell(Message::Log(run.id, LogNews::Lines { first: 0, lines: log }));
    }

    /// Effects since the last look.
    pub fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, self.app.size.0, self.app.size.1));
        ui::view(&self.app, &mut buffer);
        buffer
    }

    /// The screen as text, one line a row, without blanks at the ends.
    pub fn screen(&self) -> String {
        let buffer = self.buffer();
        let mut screen = String::new();
        for y in 0..buffer.area.height {
            let mut row = String::new();
            let mut x = 0;
            while x < buffer.area.width {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
            }
            screen.push_str(row.trim_end());
            screen.push('\n');
        }
        screen
    }
}

pub fn log_lines(count: u64) -> Vec<Line> {
    (0..count)
        .map(|number| {
            let text = |text: String, ink| vec![Span { ink, text }];
            let green = Ink { foreground: Some(Colour::Indexed(2)), ..Ink::default() };
            let (stream, spans) = match number {
                0 => (Stream::System, text("attempt 1 started".to_owned(), Ink::default())),
                n if n % 9 == 5 => (
                    Stream::Stderr,
                    text(format!("charge {n}: the gateway did not answer, trying again"), Ink::default()),
                ),
                n => {
                    let mut spans = text(format!("charge {n} of 300 "), Ink::default());
                    spans.push(Span { ink: green, text: "settled".to_owned() });
                    spans.push(Span {
                        ink: Ink::default(),
                        text: format!(" in batch {} by the overnight settlement, reference 支払 {}", n / 10, n * 7919),
                    });
                    (Stream::Stdout, spans)
                }
            };
            Line { number, time: Some(ago(300).plus(Duration::from_millis(number * 41))), stream, spans, cut: false }
        })
        .collect()
}

/// The param as the ledger would keep it.
pub fn secret_param(name: &str) -> LaunchParam {
    LaunchParam { name: name.to_owned(), value: "***".to_owned(), secret: true }
}

/// Any run's id.
pub fn some_run() -> RunId {
    RunId::generate()
}
