//! Which bytes make up the log of a run, seen from this pod.

use std::io;
use std::sync::{Arc, Mutex};

use crate::config::StateDir;
use crate::ledger::{LedgerError, LedgerReader, LogChunk, LogPosition, Run};
use crate::place::Place;

use super::log::Log;
use super::source::{LocalFile, Source};
use super::spool::{Spool, first_record};
use super::{LogError, LogReader, Origin, blocking};

/// Archived pieces that are fetched at once.
pub(super) const CHUNKS: u32 = 8;

/// Of an archive that is read from near its end, pieces that are read at first: together far more than a screen.
const LAST_CHUNKS: u32 = 2;

/// See [`LogReader::open_end`].
pub(super) async fn open_end(
    state: &StateDir,
    ledger: Arc<dyn LedgerReader>,
    run: &Run,
) -> Result<LogReader, LogError> {
    let here = Here { state, ledger: &*ledger, run };
    let (source, origin, archive) = if here.has_current_attempt().await? {
        let origin = Origin::File(state.run_log(run.id));
        (Source { spool: None, file: Some(here.file()) }, origin, None)
    } else {
        let last = ledger.log_end(run.id, LAST_CHUNKS).await?;
        let mut spool = here.spool()?;
        if let Some(first) = last.first() {
            spool.begin_at(LogPosition { attempt: first.attempt, offset: first.offset });
        }
        let spool = blocking(move || last.iter().try_for_each(|chunk| spool.append(chunk)).map(|()| spool)).await;
        let spool = spool.map_err(LogError::Spool)?;
        (Source { spool: Some(spool), file: None }, Origin::Archive, Some((Arc::clone(&ledger), run.id)))
    };
    Ok(LogReader { log: Arc::new(Mutex::new(Log::new(source))), origin, archive })
}

/// See [`LogReader::open`].
pub(super) async fn open(state: &StateDir, ledger: Arc<dyn LedgerReader>, run: &Run) -> Result<LogReader, LogError> {
    let origin = Origin::File(state.run_log(run.id));
    let here = Here { state, ledger: &*ledger, run };
    let (source, origin, archive) = if here.has_current_attempt().await? {
        let spool = match here.earlier_attempts().await {
            Err(LogError::Ledger(error)) => {
                // What is here is worth more than an error about what is not.
                let mut spool = here.spool()?;
                spool.note(&format!("... earlier attempts are not shown: {error} ...")).map_err(LogError::Spool)?;
                Some(spool)
            }
            spool => spool?,
        };
        (Source { spool, file: Some(here.file()) }, origin, None)
    } else {
        let spool = here.spool()?;
        (Source { spool: Some(spool), file: None }, Origin::Archive, Some((Arc::clone(&ledger), run.id)))
    };
    Ok(LogReader { log: Arc::new(Mutex::new(Log::new(source))), origin, archive })
}

/// What is known before anything is read.
struct Here<'a> {
    state: &'a StateDir,
    ledger: &'a dyn LedgerReader,
    run: &'a Run,
}

impl Here<'_> {
    fn file(&self) -> LocalFile {
        LocalFile::new(self.state.run_log(self.run.id))
    }

    fn spool(&self) -> Result<Spool, LogError> {
        Spool::new(self.state, self.run.attempt, &self.run.place().pod).map_err(LogError::Spool)
    }

    /// The file by itself, indexed.
    async fn file_log(&self) -> Result<Log, LogError> {
        let file = self.file();
        let path = file.path().to_owned();
        blocking(move || {
            let mut log = Log::new(Source { spool: None, file: Some(file) });
            log.refresh().map(|_| log)
        })
        .await
        .map_err(|source| LogError::File { path, source })
    }

    /// Whether the file in this pod has, or will have, what the current attempt says.
    async fn has_current_attempt(&self) -> Result<bool, LogError> {
        let is_worker_here = self.run.place().pod == Place::current().pod;
        match (is_worker_here, self.file().path().exists()) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            // A worker creates its file before it archives anything: with an archive, the file was there and is gone.
            (true, false) => Ok(!matches!(self.first_archived().await, Ok(Some(_)))),
            // A state directory that pods share, or a file that an earlier attempt left here.
            (false, true) => {
                let Some(chunk) = self.first_archived().await? else { return Ok(false) };
                let log = self.file_log().await?;
                let path = self.state.run_log(self.run.id);
                blocking(move || log.holds(first_record(&chunk)))
                    .await
                    .map_err(|source| LogError::File { path, source })
            }
        }
    }

    /// The first that the archive has of the current attempt.
    async fn first_archived(&self) -> Result<Option<LogChunk>, LedgerError> {
        let from = LogPosition { attempt: self.run.attempt, offset: 0 };
        Ok(self.ledger.log(self.run.id, from, 1).await?.into_iter().next())
    }

    /// What the archive has of the attempts that are not in the file, since they were in other pods.
    async fn earlier_attempts(&self) -> Result<Option<Spool>, LogError> {
        if self.run.attempt == 1 {
            return Ok(None);
        }
        let mut earlier = Earlier {
            current: self.run.attempt,
            file: self.file_log().await?,
            spool: self.spool()?,
            is_complete: false,
        };
        while !earlier.is_complete {
            let chunks = self.ledger.log(self.run.id, earlier.spool.next(), CHUNKS).await?;
            earlier = blocking(move || earlier.take(&chunks)).await.map_err(LogError::Spool)?;
        }
        Ok(Some(earlier.spool).filter(|spool| spool.len() > 0))
    }
}

/// The archive, as far as the file does not have the same.
struct Earlier {
    current: u32,
    file: Log,
    spool: Spool,
    is_complete: bool,
}

impl Earlier {
    fn take(mut self, chunks: &[LogChunk]) -> io::Result<Self> {
        self.is_complete = chunks.is_empty();
        for chunk in chunks {
            let is_start = self.spool.len() == 0 || chunk.attempt != self.spool.next().attempt;
            if chunk.attempt >= self.current || is_start && self.file.holds(first_record(chunk))? {
                self.is_complete = true;
                break;
            }
            self.spool.append(chunk)?;
        }
        Ok(self)
    }
}
