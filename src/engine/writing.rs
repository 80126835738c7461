//! Update commands with many statements, as raw BSON: nothing is copied more often than it must be, and no driver's limits stand in between.

use bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf, cstr};
use mongodb::{ClientSession, Database};

use super::answer::majority;
use super::fault::Fault;

/// The server gives up on a command after this, in milliseconds; giving up here would not stop it there.
const WITHIN: i32 = 20_000;

/// The statements of one command, which the server takes up to 16 MiB and some of.
#[derive(Default)]
pub(super) struct Statements {
    updates: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl Statements {
    const MOST: usize = 1_000;
    const MOST_BYTES: usize = 12 << 20;

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// There is always room for the first one, however large it is.
    pub(super) fn have_room_for(&self, statement: &RawDocument) -> bool {
        self.count == 0 || self.count < Self::MOST && self.bytes + statement.as_bytes().len() <= Self::MOST_BYTES
    }

    pub(super) fn push(&mut self, statement: RawDocumentBuf) {
        self.count += 1;
        self.bytes += statement.as_bytes().len();
        self.updates.push(statement);
    }
}

/// Runs them, in order, and returns what the server answers. The driver repeats none of these, and takes errors that stand inside an answer for a
/// success: the caller looks for them, see [`super::answer::verify`]. `doing` as for [`Fault::of`].
///
/// # Errors
/// See [`Fault::of`].
pub(super) async fn update(
    database: &Database,
    collection: &str,
    statements: Statements,
    session: Option<&mut ClientSession>,
    doing: &str,
) -> Result<Document, Fault> {
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("update"), collection);
    command.append(cstr!("updates"), statements.updates);
    command.append(cstr!("ordered"), true);
    command.append(cstr!("maxTimeMS"), WITHIN);
    if session.is_none() {
        // A command does not inherit the client's own.
        let concern = RawDocumentBuf::try_from(&majority()).map_err(|error| unreadable(&error))?;
        command.append(cstr!("writeConcern"), concern);
    }
    let call = database.run_raw_command(command);
    let answered = match session {
        Some(session) => call.session(session).await,
        None => call.await,
    };
    answered.map_err(|error| Fault::of(&error, doing))
}

/// The fault of BSON that cannot be made or read.
pub(super) fn unreadable(error: &dyn std::fmt::Display) -> Fault {
    Fault::Fatal(format!("BSON that cannot be read: {error}; this is a fault of Stopover or of the server's answer"))
}
