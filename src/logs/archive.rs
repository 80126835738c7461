//! The copy of a run's log in the ledger, so that it outlives its pod and can be read from any other.
//!
//! It follows the log *file*: a ledger that is away for a while costs neither memory nor lines, for what was not shipped is
//! read again. What it ships is what the worker has written, and ends where the worker has sealed its log. Of each attempt the first and the last [`KEEP`] bytes are kept; what lies between is in the pod's file only.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::ledger::{LedgerError, LedgerWriter, LogChunk, RunId};

use super::file::{Extent, SharedExtent};

/// Bytes kept of the beginning and of the end of an attempt's log, each.
pub const KEEP: u64 = 8 * 1024 * 1024;
/// Bytes of one chunk.
const CHUNK: usize = 256 * 1024;
/// How often new lines are shipped.
const EVERY: Duration = Duration::from_secs(1);
/// Chunks shipped at once beyond the first [`KEEP`] bytes: a flood of lines must not become a flood of writes to the database.
const BURST: u32 = 4;
/// What is trimmed at once.
const TRIM: u64 = 4 * CHUNK as u64;

/// Ships the log of one attempt.
pub struct Archive {
    ledger: Arc<dyn LedgerWriter>,
    run: RunId,
    attempt: u32,
    path: PathBuf,
    extent: SharedExtent,
    file: Option<(u32, File)>,
    /// Everything before this offset of the attempt's log is shipped or left out.
    next: u64,
    /// Where the first part that is kept ends; unknown while it is shipped.
    head_end: Option<u64>,
    /// What lies between the first part and this is removed.
    trimmed: u64,
    /// The length of the chunk at `next` whose storing was not confirmed. It may be there all the same, and a reader may have gone on
    /// from its end: it is stored again as it was, never longer.
    unconfirmed: Option<usize>,
    buffer: Vec<u8>,
}

impl Archive {
    /// For the log at `path`, of which `extent` tells the attempt's part.
    #[must_use]
    pub fn new(ledger: Arc<dyn LedgerWriter>, run: RunId, attempt: u32, path: PathBuf, extent: SharedExtent) -> Self {
        Self {
            ledger,
            run,
            attempt,
            path,
            extent,
            file: None,
            next: 0,
            head_end: None,
            trimmed: 0,
            unconfirmed: None,
            buffer: vec![0; CHUNK],
        }
    }

    /// Ships until told to stop, which a ledger that does not answer cannot put off: what is on its way then counts as unconfirmed. The
    /// ledger's errors are waited out.
    pub async fn follow(&mut self, stop: &CancellationToken) {
        let ships = async {
            loop {
                let _ = self.ship().await;
                sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = ships => {}
            () = stop.cancelled() => {}
        }
    }

    /// Ships all that is left to be kept, as far as that succeeds until `deadline`; whether it did.
    pub async fn finish(&mut self, deadline: Instant) -> bool {
        let all = async {
            loop {
                match self.step(true).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(_) => sleep(Duration::from_millis(250)).await,
                }
            }
        };
        timeout_at(deadline, all).await.is_ok()
    }

    async fn ship(&mut self) -> Result<(), LedgerError> {
        let mut burst = 0;
        while self.step(false).await? {
            burst += u32::from(self.head_end.is_some());
            if burst == BURST {
                break;
            }
        }
        Ok(())
    }

    /// Ships one chunk; whether there was one.
    async fn step(&mut self, last: bool) -> Result<bool, LedgerError> {
        let extent = self.extent.get();
        if self.next < extent.part_offset {
            self.next = extent.part_offset;
            self.unconfirmed = None;
        }
        if self.head_end.is_some() && self.unconfirmed.is_none() && extent.end.saturating_sub(self.next) > KEEP {
            let target = extent.part_offset.max(extent.end - KEEP);
            let read = self.read(extent, target);
            let skip = memchr::memchr(b'\n', &self.buffer[..read]).map_or(0, |at| at as u64 + 1);
            self.next = target + skip;
        }
        let count = self.read(extent, self.next);
        let count = self.unconfirmed.map_or(count, |length| length.min(count));
        let whole = match memchr::memrchr(b'\n', &self.buffer[..count]) {
            Some(at) => at + 1,
            // A torn end is shipped only when nothing can complete it any more.
            None if last => count,
            None => 0,
        };
        if whole == 0 {
            return Ok(false);
        }
        let bytes = self.buffer[..whole].to_vec();
        self.unconfirmed = Some(whole);
        self.ledger.archive(LogChunk { run: self.run, attempt: self.attempt, offset: self.next, bytes }).await?;
        self.unconfirmed = None;
        self.next += whole as u64;
        if self.head_end.is_none() && self.next >= KEEP {
            self.head_end = Some(self.next);
            self.trimmed = self.next;
        }
        self.trim(last).await?;
        Ok(true)
    }

    async fn trim(&mut self, last: bool) -> Result<(), LedgerError> {
        let keep_from = self.next.saturating_sub(KEEP);
        let enough = if last { 1 } else { TRIM };
        if self.head_end.is_some() && keep_from >= self.trimmed + enough {
            self.ledger.trim(self.run, self.attempt, self.trimmed..keep_from).await?;
            self.trimmed = keep_from;
        }
        Ok(())
    }

    /// Reads what the file has from `offset` of the attempt's log on, into the buffer. A file that cannot be read has nothing.
    fn read(&mut self, extent: Extent, offset: u64) -> usize {
        if self.file.as_ref().is_none_or(|(part, _)| *part != extent.part) {
            self.file = File::open(&self.path).ok().map(|file| (extent.part, file));
        }
        let Some((_, file)) = &self.file else { return 0 };
        let place = extent.file_offset + (offset - extent.part_offset);
        let limit = usize::try_from(extent.end.saturating_sub(offset)).unwrap_or(CHUNK).min(CHUNK);
        file.read_at(&mut self.buffer[..limit], place).unwrap_or(0)
    }
}
