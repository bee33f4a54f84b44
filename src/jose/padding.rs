//! Decoding the parts of a token.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use super::JoseFault;

/// Whether the parts of a token may have base64 padding, which RFC 7515 section 2 omits. Load balancers of AWS write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Padding {
    /// A token with padding is malformed.
    #[default]
    Refused,
    /// Each part may have its full padding (RFC 4648 section 4), or none.
    Accepted,
}

/// base64url with or without padding, otherwise as strict as [`URL_SAFE_NO_PAD`].
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// RFC 7515 section 2. The decoder also refuses unused bits that are not zero (RFC 4648 section 3.5), so without padding
/// each token has only one encoding.
pub(super) fn decode(padding: Padding, part: &str) -> Result<Vec<u8>, JoseFault> {
    let fault = JoseFault::Malformed("a part is not canonical base64url");
    let decoded = match padding {
        Padding::Refused => URL_SAFE_NO_PAD.decode(part),
        // The decoder would accept one `=` of two.
        Padding::Accepted if part.ends_with('=') && !part.len().is_multiple_of(4) => return Err(fault),
        Padding::Accepted => PADDED.decode(part),
    };
    decoded.map_err(|_| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_complete_or_absent() {
        for part in ["", "YQ", "YQ==", "YWI", "YWI=", "YWJj"] {
            assert!(decode(Padding::Accepted, part).is_ok(), "{part}");
        }
        for part in ["YQ=", "YQ===", "YWI==", "YWJj=", "YWJj====", "YR==", "=", "===="] {
            assert!(decode(Padding::Accepted, part).is_err(), "{part}");
        }
        assert!(decode(Padding::Refused, "YQ==").is_err());
    }
}
