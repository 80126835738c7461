//! The HTTP client that OTLP travels with.
//!
//! It blocks the thread that calls it, which is a thread of the SDK that does nothing else, and is bounded in everything: time, size of
//! answers, redirects (none: what is in the headers is for one host). It goes to its destination directly, as gRPC does: a proxy of the
//! environment is for messages to people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::http_client::{self, USER_AGENT};
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
    pub fn take_error(&self) -> Option<String> {
        self.with(|answered| answered.error.take())
    }

    /// What was rejected of what arrived, once.
    #[must_use]
    pub fn take_rejected(&self) -> Option<Rejected> {
        self.with(|answered| answered.rejected.take())
    }

    fn note(&self, reason: String) {
        self.with(|answered| answered.error = Some(reason));
    }

    /// Takes in the body of an answer that says that all is well; whether it is one.
    fn read(&self, body: &[u8]) -> bool {
        // The answers to all three kinds of requests have the same shape on the wire.
        let Ok(answer) = ExportTraceServiceResponse::decode(body) else {
            self.note(NO_BACKEND.to_owned());
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

/// A status with which the exporter does not try again: what was sent may have been taken, and the answer would be the same.
const NOT_AGAIN: StatusCode = StatusCode::BAD_REQUEST;

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
            .proxy(None)
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .build();
        Ok(Self { agent: agent.into(), timeout, answers })
    }
}

fn certificates(pem: &[u8], variable: &str) -> Result<Vec<Certificate<'static>>, String> {
    let found = http_client::certificates(pem);
    if found.is_empty() { Err(format!("{variable} names a file without a certificate")) } else { Ok(found) }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        // What was wrong with an earlier try says nothing of this one.
        let _ = self.answers.take_error();
        let note = |error: &ureq::Error| {
            let trouble = HttpTrouble::of(error, self.timeout, "OTEL_EXPORTER_OTLP_CERTIFICATE");
            self.answers.note(trouble.reason);
        };
        let answer = self.agent.run(Request::from_parts(parts, body.to_vec())).inspect_err(note)?;
        let (mut head, mut body) = answer.into_parts();
        let read = body.with_config().limit(LARGEST_ANSWER).read_to_vec();
        let body = match read {
            Ok(body) => body,
            // It is the status that counts; of one that all is well, nobody can say whether it is.
            Err(error @ ureq::Error::BodyExceedsLimit(_)) => {
                if head.status.is_success() {
                    note(&error);
                    head.status = NOT_AGAIN;
                }
                Vec::new()
            }
            Err(error) => {
                note(&error);
                return Err(error.into());
            }
        };
        if head.status.is_success() && !self.answers.read(&body) {
            head.status = NOT_AGAIN;
        }
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use futures_util::FutureExt;

    use super::*;

    /// What comes of a request to a port of this machine. The client blocks: there is nothing to wait for.
    fn asked(client: &Client, port: u16) -> Result<StatusCode, HttpError> {
        let request = Request::post(format!("http://127.0.0.1:{port}/v1/traces")).body(Bytes::new()).unwrap();
        client.send_bytes(request).now_or_never().unwrap().map(|answer| answer.status())
    }

    fn client() -> Client {
        Client::new(&Tls::default(), Duration::from_secs(30), Answers::default()).unwrap()
    }

    /// A port where one request is answered so.
    fn answering(status: &'static str, body: Vec<u8>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            // Whoever asked may not want all of it.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        });
        port
    }

    #[test]
    fn what_was_wrong_with_a_try_is_forgotten_with_the_next() {
        let client = client();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(asked(&client, closed).is_err());
        assert_eq!(asked(&client, answering("401 Unauthorized", Vec::new())).unwrap(), 401);
        assert_eq!(client.answers.take_error(), None, "401 speaks for itself");
    }

    #[test]
    fn of_an_answer_that_is_too_long_the_status_counts_unless_it_says_that_all_is_well() {
        let (client, long) = (client(), vec![b'a'; 100 * 1024]);
        assert_eq!(asked(&client, answering("503 Service Unavailable", long.clone())).unwrap(), 503);
        assert_eq!(client.answers.take_error(), None);
        assert_eq!(asked(&client, answering("200 OK", long)).unwrap(), NOT_AGAIN);
        assert_eq!(client.answers.take_error().unwrap(), "its answer is too large");
    }
}
