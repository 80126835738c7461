//! What all HTTP clients of this crate share.

use ureq::tls::{Certificate, PemItem, parse_pem};

/// Who asks.
pub const USER_AGENT: &str = concat!("stopover/", env!("CARGO_PKG_VERSION"));

/// The certificates of a PEM file, which may hold other things beside them.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}
