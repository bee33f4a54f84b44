//! The labels of the instruments.

use prometheus_client::encoding::EncodeLabelSet;

/// How a request ended, for [`super::Metrics::request`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// `allow`, `deny`, `would_deny` or `error`.
    pub decision: &'static str,
    /// The reason's word; empty for a request that was forwarded and answered.
    pub reason: &'static str,
    /// The issuer entry's name, if one judged the token.
    pub issuer: String,
    /// The rule's name, if one decided.
    pub rule: String,
}

/// Whom report mode let through, for [`super::Metrics::would_deny`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WouldDenyLabels {
    /// The reason's word.
    pub reason: &'static str,
    /// The issuer entry's name, if one judged the token.
    pub issuer: String,
    /// The rule's name, if one would have refused.
    pub rule: String,
    /// The class of the verified token; empty where there is none.
    pub class: &'static str,
}

/// For what is not always there.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct NoLabels {}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CodeLabel {
    pub(super) code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SourceLabel {
    pub(super) source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FetchLabels {
    pub(super) source: String,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct SkippedLabels {
    pub(super) source: String,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct CauseLabel {
    pub(super) cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}
