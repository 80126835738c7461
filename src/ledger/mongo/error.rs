//! What the driver answers, in the ledger's terms. Its own texts are not passed on: they quote server responses and documents.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::ledger::LedgerError;

/// Codes of the server, see its `error_codes.yml`.
mod code {
    /// Among others, a hint that names no index.
    pub(super) const BAD_VALUE: i32 = 2;
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const AUTHENTICATION_FAILED: i32 = 18;
    pub(super) const MAX_TIME_EXPIRED: i32 = 50;
    pub(super) const WRITE_CONCERN_TIMEOUT: i32 = 64;
    pub(super) const UNSATISFIABLE_WRITE_CONCERN: i32 = 100;
    pub(super) const DUPLICATE_KEY: i32 = 11_000;
    /// A primary that steps down, shuts down or is none.
    pub(super) const NO_PRIMARY: [i32; 8] = [91, 189, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];
}

/// What went wrong inside a call, before it is known which ledger that was.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer in time.
    TimedOut,
    Driver(Box<Error>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl Fault {
    /// Whether a unique index refused the write.
    pub(super) fn is_duplicate(&self) -> bool {
        self.code() == Some(code::DUPLICATE_KEY)
    }

    fn code(&self) -> Option<i32> {
        let Self::Driver(error) = self else {
            return None;
        };
        match &*error.kind {
            ErrorKind::Command(command) => Some(command.code),
            ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
            ErrorKind::InsertMany(many) => many.write_concern_error.as_ref().map(|concern| concern.code),
            _ => None,
        }
    }

    /// Names the ledger and the next step. `doing` says what was asked of it.
    pub(super) fn in_ledger(self, ledger: &str, doing: &str) -> LedgerError {
        let unreachable = |reason: String| LedgerError::Unreachable { ledger: ledger.to_owned(), reason };
        let forbidden = |reason: String| LedgerError::Forbidden { ledger: ledger.to_owned(), reason };
        if let Some(code) = self.code() {
            return match code {
                code::UNAUTHORIZED if doing.starts_with("find ") => forbidden(format!(
                    "its user lacks the privilege for {doing}; grant it (docs/readonly.md tells the least that who looks needs), and check which database the connection string names"
                )),
                code::UNAUTHORIZED => forbidden(format!(
                    "its user lacks the privilege for {doing}: if it may only look, start with --read-only (or STOPOVER_READ_ONLY=1); if it is to act, grant it readWrite on the ledger's database"
                )),
                code::BAD_VALUE if doing.starts_with("find ") => forbidden(format!(
                    "{doing} needs an index that is missing, as after a restore without indexes; any command of an operator that writes, such as `stopover init`, makes it anew"
                )),
                code::AUTHENTICATION_FAILED => forbidden(wrong_credentials()),
                code::MAX_TIME_EXPIRED => unreachable(format!("{doing} took too long; look at the server's load")),
                code::WRITE_CONCERN_TIMEOUT | code::UNSATISFIABLE_WRITE_CONCERN => unreachable(format!(
                    "no majority of its servers confirmed {doing} in time; look at the members of the replica set"
                )),
                code if code::NO_PRIMARY.contains(&code) => {
                    unreachable("its primary is changing; it comes back by itself once one is elected".to_owned())
                }
                code => forbidden(format!("the server answered with error {code} to {doing}")),
            };
        }
        let Self::Driver(error) = self else {
            return unreachable(format!("{doing} got no answer in time; look at the network and the server's load"));
        };
        match &*error.kind {
            ErrorKind::Authentication { .. } => forbidden(wrong_credentials()),
            ErrorKind::InvalidArgument { .. } => unreachable(
                "the connection string cannot be used; compare it with https://www.mongodb.com/docs/manual/reference/connection-string/ (`%40` stands for an @ in a password)".to_owned(),
            ),
            ErrorKind::InvalidTlsConfig { .. } => {
                unreachable("its TLS options cannot be used; check tlsCAFile and tlsCertificateKeyFile".to_owned())
            }
            ErrorKind::DnsResolve { .. } => {
                unreachable("its name cannot be resolved; check the host and the DNS of this pod".to_owned())
            }
            ErrorKind::ServerSelection { message, .. } => unreachable(selection_failed(message)),
            ErrorKind::Io(cause) => unreachable(format!("the connection broke ({}) during {doing}", cause.kind())),
            ErrorKind::IncompatibleServer { .. } => {
                forbidden("the server is too old; 4.4 is the oldest that will do".to_owned())
            }
            ErrorKind::Bson(_) | ErrorKind::InvalidResponse { .. } => LedgerError::Corrupt {
                ledger: ledger.to_owned(),
                reason: format!("the answer to {doing} cannot be understood"),
            },
            _ => unreachable(format!("{doing} failed on the way; try again")),
        }
    }
}

fn wrong_credentials() -> String {
    "its user name or password is not accepted; check both, and authSource".to_owned()
}

/// The driver's own text lists every server with its last error, at length; this picks out the usual culprits.
fn selection_failed(message: &str) -> String {
    let message = message.to_ascii_lowercase();
    let hint = if message.contains("certificate") || message.contains("tls") {
        "the TLS handshake fails: check tls and tlsCAFile"
    } else if message.contains("dns") || message.contains("lookup") {
        "a host name cannot be resolved: check it, and the DNS of this pod"
    } else if message.contains("refused") {
        "the connection is refused: check host and port, and that the server runs"
    } else {
        "check host, port and network policy, and that the replica set has a primary"
    };
    format!("no primary could be found within 5 s; {hint}")
}
