//! Reads the body of a response, up to a limit.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use reqwest::Response;

use super::fault::FetchError;

/// Reads the body, and fails if it is longer than `limit` bytes.
///
/// Only identity is asked for, but some servers send gzip to everybody. The limit applies to what is received and to
/// what it becomes, so a small body cannot expand beyond it.
pub async fn read(mut response: Response, limit: u64) -> Result<Vec<u8>, FetchError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = Body::new(response.headers(), limit)?;
    while let Some(chunk) = response.chunk().await? {
        body.add(&chunk)?;
    }
    body.finish()
}

/// A body as it arrives.
struct Body {
    received: usize,
    limit: usize,
    content: Content,
}

enum Content {
    Plain(Bounded),
    Gzip(Box<GzDecoder<Bounded>>),
}

/// Keeps up to `limit` bytes.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Body {
    fn new(headers: &HeaderMap, limit: usize) -> Result<Self, FetchError> {
        let bounded = Bounded { bytes: Vec::new(), limit, exceeded: false };
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let content = match (codings.next().map(|coding| coding.as_bytes()), codings.next()) {
            (None, _) => Content::Plain(bounded),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"identity") => Content::Plain(bounded),
            // RFC 9110 section 8.4.1.3: they are the same.
            (Some(coding), None)
                if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") =>
            {
                Content::Gzip(Box::new(GzDecoder::new(bounded)))
            }
            _ => return Err(FetchError::Compressed),
        };
        Ok(Self { received: 0, limit, content })
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.received = self.received.saturating_add(chunk.len());
        if self.received > self.limit {
            return Err(FetchError::TooLarge);
        }
        match &mut self.content {
            Content::Plain(bounded) => bounded.write_all(chunk).map_err(|_| FetchError::TooLarge),
            Content::Gzip(decoder) => decoder.write_all(chunk).map_err(|_| fault(decoder.get_ref())),
        }
    }

    fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self.content {
            Content::Plain(bounded) => Ok(bounded.bytes),
            Content::Gzip(mut decoder) => {
                // Fails if the end is missing or the checksum is wrong.
                decoder.try_finish().map_err(|_| fault(decoder.get_ref()))?;
                decoder.finish().map(|bounded| bounded.bytes).map_err(|_| FetchError::Compressed)
            }
        }
    }
}

fn fault(bounded: &Bounded) -> FetchError {
    if bounded.exceeded { FetchError::TooLarge } else { FetchError::Compressed }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.limit {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_with(coding: Option<&'static str>, body: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static(coding));
        }
        let read = || {
            let mut reader = Body::new(&headers, limit)?;
            body.chunks(7).try_for_each(|chunk| reader.add(chunk))?;
            reader.finish()
        };
        read().map_err(|error: FetchError| error.as_str())
    }

    #[test]
    fn gzip_is_read_although_nobody_asked_for_it() {
        let text = br#"{"keys": []}"#.repeat(10);
        for coding in ["gzip", "x-gzip", "GZIP"] {
            assert_eq!(read_with(Some(coding), &gzip(&text), 1024).unwrap(), text, "{coding}");
        }
        assert_eq!(read_with(None, &text, 1024).unwrap(), text);
        assert_eq!(read_with(Some("identity"), &text, 1024).unwrap(), text);
    }

    #[test]
    fn the_limit_counts_received_and_decompressed_bytes() {
        let bomb = gzip(&vec![b' '; 1 << 20]);
        assert!(bomb.len() < 2048);
        assert_eq!(read_with(Some("gzip"), &bomb, (1 << 20) - 1), Err("too_large"));
        assert_eq!(read_with(Some("gzip"), &bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(read_with(None, &[b' '; 1025], 1024), Err("too_large"));
        // Blocks that contain nothing: they never become anything.
        let header = &gzip(b"")[..10];
        let nothing = [header, &b"\0\0\0\xff\xff".repeat(1000)].concat();
        assert_eq!(read_with(Some("gzip"), &nothing, 1024), Err("too_large"));
    }

    #[test]
    fn broken_and_other_codings_are_refused() {
        let good = gzip(b"{\"keys\": []}");
        let mut checksum = good.clone();
        let at = checksum.len() - 8;
        checksum[at] ^= 1;
        for broken in [&good[..good.len() - 1], &good[..5], b"{}", b"", &checksum] {
            assert_eq!(read_with(Some("gzip"), broken, 1024), Err("compressed"), "{broken:?}");
        }
        for coding in ["br", "deflate", "gzip, gzip", ""] {
            assert_eq!(read_with(Some(coding), &good, 1024), Err("compressed"), "{coding}");
        }
    }
}
