//! Request heads and bodies, and the processing of fields.

use std::hint::black_box;

use http::{HeaderName, Method, Uri};
use metagate::audit::AuditTrail;
use metagate::backend::Backend;
use metagate::decision::Route;
use metagate::exchange::{Exchange, Recorder};
use metagate::outbound_head::{
    Authorization, IdentityNames, OutboundHead, from_http2, remove_connection_fields,
};
use metagate::request::{
    BodyTracker, Credentials, FieldList, ForwardAuthDialect, Framing, HeadLimits, HeadScanner, HpackDecoder,
    Http2Head, OriginalRequest, TokenRequest,
};

use super::world::{self, PEER};
use super::{Case, Run};

const LIMITS: HeadLimits = HeadLimits { bytes: 1 << 20, target: 60 << 10, fields: 100_000 };

pub const CASES: &[Case] = &[
    Case::new("head: one long value", 64 << 10, |size| scanned(format!("a: {}\r\n", "x".repeat(size)))),
    Case::new("head: many fields", 64 << 10, |size| scanned("a:b\r\n".repeat(size / 5))),
    Case::new("head: byte by byte", 64 << 10, |size| {
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(size / 5));
        Box::new(move || {
            let mut scanner = HeadScanner::new(LIMITS);
            for end in 1..=head.len() {
                let _ = black_box(scanner.scan(&head.as_bytes()[..end]));
            }
        })
    }),
    Case::new("http2: many fields", 60 << 10, |size| http2(b"\0\x01a\x01b".repeat(size / 5))),
    Case::new("http2: a long Huffman code", 60 << 10, |size| {
        // A value of so many `0`, each of five bits.
        let (mut block, length) = (b"\0\x01a\xff".to_vec(), size - 127);
        block.extend([length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8]);
        block.resize(block.len() + size, 0);
        http2(block)
    }),
    Case::new("http2: references to a long field", 15, |size| {
        let mut block = [b"\x40\x01a\x7f\xa1\x1e", &b"b".repeat(4000)[..]].concat();
        block.resize(block.len() + size, 0xbe);
        http2(block)
    }),
    Case::new("form: a token request", 16 << 10, |size| {
        let form = format!("grant_type=urn%3Aietf&subject_token={}", "%61".repeat(size / 3));
        Box::new(move || assert!(black_box(TokenRequest::read(form.as_bytes(), "a")).is_err()))
    }),
    Case::new("form: many parameters", 16 << 10, |size| {
        let form: String = (0..size / 8).map(|n| format!("&a{n:05}=")).collect();
        Box::new(move || assert!(black_box(TokenRequest::read(form.as_bytes(), "a")).is_err()))
    }),
    Case::new("body: chunks of one byte", 64 << 10, |size| {
        let body = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(size / 6));
        Box::new(move || {
            assert_eq!(BodyTracker::new(Framing::Chunked).follow(body.as_bytes()), Ok(body.len()));
        })
    }),
    Case::new("fields: names with an underscore", 64 << 10, |size| {
        rewritten(Backend::DataHubGms, (0..size / 8).map(|n| (format!("x_{n}"), String::new())).collect())
    }),
    Case::new("fields: one name many times", 64 << 10, |size| {
        rewritten(Backend::DataHubGms, vec![("x-a".to_owned(), String::new()); size / 6])
    }),
    Case::new("connection: options and fields", 64 << 10, |size| {
        let options: Vec<String> = (0..size / 16).map(|n| format!("x-{n}")).collect();
        let mut list = vec![("connection".to_owned(), options.join(","))];
        list.extend((0..size / 16).map(|n| (format!("y-{n}"), String::new())));
        rewritten(Backend::Generic, list)
    }),
    Case::new("connection: options of a response", 64 << 10, |size| {
        let options: Vec<String> = (0..size / 16).map(|n| format!("x-{n}")).collect();
        let mut list = vec![("connection".to_owned(), options.join(","))];
        list.extend((0..size / 16).map(|n| (format!("x-{n}"), String::new())));
        let fields = world::fields(list);
        Box::new(move || remove_connection_fields(&mut fields.clone()))
    }),
    Case::new("cookies: in one field", 64 << 10, |size| {
        let bearer = ("authorization".to_owned(), "Bearer a.b.c".to_owned());
        let cookies = format!("PLAY_SESSION=x{}", ";a=b".repeat(size / 4));
        rewritten(Backend::DataHubFrontend, vec![bearer, ("cookie".to_owned(), cookies)])
    }),
    Case::new("cookies: in many fields", 64 << 10, |size| {
        let mut list = vec![("authorization".to_owned(), "Bearer a.b.c".to_owned())];
        list.push(("cookie".to_owned(), "PLAY_SESSION=x".to_owned()));
        list.extend((0..size / 8).map(|_| ("cookie".to_owned(), "a".to_owned())));
        rewritten(Backend::DataHubFrontend, list)
    }),
    Case::new("cookies: joined for HTTP/1", 64 << 10, |size| {
        let fields = world::fields((0..size / 8).map(|_| ("cookie", "a".to_owned())));
        Box::new(move || from_http2(&mut fields.clone(), &Uri::from_static("/")))
    }),
    Case::new("x-forwarded-for: in one field", 64 << 10, |size| {
        source(vec![("x-forwarded-for".to_owned(), "10.0.0.1,".repeat(size / 9))])
    }),
    Case::new("x-forwarded-for: in many fields", 64 << 10, |size| {
        source(vec![("x-forwarded-for".to_owned(), "10.0.0.1".to_owned()); size / 24])
    }),
    Case::new("authorization", 64 << 10, |size| {
        let fields = world::fields([("authorization", format!("Bearer {}", "a".repeat(size)))]);
        Box::new(move || assert!(matches!(Credentials::read(&fields), Ok(Credentials::Bearer(_)))))
    }),
    Case::new("user-agent", 64 << 10, |size| client(format!("{}x", "(\\()".repeat(size / 4)))),
    Case::new("forward-auth: the named request", 8 << 10, |size| {
        let place = format!("https://a.example/{}", "a".repeat(size));
        let fields = world::fields([("x-original-url", place), ("x-original-method", "GET".to_owned())]);
        Box::new(move || {
            let target = Uri::from_static("/");
            assert!(
                OriginalRequest::read(ForwardAuthDialect::Original, &Method::GET, &target, &fields).is_ok()
            );
        })
    }),
];

fn scanned(fields: String) -> Run {
    let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
    Box::new(move || assert!(HeadScanner::new(LIMITS).scan(head.as_bytes()).is_ok_and(|head| head.is_some())))
}

/// Decodes a field block, and checks it as a head.
fn http2(block: Vec<u8>) -> Run {
    Box::new(move || {
        let mut list = FieldList::new(1 << 20);
        assert!(HpackDecoder::new(4096).decode(&block, &mut list).is_ok());
        let _ = black_box(Http2Head::read(&list, LIMITS, true));
    })
}

fn rules(backend: Backend) -> OutboundHead {
    let names = IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor: false,
    };
    OutboundHead::new(backend, names, Authorization::Forward, vec!["10.0.0.0/8".parse().expect("a network")])
}

/// Rewrites the fields into the head that is forwarded.
fn rewritten(backend: Backend, list: Vec<(String, String)>) -> Run {
    let (fields, head, authorizer) =
        (world::fields(list), rules(backend), world::authorizer(backend, Vec::new()));
    let caller = world::caller("");
    Box::new(move || {
        let mut fields = fields.clone();
        assert_eq!(head.check_connection(&fields), Ok(()));
        let facts = world::facts(backend, "/x", &fields);
        let permit = authorizer.decide(&facts, Route::Protected, Ok(caller.clone())).expect("allowed");
        head.rewrite(&mut fields, &facts, &permit, PEER, false).expect("a name that fits");
        black_box(fields);
    })
}

fn source(list: Vec<(String, String)>) -> Run {
    let (fields, head) = (world::fields(list), rules(Backend::Generic));
    let proxy = std::net::IpAddr::from([10, 0, 0, 9]);
    Box::new(move || {
        black_box(head.source_ip(&fields, proxy));
    })
}

/// One exchange with its audit record.
fn client(user_agent: String) -> Run {
    let metrics = std::sync::Arc::<metagate::metrics::Metrics>::default();
    let (audit, writer) = AuditTrail::start(std::io::sink(), metrics.clone()).expect("a thread");
    let (refusals, tokens) = (std::sync::Arc::default(), std::sync::Arc::default());
    let (rules, entries) = (Vec::new(), Vec::new());
    let recorder = std::sync::Arc::new(Recorder {
        audit,
        audited: metagate::config::AuditedDecisions::ALL,
        metrics,
        refusals,
        tokens,
        tracer: None,
        signals: Some(std::sync::Arc::default()),
        rules,
        entries,
    });
    let fields = world::fields([("user-agent", user_agent)]);
    Box::new(move || {
        let _ = &writer;
        let (method, target) = (Method::GET, Uri::from_static("/"));
        drop(Exchange::begin(
            recorder.clone(),
            method,
            target,
            &fields,
            Some(PEER),
            http::HeaderValue::from_static("id"),
        ));
    })
}
