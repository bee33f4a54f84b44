//! What can be wrong with a token before its claims are looked at.

/// Why a token cannot be judged, or its signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoseFault {
    /// Not a compact JWS of a claims set, with what is wrong about it.
    Malformed(&'static str),
    /// `alg` is `none` or something else that metagate does not verify.
    AlgorithmUnknown,
    /// The signature is not that of this key over these bytes.
    InvalidSignature,
}
