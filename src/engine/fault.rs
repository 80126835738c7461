//! What a failed call means for the work: try again, look for the document that is at fault, or give up.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

/// Codes of the server, see its `error_codes.yml`.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const AUTHENTICATION_FAILED: i32 = 18;
    pub(super) const MAX_TIME_EXPIRED: i32 = 50;
    pub(super) const WRITE_CONFLICT: i32 = 112;
    pub(super) const LIFETIME_EXCEEDED: i32 = 290;
    pub(super) const TEMPORARILY_UNAVAILABLE: i32 = 365;
    pub(super) const TOO_LARGE_FOR_CACHE: i32 = 388;
    pub(super) const RETRY_CHANGE: i32 = 26_555;
    /// Of a server that changes its role, shuts down, or forgot a session, a cursor or a snapshot: the same call may succeed elsewhere or
    /// a moment later.
    pub(super) const PASSING: [i32; 32] = [
        6, 7, 24, 43, 46, 64, 79, 89, 91, 117, 136, 175, 189, 202, 225, 237, 239, 244, 246, 251, 256, 262, 317, 358,
        384, 9001, 10_107, 11_600, 11_602, 13_388, 13_435, 13_436,
    ];
    /// Of a mistake in the step itself, which no other batch would survive: unknown operators, malformed pipelines, missing indexes, views,
    /// capped collections within a transaction.
    pub(super) const OF_THE_STEP: [i32; 13] = [9, 26, 59, 72, 73, 166, 167, 168, 263, 40_324, 40_415, 16_436, 17_276];
}

/// Why a call to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It passes: the same may succeed a moment later.
    #[error("{0}")]
    Passing(String),
    /// It was too much at once: a smaller batch may succeed.
    #[error("{0}")]
    TooMuch(String),
    /// A document is refused, or what a transform made of it.
    #[error("{0}")]
    Poison(String),
    /// Another attempt has taken over; nothing was written.
    #[error("{0}")]
    Fenced(String),
    /// The work stops at its checkpoint, for it was asked to.
    #[error("stopped")]
    Stopped,
    /// Nothing that the engine can do would help. Says what and what to do.
    #[error("{0}")]
    Fatal(String),
}

/// How long a call that fails again and again is tried before the run fails (it can be resumed).
pub const GIVE_UP_AFTER: Duration = Duration::from_mins(30);

impl Fault {
    /// What an error of the driver means. `doing` names the privilege and the collection, e.g. `update on shop.orders`.
    #[must_use]
    pub fn of(error: &Error, doing: &str) -> Self {
        let label = |name| error.contains_label(name);
        if let Some((code, name, message)) = server_error(error) {
            return Self::of_code(code, name, message, label(TRANSIENT_TRANSACTION_ERROR), doing);
        }
        match &*error.kind {
            ErrorKind::Authentication { .. } => Self::Fatal(
                "the database refuses the user name or password of MONGODB_URI; check both, and authSource".to_owned(),
            ),
            ErrorKind::ServerSelection { .. } => Self::Passing("no primary can be found".to_owned()),
            ErrorKind::Io(cause) => Self::Passing(format!("the connection to the database broke ({})", cause.kind())),
            ErrorKind::ConnectionPoolCleared { .. } => Self::Passing("the connection to the database broke".to_owned()),
            ErrorKind::InvalidTlsConfig { .. } | ErrorKind::DnsResolve { .. } | ErrorKind::InvalidArgument { .. } => {
                Self::Fatal(format!("MONGODB_URI cannot be used for {doing}; `stopover doctor` says why"))
            }
            _ if label(TRANSIENT_TRANSACTION_ERROR) || label(RETRYABLE_WRITE_ERROR) => {
                Self::Passing("the database could not finish a call".to_owned())
            }
            _ => Self::Fatal(format!("{doing}: the database's driver reports an error that it gives no code for")),
        }
    }

    /// What an error that the server answered with means.
    #[must_use]
    pub fn of_code(code: i32, name: &str, message: &str, transient: bool, doing: &str) -> Self {
        match code {
            code::UNAUTHORIZED => Self::Fatal(format!(
                "the database user lacks the privilege for {doing}; grant it (docs/backfill.md has the least role that will do)"
            )),
            code::AUTHENTICATION_FAILED => Self::Fatal(
                "the database refuses the user name or password of MONGODB_URI; check both, and authSource".to_owned(),
            ),
            code::MAX_TIME_EXPIRED
            | code::LIFETIME_EXCEEDED
            | code::TEMPORARILY_UNAVAILABLE
            | code::TOO_LARGE_FOR_CACHE => {
                Self::TooMuch(format!("{doing} took too long or too much memory at once ({name})"))
            }
            code::WRITE_CONFLICT | code::RETRY_CHANGE => {
                Self::TooMuch(format!("{doing} met a change by somebody else ({name})"))
            }
            code if transient || code::PASSING.contains(&code) => {
                Self::Passing(format!("the database answered {name} ({code})"))
            }
            code if code::OF_THE_STEP.contains(&code) => {
                Self::Fatal(format!("{doing} is refused: {} ({name})", cut(message)))
            }
            _ if name.is_empty() => Self::Poison(format!("{} (code {code})", cut(message))),
            _ => Self::Poison(format!("{} ({name}, code {code})", cut(message))),
        }
    }
}

/// Code, name and text of an error that came from the server.
#[must_use]
pub fn server_error(error: &Error) -> Option<(i32, &str, &str)> {
    match &*error.kind {
        ErrorKind::Command(command) => Some((command.code, &command.code_name, &command.message)),
        ErrorKind::Write(WriteFailure::WriteError(write)) => {
            Some((write.code, write.code_name.as_deref().unwrap_or_default(), &write.message))
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
            Some((concern.code, &concern.code_name, &concern.message))
        }
        ErrorKind::InsertMany(many) => {
            if let Some(write) = many.write_errors.as_ref().and_then(|errors| errors.first()) {
                return Some((write.code, write.code_name.as_deref().unwrap_or_default(), &write.message));
            }
            many.write_concern_error
                .as_ref()
                .map(|concern| (concern.code, concern.code_name.as_str(), concern.message.as_str()))
        }
        _ => None,
    }
}

/// The server's own words, as far as a person reads them: they may quote a value, never a whole document.
#[must_use]
pub fn cut(message: &str) -> String {
    const MOST: usize = 300;
    let mut text: String = message.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if message.chars().count() > MOST {
        text.push('…');
    }
    text
}
