//! The exporters: OTLP over gRPC or HTTP, as the settings say.
//!
//! Endpoint, compression and headers of the standard variables are read by the exporters themselves. Failures that pass are tried
//! again by them for as long as one export may take (`OTEL_EXPORTER_OTLP_TIMEOUT`, 10 s), on threads of the SDK.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use tonic::metadata::{MetadataKey, MetadataMap};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::client::{Answers, Client};
use super::settings::{Destination, Protocol, Signal};

/// How long one export may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Of spans. Must be called within a runtime that lives as long as the exporter, as for all of them. `answers` is told what the exporter does not say.
///
/// # Errors
/// A sentence on what is wrong with the settings.
pub fn spans(to: &Destination, answers: &Answers) -> Result<SpanExporter, String> {
    let builder = SpanExporter::builder();
    let built = match to.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), to, Signal::Traces)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, Signal::Traces, answers)?.build(),
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
        Protocol::Grpc => over_grpc(builder.with_tonic(), to, Signal::Logs)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, Signal::Logs, answers)?.build(),
    };
    built.map_err(|error| sentence(&error))
}

/// Of metrics.
///
/// # Errors
/// As [`spans`].
pub fn metrics(to: &Destination, answers: &Answers) -> Result<MetricExporter, String> {
    let builder = MetricExporter::builder();
    let built = match to.protocol {
        Protocol::Grpc => over_grpc(builder.with_tonic(), to, Signal::Metrics)?.build(),
        Protocol::Http => over_http(builder.with_http(), to, Signal::Metrics, answers)?.build(),
    };
    built.map_err(|error| sentence(&error))
}

fn over_http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    to: &Destination,
    signal: Signal,
    answers: &Answers,
) -> Result<B, String> {
    let timeout = signal.timeout().unwrap_or(TIMEOUT);
    let headers: HashMap<String, String> =
        to.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    Ok(builder
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_timeout(timeout)
        .with_http_client(Client::new(&to.tls, timeout, answers.clone())?)
        .with_headers(headers))
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(builder: B, to: &Destination, signal: Signal) -> Result<B, String> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &to.headers {
        let name = MetadataKey::from_bytes(name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, value.expose().parse::<tonic::metadata::AsciiMetadataValue>()) else {
            return Err("OTEL_EXPORTER_OTLP_HEADERS_FILE holds a header that cannot be sent".to_owned());
        };
        value.set_sensitive(true);
        metadata.insert(name, value);
    }
    let builder = builder
        .with_protocol(opentelemetry_otlp::Protocol::Grpc)
        .with_timeout(signal.timeout().unwrap_or(TIMEOUT))
        .with_metadata(metadata);
    if !to.shown.starts_with("https://") {
        return Ok(builder);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &to.tls.authorities {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_webpki_roots(),
    };
    if let Some((certificate, key)) = &to.tls.identity {
        tls = tls.identity(Identity::from_pem(certificate, key.expose()));
    }
    Ok(builder.with_tls_config(tls))
}

/// Its own words quote the address, which may hold credentials.
fn sentence(error: &ExporterBuildError) -> String {
    match error {
        ExporterBuildError::InvalidConfiguration(_) => {
            "the OTEL_EXPORTER_OTLP_ variables do not fit together: see the endpoint and the certificates".to_owned()
        }
        error @ ExporterBuildError::InternalFailure(_) => error.to_string(),
    }
}
