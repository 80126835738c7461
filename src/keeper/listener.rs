//! What is answered over HTTP: the probes, for those who cannot run a command in the pod, and the figures, for Prometheus.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::config::{Config, StateDir};
use crate::telemetry::page::text;

use super::probe;
use super::scrape::{ANSWER_WITHIN, Scrapes};

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 64;
/// How long a request may take to arrive.
const HEADERS_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may last: until its request has come, the longest answer is there, and has been taken.
const CONNECTION_WITHIN: Duration = HEADERS_WITHIN.saturating_add(ANSWER_WITHIN).saturating_add(Duration::from_secs(2));
/// After a connection could not be accepted, as when all descriptors are in use.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What is answered.
pub struct Health {
    stopping: AtomicBool,
    state: StateDir,
    scrapes: Scrapes,
}

impl Health {
    /// Of a keeper with this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Arc<Self> {
        let (state, scrapes) = (config.state_dir.clone(), Scrapes::new(config));
        Arc::new(Self { stopping: AtomicBool::new(false), state, scrapes })
    }

    /// From now on the pod is not ready.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// An open listener; it answers as long as the runtime lives.
pub struct Listener {
    address: SocketAddr,
    health: Arc<Health>,
}

impl Listener {
    /// Opens it.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(address: SocketAddr, health: Arc<Health>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tokio::spawn(accept(listener, health.clone()));
        Ok(Self { address, health })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }
}

async fn accept(listener: TcpListener, health: Arc<Health>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = health.clone();
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION_WITHIN, serve(stream, &health)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// One request, one answer.
async fn serve(stream: TcpStream, health: &Arc<Health>) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request.method(), request.uri().path(), health).await)
    });
    http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// The table of what can be asked for.
async fn answer(method: &Method, path: &str, health: &Arc<Health>) -> Response<Full<Bytes>> {
    let mut kind = "text/plain; charset=utf-8";
    let (status, text) = match path {
        "/livez" | "/readyz" | "/metrics" if !matches!(*method, Method::GET | Method::HEAD) => {
            (StatusCode::METHOD_NOT_ALLOWED, line("only GET is answered here"))
        }
        "/livez" => (StatusCode::OK, line("the keeper lives")),
        "/readyz" => {
            let (status, text) = readiness(health).await;
            (status, line(text))
        }
        "/metrics" => match figures(health).await {
            Ok(page) => {
                kind = text::CONTENT_TYPE;
                (StatusCode::OK, page)
            }
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, line(reason)),
        },
        _ => (StatusCode::NOT_FOUND, line("there are /livez, /readyz and /metrics")),
    };
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn line(text: impl Into<String>) -> Bytes {
    (text.into() + "\n").into()
}

async fn figures(health: &Arc<Health>) -> Result<Bytes, String> {
    if health.stopping.load(Ordering::Relaxed) {
        // Nothing is started in a pod that is shut down.
        return Err("the pod is being shut down".to_owned());
    }
    health.scrapes.answer().await
}

async fn readiness(health: &Arc<Health>) -> (StatusCode, String) {
    if health.stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the pod is being shut down".to_owned());
    }
    // On a thread of its own: a disk that does not answer must not keep the keeper from reaping.
    let of = health.clone();
    let writable = tokio::task::spawn_blocking(move || probe::writable(&of.state)).await;
    match writable.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(()) => (StatusCode::OK, "the keeper lives, and runs can be launched".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}
