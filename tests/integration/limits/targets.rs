//! Long targets.

use crate::support::gateway::{Setup, text};
use crate::support::http2::Http2Client;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

fn datahub(setup: Setup) -> Setup {
    setup.env("METAGATE_BACKEND", "datahub-gms")
}

fn target(name: &str, len: usize) -> String {
    let start = format!("/entitiesV2/{name}?ids=");
    format!("{start}{}", "a".repeat(len - start.len()))
}

/// DataHub's Java client asks for many entities at once, in GETs of more than 11 KB.
#[test]
fn long_gets_of_datahub_clients_are_forwarded_byte_for_byte() {
    let stage = Stage::plain(datahub);
    let token = bearer(&Token::user());
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    for len in [11_400, 32 * 1024] {
        let http1_target = target("one", len);
        assert_eq!(stage.gateway.get_as(&Token::user(), &http1_target).status, 200, "{len}");
        stage.upstream.request_to(&http1_target);
        let http2_target = target("two", len);
        let response = http2.send("GET", &http2_target, &[("authorization", &token)], b"");
        assert_eq!(response.expect("a response").status, 200, "{len} over HTTP/2");
        stage.upstream.request_to(&http2_target);
    }
    let longer = target("three", 32 * 1024 + 1);
    assert_eq!(stage.gateway.get_as(&Token::user(), &longer).status, 414);
    let response = http2.send("GET", &longer, &[("authorization", &token)], b"");
    assert_eq!(response.expect("a response").status, 414);
}

#[test]
fn the_limit_is_that_of_the_configuration() {
    let stage = Stage::plain(|setup| datahub(setup).env("METAGATE_LIMITS__TARGET_BYTES", "2KiB"));
    assert_eq!(stage.gateway.get_as(&Token::user(), &target("a", 2048)).status, 200);
    assert_eq!(stage.gateway.get_as(&Token::user(), &target("b", 2049)).status, 414);
    let record = stage.gateway.audit_of("/entitiesV2/b");
    assert_eq!(text(&record, "detail"), Some("it is longer than limits.targetBytes"));
}
