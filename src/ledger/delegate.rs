//! A writer reads through a reader of its own, so that each store says only once how it is read.

use async_trait::async_trait;

use crate::time::Timestamp;

use super::{
    Event, Histories, LedgerError, LedgerReader, LogChunk, LogPosition, Passport, QuarantinePosition, Quarantined, Run,
    RunId, RunQuery, Seen,
};

/// A writer that has a reader for everything that [`LedgerReader`] asks of it.
pub(super) trait ReadsThrough: Send + Sync {
    /// The store's reader.
    type Reader: LedgerReader;

    /// Where reads go.
    fn reader(&self) -> &Self::Reader;
}

#[async_trait]
impl<W: ReadsThrough> LedgerReader for W {
    fn label(&self) -> String {
        self.reader().label()
    }

    async fn now(&self) -> Result<Timestamp, LedgerError> {
        self.reader().now().await
    }

    async fn passport(&self) -> Result<Option<Passport>, LedgerError> {
        self.reader().passport().await
    }

    async fn cluster(&self) -> Result<Option<String>, LedgerError> {
        self.reader().cluster().await
    }

    async fn histories(&self) -> Result<Seen<Histories>, LedgerError> {
        self.reader().histories().await
    }

    async fn changes(&self, since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError> {
        self.reader().changes(since).await
    }

    async fn run(&self, id: RunId) -> Result<Seen<Option<Run>>, LedgerError> {
        self.reader().run(id).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError> {
        self.reader().runs(query).await
    }

    async fn runs_ending_in(&self, suffix: &str) -> Result<Vec<Run>, LedgerError> {
        self.reader().runs_ending_in(suffix).await
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>, LedgerError> {
        self.reader().events(run).await
    }

    async fn log(&self, run: RunId, from: LogPosition, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        self.reader().log(run, from, limit).await
    }

    async fn log_end(&self, run: RunId, limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        self.reader().log_end(run, limit).await
    }

    async fn quarantined(
        &self,
        run: RunId,
        after: Option<QuarantinePosition>,
        limit: u32,
    ) -> Result<Vec<Quarantined>, LedgerError> {
        self.reader().quarantined(run, after, limit).await
    }
}
