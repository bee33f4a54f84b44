//! Errors of a token before its claims are validated.

/// Why a token cannot be parsed or its signature cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoseFault {
    /// Not a compact JWS of a claims set; the text says why.
    Malformed(&'static str),
    /// `alg` is `none` or another algorithm that metagate does not support.
    AlgorithmUnknown,
    /// The signature was not made with this key over these bytes.
    InvalidSignature,
}
