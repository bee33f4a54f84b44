//! SHA-256 (FIPS 180-4) and hexadecimal.

use aws_lc_rs::digest::{self, Context};

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// The SHA-256 of these bytes.
#[cfg(any(test, feature = "server"))]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    to_array(digest::digest(&digest::SHA256, bytes))
}

/// The SHA-256 of the concatenated parts.
pub fn sha256_of_parts(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Sha256 {
    let mut context = Context::new(&digest::SHA256);
    for part in parts {
        context.update(part.as_ref());
    }
    to_array(context.finish())
}

/// A SHA-256 of bytes that arrive in parts.
#[cfg(feature = "server")]
pub struct Sha256Writer(Context);

#[cfg(feature = "server")]
impl Default for Sha256Writer {
    fn default() -> Self {
        Self(Context::new(&digest::SHA256))
    }
}

#[cfg(feature = "server")]
impl Sha256Writer {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn finish(self) -> Sha256 {
        to_array(self.0.finish())
    }
}

fn to_array(digest: digest::Digest) -> Sha256 {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    write_hex(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Writes the bytes in lower-case hexadecimal, as far as `text` is long enough.
pub fn write_hex(bytes: &[u8], text: &mut [u8]) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_180_4_test_vectors() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
        assert_eq!(hex(&sha256_of_parts(["a", "", "bc"])), abc);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!((hex(&sha256(b"")), hex(&sha256_of_parts([[0_u8; 0]; 0]))), (empty.into(), empty.into()));
    }

    #[cfg(feature = "server")]
    #[test]
    fn parts_have_the_digest_of_the_whole() {
        let mut parts = Sha256Writer::default();
        ["a", "", "bc"].iter().for_each(|part| parts.update(part.as_bytes()));
        assert_eq!(parts.finish(), sha256(b"abc"));
    }

    #[test]
    fn each_byte_has_two_hex_digits() {
        assert_eq!(hex(&[0, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(hex(&[]), "");
    }
}
