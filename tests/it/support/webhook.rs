//! A receiver of messages on loopback, as good or as bad as a test wants it.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::eventually;
use super::scene::PATIENCE;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A status.
    Status(u16),
    /// A status with a header.
    With(u16, &'static str, &'static str),
    /// 200 after so long.
    After(Duration),
    /// None, for ever.
    Hang,
    /// Something that is not HTTP.
    Garbage,
    /// A body that never ends.
    Flood,
    /// The end of the connection.
    Close,
}

/// A message that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path that was asked for.
    pub path: String,
    /// All headers, as text.
    pub headers: Vec<(String, String)>,
    /// The body, which must be JSON.
    pub body: Value,
    /// How large it was.
    pub size: usize,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    answers: Vec<Answer>,
    connections: usize,
    received: Vec<Received>,
}

/// See the module. It listens until the test's process ends.
pub struct Webhook {
    base: String,
    state: Arc<Mutex<State>>,
}

impl Webhook {
    /// One that takes everything.
    pub fn new() -> Self {
        Self::answering(&[Answer::Status(200)])
    }

    /// One that answers so, connection by connection; the last answer stays.
    pub fn answering(answers: &[Answer]) -> Self {
        Self::serve(answers, None)
    }

    /// One that speaks TLS, with a certificate for `localhost` whose authority is written to a file.
    pub fn with_tls(authority: &Path) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(authority, cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        Self::serve(&[Answer::Status(200)], Some(Arc::new(config).into()))
    }

    fn serve(answers: &[Answer], tls: Option<TlsAcceptor>) -> Self {
        let state = Arc::new(Mutex::new(State { answers: answers.to_vec(), ..State::default() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let shared = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let (state, tls) = (shared.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => attend(stream, state).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    attend(stream, state).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Self { base, state }
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What has come so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// How often it was connected to.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The events of what has come, in order.
    pub fn events(&self) -> Vec<String> {
        self.received().iter().map(|it| it.body["event"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits for the message about an event, and returns it.
    #[track_caller]
    pub fn until(&self, event: &str) -> Received {
        eventually(&format!("it is told `{event}`"), PATIENCE, || {
            self.received().into_iter().find(|received| received.body["event"] == event)
        })
    }
}

async fn attend(mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<Mutex<State>>) {
    let answer = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        let index = state.connections.min(state.answers.len()) - 1;
        state.answers[index]
    };
    match answer {
        Answer::Garbage => {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"\x00\x01 this is no HTTP\r\n\r\n").await;
            return;
        }
        Answer::Flood => {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 8 * 1024]).await.is_ok() {}
            return;
        }
        Answer::Close => {
            let _ = stream.read(&mut [0; 1024]).await;
            return;
        }
        Answer::Status(_) | Answer::With(..) | Answer::After(_) | Answer::Hang => {}
    }
    let service = service_fn(|request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(respond(request, answer, &state).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, answer: Answer, state: &Mutex<State>) -> Response<String> {
    let path = request.uri().to_string();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let headers = request.headers().iter().map(header).collect();
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(frame.data_ref().unwrap());
    }
    let received = Received { path, headers, body: serde_json::from_slice(&bytes).unwrap(), size: bytes.len() };
    state.lock().unwrap().received.push(received);
    let builder = Response::builder();
    match answer {
        Answer::Status(status) => builder.status(status),
        Answer::With(status, name, value) => builder.status(status).header(name, value),
        Answer::After(time) => {
            tokio::time::sleep(time).await;
            builder.status(200)
        }
        _ => std::future::pending().await,
    }
    .body("ok".to_owned())
    .unwrap()
}
