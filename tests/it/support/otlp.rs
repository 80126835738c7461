//! A receiver of OTLP: a real server on loopback that decodes what arrives with the official protobuf messages.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rcgen::{Certificate, CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::metadata::KeyAndValueRef;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};

/// Attributes by name, values as text.
pub type Attributes = BTreeMap<String, String>;

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Accept,
    /// It refuses everything, for good: 400 or `INVALID_ARGUMENT`.
    Reject,
    /// It is overloaded: 503 or `UNAVAILABLE`.
    Overloaded,
    /// It never answers.
    Hang,
    /// It answers after a while.
    Slow(Duration),
    /// It answers, with what is no message.
    Garbage,
    /// It takes everything, and says that it keeps so much of it not.
    Rejects(i64),
    /// It takes everything, and says far more than anybody wants to read.
    Verbose,
}

/// What has arrived.
#[derive(Debug, Default)]
pub struct Received {
    /// With the attributes of their resource.
    pub spans: Vec<(Attributes, Span)>,
    /// The same.
    pub metrics: Vec<(Attributes, Metric)>,
    /// The same.
    pub logs: Vec<(Attributes, LogRecord)>,
    /// The headers of each request.
    pub headers: Vec<Attributes>,
    /// Requests, refused ones too.
    pub requests: usize,
}

impl Received {
    /// The spans of this name.
    pub fn named(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().map(|(_, span)| span).filter(|span| span.name == name).collect()
    }

    fn take_traces(&mut self, request: ExportTraceServiceRequest) {
        for resource in request.resource_spans {
            let attributes = attributes(&resource.resource.unwrap_or_default().attributes);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.extend(spans.map(|span| (attributes.clone(), span)));
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        for resource in request.resource_metrics {
            let attributes = attributes(&resource.resource.unwrap_or_default().attributes);
            let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            self.metrics.extend(metrics.map(|metric| (attributes.clone(), metric)));
        }
    }

    fn take_logs(&mut self, request: ExportLogsServiceRequest) {
        for resource in request.resource_logs {
            let attributes = attributes(&resource.resource.unwrap_or_default().attributes);
            let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            self.logs.extend(records.map(|record| (attributes.clone(), record)));
        }
    }
}

/// As a map of texts.
pub fn attributes(attributes: &[KeyValue]) -> Attributes {
    let text = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

/// The certificate of a receiver with TLS, which is its own authority.
pub struct Tls {
    certificate: Certificate,
    key: KeyPair,
}

impl Tls {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { certificate, key }
    }

    /// What a client has to trust, as PEM.
    pub fn authority(&self) -> String {
        self.certificate.pem()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[derive(Clone)]
struct Shared {
    received: Arc<Mutex<Received>>,
    mode: Arc<Mutex<Mode>>,
}

impl Shared {
    /// Behaves as it should just now; what it accepts is still to be taken.
    async fn behave(&self, headers: Attributes) -> Mode {
        {
            let mut received = self.received.lock().unwrap();
            received.requests += 1;
            received.headers.push(headers);
        }
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Hang => std::future::pending().await,
            Mode::Slow(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        mode
    }

    fn take(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap()
    }
}

/// See the module. It ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Shared,
    _stop: oneshot::Sender<()>,
}

impl Receiver {
    /// HTTP/protobuf.
    pub fn http() -> Self {
        Self::start(|listener, shared| serve_http(listener, None, shared))
    }

    /// HTTP/protobuf over TLS.
    pub fn https(tls: &Tls) -> Self {
        let acceptor = tls.acceptor();
        Self::start(|listener, shared| serve_http(listener, Some(acceptor), shared))
    }

    /// gRPC.
    pub fn grpc() -> Self {
        Self::start(|listener, shared| serve_grpc(listener, None, shared))
    }

    /// gRPC over TLS.
    pub fn grpcs(tls: &Tls) -> Self {
        let identity = Identity::from_pem(tls.certificate.pem(), tls.key.serialize_pem());
        Self::start(|listener, shared| serve_grpc(listener, Some(identity), shared))
    }

    fn start<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener, Shared) -> F + Send + 'static) -> Self {
        let shared = Shared { received: Arc::default(), mode: Arc::new(Mutex::new(Mode::Accept)) };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let of_server = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, of_server) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { address: told.recv().unwrap(), shared, _stop: stop }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it behaves so.
    pub fn behave(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// What has arrived so far.
    pub fn received(&self) -> MutexGuard<'_, Received> {
        self.shared.take()
    }
}

async fn serve_http(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Shared) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, shared) = (tls.clone(), shared.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone()));
            let server = http1::Builder::new();
            // A client that goes away, or does not trust this server, ends its connection.
            let _ = match tls {
                None => server.serve_connection(TokioIo::new(stream), service).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Shared) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers: Attributes = request.headers().iter().map(header).collect();
    let body = request.into_body().collect().await?.to_bytes();
    let respond = |status: u16, body: Vec<u8>| {
        let response = Response::builder().status(status).header("content-type", "application/x-protobuf");
        Ok(response.body(Full::new(Bytes::from(body))).unwrap())
    };
    let is_gzip = headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    match shared.behave(headers).await {
        Mode::Reject => return respond(400, b"no".to_vec()),
        Mode::Overloaded => return respond(503, Vec::new()),
        Mode::Garbage => return respond(200, b"\xff\xfe<html>what?".to_vec()),
        Mode::Rejects(count) => {
            let why = "the name is too long".to_owned();
            let partial = ExportTracePartialSuccess { rejected_spans: count, error_message: why };
            return respond(200, ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec());
        }
        Mode::Verbose => return respond(200, vec![b'a'; 100 * 1024]),
        Mode::Accept | Mode::Slow(_) | Mode::Hang => {}
    }
    let mut plain = Vec::new();
    if is_gzip {
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    let mut received = shared.take();
    let empty = match path.as_str() {
        "/v1/traces" => {
            received.take_traces(ExportTraceServiceRequest::decode(&*plain).unwrap());
            ExportTraceServiceResponse::default().encode_to_vec()
        }
        "/v1/metrics" => {
            received.take_metrics(ExportMetricsServiceRequest::decode(&*plain).unwrap());
            ExportMetricsServiceResponse::default().encode_to_vec()
        }
        "/v1/logs" => {
            received.take_logs(ExportLogsServiceRequest::decode(&*plain).unwrap());
            ExportLogsServiceResponse::default().encode_to_vec()
        }
        _ => return respond(404, Vec::new()),
    };
    respond(200, empty)
}

async fn serve_grpc(listener: TcpListener, tls: Option<Identity>, shared: Shared) {
    let mut server = tonic::transport::Server::builder();
    if let Some(identity) = tls {
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    }
    let gzip = CompressionEncoding::Gzip;
    server
        .add_service(TraceServiceServer::new(shared.clone()).accept_compressed(gzip))
        .add_service(MetricsServiceServer::new(shared.clone()).accept_compressed(gzip))
        .add_service(LogsServiceServer::new(shared).accept_compressed(gzip))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
        .unwrap();
}

impl Shared {
    async fn accept<M>(&self, request: tonic::Request<M>, take: impl FnOnce(&mut Received, M)) -> Result<(), Status> {
        let header = |pair: KeyAndValueRef<'_>| match pair {
            KeyAndValueRef::Ascii(name, value) => (name.to_string(), value.to_str().unwrap_or_default().to_owned()),
            KeyAndValueRef::Binary(name, _) => (name.to_string(), String::new()),
        };
        let headers = request.metadata().iter().map(header).collect();
        match self.behave(headers).await {
            Mode::Reject | Mode::Garbage => return Err(Status::invalid_argument("no")),
            Mode::Overloaded => return Err(Status::unavailable("later")),
            Mode::Accept | Mode::Slow(_) | Mode::Hang | Mode::Rejects(_) | Mode::Verbose => {}
        }
        take(&mut self.take(), request.into_inner());
        Ok(())
    }
}

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.accept(request, Received::take_traces)
            .await
            .map(|()| tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.accept(request, Received::take_metrics)
            .await
            .map(|()| tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.accept(request, Received::take_logs)
            .await
            .map(|()| tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}
