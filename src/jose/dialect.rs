//! Whose quirks a key set follows.

/// How a key set is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeyDialect {
    /// As RFC 7517 says.
    #[default]
    Standard,
    /// OpenMetadata's own set, which labels every key RS256 whatever it signs with.
    OpenMetadata,
}
