//! What the console costs: time to the first frame, memory, idle processor time, bytes to the terminal, and the way from a key
//! to a running migration; with 10,000 migrations, 100,000 runs and a log of 1 GB.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::measure::{cpu, median, memory, show};
use crate::scene::{Eye, STOPOVER, Scene};

const MIGRATIONS: usize = 10_000;
const RUNS: usize = 100_000;
const ROUNDS: usize = 9;
const ROWS: NonZeroU16 = NonZeroU16::new(40).expect("not zero");
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).expect("not zero");
const WINDOW: Duration = Duration::from_secs(10);

/// Sorts first, so that the console opens on them.
const PRINTS: &str = "00000001_prints_a_gigabyte";
const FLOODS: &str = "00000002_floods";
const QUICK: &str = "00000003_sleeps";

/// Prints the table.
pub fn run() {
    let scene = Scene::new(
        MIGRATIONS,
        &[
            (
                PRINTS,
                "yes xxxxxxxx charge settled, sender set, balance verified, and some more words to make the line an ordinary one | head -c 1000000000",
            ),
            (FLOODS, "exec timeout 40 yes charge settled, sender set, balance verified"),
            (QUICK, "exec sleep 600"),
        ],
    );
    println!("\nconsole: {MIGRATIONS} migrations, {RUNS} runs in the embedded ledger, 120x40");
    scene.fill(MIGRATIONS, RUNS);

    let small = Scene::new(10, &[]);
    small.must(&["list"]);
    let mut first_small = Vec::new();
    let mut first = Vec::new();
    let mut full = Vec::new();
    for _ in 0..ROUNDS {
        first_small.push(Console::open(&small).first_frame());
        let console = Console::open(&scene);
        first.push(console.first_frame());
        full.push(console.until("applied"));
    }
    show("first frame, 10 migrations (median)", &format!("{:.0} ms", median(first_small)));
    show("first frame (median; aim: under 100 ms)", &format!("{:.0} ms", median(first)));
    show("first frame with the ledger's states (median)", &format!("{:.0} ms", median(full)));

    let console = Console::open(&scene);
    console.until("applied");
    thread::sleep(Duration::from_secs(2));
    idle("idle", &console);
    drop(console);

    scene.must(&["run", PRINTS, "--wait"]);
    let mut console = Console::open(&scene);
    console.until("applied");
    console.select(PRINTS);
    console.keys("l");
    console.until("xxxxxxxx");
    idle("a 1 GB log open", &console);
    drop(console);

    scene.must(&["run", FLOODS]);
    let mut console = Console::open(&scene);
    console.until("applied");
    console.select(FLOODS);
    console.keys("l");
    console.until("charge settled");
    idle("a log flood (yes) open and followed", &console);
    drop(console);

    launch(&scene);
}

/// Memory, processor time and terminal bytes over a quiet window.
fn idle(what: &str, console: &Console) {
    let (bytes, time, started) = (console.bytes(), cpu(console.pid), Instant::now());
    thread::sleep(WINDOW);
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate on a screen")]
    let rate = (console.bytes() - bytes) as f64 / seconds;
    show(
        what,
        &format!(
            "RSS {:.0} MiB (peak {:.0})   cpu {:.2} %   {rate:.0} B/s to the terminal",
            memory(console.pid, "VmRSS"),
            memory(console.pid, "VmHWM"),
            (cpu(console.pid) - time) / seconds * 100.0,
        ),
    );
}

/// From the confirming key to `running` in the ledger, as another process sees it.
fn launch(scene: &Scene) {
    let mut figures = Vec::new();
    let eye = Eye::on(scene);
    for _ in 0..5 {
        let mut console = Console::open(scene);
        console.until("applied");
        console.select(QUICK);
        console.keys("R");
        console.until("esc leave");
        console.keys("again");
        let started = Instant::now();
        console.keys("\r");
        eye.until_running(QUICK);
        figures.push(started.elapsed().as_secs_f64() * 1_000.0);
        scene.must(&["cancel", QUICK, "--wait"]);
        drop(console);
    }
    show("from the key to `running` in the ledger (median)", &format!("{:.0} ms", median(figures)));
}

/// A console in a terminal of its own; killed when dropped.
struct Console {
    pid: u32,
    child: Box<dyn Child + Send + Sync>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    screen: Arc<Mutex<Screen>>,
    started: Instant,
    // The terminal lives as long as this.
    _master: Box<dyn MasterPty + Send>,
}

struct Screen {
    parser: vt100::Parser,
    bytes: u64,
    first_frame: Option<Instant>,
}

impl Console {
    fn open(scene: &Scene) -> Self {
        let pty = native_pty_system()
            .openpty(PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 })
            .expect("a pty");
        let mut command = CommandBuilder::new(STOPOVER);
        command.env_clear();
        command.env("TERM", "xterm");
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        for (variable, value) in scene.variables() {
            command.env(variable, value);
        }
        let mut reader = pty.master.try_clone_reader().expect("its output");
        let writer = Arc::new(Mutex::new(pty.master.take_writer().expect("its input")));
        let started = Instant::now();
        let child = pty.slave.spawn_command(command).expect("the binary starts");
        drop(pty.slave);
        let screen =
            Arc::new(Mutex::new(Screen { parser: vt100::Parser::new(ROWS, COLUMNS, 0), bytes: 0, first_frame: None }));
        let (shared, keyboard) = (Arc::clone(&screen), Arc::clone(&writer));
        thread::spawn(move || {
            let mut buffer = [0; 16_384];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let mut screen = shared.lock().expect("no reader panics");
                screen.bytes += count as u64;
                screen.parser.process(&buffer[..count]);
                // As terminals do. A question that comes in pieces is missed, and asked again.
                for _ in buffer[..count].windows(4).filter(|bytes| *bytes == b"\x1b[5n") {
                    let _ = keyboard.lock().expect("no writer panics").write_all(b"\x1b[0n");
                }
                if screen.first_frame.is_none() && screen.parser.screen().contents().contains("MIGRATION") {
                    screen.first_frame = Some(Instant::now());
                }
            }
        });
        Self { pid: child.process_id().expect("it runs"), child, writer, screen, started, _master: pty.master }
    }

    fn bytes(&self) -> u64 {
        self.screen.lock().expect("no reader panics").bytes
    }

    /// Milliseconds from the start of the process to its first frame.
    fn first_frame(&self) -> f64 {
        let frame = self.wait("the first frame", |screen| screen.first_frame);
        (frame - self.started).as_secs_f64() * 1_000.0
    }

    /// Milliseconds from the start of the process until the screen shows `text`.
    fn until(&self, text: &str) -> f64 {
        self.wait(text, |screen| screen.parser.screen().contents().contains(text).then_some(()));
        self.started.elapsed().as_secs_f64() * 1_000.0
    }

    fn wait<T>(&self, what: &str, probe: impl Fn(&Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.screen.lock().expect("no reader panics");
            if let Some(found) = probe(&screen) {
                return found;
            }
            assert!(Instant::now() < deadline, "never saw {what}:\n{}", screen.parser.screen().contents());
            drop(screen);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Filters the table down to one migration.
    fn select(&mut self, migration: &str) {
        self.keys(&format!("/{migration}\r"));
        self.until(&format!("\u{2500} {migration}"));
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            let mut bytes = [0; 4];
            let bytes = key.encode_utf8(&mut bytes).as_bytes();
            self.writer.lock().expect("no writer panics").write_all(bytes).expect("the terminal takes keys");
            thread::sleep(Duration::from_millis(60));
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
