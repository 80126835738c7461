//! What was counted of a migration in this pod, kept in its state directory: for who asks while the worker is busy, and when it is gone.
//!
//! There is one file per migration. Each worker adds what it has counted since it last wrote to what it finds, under a lock. So the counts only
//! grow, whoever writes when: a worker that stays to tell others of the end of its run, or that was taken over, shares the file with the next.
//! A disk that is full, read-only or dead costs the counts, never the run: it is all done by a thread that nobody waits for.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::catalog::MigrationId;
use crate::config::StateDir;
use crate::pod;
use crate::process::ProcessIdentity;

use super::figures::{Figures, Totals};

/// How old a file may be while a worker lives.
const EVERY: Duration = Duration::from_secs(5);
/// How long the end of a worker is held up for the last counts.
const LAST_WITHIN: Duration = Duration::from_secs(1);
/// How long one who writes waits for another.
const LOCK_WITHIN: Duration = Duration::from_millis(500);
/// How often it looks.
const LOCK_LOOK: Duration = Duration::from_millis(10);
/// Longer is no file of ours.
const LONGEST: u64 = 64 * 1024;

/// A file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    migration: MigrationId,
    /// Who wrote it last.
    worker: ProcessIdentity,
    totals: Totals,
}

/// Keeps the figures of an attempt until it is closed.
pub struct Keeping {
    ask: Option<SyncSender<()>>,
    closed: Receiver<()>,
}

impl Keeping {
    /// Begins. Where no thread can be had, nothing is kept.
    #[must_use]
    pub fn start(state: &StateDir, figures: Arc<Figures>) -> Self {
        let path = state.metrics_of(figures.migration());
        let (ask, asked) = sync_channel(1);
        let (done, closed) = sync_channel(1);
        let keep = move || {
            let mut writer = Writer::new(path, figures);
            loop {
                writer.write();
                match asked.recv_timeout(EVERY) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    // The worker ends.
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            writer.write();
            let _ = done.send(());
        };
        let thread = thread::Builder::new().name(format!("{}-figures", super::THREADS[1])).spawn(keep);
        Self { ask: thread.is_ok().then_some(ask), closed }
    }

    /// Has the counts kept now, without waiting for that.
    pub fn keep(&self) {
        if let Some(ask) = &self.ask {
            // One who was asked already and has not looked yet keeps these, too.
            let _ = ask.try_send(());
        }
    }

    /// Keeps the last counts, and waits for that, but not for long.
    pub fn close(mut self) {
        if self.ask.take().is_some() {
            let _ = self.closed.recv_timeout(LAST_WITHIN);
        }
    }
}

struct Writer {
    path: PathBuf,
    figures: Arc<Figures>,
    /// What of this attempt is in the file.
    counted: Totals,
    /// What was in the file when this last wrote it.
    left: Totals,
}

impl Writer {
    fn new(path: PathBuf, figures: Arc<Figures>) -> Self {
        Self { path, figures, counted: Totals::default(), left: Totals::default() }
    }

    /// Adds what has come; whether that succeeded. What fails is tried again at the next occasion, with what has come until then.
    fn write(&mut self) -> bool {
        let Some(lock) = lock(&self.path) else { return false };
        let now = self.figures.totals();
        // A file that was damaged or removed meanwhile is made again.
        let found = read(&self.path).map_or_else(|| self.left.clone(), |kept| kept.totals);
        let totals = found.plus(&now.since(&self.counted));
        let worker = ProcessIdentity::current();
        let kept = Kept { migration: self.figures.migration().clone(), worker, totals };
        let is_kept = pod::write(&self.path, &kept).is_ok();
        drop(lock);
        if is_kept {
            self.counted = now;
            self.left = kept.totals;
        }
        is_kept
    }
}

/// The right to replace a file, which is let go of with what comes back. Who is dead holds none.
fn lock(path: &Path) -> Option<File> {
    crate::private::create_dir_all(path.parent()?).ok()?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .ok()?;
    let deadline = Instant::now() + LOCK_WITHIN;
    while file.try_lock().is_err() {
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOCK_LOOK);
    }
    Some(file)
}

/// What is there, unless it is damaged or not ours.
fn read(path: &Path) -> Option<Kept> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(LONGEST + 1).read_to_end(&mut text).ok()?;
    let kept: Kept = serde_json::from_slice(&text).ok().filter(|_| text.len() as u64 <= LONGEST)?;
    (path.file_stem()?.to_str()? == kept.migration.as_str()).then_some(kept)
}

/// What was counted in this pod, by migration: of those that were at work last, at most so many; and how many others there are.
#[must_use]
pub fn all(state: &StateDir, most: usize) -> (Vec<(MigrationId, Totals)>, usize) {
    let entries = fs::read_dir(state.metrics()).into_iter().flatten().flatten();
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
        .filter_map(|entry| {
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((about.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort_unstable_by(|one, other| other.cmp(one));
    let left_out = files.len().saturating_sub(most);
    files.truncate(most);
    let kept = files.iter().filter_map(|(_, path)| read(path));
    let mut kept: Vec<_> = kept.map(|Kept { migration, totals, .. }| (migration, totals)).collect();
    kept.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use crate::engine::observer::Observer;
    use crate::telemetry::Signal;
    use crate::telemetry::figures::tests::{batch, done, figures};

    use super::*;

    fn state() -> (TempDir, StateDir) {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().join("state"));
        (directory, state)
    }

    /// An attempt that does one batch.
    fn attempt(state: &StateDir) {
        let figures = Arc::new(figures());
        let keeping = Keeping::start(state, figures.clone());
        figures.batch(&batch(20, 0, done(10)));
        keeping.close();
    }

    fn processed(state: &StateDir) -> Vec<u64> {
        all(state, 9).0.iter().map(|(_, totals)| totals.processed).collect()
    }

    fn file(state: &StateDir) -> PathBuf {
        state.metrics_of(figures().migration())
    }

    #[test]
    fn each_attempt_continues_what_was_counted_before() {
        let (_directory, state) = state();
        assert_eq!(all(&state, 9), (vec![], 0));
        for count in 1..=3 {
            attempt(&state);
            assert_eq!(processed(&state), [10 * count]);
        }
        let mode = fs::metadata(file(&state)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(state.metrics()).unwrap().count(), 2, "nothing is left there but it and its lock");
    }

    #[test]
    fn a_file_that_is_damaged_or_not_ours_counts_as_none_and_is_replaced() {
        let (_directory, state) = state();
        attempt(&state);
        let file = file(&state);
        let good = fs::read_to_string(&file).unwrap();
        let other = fs::read_to_string(&file).unwrap().replace("20261104_sample", "20261104_another");
        let negative = good.replacen("\"processed\":10", "\"processed\":-10", 1);
        let long = format!("{good}{}", " ".repeat(LONGEST.try_into().unwrap()));
        assert_ne!(good, negative);
        for bad in ["", "{", "[]", &good[..good.len() / 2], &other, &negative, &long] {
            fs::write(&file, bad).unwrap();
            assert_eq!(processed(&state), [0_u64; 0], "{bad}");
            attempt(&state);
            assert_eq!(processed(&state), [10], "{bad}");
        }
    }

    #[test]
    fn a_file_of_an_older_or_newer_version_is_understood_as_far_as_it_goes() {
        let (_directory, state) = state();
        let worker = ProcessIdentity { pid: 1, start_ticks: 1 };
        let text = serde_json::json!({
            "migration": figures().migration(), "worker": worker, "more": 1, "totals": { "processed": 5, "unheardOf": {} },
        });
        pod::write(&file(&state), &text).unwrap();
        attempt(&state);
        assert_eq!(processed(&state), [15]);
    }

    #[test]
    fn two_workers_at_once_take_nothing_from_each_other_and_neither_stops() {
        let (_directory, state) = state();
        let (early, late) = (Arc::new(figures()), Arc::new(figures()));
        let mut lingering = Writer::new(file(&state), early.clone());
        let mut later = Writer::new(file(&state), late.clone());
        let kept = || {
            let (kept, _) = all(&state, 9);
            (kept[0].1.processed, kept[0].1.dropped.traces)
        };
        early.batch(&batch(20, 0, done(10)));
        assert!(lingering.write());
        late.batch(&batch(20, 0, done(5)));
        assert!(later.write());
        assert_eq!(kept(), (15, 0));
        // What did not arrive is known at the very end.
        early.dropped(Signal::Traces, 3);
        assert!(lingering.write());
        assert_eq!(kept(), (15, 3));
        late.batch(&batch(20, 0, done(5)));
        assert!(later.write());
        assert!(later.write());
        assert_eq!(kept(), (20, 3));
        fs::write(file(&state), "damaged").unwrap();
        late.batch(&batch(20, 0, done(5)));
        assert!(later.write());
        assert_eq!(kept(), (25, 3));
    }

    #[test]
    fn of_many_who_write_at_once_every_count_is_kept() {
        let (_directory, state) = state();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let figures = Arc::new(figures());
                    let mut writer = Writer::new(file(&state), figures.clone());
                    for _ in 0..25 {
                        figures.batch(&batch(20, 0, done(1)));
                        writer.write();
                    }
                    // The patience of one that writes is bounded.
                    while !writer.write() {}
                });
            }
        });
        assert_eq!(processed(&state), [100]);
    }

    #[test]
    fn a_lock_that_is_not_let_go_of_is_waited_for_only_so_long() {
        let (_directory, state) = state();
        let held = lock(&file(&state)).unwrap();
        let figures = Arc::new(figures());
        let mut writer = Writer::new(file(&state), figures.clone());
        figures.batch(&batch(20, 0, done(10)));
        assert!(!writer.write());
        assert_eq!(all(&state, 9), (vec![], 0));
        drop(held);
        assert!(writer.write());
        assert_eq!(processed(&state), [10], "what could not be kept is kept later");
    }

    #[test]
    fn where_nothing_can_be_written_an_attempt_ends_like_any_other() {
        let (_directory, state) = state();
        fs::write(state.path(), "a file where a directory should be").unwrap();
        attempt(&state);
        assert_eq!(all(&state, 9), (vec![], 0));
    }

    #[test]
    fn of_many_files_those_of_the_latest_work_are_told() {
        let (_directory, state) = state();
        attempt(&state);
        let good = fs::read_to_string(file(&state)).unwrap();
        for number in 0..20_u64 {
            let name = format!("2026_{number:02}");
            let path = state.metrics().join(format!("{name}.json"));
            fs::write(&path, good.replace("20261104_sample", &name)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
        let (kept, left_out) = all(&state, 3);
        let names: Vec<_> = kept.iter().map(|(migration, _)| migration.as_str()).collect();
        assert_eq!((names, left_out), (vec!["20261104_sample", "2026_18", "2026_19"], 18));
    }
}
