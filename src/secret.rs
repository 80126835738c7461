//! Values that must never be shown: they print as a mask, whatever prints them.

use std::fmt;

/// What stands where a secret would.
pub const MASK: &str = "***";

/// A header's value that is shorter opens nothing: masking it would blank out words of any log.
pub const SHORTEST_IN_HEADERS: usize = 8;

/// A secret string. `Debug` and `Display` print [`MASK`]; [`Secret::expose`] is the only way to the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: for a driver or a child's environment, never for output.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The password of a connection string `scheme://user:password@host/...`, still percent-encoded, if there is one.
#[must_use]
pub fn uri_password(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    // A raw '@' or '/' in a password is invalid, yet people write it: the last '@' before the hosts ends the credentials.
    let end = rest[..].rfind('@').filter(|&at| at < authority.len() || rest[..at].contains(':'))?;
    let (_, password) = rest[..end].split_once(':')?;
    (!password.is_empty()).then_some(password)
}

/// The connection string with its password masked and its options dropped: what a screen or a record may show.
#[must_use]
pub fn mask_uri(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return MASK.to_owned();
    };
    let without_options = rest.split('?').next().unwrap_or(rest);
    match without_options.rfind('@') {
        Some(at) => {
            let (credentials, hosts) = without_options.split_at(at);
            let user = credentials.split(':').next().unwrap_or_default();
            if credentials.contains(':') {
                format!("{scheme}://{user}:{MASK}{hosts}")
            } else {
                format!("{scheme}://{user}{hosts}")
            }
        }
        None => format!("{scheme}://{without_options}"),
    }
}

/// Whether a header, or a part of an address, of this name in lower case holds what opens something.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    ["auth", "token", "secret", "key", "password", "cookie", "sig"].iter().any(|part| name.contains(part))
}

/// What a percent-encoded text stands for; what is no escape is left as it is.
#[must_use]
pub fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|&digit| char::from(digit).to_digit(16));
        rest = if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits make a byte"));
            &after[2..]
        } else {
            out.push(byte);
            after
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_connection_string_is_shown_without_its_password_and_options() {
        assert_eq!(
            mask_uri(
                "mongodb://app:s3cret@db-0:27017,db-1:27017/payments?replicaSet=rs0&tlsCertificateKeyFilePassword=x"
            ),
            "mongodb://app:***@db-0:27017,db-1:27017/payments"
        );
        assert_eq!(mask_uri("mongodb+srv://cluster.example/payments"), "mongodb+srv://cluster.example/payments");
        assert_eq!(mask_uri("mongodb://app:p@ss/w0rd@db/payments"), "mongodb://app:***@db/payments");
        assert_eq!(mask_uri("not a uri with a password"), MASK);
    }

    #[test]
    fn the_password_of_a_connection_string_is_found() {
        assert_eq!(uri_password("mongodb://app:s3cret@db/payments"), Some("s3cret"));
        assert_eq!(uri_password("mongodb://app@db/payments"), None);
        assert_eq!(uri_password("mongodb://db:27017/payments"), None);
        assert_eq!(uri_password("mongodb://app:p@ss@db/payments"), Some("p@ss"));
    }

    #[test]
    fn what_is_no_escape_is_left_as_it_is() {
        assert_eq!(percent_decoded("p%40ss%2Fw%zz%4"), b"p@ss/w%zz%4");
    }
}
