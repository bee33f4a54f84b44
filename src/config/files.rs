//! Reads files of a bounded length.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`] for a longer one.
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}
