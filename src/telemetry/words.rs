//! What an exporter says of a failure, in words that tell what to do.

use crate::http_trouble::{NOBODY, UNKNOWN_HOST, untrusted};
use crate::logs::sanitise;

/// Characters of what is told of a backend: it may answer at length.
const LONGEST: usize = 300;

/// What may hold words of a backend, as it may be told: without anything secret, which it may repeat, as plain text, and not at length.
#[must_use]
pub fn tellable(text: &str, mask: impl FnOnce(&str) -> String) -> String {
    mask(&sanitise::plain(text.as_bytes())).chars().take(LONGEST).collect()
}

/// Shortens it to what happened. None of it holds an address.
#[must_use]
pub fn of(text: &str) -> String {
    if let Some((_, status)) = text.split_once(" export failed with gRPC code: ") {
        let (code, causes) = status.split_once(": ").unwrap_or((status, ""));
        return of_grpc(code, causes);
    }
    text.split_once("failed with status code: ").map_or_else(|| text.to_owned(), |(_, status)| of_http(status))
}

fn of_http(status: &str) -> String {
    let hint = match status {
        "401" | "403" => "; check OTEL_EXPORTER_OTLP_HEADERS",
        "404" | "405" | "415" => "; check that OTEL_EXPORTER_OTLP_ENDPOINT takes OTLP over HTTP",
        "413" => ": what was sent is too large for it",
        "429" => ": it is asked too much",
        _ if status.starts_with('3') => ", a redirect, which is not followed; write the address that it leads to",
        _ if status.starts_with('5') => "; see its own log",
        _ => "",
    };
    format!("it answered {status}{hint}")
}

fn of_grpc(code: &str, causes: &str) -> String {
    if causes.contains("Connection refused") {
        return NOBODY.to_owned();
    }
    if causes.contains("dns error") || causes.contains("failed to lookup") {
        return UNKNOWN_HOST.to_owned();
    }
    if let Some(at) = causes.find("invalid peer certificate") {
        return untrusted(&causes[at..], "OTEL_EXPORTER_OTLP_CERTIFICATE");
    }
    if matches!(code, "DeadlineExceeded" | "Cancelled")
        || ["Timeout expired", "timed out", "deadline has elapsed"].iter().any(|over| causes.contains(over))
    {
        return "it did not answer in time; OTEL_EXPORTER_OTLP_TIMEOUT says how long it may take".to_owned();
    }
    let innermost = causes.rsplit(": ").next().unwrap_or_default();
    let hint = match code {
        "Unauthenticated" | "PermissionDenied" => "; check OTEL_EXPORTER_OTLP_HEADERS",
        "Unimplemented" => "; check that OTEL_EXPORTER_OTLP_ENDPOINT takes OTLP over gRPC",
        "ResourceExhausted" => ": it is asked too much",
        _ if innermost.is_empty() => "; see its own log",
        _ => "; check that OTEL_EXPORTER_OTLP_ENDPOINT takes gRPC, and the network between",
    };
    if innermost.is_empty() { format!("it answered {code}{hint}") } else { format!("{innermost} ({code}){hint}") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn of_what_a_backend_says_only_what_is_plain_short_and_no_secret_is_told() {
        let said = format!("\u{1b}[31mthe key hunter22{}", "!".repeat(1_000));
        let told = tellable(&said, |text| text.replace("hunter22", "***"));
        assert!(told.starts_with("the key ***!"), "{told}");
        assert_eq!(told.chars().count(), LONGEST);
    }

    #[rstest]
    #[case(
        "TonicTracesClient export failed with gRPC code: Unavailable: transport error: tcp connect error: tcp connect error: Connection refused (os error 111)",
        "nobody listens at its address"
    )]
    #[case(
        "TonicLogsClient export failed with gRPC code: Unavailable: transport error: invalid peer certificate: UnknownIssuer",
        "its certificate is not trusted (invalid peer certificate: UnknownIssuer); let OTEL_EXPORTER_OTLP_CERTIFICATE name the authorities that it is signed by"
    )]
    #[case(
        "TonicLogsClient export failed with gRPC code: Unauthenticated",
        "it answered Unauthenticated; check OTEL_EXPORTER_OTLP_HEADERS"
    )]
    #[case(
        "TonicTracesClient export failed with gRPC code: Cancelled: Timeout expired",
        "it did not answer in time; OTEL_EXPORTER_OTLP_TIMEOUT says how long it may take"
    )]
    #[case(
        "TonicTracesClient export failed with gRPC code: Unknown: transport error: frame with invalid size",
        "frame with invalid size (Unknown); check that OTEL_EXPORTER_OTLP_ENDPOINT takes gRPC, and the network between"
    )]
    #[case(
        "TonicLogsClient export failed with gRPC code: Unavailable: transport error: tcp connect error: deadline has elapsed",
        "it did not answer in time; OTEL_EXPORTER_OTLP_TIMEOUT says how long it may take"
    )]
    #[case("HTTP export failed with status code: 503", "it answered 503; see its own log")]
    #[case("something else", "something else")]
    fn a_failure_is_told_by_what_happened_and_what_to_do(#[case] said: &str, #[case] told: &str) {
        assert_eq!(of(said), told);
    }
}
