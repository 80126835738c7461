//! The HTTP client that OTLP travels with.
//!
//! It blocks the thread that calls it, which is a thread of the SDK that does nothing else, and is bounded in everything: time, size of
//! answers, redirects (none: what is in the headers is for one host).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::http_trouble::HttpTrouble;

use super::settings::Tls;

/// The largest answer that is read: it says at most how much was rejected, and why.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// What a backend answers beyond what the exporter tells of it.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<Answered>>);

#[derive(Debug, Default)]
struct Answered {
    error: Option<String>,
    rejected: Option<Rejected>,
}

/// What a backend took a request for, and did not keep of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many spans, points or records.
    pub count: u64,
    /// Why, in its own words.
    pub why: String,
}

impl Answers {
    fn with<T>(&self, change: impl FnOnce(&mut Answered) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the latest request came to nothing, once.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.with(|answered| answered.error.take())
    }

    /// What was rejected of what arrived, once.
    #[must_use]
    pub fn rejected(&self) -> Option<Rejected> {
        self.with(|answered| answered.rejected.take())
    }

    /// Takes in the body of an answer that says that all is well; whether it is one.
    fn read(&self, body: &[u8]) -> bool {
        // The answers to all three kinds of requests have the same shape on the wire.
        let Ok(answer) = ExportTraceServiceResponse::decode(body) else {
            self.with(|answered| answered.error = Some(NO_BACKEND.to_owned()));
            return false;
        };
        if let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_spans > 0) {
            let count = partial.rejected_spans.unsigned_abs();
            self.with(|answered| answered.rejected = Some(Rejected { count, why: partial.error_message }));
        }
        true
    }
}

/// A page for people to log in, say.
const NO_BACKEND: &str = "what answers there does not speak OTLP; see whether the address is that of the backend, and not of what stands before it";

/// See the module.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    timeout: Duration,
    answers: Answers,
}

impl Client {
    /// A client for one destination, which notes in `answers` what the exporter does not tell.
    ///
    /// # Errors
    /// A sentence on what is wrong with the certificates or the key.
    pub fn new(tls: &Tls, timeout: Duration, answers: Answers) -> Result<Self, String> {
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
        Ok(Self { agent: agent.into(), timeout, answers })
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
        let note = |error: &ureq::Error| {
            let trouble = HttpTrouble::of(error, self.timeout, "OTEL_EXPORTER_OTLP_CERTIFICATE");
            self.answers.with(|answered| answered.error = Some(trouble.reason));
        };
        let mut answer = answered.inspect_err(note)?;
        if answer.status().is_success() && !self.answers.read(answer.body()) {
            // It would be so again.
            *answer.status_mut() = StatusCode::BAD_REQUEST;
        }
        Ok(answer)
    }
}
