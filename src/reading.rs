//! Reading the small files that settings name, which may be anything, on any file system.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

/// How long files of settings are waited for: they are on a disk of this machine, or something is wrong.
pub const WITHIN: Duration = Duration::from_secs(2);

/// What stands in a regular file of at most `most` bytes. It waits for nobody but the file system.
///
/// # Errors
/// What is wrong with it, to be put behind its name.
pub fn small_file(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    // A FIFO would be waited for until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let read = || {
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Ok(Err("is no regular file".to_owned()));
        }
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content)?;
        let is_small = content.len() as u64 <= most;
        Ok(if is_small { Ok(content) } else { Err(format!("is larger than {} KiB", most / 1024)) })
    };
    read().unwrap_or_else(|error: std::io::Error| Err(format!("cannot be read: {error}")))
}

/// Does `work` for each item on a thread of its own, all at once, and waits for the answers together, for at most `within`. A thread that hangs
/// in the file system stays behind.
///
/// # Errors
/// Of an item: why there is no answer.
pub fn each_within<I: Send + 'static, T: Send + 'static>(
    name: &str,
    within: Duration,
    items: Vec<I>,
    work: fn(I) -> T,
) -> Vec<Result<T, String>> {
    let end = Instant::now() + within;
    let started: Vec<_> = items
        .into_iter()
        .map(|item| {
            let (answer, answered) = channel();
            let work = move || {
                // Nobody listens any more when the time is over.
                let _ = answer.send(work(item));
            };
            thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| answered)
        })
        .collect();
    let answers = started.into_iter().map(|started| {
        let answered = started.map_err(|error| format!("there is no thread to read its files: {error}"))?;
        answered.recv_timeout(end.saturating_duration_since(Instant::now())).map_err(|_| {
            format!("its files could not be read within {} s; see whether their file system answers", within.as_secs())
        })
    });
    answers.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_small_regular_files_are_read_and_nothing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (file, fifo) = (directory.path().join("file"), directory.path().join("fifo"));
        fs::write(&file, "12345").unwrap();
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(small_file(&file, 5).unwrap(), b"12345");
        assert_eq!(small_file(&file, 4).unwrap_err(), "is larger than 0 KiB");
        assert_eq!(small_file(&fifo, 5).unwrap_err(), "is no regular file");
        assert_eq!(small_file(Path::new("/dev/zero"), 5).unwrap_err(), "is no regular file");
        assert_eq!(small_file(directory.path(), 5).unwrap_err(), "is no regular file");
        assert!(small_file(Path::new("/nowhere"), 5).unwrap_err().starts_with("cannot be read: No such file"));
    }

    #[test]
    fn what_hangs_takes_nothing_from_the_others() {
        let never = |hangs: bool| {
            if hangs {
                loop {
                    thread::park();
                }
            }
            "read"
        };
        let answers = each_within("settings", Duration::from_secs(5), vec![false, true, false], never);
        assert_eq!((&answers[0], &answers[2]), (&Ok("read"), &Ok("read")));
        assert!(answers[1].as_ref().unwrap_err().contains("could not be read within 5 s"));
    }
}
