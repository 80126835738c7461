//! What SQLite answers, in the ledger's terms.

use rusqlite::ErrorCode;

use crate::ledger::{LedgerError, Refusal};

/// What went wrong inside a call, before it is known which ledger that was.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A record does not read; says which and why.
    Record(String),
    /// Already in the ledger's terms.
    Ledger(LedgerError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Ledger(refusal.into())
    }
}

impl Fault {
    /// Names the ledger and the next step.
    pub(super) fn in_ledger(self, ledger: &str) -> LedgerError {
        let ledger = ledger.to_owned();
        let error = match self {
            Self::Ledger(error) => return error,
            Self::Record(reason) => return LedgerError::Corrupt { ledger, reason },
            Self::Sqlite(error) => error,
        };
        let unreachable = |reason: &str| LedgerError::Unreachable { ledger: ledger.clone(), reason: reason.to_owned() };
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => unreachable(
                "another process has held its write lock for too long; try again, or look for a stopped process",
            ),
            Some(ErrorCode::DiskFull) => unreachable("its disk is full; free space on it and try again"),
            Some(ErrorCode::CannotOpen) => unreachable(
                "the file cannot be opened; its directory must exist and be writable, even for reading: SQLite keeps its -wal and -shm files beside it",
            ),
            Some(ErrorCode::SystemIoFailure) => {
                unreachable("its disk answers with an error; check the volume it is on")
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => LedgerError::Forbidden {
                ledger,
                reason:
                    "the file or its directory cannot be written to by this user; check the owner and the mode of both"
                        .to_owned(),
            },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => LedgerError::Corrupt {
                ledger,
                reason: "the file is damaged or no SQLite database; move it away and restore it from a backup"
                    .to_owned(),
            },
            _ => LedgerError::Corrupt { ledger, reason: error.to_string() },
        }
    }
}

/// Whether a write was refused by the index that allows one open run of a migration.
pub(super) fn is_occupied(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(cause, _) if cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}
