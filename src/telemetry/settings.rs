//! What the standard `OTEL_*` variables say: whether anything is sent, where to, and how.
//!
//! The names and their meaning are those of <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and of the SDK's configuration. One
//! thing differs on purpose: where no endpoint is set, nothing is sent, instead of something to whatever listens on this machine. A mistake
//! here is no reason not to run a migration: it is told, and that signal is not sent.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::variable;
use crate::reading::{self, each_within, small_file};
use crate::secret::{SHORTEST_IN_HEADERS, Secret, is_secret_name, percent_decoded, uri_password};

use super::THREADS;

/// A file of settings that is larger is another file.
const LARGEST_FILE: u64 = 1024 * 1024;
/// Settings that name files.
const FILES: [&str; 4] = ["HEADERS_FILE", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];
/// A password that is shorter protects nothing, and masking it would blank out half of any text.
const SHORTEST_PASSWORD: usize = 4;

/// One kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Figures.
    Metrics,
    /// What Stopover itself has to say.
    Logs,
}

impl Signal {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The word for it, for people and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What is counted of it, for people.
    #[must_use]
    pub fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "reports of figures",
            Self::Logs => "log records",
        }
    }

    fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// `OTEL_EXPORTER_OTLP_<SIGNAL>_<WHAT>`, or the same for all signals.
    fn setting(self, what: &str) -> Option<String> {
        variable(&self.own(what)).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    /// How long one export may take, where that is said.
    #[must_use]
    pub fn timeout(self) -> Option<Duration> {
        self.setting("TIMEOUT")?.trim().parse().ok().filter(|&millis| millis > 0).map(Duration::from_millis)
    }

    fn own(self, what: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{what}", self.upper())
    }
}

/// How a signal travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Protobuf in HTTP/1.1 requests.
    Http,
}

/// Where and how one signal is sent.
#[derive(Clone, Debug)]
pub struct Destination {
    /// How.
    pub protocol: Protocol,
    /// Host and port, for people: neither path nor credentials.
    pub shown: String,
    /// Of `..._HEADERS_FILE`; what `..._HEADERS` says is read by the exporter itself.
    pub headers: Vec<(String, Secret)>,
    /// See the fields.
    pub tls: Tls,
}

/// What a TLS connection is made with, as PEM. Without it: the authorities that browsers trust.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities that are trusted instead.
    pub authorities: Option<Vec<u8>>,
    /// This client's own certificate and key.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// What is sent.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    destinations: BTreeMap<Signal, Destination>,
    /// Whatever is secret in the above.
    pub secrets: Vec<Secret>,
    /// What is wrong with the variables, each with what to do about it. None of these holds a value.
    pub problems: Vec<String>,
}

impl Settings {
    /// Reads this process's environment, and the files that it names; a file system that does not answer is waited for only so long.
    #[must_use]
    pub fn of_environment() -> Self {
        let names_files = Signal::ALL.into_iter().any(|signal| FILES.iter().any(|what| signal.setting(what).is_some()));
        if !names_files {
            return Self::read();
        }
        let thread = format!("{}-settings", THREADS[1]);
        let read = each_within(&thread, reading::WITHIN, vec![()], |()| Self::read()).pop();
        match read.unwrap_or_else(|| Err("it was not read".to_owned())) {
            Ok(settings) => settings,
            Err(problem) => Self {
                secrets: secrets_of_environment(),
                problems: vec![format!("no telemetry is sent: what OTEL_EXPORTER_OTLP_ says is not known: {problem}")],
                ..Self::default()
            },
        }
    }

    fn read() -> Self {
        // Programs find these variables, too, and may print them, whether they are of use here or not.
        let mut settings = Self { secrets: secrets_of_environment(), ..Self::default() };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return settings;
        }
        if variable("OTEL_TRACES_SAMPLER")
            .is_some_and(|sampler| sampler != "always_on" && sampler != "parentbased_always_on")
        {
            settings.problems.push(
                "OTEL_TRACES_SAMPLER is not followed: a run is always traced as a whole, and its batches are thinned out by a rule of their own; OTEL_TRACES_EXPORTER=none turns traces off".to_owned(),
            );
        }
        for signal in Signal::ALL {
            match destination(signal, &mut settings.secrets) {
                Ok(found) => settings.destinations.extend(found.map(|to| (signal, to))),
                Err(problem) => settings.problems.push(format!("no {} are sent: {problem}", signal.word())),
            }
        }
        settings
    }

    /// Where a signal is sent, if it is.
    #[must_use]
    pub fn destination(&self, signal: Signal) -> Option<&Destination> {
        self.destinations.get(&signal)
    }

    /// Whether anything is sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.destinations.is_empty()
    }
}

fn destination(signal: Signal, secrets: &mut Vec<Secret>) -> Result<Option<Destination>, String> {
    let exporter = format!("OTEL_{}_EXPORTER", signal.upper());
    match variable(&exporter).as_deref() {
        Some("none") => return Ok(None),
        None | Some("otlp") => {}
        Some(_) => {
            return Err(format!("{exporter} names an exporter that is not built in; set it to `otlp` or `none`"));
        }
    }
    let Some(endpoint) = signal.setting("ENDPOINT") else { return Ok(None) };
    let protocol = match signal.setting("PROTOCOL").as_deref() {
        Some("grpc") => Protocol::Grpc,
        None | Some("http/protobuf") => Protocol::Http,
        Some(_) => return Err("OTEL_EXPORTER_OTLP_PROTOCOL is neither `grpc` nor `http/protobuf`".to_owned()),
    };
    match signal.setting("COMPRESSION").as_deref() {
        None | Some("gzip" | "none") => {}
        Some(_) => return Err("OTEL_EXPORTER_OTLP_COMPRESSION is neither `gzip` nor `none`".to_owned()),
    }
    let shown = shown(&endpoint)
        .ok_or("OTEL_EXPORTER_OTLP_ENDPOINT is no address; write it like `https://collector.example:4318`")?;
    if protocol == Protocol::Http && !endpoint.contains("://") {
        return Err(format!("OTEL_EXPORTER_OTLP_ENDPOINT has no scheme; write it with its scheme: `{shown}`"));
    }
    if signal.setting("TIMEOUT").is_some() && signal.timeout().is_none() {
        return Err(
            "OTEL_EXPORTER_OTLP_TIMEOUT is no number of milliseconds above 0; write e.g. `10000` for 10 s".to_owned()
        );
    }
    let mut headers = Vec::new();
    if let Some(text) = file(signal, "HEADERS_FILE")? {
        let text =
            String::from_utf8(text).map_err(|_| "OTEL_EXPORTER_OTLP_HEADERS_FILE names a file that is no text")?;
        secrets.extend(values(&text));
        headers = pairs(&text).collect();
        if headers.is_empty() {
            return Err(
                "OTEL_EXPORTER_OTLP_HEADERS_FILE names a file without a header; write `name=value` into it".to_owned()
            );
        }
    }
    let authorities = file(signal, "CERTIFICATE")?;
    let identity = match (file(signal, "CLIENT_CERTIFICATE")?, file(signal, "CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => {
            let key =
                String::from_utf8(key).map_err(|_| "OTEL_EXPORTER_OTLP_CLIENT_KEY names a file that is no PEM")?;
            Some((certificate, Secret::new(key)))
        }
        (None, None) => None,
        _ => {
            return Err(
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together".to_owned()
            );
        }
    };
    Ok(Some(Destination { protocol, shown, headers, tls: Tls { authorities, identity } }))
}

/// What stands in the file that a setting names.
fn file(signal: Signal, what: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = signal.setting(what).map(PathBuf::from) else { return Ok(None) };
    small_file(&path, LARGEST_FILE)
        .map(Some)
        .map_err(|wrong| format!("OTEL_EXPORTER_OTLP_{what} names {}, which {wrong}", path.display()))
}

/// The headers of `name=value,name=value`, values percent-encoded, one or several lines of it.
fn pairs(text: &str) -> impl Iterator<Item = (String, Secret)> + '_ {
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
fn values(text: &str) -> Vec<Secret> {
    let opening = written(text).filter(|(name, _)| is_secret_name(name));
    let forms = opening.flat_map(|(_, value)| {
        let token = |value: &str, blank: &str| value.split_once(blank).map(|(_, token)| token.trim().to_owned());
        let plain = decoded(value);
        let tokens = [token(value, "%20"), token(value, " "), token(&plain, " ")];
        [value.to_owned(), plain].into_iter().chain(tokens.into_iter().flatten())
    });
    secrets(forms, SHORTEST_IN_HEADERS)
}

/// The password of an address, as it is written and decoded.
fn passwords(endpoint: &str) -> Vec<Secret> {
    let with_scheme = if endpoint.contains("://") { endpoint.to_owned() } else { format!("//://{endpoint}") };
    let forms = uri_password(&with_scheme).into_iter().flat_map(|written| [written.to_owned(), decoded(written)]);
    secrets(forms, SHORTEST_PASSWORD)
}

/// Each once.
fn secrets(forms: impl Iterator<Item = String>, shortest: usize) -> Vec<Secret> {
    let forms: BTreeSet<String> = forms.filter(|form| form.len() >= shortest).collect();
    forms.into_iter().map(Secret::new).collect()
}

/// What is secret in the variables themselves.
fn secrets_of_environment() -> Vec<Secret> {
    let all = |what: &str| {
        let own = Signal::ALL.map(|signal| signal.own(what));
        let names = own.into_iter().chain([format!("OTEL_EXPORTER_OTLP_{what}")]);
        names.filter_map(|name| variable(&name)).collect::<Vec<_>>()
    };
    let headers = all("HEADERS").into_iter().flat_map(|text| values(&text));
    headers.chain(all("ENDPOINT").into_iter().flat_map(|address| passwords(&address))).collect()
}

/// Scheme, host and port of an address: what may be shown of it.
fn shown(endpoint: &str) -> Option<String> {
    let with_scheme = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
    let uri: http::Uri = with_scheme.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    // A port that is none is taken for no port.
    let behind = uri.authority()?.as_str().rsplit('@').next()?.strip_prefix(host)?;
    if !behind.is_empty() && uri.port_u16().is_none() {
        return None;
    }
    Some(uri.port_u16().map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn of_an_address_only_the_way_to_it_is_shown() {
        assert_eq!(shown("https://user:secret@apm.example:8200/v1/traces?key=x").unwrap(), "https://apm.example:8200");
        assert_eq!(shown("collector:4317").unwrap(), "http://collector:4317");
        assert_eq!(shown("https://apm.example").unwrap(), "https://apm.example");
        for wrong in ["", "ftp://x", "https://", "not an address", "http://host:99999", "http://host:", "host:port"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

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
    #[case::no_secret("x-tenant=blue,x-scope-orgid=payments-team", &[])]
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
