//! A real terminal with the real binary in it: what it shows, and what happens when it goes away.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::eventually;
use super::link::{Link, Quality};
use super::scene::{PATIENCE, STOPOVER, Scene};

/// The status query, and what a terminal answers.
const QUERY: &[u8] = b"\x1b[5n";
const ANSWER: &[u8] = b"\x1b[0n";

/// What kind of terminal it is, and how it is connected.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Its link.
    pub quality: Quality,
    /// Whether it answers a status query, as terminals do.
    pub answers: bool,
    /// Columns and rows, which may be unknown (0 by 0).
    pub size: (u16, u16),
}

impl Default for Manner {
    /// One next door, of 120 by 40.
    fn default() -> Self {
        Self { quality: Quality::QUICK, answers: true, size: (120, 40) }
    }
}

/// A terminal of a size with a process in it.
pub struct Terminal {
    master: Option<Box<dyn MasterPty + Send>>,
    keyboard: Keyboard,
    link: Arc<Link>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
    received: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    /// Tells the thread that reads the process's end to let go of the terminal at its next byte.
    let_go: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

type Keyboard = Arc<Mutex<Option<Box<dyn Write + Send>>>>;

impl Terminal {
    /// Opens the console of a scene in a terminal of 120 by 40.
    pub fn console(scene: &Scene, arguments: &[&str]) -> Self {
        Self::at(scene, Manner::default(), STOPOVER, arguments)
    }

    /// The same in a terminal of any size, which may be unknown (0 by 0).
    pub fn sized(scene: &Scene, arguments: &[&str], columns: u16, rows: u16) -> Self {
        Self::at(scene, Manner { size: (columns, rows), ..Manner::default() }, STOPOVER, arguments)
    }

    /// Any program, in the environment of a scene.
    pub fn of_program<T: AsRef<std::ffi::OsStr>>(
        scene: &Scene,
        program: &str,
        arguments: &[T],
        columns: u16,
        rows: u16,
    ) -> Self {
        Self::at(scene, Manner { size: (columns, rows), ..Manner::default() }, program, arguments)
    }

    /// Any program at a terminal of any kind.
    pub fn at<T: AsRef<std::ffi::OsStr>>(scene: &Scene, manner: Manner, program: &str, arguments: &[T]) -> Self {
        let (columns, rows) = manner.size;
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env_clear();
        for (name, value) in scene.environment() {
            command.env(name, value);
        }
        command.env("TERM", "xterm");
        command.cwd(scene.path());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows.max(24)), cells(columns.max(80)), 0)));
        let received = Arc::new(AtomicU64::new(0));
        let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let let_go = Arc::new(AtomicBool::new(false));
        let link = Link::new(manner.quality);
        let keyboard: Keyboard = Arc::new(Mutex::new(Some(pair.master.take_writer().unwrap())));
        let reader = {
            let (link, let_go) = (Arc::clone(&link), Arc::clone(&let_go));
            std::thread::spawn(move || {
                let mut bytes = [0; 8192];
                while let Ok(length @ 1..) = output.read(&mut bytes) {
                    if !link.take(&bytes[..length]) || let_go.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
        };
        let answers = manner.answers.then(|| answering(Arc::clone(&keyboard), Arc::clone(&answered)));
        {
            let (link, screen, received) = (Arc::clone(&link), Arc::clone(&screen), Arc::clone(&received));
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || {
                let mut tail = Vec::new();
                while let Some(bytes) = link.carry() {
                    received.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    screen.lock().unwrap().process(&bytes);
                    // A question may come in pieces.
                    tail.extend_from_slice(&bytes);
                    let questions = tail.windows(QUERY.len()).filter(|bytes| *bytes == QUERY).count();
                    tail.drain(..tail.len().saturating_sub(QUERY.len() - 1));
                    asked.fetch_add(questions as u64, Ordering::SeqCst);
                    if let Some(answers) = &answers {
                        (0..questions).for_each(|_| answers.send(Instant::now() + link.delay()).unwrap());
                    }
                }
            });
        }
        Self {
            master: Some(pair.master),
            keyboard,
            link,
            child,
            screen,
            received,
            asked,
            answered,
            let_go,
            reader: Some(reader),
        }
    }

    /// Types bytes.
    pub fn type_keys(&self, keys: &str) {
        let mut keyboard = self.keyboard.lock().unwrap();
        let keyboard = keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, PATIENCE, || {
                last = self.text();
                last.contains(text).then_some(())
            });
        }));
        assert!(found.is_ok(), "the screen never showed {text:?}:\n{}", self.text());
    }

    /// Waits until the screen no longer shows a text.
    #[track_caller]
    pub fn no_longer_shows(&self, text: &str) {
        eventually(&format!("{text} is gone"), PATIENCE, || (!self.text().contains(text)).then_some(()));
    }

    /// Bytes that the terminal has shown so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// Status queries that have come, and that were answered.
    pub fn questions(&self) -> (u64, u64) {
        (self.asked.load(Ordering::SeqCst), self.answered.load(Ordering::SeqCst))
    }

    /// What is in a cell of the screen.
    pub fn cell(&self, row: u16, column: u16) -> String {
        let screen = self.screen.lock().unwrap();
        screen.screen().cell(row, column).map_or_else(String::new, |cell| cell.contents().to_owned())
    }

    /// Whether the alternate screen is shown, and whether the cursor is hidden.
    pub fn modes(&self) -> (bool, bool) {
        let screen = self.screen.lock().unwrap();
        (screen.screen().alternate_screen(), screen.screen().hide_cursor())
    }

    /// The line discipline's settings.
    pub fn discipline(&self) -> String {
        format!("{:?}", self.master.as_ref().unwrap().get_termios())
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        // What is drawn while a size is unknown needs a place, too.
        let (shown_rows, shown_columns) = if rows == 0 { (24, 80) } else { (rows, columns) };
        self.screen.lock().unwrap().screen_mut().set_size(cells(shown_rows), cells(shown_columns));
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().unwrap().resize(size).unwrap();
    }

    /// Stops reading, so that the terminal fills up: somebody's connection hangs.
    pub fn stall(&self) {
        self.let_go.store(true, Ordering::SeqCst);
    }

    /// The client is killed, or the network is gone: nothing is shown or answered any more, nobody is told, and what is between takes some more
    /// before it is full.
    pub fn vanish(&self) {
        self.link.vanish();
    }

    /// Pulls the plug: both ends of the terminal are closed while the process lives.
    pub fn hang_up(&mut self) {
        self.let_go.store(true, Ordering::SeqCst);
        // Its answer wakes the reading thread, which then lets go of its end.
        self.type_keys("?");
        self.reader.take().unwrap().join().unwrap();
        *self.keyboard.lock().unwrap() = None;
        self.master = None;
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// CPU time that the process has used.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{}/stat", self.pid()))).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The kernel counts in hundredths of a second here, whatever its own clock is.
        Duration::from_millis(ticks * 10)
    }

    /// Waits at most so long for the process to end, and answers its exit status.
    #[track_caller]
    pub fn ends_within(&mut self, within: Duration) -> u32 {
        eventually("the console has ended", within, || self.child.try_wait().unwrap()).exit_code()
    }
}

/// The thread that types answers when they are due.
fn answering(keyboard: Keyboard, answered: Arc<AtomicU64>) -> mpsc::Sender<Instant> {
    let (answers, due) = mpsc::channel::<Instant>();
    std::thread::spawn(move || {
        for due in due {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Some(keyboard) = keyboard.lock().unwrap().as_mut() {
                // The process may have ended.
                let _ = keyboard.write_all(ANSWER);
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
    });
    answers
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
        }
        self.link.close();
    }
}
