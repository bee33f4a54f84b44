//! HTTP/2 field blocks and the request heads that they encode.

use http::{HeaderName, HeaderValue, Method};
use metagate::request::{
    FieldList, HeadLimits, HpackDecoder, Http2Head, check_http2_trailers, uri_of, written,
};

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, target: 8192, fields: 16 };

/// Field blocks of one connection, each preceded by an octet with its length: decoded fields stay
/// within the limit, errors persist, and an accepted head agrees with the `http` crate's.
pub fn http2_head(data: &[u8]) {
    let mut decoder = HpackDecoder::new(512);
    let mut rest = data;
    while let Some((length, after)) = rest.split_first() {
        let (block, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let (mut list, mut again) = (FieldList::new(LIMITS.bytes), FieldList::new(LIMITS.bytes));
        let mut same = decoder.clone();
        let decoded = decoder.decode(block, &mut list);
        assert_eq!(same.decode(block, &mut again), decoded);
        assert!(list.iter().eq(again.iter()));
        let size: usize = list.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        assert!(size < LIMITS.bytes);
        if decoded.is_err() {
            return;
        }
        let _ = check_http2_trailers(&list, LIMITS);
        let Ok(head) = Http2Head::read(&list, LIMITS, false) else { continue };
        assert!(!list.is_too_large());
        assert!(Method::from_bytes(head.method()).is_ok());
        let uri = uri_of(head.path()).expect("a target");
        let path = uri.path_and_query().expect("a path");
        assert_eq!(written(path).as_bytes(), head.path(), "nothing was cut off");
        if let Ok(target) = head.uri() {
            assert_eq!(target.path_and_query(), Some(path));
        }
        let mut fields = Vec::new();
        for (name, value) in list.iter().filter(|(name, _)| !name.starts_with(b":")) {
            assert!(HeaderName::from_lowercase(name).is_ok());
            assert!(HeaderValue::from_bytes(value).is_ok());
            assert!(!name.contains(&b'"'));
            fields.push((name.to_vec(), value.to_vec()));
        }
        let read = list.into_fields().expect("less than 4 GiB");
        let read = read.iter().map(|field| (field.name().into(), field.value().as_bytes().to_vec()));
        assert!(read.eq(fields), "the fields of the request are those that were checked");
    }
}
