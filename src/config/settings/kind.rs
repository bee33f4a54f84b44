//! Keys and the kinds of their values.

use std::time::Duration;

use super::super::finding::FindingId;
use super::super::values;
use super::super::words::Words;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The path, dotted. `[]` stands for the elements of a list: `authentication.issuers[].name`.
    pub path: &'static str,
    /// The form of its value.
    pub kind: Kind,
    /// The default, as YAML; empty if there is none.
    pub default: &'static str,
    /// Its description.
    pub doc: &'static str,
    /// Whether the configuration, or the element of a list that it belongs to, is invalid without it.
    pub required: bool,
    /// The value that [`super::super::example()`] shows, as YAML; empty if it shows the default.
    pub(in crate::config) example: &'static str,
    /// For a list of maps: the key that an element written as a single value stands for.
    pub(in crate::config) short_form: Option<&'static str>,
    /// Whether the example sets it. If not, its line is a comment.
    pub(in crate::config) set_in_example: bool,
}

impl Key {
    /// Its description, and whether it is required.
    pub fn text(&self) -> String {
        format!("{}{}", self.doc, if self.required { " Required." } else { "" })
    }
}

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A name for logs and metrics.
    Name,
    /// A CEL expression.
    Expression,
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds.
    Integer(u64, u64),
    /// A duration within these bounds.
    Duration(Duration, Duration),
    /// A number of bytes within these bounds.
    Size(u64, u64),
    /// A number for each second, minute or hour, or `off`.
    Rate,
    /// `auto`, or a number of bytes within these bounds.
    AutoSize(u64, u64),
    /// An IP address and a port.
    Address,
    /// A list of IP addresses with their ports, and paths of Unix sockets.
    Listen,
    /// A URL of one of these schemes.
    Url(&'static [&'static str]),
    /// The path of a file or directory.
    Path,
    /// A text that is never shown.
    Secret,
    /// One of these words.
    Word(Words),
    /// The name of a request field.
    HeaderName,
    /// The name of a request field, or `off`.
    OptionalHeader,
    /// `/`, or the path that a backend is served under.
    BasePath,
    /// A signature algorithm of public keys.
    Algorithm,
    /// A list of texts.
    Texts,
    /// A list of these words.
    Words(Words),
    /// A URL of one of these schemes, or a list of them.
    UrlOrUrls(&'static [&'static str]),
    /// A list of URLs of these schemes.
    Urls(&'static [&'static str]),
    /// A list of URLs of key sets, or one URL with a place for the kid.
    KeyUrls,
    /// A list of signature algorithms.
    Algorithms,
    /// A list of networks.
    Networks,
    /// A list of networks, in which `unix` stands for the peers on a Unix socket.
    Proxies,
    /// A list of `METHOD[,METHOD] /path`.
    Routes,
    /// A list of path patterns.
    PathPatterns,
    /// A list of method names.
    Methods,
    /// A map from claim paths to lists of texts.
    Claims,
    /// A list of maps, whose keys are in the table too.
    Entries,
    /// A map with any content.
    Free,
    /// A text, or a map with any content, which is converted to JSON.
    Body,
    /// `allow`, or the status of a refusal.
    Expectation,
    /// A list of the ids of warnings.
    Findings,
    /// Public keys as a text, or as YAML in the place of its JSON.
    KeySet,
}

impl Kind {
    /// Whether a value is a list of scalars.
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Texts
                | Self::Words(_)
                | Self::Listen
                | Self::Urls(_)
                | Self::KeyUrls
                | Self::Algorithms
                | Self::Networks
                | Self::Proxies
                | Self::Routes
                | Self::PathPatterns
                | Self::Methods
                | Self::Findings
        )
    }

    /// Whether a value is one scalar.
    pub const fn is_scalar(self) -> bool {
        !self.is_list()
            && !matches!(self, Self::Claims | Self::Entries | Self::Free | Self::Body | Self::KeySet)
    }

    /// Whether blanks also separate the items of a list that is written as one string. True for kinds whose items
    /// contain no blanks.
    pub const fn splits_words(self) -> bool {
        matches!(
            self,
            Self::Urls(_)
                | Self::KeyUrls
                | Self::UrlOrUrls(_)
                | Self::Algorithms
                | Self::Networks
                | Self::Proxies
                | Self::PathPatterns
                | Self::Methods
                | Self::Findings
        )
    }

    /// Whether `text` is a value, or an item, of this kind.
    ///
    /// # Errors
    /// What is wrong with it. Never contains the value of a secret.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Text | Self::Secret | Self::Path | Self::Texts => no_control(text),
            Self::Claims | Self::Entries | Self::Free | Self::Body | Self::KeySet => Ok(()),
            Self::Name => values::name(text).map(drop),
            Self::Expression => values::expression(text).map(drop),
            Self::Bool => values::boolean(text).map(drop),
            Self::Integer(min, max) => {
                let range = |error| match max {
                    u64::MAX => format!("{error}; accepted: {min} or more"),
                    _ => format!("{error}; accepted: {min} to {max}"),
                };
                let number = values::integer(text).map_err(range);
                number.and_then(|n| within(n, min, max, |n| n.to_string()))
            }
            Self::Size(min, max) => values::size(text).and_then(|n| within(n, min, max, size_text)),
            Self::Rate => values::rate(text).map(drop),
            Self::AutoSize(..) if text == "auto" => Ok(()),
            Self::AutoSize(min, max) => values::size(text).and_then(|n| within(n, min, max, size_text)),
            Self::Duration(min, max) => {
                values::duration(text).and_then(|time| within(time, min, max, duration_text))
            }
            Self::Address => values::address(text).map(drop),
            Self::Listen => values::listen(text).map(drop),
            Self::Url(schemes) | Self::UrlOrUrls(schemes) | Self::Urls(schemes) => {
                values::url(text, schemes).map(drop)
            }
            Self::KeyUrls => values::key_url(text).map(drop),
            Self::Word(words) | Self::Words(words) => words.check(text),
            Self::Expectation => values::expectation(text).map(drop),
            Self::Findings => FindingId::parse(text).map(drop),
            Self::HeaderName => values::header_name(text).map(drop),
            Self::OptionalHeader => values::identity_header(text).map(drop),
            Self::BasePath => values::base_path(text).map(drop),
            Self::Algorithm | Self::Algorithms => values::algorithm(text).map(drop),
            Self::Networks => values::network(text).map(drop),
            Self::Proxies => values::proxy(text).map(drop),
            Self::Routes => values::route(text).map(drop),
            Self::PathPatterns => values::path_pattern(text).map(drop),
            Self::Methods => {
                crate::policy::Methods::from_names([text]).map(drop).map_err(|error| error.to_string())
            }
        }
    }

    /// What is accepted, in a few words.
    pub fn describe(self) -> String {
        let urls =
            |schemes: &[&str]| schemes.iter().map(|s| format!("{s}://")).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Text => "text".to_owned(),
            Self::Name => "a name".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Integer(min, max) if max == u64::MAX => format!("a whole number from {min}"),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Duration(min, max) => {
                format!("a duration from {} to {}", duration_text(min), duration_text(max))
            }
            Self::Size(0, u64::MAX) => "a size".to_owned(),
            Self::Size(min, u64::MAX) => format!("a size from {}", size_text(min)),
            Self::Size(min, max) => format!("a size from {} to {}", size_text(min), size_text(max)),
            Self::AutoSize(min, max) => {
                format!("auto, or a size from {} to {}", size_text(min), size_text(max))
            }
            Self::Rate => "a rate like 5/s, 100/m or 1000/h, or off".to_owned(),
            Self::Address => "address:port".to_owned(),
            Self::Listen => "a list of address:port, or unix:/path".to_owned(),
            Self::Url(schemes) => format!("a URL, {}", urls(schemes)),
            Self::UrlOrUrls(schemes) => format!("a URL, {}, or a list of them", urls(schemes)),
            Self::Expression => "a CEL expression".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Secret => "a secret".to_owned(),
            Self::Word(words) => words.accepted.join(", "),
            Self::Words(words) => format!("a list of {}", words.accepted.join(", ")),
            Self::HeaderName => "a header name".to_owned(),
            Self::OptionalHeader => "a header name, or off".to_owned(),
            Self::BasePath => "a path like /catalog".to_owned(),
            Self::Algorithm => "an algorithm".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Urls(schemes) => format!("a list of URLs, {}", urls(schemes)),
            Self::KeyUrls => format!("a list of URLs, {}", urls(values::KEY_URLS)),
            Self::Algorithms => "a list of algorithms".to_owned(),
            Self::Networks => "a list of networks".to_owned(),
            Self::Proxies => "a list of networks, or unix".to_owned(),
            Self::Routes => "a list of routes".to_owned(),
            Self::PathPatterns => "a list of path patterns".to_owned(),
            Self::Methods => "a list of methods".to_owned(),
            Self::Claims => "a map of lists".to_owned(),
            Self::Entries => "a list of maps".to_owned(),
            Self::Free => "a map".to_owned(),
            Self::Body => "a text or a map".to_owned(),
            Self::Expectation => values::expectations(),
            Self::Findings => "a list of ids of warnings".to_owned(),
            Self::KeySet => "PEM, a JWK Set, a JWK, or a map from kid to PEM".to_owned(),
        }
    }
}

fn no_control(text: &str) -> Result<(), String> {
    if text.contains(char::is_control) {
        return Err("contains a line break or another control character".to_owned());
    }
    Ok(())
}

fn within<T: PartialOrd>(value: T, min: T, max: T, text: impl Fn(T) -> String) -> Result<(), String> {
    if value < min || value > max {
        return Err(format!("{} is out of range; accepted: {} to {}", text(value), text(min), text(max)));
    }
    Ok(())
}

/// A size as written in a configuration.
fn size_text(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// A duration as written in a configuration.
fn duration_text(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if time.subsec_millis() > 0 => format!("{}ms", time.as_millis()),
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
