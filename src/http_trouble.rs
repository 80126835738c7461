//! Why a request came to nothing, in our own words where a library's would repeat an address, or say nothing to anybody.

use std::io;
use std::time::Duration;

use ureq::{Error, Timeout};

use crate::time::short_duration;

/// Nobody took the connection.
pub const NOBODY: &str = "nobody listens at its address";
/// There is no such name.
pub const UNKNOWN_HOST: &str = "its host is not known; check the address, and the pod's DNS";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTrouble {
    /// In words, without any secret.
    pub reason: String,
    /// Whether it may be gone when the same is tried again.
    pub may_pass: bool,
}

impl HttpTrouble {
    /// Of a request that was given so long. `authorities` is the variable that names whose certificates are trusted.
    #[must_use]
    pub fn of(error: &Error, within: Duration, authorities: &str) -> Self {
        let passing = |reason: String| Self { reason, may_pass: true };
        let lasting = |reason: String| Self { reason, may_pass: false };
        if is_about_a_certificate(error) {
            return lasting(untrusted(&words(error), authorities));
        }
        match error {
            Error::Timeout(Timeout::Resolve) => passing("its name could not be resolved in time".to_owned()),
            Error::Timeout(_) => passing(format!("it did not answer within {}", short_duration(within))),
            Error::HostNotFound => passing(UNKNOWN_HOST.to_owned()),
            Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => passing(NOBODY.to_owned()),
            Error::Io(_) | Error::Tls(_) | Error::Rustls(_) => passing(words(error)),
            Error::Protocol(_) => passing("its answer is not HTTP".to_owned()),
            Error::ConnectionFailed => passing("it cannot be connected to".to_owned()),
            Error::BodyExceedsLimit(_) => lasting("its answer is too large".to_owned()),
            Error::InvalidProxyUrl => lasting("the proxy of this environment has no valid address".to_owned()),
            Error::LargeResponseHeader(..) => lasting("the head of its answer is too large".to_owned()),
            _ => passing("the message cannot be sent; check its address, and the proxy of this environment".to_owned()),
        }
    }
}

/// The receiver shows a certificate of a stranger.
#[must_use]
pub fn untrusted(words: &str, authorities: &str) -> String {
    format!("its certificate is not trusted ({words}); let {authorities} name the authorities that it is signed by")
}

/// Whether other authorities may help.
#[must_use]
pub fn is_about_a_certificate(error: &Error) -> bool {
    words(error).contains("invalid peer certificate")
}

/// What the system or TLS says; neither knows of addresses.
fn words(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::Rustls(error) => error.to_string(),
        Error::Tls(text) => (*text).to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_of_an_error_repeat_an_address() {
        let secret = "https://hooks.example.com/T0/B0/s3cr3t";
        let reason = HttpTrouble::of(&Error::BadUri(secret.to_owned()), Duration::from_secs(5), "X").reason;
        assert!(!reason.contains("s3cr3t"), "{reason}");
    }

    #[test]
    fn a_timeout_says_how_long_was_waited() {
        let trouble = HttpTrouble::of(&Error::Timeout(Timeout::Global), Duration::from_secs(5), "X");
        assert_eq!(trouble, HttpTrouble { reason: "it did not answer within 5 s".to_owned(), may_pass: true });
    }
}
