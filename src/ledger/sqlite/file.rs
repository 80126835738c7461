//! A connection to the ledger's file, shared by the tasks of one process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::ledger::LedgerError;
use crate::private;

use super::error::Fault;
use super::schema;

/// How long a call waits for another process's write: as long as a call to a server may take.
const BUSY: Duration = Duration::from_secs(10);

/// The file, opened for reading only.
#[derive(Clone)]
pub(super) struct ReadFile {
    path: Arc<PathBuf>,
    open: Arc<Mutex<Option<OpenFile>>>,
}

struct OpenFile {
    connection: Connection,
    /// Device and inode: a ledger that was removed or replaced is opened anew.
    identity: (u64, u64),
}

impl ReadFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: Arc::new(path.to_owned()), open: Arc::default() }
    }

    pub(super) fn label(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Runs `work` in a read transaction, or answers `None` while there is no ledger.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Option<T>, LedgerError> {
        let (file, label) = (self.clone(), self.label());
        blocking(label, move || file.read_now(work)).await
    }

    fn read_now<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = identity(&self.path);
        if open.as_ref().map(|file| file.identity) != identity {
            *open = None;
        }
        let Some(identity) = identity else {
            return Ok(None);
        };
        if open.is_none() {
            let mut connection = Connection::open_with_flags(
                &*self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(BUSY)?;
            // A file whose creation is not finished is an empty ledger, and is looked at again at the next call.
            if schema::version(&mut connection, &self.label())?.is_none() {
                return Ok(None);
            }
            *open = Some(OpenFile { connection, identity });
        }
        let Some(OpenFile { connection, .. }) = open.as_mut() else {
            return Ok(None);
        };
        let transaction = connection.transaction()?;
        work(&transaction).map(Some)
    }
}

/// The file, opened for writing.
#[derive(Clone)]
pub(super) struct WriteFile {
    label: String,
    path: Arc<PathBuf>,
    /// Device and inode of what was opened.
    identity: (u64, u64),
    connection: Arc<Mutex<Connection>>,
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl WriteFile {
    /// Opens the file, creating it and its schema if need be.
    pub(super) async fn open(path: &Path) -> Result<Self, LedgerError> {
        let label = format!("sqlite:{}", path.display());
        let path = Arc::new(path.to_owned());
        let file = Arc::clone(&path);
        let name = label.clone();
        blocking(label.clone(), move || {
            if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
                private::create_dir_all(directory).map_err(|error| LedgerError::Unreachable {
                    ledger: name.clone(),
                    reason: format!("its directory cannot be created: {error}"),
                })?;
            }
            // SQLite gives its other files the mode of this one; what keeps it from being created is SQLite's to say.
            let _ = private::create_file(&path);
            let mut connection = Connection::open(&*path)?;
            connection.busy_timeout(BUSY)?;
            // Looked at before anything is changed: neither a newer ledger nor another program's file is touched.
            schema::version(&mut connection, &name)?;
            use_write_ahead_log(&connection)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            schema::upgrade(&mut connection, &name)?;
            let identity = identity(&path).ok_or_else(|| removed(&name))?;
            Ok((connection, identity))
        })
        .await
        .map(|(connection, identity)| Self {
            label,
            path: file,
            identity,
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// As [`Self::write`], for what can be left out: where another process holds the write lock it is.
    pub(super) async fn write_if_free(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), Fault> + Send + 'static,
    ) -> Result<bool, LedgerError> {
        let connection = Arc::clone(&self.connection);
        blocking(self.label.clone(), move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.busy_timeout(Duration::ZERO)?;
            let done = write_now(&mut connection, work);
            connection.busy_timeout(BUSY)?;
            done
        })
        .await
    }

    /// Runs `work` in a transaction that holds the write lock from its start, and commits it unless it fails.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let Self { label, path, identity: opened, connection } = self.clone();
        blocking(label.clone(), move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // What is written into a file that nobody finds any more is no lease: others would take the migration for free.
            if identity(&path) != Some(opened) {
                return Err(removed(&label).into());
            }
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }
}

fn removed(ledger: &str) -> LedgerError {
    LedgerError::Unreachable {
        ledger: ledger.to_owned(),
        reason: "its file was removed or replaced while it was in use; what it held is gone unless it is put back"
            .to_owned(),
    }
}

/// Runs `work` if nobody else holds the write lock; whether it did.
fn write_now(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => return Ok(false),
        transaction => transaction?,
    };
    work(&transaction)?;
    transaction.commit()?;
    Ok(true)
}

/// Switches the file to WAL mode. SQLite does not wait for other processes here, so this does.
fn use_write_ahead_log(connection: &Connection) -> Result<(), Fault> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error.into()),
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Fault::Record(format!(
                    "its file system cannot share a write-ahead log (journal mode {mode}); put the ledger on a local disk"
                )));
            }
        }
    }
}

/// Runs `work` where it may block, and names the ledger in its errors.
async fn blocking<T: Send + 'static>(
    label: String,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, LedgerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|fault| fault.in_ledger(&label)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(LedgerError::Unreachable { ledger: label, reason: "this process is ending".to_owned() }),
        },
    }
}
