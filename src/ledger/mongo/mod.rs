//! The ledger in MongoDB.

use async_trait::async_trait;

use super::{
    Acted, Action, Beat, BeatReply, Event, Histories, LedgerError, LedgerReader, LedgerWriter, LogChunk, LogPosition,
    NewPassport, NewRun, Passport, Run, RunId, RunQuery, Seen, Timestamp,
};

pub(super) struct MongoReader;
pub(super) struct MongoWriter;
impl MongoReader {
    pub(super) async fn connect(_uri: &crate::secret::Secret) -> Result<Self, LedgerError> {
        todo!()
    }
}
impl MongoWriter {
    pub(super) async fn connect(_uri: &crate::secret::Secret) -> Result<Self, LedgerError> {
        todo!()
    }
}

#[async_trait]
impl LedgerReader for MongoReader {
    fn label(&self) -> String {
        todo!()
    }
    async fn now(&self) -> Result<Timestamp, LedgerError> {
        todo!()
    }
    async fn passport(&self) -> Result<Option<Passport>, LedgerError> {
        todo!()
    }
    async fn cluster(&self) -> Result<Option<String>, LedgerError> {
        todo!()
    }
    async fn histories(&self) -> Result<Seen<Histories>, LedgerError> {
        todo!()
    }
    async fn changes(&self, _since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError> {
        todo!()
    }
    async fn run(&self, _id: RunId) -> Result<Seen<Option<Run>>, LedgerError> {
        todo!()
    }
    async fn runs(&self, _query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError> {
        todo!()
    }
    async fn runs_ending_in(&self, _suffix: &str) -> Result<Vec<Run>, LedgerError> {
        todo!()
    }
    async fn events(&self, _run: RunId) -> Result<Vec<Event>, LedgerError> {
        todo!()
    }
    async fn log(&self, _run: RunId, _from: LogPosition, _limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        todo!()
    }
}

#[async_trait]
impl LedgerReader for MongoWriter {
    fn label(&self) -> String {
        todo!()
    }
    async fn now(&self) -> Result<Timestamp, LedgerError> {
        todo!()
    }
    async fn passport(&self) -> Result<Option<Passport>, LedgerError> {
        todo!()
    }
    async fn cluster(&self) -> Result<Option<String>, LedgerError> {
        todo!()
    }
    async fn histories(&self) -> Result<Seen<Histories>, LedgerError> {
        todo!()
    }
    async fn changes(&self, _since: Timestamp) -> Result<Seen<Vec<Run>>, LedgerError> {
        todo!()
    }
    async fn run(&self, _id: RunId) -> Result<Seen<Option<Run>>, LedgerError> {
        todo!()
    }
    async fn runs(&self, _query: RunQuery) -> Result<Seen<Vec<Run>>, LedgerError> {
        todo!()
    }
    async fn runs_ending_in(&self, _suffix: &str) -> Result<Vec<Run>, LedgerError> {
        todo!()
    }
    async fn events(&self, _run: RunId) -> Result<Vec<Event>, LedgerError> {
        todo!()
    }
    async fn log(&self, _run: RunId, _from: LogPosition, _limit: u32) -> Result<Vec<LogChunk>, LedgerError> {
        todo!()
    }
}

#[async_trait]
impl LedgerWriter for MongoWriter {
    async fn stamp(&self, _passport: NewPassport) -> Result<Passport, LedgerError> {
        todo!()
    }
    async fn open(&self, _run: NewRun) -> Result<Run, LedgerError> {
        todo!()
    }
    async fn act(&self, _run: RunId, _action: Action) -> Result<Acted, LedgerError> {
        todo!()
    }
    async fn beat(&self, _run: RunId, _attempt: u32, _beat: Beat) -> Result<BeatReply, LedgerError> {
        todo!()
    }
    async fn archive(&self, _chunk: LogChunk) -> Result<(), LedgerError> {
        todo!()
    }
    async fn trim(&self, _run: RunId, _attempt: u32, _offsets: std::ops::Range<u64>) -> Result<(), LedgerError> {
        todo!()
    }
}
