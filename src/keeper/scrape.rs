//! `GET /metrics`: answered by a short-lived child, because the keeper itself holds no connection to anything.
//!
//! There is one child at a time, whoever asks and however often: those who ask meanwhile share its answer, and those who ask soon after are given
//! it once more. It is read within a time and a size; a child that takes longer is killed, and as long as it does not die of that, its failure is
//! the answer. Only a whole page is passed on.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::process::ProcessIdentity;
use crate::telemetry::page::text::END;
use crate::time::short_duration;

use super::children;

/// The verb of the child; people may use it, too.
pub const METRICS_VERB: &str = "metrics";

/// How long a child may take. A scraper waits ten seconds, unless it is told otherwise.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// How long an answer is given again.
const FRESH: Duration = Duration::from_secs(5);
/// Bytes of an answer; a page of as many series as there can be has less than half of it.
const LONGEST: usize = 4 * 1024 * 1024;
/// Bytes of what a child complains about.
const LONGEST_COMPLAINT: usize = 4 * 1024;

/// A page, or why there is none.
pub type Answer = Result<Bytes, String>;

/// An answer and when it was whole; none while it is under way.
type Latest = watch::Receiver<Option<(Instant, Answer)>>;

/// See the module.
pub struct Scrapes {
    config: Config,
    latest: Mutex<Option<Latest>>,
}

impl Scrapes {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), latest: Mutex::new(None) }
    }

    /// The page that is under way or fresh, or else a new one.
    pub async fn answer(&self) -> Answer {
        let mut latest = self.latest();
        match latest.wait_for(Option::is_some).await.as_deref() {
            Ok(Some((_, answer))) => answer.clone(),
            // Its task has panicked.
            Ok(None) | Err(_) => Err("the figures could not be asked for; the keeper's own output says why".to_owned()),
        }
    }

    fn latest(&self) -> Latest {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = latest.as_ref().filter(|latest| is_usable(latest)) {
            return latest.clone();
        }
        let (told, answer) = watch::channel(None);
        let config = self.config.clone();
        // A task of its own: a client that goes away must not leave a child behind that nobody ends.
        tokio::spawn(async move {
            ask(&config, &told).await;
        });
        *latest = Some(answer.clone());
        answer
    }
}

/// Whether it is fresh, or its child lives: as long as that holds the other end, none is started beside it.
fn is_usable(latest: &Latest) -> bool {
    let is_fresh = latest.borrow().as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
    is_fresh || latest.has_changed().is_ok()
}

/// Has a child make a page, and tells the answer; stays until the child is gone, which where a disk does not answer is not when it is killed.
async fn ask(config: &Config, told: &watch::Sender<Option<(Instant, Answer)>>) {
    let tell = |answer| drop(told.send_replace(Some((Instant::now(), answer))));
    let started = children::start_heard(config, &[METRICS_VERB.to_owned()]);
    let (pid, stdout, stderr) = match started {
        Ok(started) => started,
        Err(error) => return tell(Err(format!("`stopover {METRICS_VERB}` could not be started: {error}"))),
    };
    let child = ProcessIdentity::of(pid);
    // Its output ends with the last of its threads.
    let mut hear = pin!(async { tokio::try_join!(read(stdout, LONGEST), read(stderr, LONGEST_COMPLAINT)) });
    match timeout(ANSWER_WITHIN, &mut hear).await {
        Ok(Ok((page, complaint))) => tell(judge(page, &complaint)),
        Ok(Err(error)) => {
            end(child);
            tell(Err(format!("`stopover {METRICS_VERB}` could not be heard: {error}")));
        }
        Err(_) => {
            end(child);
            let within = short_duration(ANSWER_WITHIN);
            tell(Err(format!("no answer within {within}: a disk or a file does not answer")));
            let _ = hear.await;
        }
    }
}

fn end(child: Option<ProcessIdentity>) {
    // It may have been reaped by now; its number belongs to nobody else as long as it is the same process.
    if let Some(group) = child.filter(|child| child.is_alive()).and_then(|child| Pid::from_raw(child.pid)) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Only a whole page is one.
fn judge(page: Vec<u8>, complaint: &[u8]) -> Answer {
    if page.len() > LONGEST {
        return Err(format!("the page has more than {LONGEST} bytes"));
    }
    if page.ends_with(END.as_bytes()) {
        return Ok(page.into());
    }
    let complaint = String::from_utf8_lossy(complaint);
    let complaint = complaint.trim().trim_start_matches("error: ");
    Err(if complaint.is_empty() { format!("`stopover {METRICS_VERB}` ended early") } else { complaint.to_owned() })
}

/// Reads to the end; keeps one byte more than `most`, and throws away what comes after.
async fn read(pipe: PipeReader, most: usize) -> io::Result<Vec<u8>> {
    let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(pipe))?;
    let (mut bytes, mut part) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        pipe.readable().await?;
        match pipe.try_read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count.min(most + 1 - bytes.len())]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_again_while_it_is_fresh_and_as_long_as_its_child_lives() {
        let (told, latest) = watch::channel(None);
        assert!(is_usable(&latest), "it is under way");
        let old = Instant::now().checked_sub(FRESH).expect("the machine runs for longer");
        told.send_replace(Some((old, Err("no answer".to_owned()))));
        assert!(is_usable(&latest), "its child could not be killed yet");
        drop(told);
        assert!(!is_usable(&latest));
        let (_, latest) = watch::channel(Some((Instant::now(), Ok(Bytes::new()))));
        assert!(is_usable(&latest), "it is fresh");
    }
}
