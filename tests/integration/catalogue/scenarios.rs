//! J57, J73, J74, H17: cases that take several requests or a closer look at one.

use serde_json::json;

use super::{Case, Expect, Seen, case, scenario};
use crate::support::eventually;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, Response, request_bytes};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        scenario("J57", "expired, within the leeway", within_leeway, Expect::Passes(200)),
        scenario("J73", "the upstream has revoked it", revoked_upstream, Expect::Passes(401)),
        scenario("J74", "it expires", expires, Expect::Refused(401, "expired")),
        scenario("J74", "its key is withdrawn", key_withdrawn, Expect::Refused(401, "unknown_key")),
        scenario(
            "J74",
            "its last character differs",
            last_character,
            Expect::Refused(401, "invalid_signature"),
        ),
        scenario("H17", "a large upload by a bad token", upload, Expect::Refused(401, "expired")),
    ];
    // The same token again, from the cache.
    let token = Token::bot().claim("jti", json!("seen twice")).encode();
    cases.push(case("J74", "seen for the first time", &token, "").passes());
    cases.push(case("J74", "seen for the second time", &token, "").passes());
    cases
}

/// Signed when it is sent: the case tables are built once, and a case may run much later.
fn within_leeway() -> Seen {
    let stage = Stage::plain(|setup| setup);
    let response = stage.gateway.get_as(&Token::user().expires_in(-5), "/past");
    Seen::at(&stage, "/past", &response, 0)
}

/// The upstream's 401 passes through, also the second time, when the token is cached.
fn revoked_upstream() -> Seen {
    const BODY: &str = r#"{"code":401,"message":"Expired token!"}"#;
    let upstream = Upstream::scripted(|exchange| {
        exchange.reply(401, &[("WWW-Authenticate", "om-auth"), ("X-Upstream", "yes")], BODY)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup);
    let token = Token::user().encode();
    let ask = |path: &str| {
        let response = stage.gateway.get_with(&token, path);
        assert_eq!(response.text(), BODY);
        assert_eq!(response.header("www-authenticate"), Some("om-auth"));
        assert_eq!(response.header("x-upstream"), Some("yes"));
        response
    };
    ask("/first");
    let second = ask("/second");
    assert_eq!(stage.upstream.requests().len(), 2, "both requests reach the upstream");
    Seen::at(&stage, "/second", &second, 0)
}

/// A token that expires while it is cached.
fn expires() -> Seen {
    let stage = Stage::plain(|setup| setup.env("METAGATE_AUTHENTICATION__LEEWAY", "2s"));
    let token = bearer(&Token::user().expires_in(1));
    let mut client = Client::connect(stage.gateway.proxy);
    let mut ask = |path: &str| -> Response {
        let request = request_bytes("GET", path, &[("Authorization", &token)], b"");
        client.send(request).response().expect("a response")
    };
    assert_eq!(ask("/remembered").status, 200);
    let mut asked = 0;
    let (path, response) = eventually("the cached token to expire", || {
        asked += 1;
        let path = format!("/again/{asked}");
        let response = ask(&path);
        (response.status != 200).then_some((path, response))
    });
    let reached = stage.upstream.requests().iter().filter(|request| request.head.target() == path).count();
    Seen::at(&stage, &path, &response, reached)
}

fn key_withdrawn() -> Seen {
    let stage = Stage::plain(|setup| setup);
    let old = Token::user().encode();
    assert_eq!(stage.gateway.get_with(&old, "/remembered").status, 200);
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    // A token signed with the new key makes the gateway fetch the key set.
    let new = Token::user().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&new, "/new").status, 200);
    let response = stage.gateway.get_with(&old, "/old");
    let reached = stage.upstream.requests().iter().filter(|request| request.head.target() == "/old").count();
    Seen::at(&stage, "/old", &response, reached)
}

fn last_character() -> Seen {
    let stage = Stage::plain(|setup| setup);
    let good = Token::user().encode();
    assert_eq!(stage.gateway.get_with(&good, "/remembered").status, 200);
    let last = good.chars().last().expect("a character");
    // With 256 bytes the last character carries two bits: `A`, `Q`, `g` and `w` are canonical.
    let other = if last == 'A' { 'Q' } else { 'A' };
    let changed = format!("{}{other}", &good[..good.len() - 1]);
    let response = stage.gateway.get_with(&changed, "/changed");
    let reached = stage.upstream.requests().iter().filter(|r| r.head.target() == "/changed").count();
    Seen::at(&stage, "/changed", &response, reached)
}

/// A client that sends `Expect: 100-continue` for 10 MB gets the refusal and no 100, and then the
/// end of the connection: a body sent anyway must not be parsed as a request.
fn upload() -> Seen {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::user().expires_in(-3600));
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "PUT /upload HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: {token}\r\n\
         Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n"
    ));
    let (status, head) = client.response_head().expect("a response");
    let rest = client.rest();
    assert!(rest.ends_with('}'), "only the body of the refusal: {rest:?}");
    Seen::at(
        &stage,
        "/upload",
        &Response { status, head, ..Response::default() },
        stage.upstream.connections(),
    )
}
