//! The HTTP client that OTLP travels with.
//!
//! It blocks the thread that calls it, which is a thread of the SDK that does nothing else, and is bounded in everything: time, size of
//! answers, redirects (none: what is in the headers is for one host).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::http_trouble::HttpTrouble;

use super::settings::Tls;

/// The largest answer that is read: it says at most how much was rejected, and why.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// Why the latest request came to nothing, for the exporter tells no more than that it did.
#[derive(Clone, Debug, Default)]
pub struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    fn set(&self, error: &ureq::Error, within: Duration) {
        let reason = HttpTrouble::of(error, within, "OTEL_EXPORTER_OTLP_CERTIFICATE").reason;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// What it was, once.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    last_error: LastError,
}

impl Client {
    /// A client for one destination, which leaves in `last_error` why a request came to nothing.
    ///
    /// # Errors
    /// A sentence on what is wrong with the certificates or the key.
    pub fn new(tls: &Tls, timeout: Duration, last_error: LastError) -> Result<Self, String> {
        let mut settings = TlsConfig::builder();
        if let Some(pem) = &tls.authorities {
            let authorities = certificates(pem, "OTEL_EXPORTER_OTLP_CERTIFICATE")?;
            settings = settings.root_certs(RootCerts::Specific(Arc::new(authorities)));
        }
        if let Some((certificate, key)) = &tls.identity {
            let chain = certificates(certificate, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")?;
            let key = PrivateKey::from_pem(key.expose().as_bytes())
                .map_err(|_| "OTEL_EXPORTER_OTLP_CLIENT_KEY names a file without a private key".to_owned())?;
            settings = settings.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        let agent = ureq::Agent::config_builder()
            .tls_config(settings.build())
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("stopover/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: agent.into(), timeout, last_error })
    }
}

fn certificates(pem: &[u8], variable: &str) -> Result<Vec<Certificate<'static>>, String> {
    let found: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() { Err(format!("{variable} names a file without a certificate")) } else { Ok(found) }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answered = self.agent.run(Request::from_parts(parts, body.to_vec())).and_then(|answer| {
            let (parts, mut body) = answer.into_parts();
            let body = body.with_config().limit(LARGEST_ANSWER).read_to_vec()?;
            Ok(Response::from_parts(parts, Bytes::from(body)))
        });
        Ok(answered.inspect_err(|error| self.last_error.set(error, self.timeout))?)
    }
}
