//! What the standard `OTEL_*` variables say: whether anything is sent, where to, and how.
//!
//! The names and their meaning are those of <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and of the SDK's configuration. One
//! thing differs on purpose: where no endpoint is set, nothing is sent, instead of something to whatever listens on this machine. A mistake
//! here is no reason not to run a migration: it is told, and that signal is not sent.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::variable;
use crate::reading::{self, each_within, small_file};
use crate::secret::{MASK, Secret};

use super::THREADS;
use super::pace::Pace;
use super::secrets::{pairs, passwords, values};

/// A file of settings that is larger is another file.
const LARGEST_FILE: u64 = 1024 * 1024;
/// Settings that name files.
const FILES: [&str; 4] = ["HEADERS_FILE", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"];
/// How long one export may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// And at most, whatever is said, in milliseconds.
const LONGEST_TIMEOUT: u64 = 3_600_000;

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

    /// So much of it, for people: `1 span`, `3 log records`.
    #[must_use]
    pub fn counted(self, count: u64) -> String {
        let (one, several) = match self {
            Self::Traces => ("span", "spans"),
            Self::Metrics => ("report of figures", "reports of figures"),
            Self::Logs => ("log record", "log records"),
        };
        format!("{count} {}", if count == 1 { one } else { several })
    }

    fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// `OTEL_EXPORTER_OTLP_<SIGNAL>_<WHAT>`, or the same for all signals.
    fn setting(self, what: &str) -> Option<Setting> {
        let names = [self.own(what), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| variable(&name).map(|value| Setting { name, value }))
    }

    fn own(self, what: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{what}", self.upper())
    }
}

/// A variable that is set, under the name by which it was found.
struct Setting {
    name: String,
    value: String,
}

impl Setting {
    /// Where letters may be large or small.
    fn lower(self) -> Self {
        Self { value: self.value.to_lowercase(), ..self }
    }

    /// What one of these words stands for.
    fn one_of<T: Copy>(&self, words: [(&str, T); 2]) -> Result<T, String> {
        let found = words.iter().find(|(word, _)| *word == self.value);
        let [(one, _), (other, _)] = words;
        found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("{} is neither `{one}` nor `{other}`", self.name))
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
    /// Scheme, host and port, for people, and for connections that need no more: neither path nor credentials.
    pub shown: String,
    /// How long one export may take, and each step of it.
    pub timeout: Duration,
    /// Of `..._HEADERS_FILE`; what `..._HEADERS` says is read by the exporter itself.
    pub headers: Vec<(String, Secret)>,
    /// See the fields.
    pub tls: Tls,
}

impl Destination {
    /// Whether files say what opens it, or whom to trust: these may be replaced while the variables that name them stay.
    #[must_use]
    pub fn is_of_files(&self) -> bool {
        !self.headers.is_empty() || self.tls.authorities.is_some() || self.tls.identity.is_some()
    }
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
    /// How often it is sent.
    pub pace: Pace,
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
        let is_sent = |signal| settings.destinations.contains_key(&signal);
        settings.pace = Pace::of(&variable, is_sent, &mut settings.problems);
        settings
    }

    /// Where a signal is sent, if it is.
    #[must_use]
    pub fn destination(&self, signal: Signal) -> Option<&Destination> {
        self.destinations.get(&signal)
    }

    /// A text without what is secret in these.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let mut secrets: Vec<_> = self.secrets.iter().map(Secret::expose).collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
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
    let protocols = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)];
    let protocol = signal.setting("PROTOCOL").map_or(Ok(Protocol::Http), |setting| setting.one_of(protocols))?;
    signal.setting("COMPRESSION").map_or(Ok(()), |setting| setting.one_of([("gzip", ()), ("none", ())]))?;
    let shown = way(signal, protocol, &endpoint)?;
    let timeout = signal.setting("TIMEOUT").map_or(Ok(TIMEOUT), |Setting { name, value }| {
        let millis = value.trim().parse().ok().filter(|millis| (1..=LONGEST_TIMEOUT).contains(millis));
        millis.map(Duration::from_millis).ok_or_else(|| {
            format!("{name} is no number of milliseconds from 1 to {LONGEST_TIMEOUT}; write e.g. `10000` for 10 s")
        })
    })?;
    let mut headers = Vec::new();
    if let Some((name, text)) = file(signal, "HEADERS_FILE")? {
        let text = String::from_utf8(text).map_err(|_| format!("{name} names a file that is no text"))?;
        secrets.extend(values(&text));
        headers = pairs(&text).collect();
        if headers.is_empty() {
            return Err(format!("{name} names a file without a header; write `name=value` into it"));
        }
    }
    let authorities = file(signal, "CERTIFICATE")?.map(|(_, pem)| pem);
    let identity = match (file(signal, "CLIENT_CERTIFICATE")?, file(signal, "CLIENT_KEY")?) {
        (Some((_, certificate)), Some((name, key))) => {
            let key = String::from_utf8(key).map_err(|_| format!("{name} names a file that is no PEM"))?;
            Some((certificate, Secret::new(key)))
        }
        (None, None) => None,
        _ => {
            return Err(
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together".to_owned()
            );
        }
    };
    Ok(Some(Destination { protocol, shown, timeout, headers, tls: Tls { authorities, identity } }))
}

/// Scheme, host and port of an endpoint. gRPC takes it without a scheme, and then by TLS, unless that is said to be left out.
fn way(signal: Signal, protocol: Protocol, endpoint: &Setting) -> Result<String, String> {
    let Setting { name, value } = endpoint;
    let (scheme, address) = match value.split_once("://") {
        Some((scheme, address)) => (Some(scheme), address),
        None => (None, value.as_str()),
    };
    let shown = |scheme: &str| {
        let shown = shown(&format!("{scheme}://{address}"));
        shown.ok_or_else(|| format!("{name} is no address; write it like `https://collector.example:4318`"))
    };
    match (scheme, protocol) {
        (Some(scheme), _) => shown(scheme),
        (None, Protocol::Http) => Err(format!("{name} has no scheme; write it with its scheme: `{}`", shown("http")?)),
        (None, Protocol::Grpc) => {
            let schemes = [("true", "http"), ("false", "https")];
            shown(signal.setting("INSECURE").map_or(Ok("https"), |setting| setting.lower().one_of(schemes))?)
        }
    }
}

/// What stands in the file that a setting names, with the name of that setting.
fn file(signal: Signal, what: &str) -> Result<Option<(String, Vec<u8>)>, String> {
    let Some(Setting { name, value }) = signal.setting(what) else { return Ok(None) };
    let path = PathBuf::from(value);
    match small_file(&path, LARGEST_FILE) {
        Ok(content) => Ok(Some((name, content))),
        Err(wrong) => Err(format!("{name} names {}, which {wrong}", path.display())),
    }
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
fn shown(address: &str) -> Option<String> {
    let uri: http::Uri = address.parse().ok()?;
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
    use super::*;

    #[test]
    fn of_an_address_only_the_way_to_it_is_shown() {
        assert_eq!(shown("https://user:secret@apm.example:8200/v1/traces?key=x").unwrap(), "https://apm.example:8200");
        assert_eq!(shown("https://apm.example").unwrap(), "https://apm.example");
        for wrong in
            ["", "ftp://x", "https://", "not an address", "http://host:99999", "http://host:", "http://host:port"]
        {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
