//! One try to deliver a message.

use std::fmt;
use std::time::{Duration, Instant};

use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

use crate::http_client::USER_AGENT;
use crate::http_trouble::{HttpTrouble, is_about_a_certificate};

use super::authorities::{self, Authorities};
use super::receivers::Ready;

/// Of an answer, only its head counts, and no more of it than this is read.
const LARGEST_HEAD: usize = 16 * 1024;
/// The longest that a receiver may ask to be left alone.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The way to one receiver.
pub struct Post {
    ready: Ready,
    /// One for each set of authorities that are trusted.
    agents: Vec<Agent>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In words, without any secret.
    pub reason: String,
    /// Whether the same may be tried again.
    pub again: Again,
}

impl Trouble {
    /// What may be otherwise after a while.
    pub(super) fn passing(reason: String) -> Self {
        Self { reason, again: Again::Soon }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// See [`Trouble::again`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It would be refused again.
    Never,
    /// After a while.
    Soon,
    /// Not before this has passed.
    After(Duration),
}

impl Post {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(ready: Ready) -> Self {
        let own = ready.authorities.as_ref().map(Authorities::roots);
        let agents = own.into_iter().chain([RootCerts::WebPki]).map(|roots| {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_response_header_size(LARGEST_HEAD)
                // Messages are rare: a connection that is kept would be dead when it is needed.
                .max_idle_connections(0)
                .user_agent(USER_AGENT)
                .tls_config(TlsConfig::builder().root_certs(roots).build())
                .build()
                .new_agent()
        });
        Self { agents: agents.collect(), ready }
    }

    /// Delivers `body`, whose `id` is the same whenever it is tried, within a time; says with which status it was taken.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn send(&self, id: &str, body: &[u8], within: Duration) -> Result<u16, Trouble> {
        let within = within.min(self.ready.timeout);
        let end = Instant::now() + within;
        let mut result = Err(Error::ConnectionFailed);
        for agent in &self.agents {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut request = agent
                .post(self.ready.url.expose())
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", id);
            for (name, value) in &self.ready.headers {
                request = request.header(name.as_str(), value.expose());
            }
            result = request.config().timeout_global(Some(left)).build().send(body);
            if !result.as_ref().is_err_and(is_about_a_certificate) {
                break;
            }
        }
        // The body of the answer is nobody's concern, and is not read.
        let response = result.map_err(|error| {
            let HttpTrouble { reason, may_pass } = HttpTrouble::of(&error, within, authorities::VARIABLE);
            Trouble { reason, again: if may_pass { Again::Soon } else { Again::Never } }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(refused(status.as_u16(), after.map(Duration::from_secs)))
    }
}

fn refused(status: u16, after: Option<Duration>) -> Trouble {
    let again = match (status, after) {
        (408 | 425 | 429 | 500..=599, Some(after)) => Again::After(after.min(LONGEST_RETRY_AFTER)),
        (408 | 425 | 429 | 500..=599, None) => Again::Soon,
        _ => Again::Never,
    };
    let hint = match status {
        300..=399 => ", a redirect, which is not followed; write the address that it leads to",
        401 | 403 => "; check its address, and the secrets that are sent",
        404 | 410 => "; check its address",
        _ => "",
    };
    Trouble { reason: format!("it answered {status}{hint}"), again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        for status in [408, 425, 429, 500, 503] {
            assert_eq!(refused(status, None).again, Again::Soon);
        }
        for status in [301, 308, 400, 401, 404, 410] {
            assert_eq!(refused(status, None).again, Again::Never, "{status}");
        }
        let after = |seconds| refused(429, Some(Duration::from_secs(seconds))).again;
        assert_eq!(after(7), Again::After(Duration::from_secs(7)));
        assert_eq!(after(86_400), Again::After(LONGEST_RETRY_AFTER));
    }
}
