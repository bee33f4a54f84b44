//! The label sets of the metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::histogram::Histogram;

/// An instrument with the names of its labels.
pub(super) trait Labelled: TypedMetric {
    /// The names of its labels.
    const LABELS: &'static [&'static str] = &[];
}

impl<N, A> Labelled for Counter<N, A> {}
impl<N, A> Labelled for Gauge<N, A> {}
impl Labelled for Histogram {}

impl<L: LabelSet, M: TypedMetric> Labelled for Family<L, M> {
    const LABELS: &'static [&'static str] = L::NAMES;
}

/// A key source: its issuer entry, and its host or what else distinguishes it from the entry's other sources.
#[derive(Clone, Copy, Debug)]
pub struct KeySourceLabels<'s> {
    /// The name of the issuer entry.
    pub issuer: &'s str,
    /// The host of its URL, or the name of its file. A whole URL would make long labels.
    pub source: &'s str,
}

impl From<KeySourceLabels<'_>> for SourceLabel {
    fn from(KeySourceLabels { issuer, source }: KeySourceLabels<'_>) -> Self {
        Self { issuer: issuer.to_owned(), source: source.to_owned() }
    }
}

impl FetchLabels {
    pub(super) fn new(KeySourceLabels { issuer, source }: KeySourceLabels<'_>, result: &'static str) -> Self {
        Self { issuer: issuer.to_owned(), source: source.to_owned(), result }
    }
}

impl SkippedLabels {
    pub(super) fn new(KeySourceLabels { issuer, source }: KeySourceLabels<'_>, reason: &'static str) -> Self {
        Self { issuer: issuer.to_owned(), source: source.to_owned(), reason }
    }
}

/// How a request ended, for [`super::Metrics::request`].
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct RequestLabels<'r> {
    /// `allow`, `public`, `preflight`, `deny`, `would_deny` or `error`.
    pub decision: &'static str,
    /// The reason's word; empty for a request that was forwarded and got a response.
    pub reason: &'static str,
    /// The name of the issuer entry, if one verified or refused the token.
    pub issuer: &'r str,
    /// The rule's name, if one decided.
    pub rule: &'r str,
}

impl From<&RequestLabels<'_>> for RequestLabelSet {
    fn from(labels: &RequestLabels<'_>) -> Self {
        let RequestLabels { decision, reason, issuer, rule } = *labels;
        Self { decision, reason, issuer: issuer.to_owned(), rule: rule.to_owned() }
    }
}

impl PartialEq<RequestLabels<'_>> for RequestLabelSet {
    fn eq(&self, other: &RequestLabels<'_>) -> bool {
        let RequestLabels { decision, reason, issuer, rule } = *other;
        self.decision == decision && self.reason == reason && self.issuer == issuer && self.rule == rule
    }
}

/// A label set with its names.
pub(super) trait LabelSet {
    const NAMES: &'static [&'static str];
}

macro_rules! label_sets {
    ($($(#[$doc:meta])* $visible:vis $set:ident { $($(#[$label_doc:meta])* $label:ident: $value:ty),* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
        $visible struct $set { $($(#[$label_doc])* $visible $label: $value),* }

        impl LabelSet for $set {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),*];
        }
    )+};
}

label_sets! {
    /// [`RequestLabels`] that are kept.
    pub(super) RequestLabelSet { decision: &'static str, reason: &'static str, issuer: String, rule: String }

    /// A request that only report mode permitted, for [`super::Metrics::would_deny`].
    pub WouldDenyLabels {
        /// The reason's word.
        reason: &'static str,
        /// The name of the issuer entry, if one verified or refused the token.
        issuer: String,
        /// The rule's name, if one would have refused.
        rule: String,
        /// The class of the verified token; empty if there is none.
        class: &'static str
    }

    /// For a metric without labels that is not always exposed.
    pub(super) NoLabels {}
    pub(super) CodeLabel { code: u16 }
    pub(super) SourceLabel { issuer: String, source: String }
    pub(super) FetchLabels { issuer: String, source: String, result: &'static str }
    pub(super) SkippedLabels { issuer: String, source: String, reason: &'static str }
    pub(super) ResultLabel { result: &'static str }
    pub(super) CauseLabel { cause: &'static str }
    pub(super) SignalLabel { signal: &'static str }
    pub(super) LimitLabel { limit: &'static str }
    pub(super) AddressLabel { address: String }
    pub(super) SettingLabel { setting: String }
    pub(super) KindLabel { kind: &'static str }
    pub(super) WorkerLabel { worker: u32 }
    pub(super) RevocationSourceLabel { source: String }
    pub(super) BuildLabels { version: &'static str }
}
