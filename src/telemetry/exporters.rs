//! The exporters: OTLP over gRPC or HTTP, as the settings say.
//!
//! Compression, headers and, over HTTP, the endpoint of the standard variables are read by the exporters themselves. Failures that pass are
//! tried again by them for as long as one export may take (`OTEL_EXPORTER_OTLP_TIMEOUT`, 10 s), on threads of the SDK. Every step on the way has
//! an end of its own: an export that never came back would be the last of its signal.

use std::collections::HashMap;

use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::metrics::Temporality;
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::client::{Answers, Client};
use super::settings::{Destination, Protocol};

const MISFIT: &str = "the OTEL_EXPORTER_OTLP_ variables do not fit together: see the endpoint and the certificates";

/// Of spans. Must be called within a runtime that lives as long as the exporter, as for all of them. `answers` is told what the exporter does not say.
///
/// # Errors
/// A sentence on what is wrong with the settings.
pub fn spans(to: &Destination, answers: &Answers) -> Result<SpanExporter, String> {
    let builder = SpanExporter::builder();
    let built = match to.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), to)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, answers)?.build(),
    };
    built.map_err(|error| sentence(&error))
}

/// Of logs.
///
/// # Errors
/// As [`spans`].
pub fn logs(to: &Destination, answers: &Answers) -> Result<LogExporter, String> {
    let builder = LogExporter::builder();
    let built = match to.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), to)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, answers)?.build(),
    };
    built.map_err(|error| sentence(&error))
}

/// Of metrics.
///
/// # Errors
/// As [`spans`].
pub fn metrics(to: &Destination, temporality: Temporality, answers: &Answers) -> Result<MetricExporter, String> {
    let builder = MetricExporter::builder().with_temporality(temporality);
    let built = match to.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), to)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, answers)?.build(),
    };
    built.map_err(|error| sentence(&error))
}

fn over_http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    to: &Destination,
    answers: &Answers,
) -> Result<B, String> {
    let headers: HashMap<String, String> =
        to.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    Ok(builder
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_timeout(to.timeout)
        .with_http_client(Client::new(&to.tls, to.timeout, answers.clone())?)
        .with_headers(headers))
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(builder: B, to: &Destination) -> Result<B, String> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &to.headers {
        let name = MetadataKey::from_bytes(name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, value.expose().parse::<tonic::metadata::AsciiMetadataValue>()) else {
            return Err("OTEL_EXPORTER_OTLP_HEADERS_FILE holds a header that cannot be sent".to_owned());
        };
        value.set_sensitive(true);
        metadata.insert(name, value);
    }
    Ok(builder
        .with_protocol(opentelemetry_otlp::Protocol::Grpc)
        .with_timeout(to.timeout)
        .with_metadata(metadata)
        .with_channel(channel(to)?))
}

/// Connections to a destination, made when there is something to send: each, from the name to the end of the handshake, within the time of one
/// export, and each call.
fn channel(to: &Destination) -> Result<Channel, String> {
    let limit = to.timeout;
    // An address that is to be shown is one without credentials, and without a path, of which gRPC has none.
    let mut endpoint = Endpoint::from_shared(to.shown.clone())
        .map_err(|_| MISFIT)?
        .connect_timeout(limit)
        .timeout(limit)
        // Asked only while a call waits: what is silent for as long as one may take is left for another connection.
        .http2_keep_alive_interval(limit / 2)
        .keep_alive_timeout(limit / 2);
    if to.shown.starts_with("https://") {
        endpoint = endpoint.tls_config(tls(to)).map_err(|_| MISFIT)?;
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // Of a connector that it makes itself, only a part would be limited.
    Ok(endpoint.connect_with_connector_lazy(connector))
}

fn tls(to: &Destination) -> ClientTlsConfig {
    let mut tls = ClientTlsConfig::new();
    tls = match &to.tls.authorities {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_webpki_roots(),
    };
    if let Some((certificate, key)) = &to.tls.identity {
        tls = tls.identity(Identity::from_pem(certificate, key.expose()));
    }
    tls
}

/// Its own words quote the address, which may hold credentials.
fn sentence(error: &ExporterBuildError) -> String {
    match error {
        ExporterBuildError::InvalidConfiguration(_) => MISFIT.to_owned(),
        error @ ExporterBuildError::InternalFailure(_) => error.to_string(),
    }
}
