//! Where spans go: the standard `OTEL_...` variables
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! Spans are recorded if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. A variable that says
//! where they are sent, or with which credentials, must be valid. Any other with an invalid value counts as not set, with a
//! warning, as the specification says.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::error::{ConfigError, Origin};
use super::finding::{Finding, FindingId};
use super::redaction::redacted;
use super::sources::Sources;
use super::values::quote;
use super::{ClientTls, TlsVersion};

mod lists;

use lists::{headers, resource_attributes};

/// The authorities that verify the collector.
pub const OTLP_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// Our certificate for the collector.
pub const OTLP_CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
/// Its private key.
pub const OTLP_CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

const SAMPLERS: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
                        parentbased_traceidratio";
/// As many take 192 MiB at most, and a batch of as many another 960 MiB while it is encoded. `limits.memory` has both.
const MAX_QUEUE: u64 = 65_536;
const MAX_MILLIS: u64 = 3_600_000;

/// How spans are recorded and where they are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanExport {
    /// The URL that gets OTLP over HTTP.
    pub endpoint: Url,
    /// Fields of each request. Their values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// TLS to the collector.
    pub tls: ClientTls,
    /// Attributes of the resource. One of them is `service.name`.
    pub resource: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How many spans wait at most; at least 2.
    pub max_queue: usize,
    /// How many spans are sent at once at most; at least 2.
    pub max_batch: usize,
    /// How long spans wait for others.
    pub delay: Duration,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a trace that was begun elsewhere is recorded if its sender records it.
    pub parent_based: bool,
    /// For every other trace.
    pub root: RootSampler,
}

/// Which traces that begin here are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RootSampler {
    /// All.
    On,
    /// None.
    Off,
    /// This part of them, from 0 to 1.
    Ratio(f64),
}

impl SpanExport {
    /// Reads the variables; `None` if spans are not recorded.
    pub(super) fn of(
        sources: &Sources,
        errors: &mut Vec<ConfigError>,
        warnings: &mut Vec<Finding>,
    ) -> Option<Self> {
        let mut variables = Variables { sources, errors, warnings };
        let (name, Some(endpoint)) = variables.exporter("ENDPOINT") else { return None };
        if variables.is_off() {
            return None;
        }
        let endpoint = variables.endpoint(name, endpoint);
        variables.check_protocol();
        variables.check_propagators();
        let max_queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 2..=MAX_QUEUE);
        let max_batch = variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 2..=MAX_QUEUE).min(max_queue);
        let timeout = variables.exporter("TIMEOUT").0;
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        Some(Self {
            endpoint: endpoint?,
            headers: variables.headers(),
            timeout: Duration::from_millis(variables.number(timeout, 10_000, 1..=MAX_MILLIS)),
            gzip: variables.is_compressed(),
            tls: variables.tls(),
            resource: variables.resource(),
            sampler: variables.sampler(),
            max_queue: size(max_queue),
            max_batch: size(max_batch),
            delay: Duration::from_millis(variables.number("OTEL_BSP_SCHEDULE_DELAY", 5000, 1..=MAX_MILLIS)),
        })
    }

    /// The service as which spans are sent.
    pub fn service(&self) -> &str {
        self.resource.iter().find(|(name, _)| name == "service.name").map_or("", |(_, value)| value)
    }

    /// A remark for the log: where spans go.
    pub(super) fn remark(&self) -> String {
        let (endpoint, service) = (redacted(self.endpoint.as_str()), quote(self.service()));
        format!("spans are sent to {endpoint} as service {service}")
    }
}

/// The variables, with what is wrong with them.
struct Variables<'v> {
    sources: &'v Sources,
    errors: &'v mut Vec<ConfigError>,
    warnings: &'v mut Vec<Finding>,
}

impl<'v> Variables<'v> {
    /// The value of a variable. An empty one counts as not set.
    fn text(&self, name: &str) -> Option<&'v str> {
        self.sources.variable(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// A setting of the exporter: the name that is set, and its value. What is only for traces comes first.
    fn exporter(&self, setting: &str) -> (&'static str, Option<&'v str>) {
        let (for_traces, for_all) = match setting {
            "ENDPOINT" => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            "PROTOCOL" => ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
            "HEADERS" => ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
            "TIMEOUT" => ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"),
            "COMPRESSION" => ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"),
            OTLP_CLIENT_CERTIFICATE => {
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", OTLP_CLIENT_CERTIFICATE)
            }
            OTLP_CLIENT_KEY => ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", OTLP_CLIENT_KEY),
            _ => ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", OTLP_CERTIFICATE),
        };
        match self.text(for_traces) {
            Some(value) => (for_traces, Some(value)),
            None => (for_all, self.text(for_all)),
        }
    }

    fn error(&mut self, name: &str, message: impl Into<String>, help: &str) {
        let origin = Origin::Environment(name.to_owned());
        self.errors.push(ConfigError::new(name, Some(origin), message).help(help));
    }

    fn warn(&mut self, name: &str, message: String) {
        self.warnings.push(Finding::warning(FindingId::OtelVariable, name, message));
    }

    /// The URL for spans. An error if the text is not valid.
    fn endpoint(&mut self, name: &str, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut url) = url.filter(Url::has_host) else {
            let help = "write an http or https URL, like http://127.0.0.1:4318";
            self.error(name, "is not the URL of a collector", help);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let help = "set OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20... in its place";
            self.error(name, "has user information", help);
            return None;
        }
        url.set_fragment(None);
        if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Some(url)
    }

    fn is_off(&mut self) -> bool {
        if let Some(disabled) = self.text("OTEL_SDK_DISABLED") {
            if disabled.eq_ignore_ascii_case("true") {
                return true;
            }
            if !disabled.eq_ignore_ascii_case("false") {
                self.warn("OTEL_SDK_DISABLED", format!("is neither true nor false: {}", quote(disabled)));
            }
        }
        let exporters = self.text("OTEL_TRACES_EXPORTER").unwrap_or("otlp");
        if exporters.split(',').all(|exporter| exporter.trim() == "none") {
            return true;
        }
        if !exporters.split(',').any(|exporter| exporter.trim() == "otlp") {
            let message = format!("there is no exporter {}; spans are sent over OTLP", quote(exporters));
            self.warn("OTEL_TRACES_EXPORTER", message);
        }
        false
    }

    /// A collector at another port would get requests that it does not understand, so this is an error.
    fn check_protocol(&mut self) {
        let (name, value) = self.exporter("PROTOCOL");
        match value.unwrap_or("http/protobuf") {
            "http/protobuf" => {}
            other @ ("grpc" | "http/json") => {
                let help = "set it to http/protobuf; the collector's port for that is usually 4318, not 4317";
                self.error(name, format!("spans cannot be sent by {other}"), help);
            }
            other => self.warn(name, format!("is not a protocol: {}", quote(other))),
        }
    }

    fn check_propagators(&mut self) {
        let name = "OTEL_PROPAGATORS";
        let Some(list) = self.text(name) else { return };
        if !list.split(',').any(|propagator| propagator.trim() == "tracecontext") {
            let message =
                format!("{}: the context of a trace is read and sent only as tracecontext", quote(list));
            self.warn(name, message);
        }
    }

    fn number(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse::<u64>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = range.into_inner();
                let message =
                    format!("is not a number from {least} to {most}: {}; {default} is used", quote(text));
                self.warn(name, message);
                default
            }
        }
    }

    fn is_compressed(&mut self) -> bool {
        let (name, value) = self.exporter("COMPRESSION");
        match value.unwrap_or("none") {
            "gzip" => true,
            "none" => false,
            other => {
                self.warn(name, format!("is neither gzip nor none: {}", quote(other)));
                false
            }
        }
    }

    /// Without a value in any error: it may be a secret.
    fn headers(&mut self) -> Vec<(HeaderName, HeaderValue)> {
        let (name, value) = self.exporter("HEADERS");
        let parsed = headers(value.unwrap_or_default());
        parsed.unwrap_or_else(|why| {
            self.error(name, why, "write name=value,name=value, with %20 for a blank and %2C for a comma");
            Vec::new()
        })
    }

    fn tls(&mut self) -> ClientTls {
        let path = |value: Option<&str>| value.map(PathBuf::from);
        let (_, ca_file) = self.exporter(OTLP_CERTIFICATE);
        let (certificate, key) = (self.exporter(OTLP_CLIENT_CERTIFICATE), self.exporter(OTLP_CLIENT_KEY));
        if certificate.1.is_some() != key.1.is_some() {
            let (set, missing) =
                if certificate.1.is_some() { (certificate.0, key.0) } else { (key.0, certificate.0) };
            self.error(
                set,
                format!("requires {missing}"),
                "a certificate and its private key belong together",
            );
        }
        ClientTls {
            ca_file: path(ca_file),
            identity: path(certificate.1).zip(path(key.1)),
            min_version: TlsVersion::default(),
            server_name: None,
        }
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = resource_attributes(self.text(name).unwrap_or_default()).unwrap_or_else(|why| {
            self.warn(name, format!("{why}; none of it is used"));
            Vec::new()
        });
        if let Some(service) = self.text("OTEL_SERVICE_NAME") {
            attributes.retain(|(name, _)| name != "service.name");
            attributes.push(("service.name".to_owned(), service.to_owned()));
        }
        for (name, value) in [("service.name", "metagate"), ("service.version", env!("CARGO_PKG_VERSION"))] {
            if !attributes.iter().any(|(known, _)| known == name) {
                attributes.push((name.to_owned(), value.to_owned()));
            }
        }
        attributes
    }

    fn sampler(&mut self) -> Sampler {
        let name = "OTEL_TRACES_SAMPLER";
        let word = self.text(name).unwrap_or("parentbased_always_on");
        let (parent_based, root) = match word.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, word),
        };
        let root = match root {
            "always_on" => RootSampler::On,
            "always_off" => RootSampler::Off,
            "traceidratio" => RootSampler::Ratio(self.ratio()),
            _ => {
                let message = format!(
                    "is not a sampler that metagate has: {}; parentbased_always_on is used. There are {SAMPLERS}",
                    quote(word)
                );
                self.warn(name, message);
                return Sampler { parent_based: true, root: RootSampler::On };
            }
        };
        Sampler { parent_based, root }
    }

    fn ratio(&mut self) -> f64 {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(name) else { return 1.0 };
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.warn(name, format!("is not a number from 0 to 1: {}; 1 is used", quote(text)));
                1.0
            }
        }
    }
}
