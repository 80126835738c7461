//! What is secret in settings: values of headers, and passwords in addresses.
//!
//! Programs find the same variables, and may print them.

use std::collections::BTreeSet;

use crate::secret::{SHORTEST_IN_HEADERS, Secret, is_secret_name, percent_decoded, uri_password};

/// A password that is shorter protects nothing, and masking it would blank out half of any text.
const SHORTEST_PASSWORD: usize = 4;
/// A header's value of this length opens something, whatever its name: many a backend has a name of its own for its key.
const LONG_ENOUGH_FOR_A_KEY: usize = 16;
/// Parts of names of headers that only say whose, what or where to, however long their values are.
const OPEN: [&str; 6] = ["tenant", "orgid", "scope", "dataset", "content-type", "user-agent"];

/// The headers of `name=value,name=value`, values percent-encoded, one or several lines of it.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, Secret)> + '_ {
    written(text).map(|(name, value)| (name, Secret::new(decoded(value))))
}

/// The same, values as they are written.
fn written(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.split([',', '\n']).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_lowercase(), value))
    })
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text)).into_owned()
}

/// Values of headers that open something, in each form in which they could be printed: whole, and without the scheme before a token; as they
/// are written, and decoded.
pub fn values(text: &str) -> Vec<Secret> {
    let opening = written(text).filter(|(name, value)| opens(name, value));
    let forms = opening.flat_map(|(_, value)| {
        let token = |value: &str, blank: &str| value.split_once(blank).map(|(_, token)| token.trim().to_owned());
        let plain = decoded(value);
        let tokens = [token(value, "%20"), token(value, " "), token(&plain, " ")];
        [value.to_owned(), plain].into_iter().chain(tokens.into_iter().flatten())
    });
    secrets(forms, SHORTEST_IN_HEADERS)
}

/// Whether a header, its name in lower case, opens something.
fn opens(name: &str, value: &str) -> bool {
    is_secret_name(name) || value.len() >= LONG_ENOUGH_FOR_A_KEY && !OPEN.iter().any(|part| name.contains(part))
}

/// The password of an address, as it is written and decoded.
pub fn passwords(endpoint: &str) -> Vec<Secret> {
    let with_scheme = if endpoint.contains("://") { endpoint.to_owned() } else { format!("//://{endpoint}") };
    let forms = uri_password(&with_scheme).into_iter().flat_map(|written| [written.to_owned(), decoded(written)]);
    secrets(forms, SHORTEST_PASSWORD)
}

/// Each once.
fn secrets(forms: impl Iterator<Item = String>, shortest: usize) -> Vec<Secret> {
    let forms: BTreeSet<String> = forms.filter(|form| form.len() >= shortest).collect();
    forms.into_iter().map(Secret::new).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_has_them_and_their_tokens_are_secrets() {
        let found: Vec<_> = pairs("Authorization=Bearer%20s3cret, x-tenant = blue\nbroken\n=nothing").collect();
        let shown: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("authorization", "Bearer s3cret"), ("x-tenant", "blue")]);
    }

    #[rstest]
    #[case::a_token("Authorization=Bearer%20s3cret-token", &["Bearer s3cret-token", "Bearer%20s3cret-token", "s3cret-token"])]
    #[case::a_key_in_base64(
        "authorization=ApiKey%20c2VjcmV0a2V5%3D%3D",
        &["ApiKey c2VjcmV0a2V5==", "ApiKey%20c2VjcmV0a2V5%3D%3D", "c2VjcmV0a2V5%3D%3D", "c2VjcmV0a2V5=="]
    )]
    #[case::as_files_have_it("Authorization=ApiKey c2VjcmV0a2V5==", &["ApiKey c2VjcmV0a2V5==", "c2VjcmV0a2V5=="])]
    #[case::without_a_scheme("x-api-key=0123456789", &["0123456789"])]
    #[case::a_key_by_another_name("x-honeycomb-team=hcaik_01j4qwe5rty7", &["hcaik_01j4qwe5rty7"])]
    #[case::an_address_that_is_a_key(
        "uptrace-dsn=https://s3cret@api.example?grpc=4317",
        &["https://s3cret@api.example?grpc=4317"]
    )]
    #[case::no_secret("x-tenant=blue,x-scope-orgid=payments-team,x-team=payments", &[])]
    #[case::long_and_no_secret(
        "x-scope-orgid=all-of-the-payments-teams,x-honeycomb-dataset=payments-in-production,user-agent=something-quite-long",
        &[]
    )]
    #[case::too_short_for_one("x-api-key=blue", &[])]
    fn what_opens_a_backend_is_secret_in_each_form_and_nothing_else(#[case] headers: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = values(headers).iter().map(|it| it.expose().to_owned()).collect();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case("http://user:hunter22@host:4318", &["hunter22"])]
    #[case("https://user:hun%40er22@host", &["hun%40er22", "hun@er22"])]
    #[case("user:hunter22@host:4317", &["hunter22"])]
    #[case("ftp://user:hunter22@x", &["hunter22"])]
    #[case("http://host:4318/v1/traces", &[])]
    fn the_password_of_an_address_is_secret(#[case] endpoint: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = passwords(endpoint).iter().map(|it| it.expose().to_owned()).collect();
        assert_eq!(found, expected);
    }
}
