//! Deviations of key sets from RFC 7517.

/// How to read a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeyDialect {
    /// As RFC 7517 specifies.
    #[default]
    Standard,
    /// OpenMetadata's own set, which labels every key RS256, even if it signs with RS384 or RS512.
    OpenMetadata,
}
