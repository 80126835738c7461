//! A file for each day, of bounded length, and the latest few of them kept. It complains to nobody: what cannot be written is not.
//!
//! Many processes append to the same file, each line in one write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use chrono::{NaiveDate, Utc};

use crate::private;

/// Files that are kept of a name, today's included.
const KEPT: usize = 7;
/// Bytes after which nothing more is written on a day.
const LONGEST: u64 = 8 * 1024 * 1024;

/// See the module.
pub struct Daily {
    directory: PathBuf,
    name: &'static str,
    longest: u64,
    /// The open one.
    today: Option<(NaiveDate, File)>,
}

impl Daily {
    /// Opens today's file of a name.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn open(directory: PathBuf, name: &'static str) -> io::Result<Self> {
        private::create_dir_all(&directory)?;
        let mut daily = Self { directory, name, longest: LONGEST, today: None };
        daily.turn_to(Utc::now().date_naive())?;
        Ok(daily)
    }

    fn turn_to(&mut self, day: NaiveDate) -> io::Result<&mut File> {
        match self.today.take() {
            Some((date, file)) if date == day => Ok(&mut self.today.insert((date, file)).1),
            _ => {
                let path = self.directory.join(format!("{}.{day}.log", self.name));
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
                self.remove_old();
                Ok(&mut self.today.insert((day, file)).1)
            }
        }
    }

    /// Another process may be at it, too: what is gone is gone.
    fn remove_old(&self) {
        let date = |path: &PathBuf| {
            let (name, date) = path.file_name()?.to_str()?.strip_suffix(".log")?.split_once('.')?;
            (name == self.name).then(|| date.parse::<NaiveDate>().ok())?
        };
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut files: Vec<_> =
            entries.map(|entry| entry.path()).filter_map(|path| Some((date(&path)?, path))).collect();
        files.sort();
        for (_, path) in files.iter().rev().skip(KEPT) {
            let _ = fs::remove_file(path);
        }
    }

    fn note(&mut self, line: &[u8], day: NaiveDate) -> io::Result<()> {
        let longest = self.longest;
        let file = self.turn_to(day)?;
        if file.metadata()?.len() + line.len() as u64 > longest {
            return Ok(());
        }
        file.write_all(line)
    }
}

impl Write for Daily {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // An error would be told on a terminal by who calls this.
        let _ = self.note(line, Utc::now().date_naive());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, number).unwrap()
    }

    #[test]
    fn each_day_has_its_file_and_a_week_of_them_is_kept_for_their_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/diagnostics");
        let mut daily = Daily::open(path.clone(), "console").unwrap();
        fs::write(path.join("console.notes.log"), "somebody's").unwrap();
        fs::write(path.join("command.2020-01-01.log"), "another's").unwrap();
        for number in 1..=9 {
            daily.note(b"a line\n", day(number)).unwrap();
            daily.note(b"another\n", day(number)).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert!(
            names.contains(&"console.notes.log".to_owned()) && names.contains(&"command.2020-01-01.log".to_owned())
        );
        let kept: Vec<_> = names.iter().filter(|name| name.starts_with("console.20")).collect();
        assert_eq!(kept.len(), KEPT, "{names:?}");
        let last = path.join("console.2026-11-09.log");
        assert_eq!(fs::read_to_string(&last).unwrap(), "a line\nanother\n");
        assert_eq!(fs::metadata(&last).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_day_has_a_last_line_and_what_cannot_be_written_is_nobodys_trouble() {
        let directory = tempfile::tempdir().unwrap();
        let mut daily = Daily::open(directory.path().to_owned(), "console").unwrap();
        daily.longest = 20;
        for _ in 0..10 {
            daily.write_all(b"12345678\n").unwrap();
        }
        let file = directory.path().join(format!("console.{}.log", Utc::now().date_naive()));
        assert_eq!(fs::read_to_string(file).unwrap(), "12345678\n12345678\n");
        fs::remove_dir_all(directory.path()).unwrap();
        daily.today = None;
        daily.write_all(b"gone\n").unwrap();
        assert!(Daily::open("/proc/nowhere".into(), "console").is_err());
    }
}
