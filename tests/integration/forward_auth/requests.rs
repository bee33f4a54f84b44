//! How an auth request names the request it is about.

use super::*;

#[test]
fn each_dialect_reads_its_own_fields() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    for (dialect, ask) in [
        ("forwarded", AuthService::forwarded as fn(&AuthService, &str, &str, &[(&str, &str)]) -> Response),
        ("original", AuthService::original),
        ("request", AuthService::request),
    ] {
        let auth = AuthService::of(dialect);
        assert_eq!(ask(&auth, "GET", "/public/page?q=1", &[]).status, 200, "{dialect}");
        assert_refused(&ask(&auth, "POST", "/public/page", &[]), 401, NO_TOKEN);
        assert_refused(&ask(&auth, "GET", "/private?/public/page", &[]), 401, NO_TOKEN);
        assert_eq!(ask(&auth, "GET", "/private/a%2Fb;c=d//e", &[authorization]).status, 200, "{dialect}");
        let denied = ask(&auth, "DELETE", "/private", &[authorization]);
        assert_refused(&denied, 403, "Token lacks required role/permission");
        for target in
            ["/public/../private", "/public/%2e%2e/private", "/public/..;/private", "/public/%252e%252e/x"]
        {
            assert_refused(&ask(&auth, "GET", target, &[authorization]), 400, BAD_TARGET);
        }
        for target in ["//public/page", "/public;/page", "/%70ublic/page", "/public/a%2fb", "/PUBLIC/page"] {
            assert_refused(&ask(&auth, "GET", target, &[]), 401, NO_TOKEN);
        }
    }
}

#[test]
fn fragment_in_a_target_field_is_refused() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    for target in ["/public/page#x", "/private#/public/page", "/private?a#b"] {
        assert_refused(
            &AuthService::of("forwarded").forwarded("GET", target, &[authorization]),
            400,
            BAD_TARGET,
        );
        assert_refused(
            &AuthService::of("original").original("GET", target, &[authorization]),
            400,
            BAD_TARGET,
        );
    }
}

#[test]
fn auth_request_itself_may_have_any_method_and_path() {
    let auth = AuthService::of("forwarded");
    let fields = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/private"),
        ("X-Forwarded-Host", "catalog.test"),
        ("X-Forwarded-For", "192.0.2.9"),
    ];
    let token = bearer(&Token::user());
    let with_token = [&fields[..], &[("Authorization", token.as_str())]].concat();
    for (method, target) in [("GET", "/public/page"), ("HEAD", "/auth?x"), ("POST", "/a/../b"), ("PUT", "/")]
    {
        assert_eq!(auth.ask(method, target, &with_token).status, 200, "{method} {target}");
        let response = auth.ask(method, target, &fields);
        assert_eq!(response.status, 401, "{method} {target}");
        assert_eq!(response.body.is_empty(), method == "HEAD");
    }
}

#[test]
fn auth_request_without_a_complete_target_is_refused() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    let named = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/public/page"),
        ("X-Forwarded-Host", "catalog.test"),
        ("X-Forwarded-For", "192.0.2.9"),
    ];
    let auth = AuthService::of("forwarded");
    assert_eq!(auth.ask("GET", "/", &[&named[..], &[authorization]].concat()).status, 200);
    for left_out in 0..named.len() {
        let mut fields = named.to_vec();
        fields.remove(left_out);
        fields.push(authorization);
        assert_refused(&auth.ask("GET", "/public/page", &fields), 400, BAD_TARGET);
    }
    assert_refused(&auth.ask("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    assert_refused(&auth.original("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    assert_refused(&auth.request("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    let auth = AuthService::of("original");
    assert_refused(&auth.forwarded("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    assert_refused(&auth.request("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
}

#[test]
fn client_cannot_choose_the_authorized_path() {
    let smuggled = [
        ("X-Original-URI", "/public/page"),
        ("X-Original-URL", "/public/page"),
        ("X-Original-URL", "http://catalog.test/public/page"),
        ("X-Original-Method", "POST"),
        ("X-Forwarded-Uri", "/public/page"),
        ("X-Forwarded-Method", "POST"),
        ("X-Original-URI", "nonsense"),
    ];
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    for (dialect, ask, own) in [
        (
            "forwarded",
            AuthService::forwarded as fn(&AuthService, &str, &str, &[(&str, &str)]) -> Response,
            "X-Forwarded",
        ),
        ("original", AuthService::original, "X-Original"),
        ("request", AuthService::request, "none"),
    ] {
        let auth = AuthService::of(dialect);
        for field in smuggled {
            // Refused with a token, too: it is an attack or a misconfiguration.
            for fields in
                [&[field][..], &[field, authorization], &[field, ("Connection", field.0), authorization]]
            {
                let response = ask(&auth, "GET", "/private", fields);
                assert_refused(&response, 400, BAD_TARGET);
            }
            let twice = ask(&auth, "GET", "/private", &[field, field, authorization]);
            assert_eq!(twice.status, 400, "{dialect} {field:?} twice, own {own}");
        }
        // A field with the same value is harmless: some proxies name the request in two ways.
        if dialect == "request" {
            let same = [("X-Forwarded-Uri", "/private"), ("X-Original-Method", "GET"), authorization];
            assert_eq!(ask(&auth, "GET", "/private", &same).status, 200);
        }
    }
}

#[test]
fn host_comes_from_the_absolute_url_and_not_from_the_client() {
    let auth = AuthService::of("original");
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    let ask = |url: &str, fields: &[(&str, &str)]| {
        let named = [
            ("X-Original-Method", "GET"),
            ("X-Original-URL", url),
            ("X-Forwarded-For", "192.0.2.9"),
            authorization,
        ];
        auth.ask("GET", "/", &[&named[..], fields].concat())
    };
    assert_eq!(ask("http://catalog.test/private", &[]).status, 200);
    assert_eq!(ask("https://admin.test:8443/private", &[]).status, 403);
    // The dot of an absolute name is not compared.
    assert_eq!(ask("https://ADMIN.test./private", &[]).status, 403);
    assert_refused(&ask("https://ADMIN.test../private", &[]), 400, BAD_TARGET);
    assert_eq!(ask("https://admin.test/private", &[("X-Forwarded-Host", "catalog.test")]).status, 403);
    // The client controls Host, which precedes the path.
    for url in [
        "http://catalog.test?/public/page",
        "http://catalog.test#/private",
        "http://user@catalog.test/private",
        "http://catalog.test:80:80/private",
        "http:///private",
        "http://catalog.test",
        "ftp://catalog.test/private",
    ] {
        assert_refused(&ask(url, &[]), 400, BAD_TARGET);
    }
    // If nginx names the path, the URL comes from the client.
    let both =
        auth.original("GET", "/private", &[("X-Original-URL", "http://catalog.test/private"), authorization]);
    assert_refused(&both, 400, BAD_TARGET);
}

#[test]
fn host_of_a_path_comes_from_the_dialects_host_field() {
    let token = bearer(&Token::user());
    let auth = AuthService::of("forwarded");
    let ask = |host: &str, own: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {own}\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /x\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n\r\n"
        );
        Client::connect(auth.address).send(request).response().expect("a response").status
    };
    assert_eq!(ask("catalog.test", "admin.test"), 200);
    assert_eq!(ask("admin.test", "catalog.test"), 403);
    assert_eq!(ask("a, b", "catalog.test"), 400);
    let auth = AuthService::of("original");
    let ask = |own: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {own}\r\nX-Original-Method: GET\r\nX-Original-URI: /x\r\nX-Forwarded-Host: catalog.test\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n\r\n"
        );
        Client::connect(auth.address).send(request).response().expect("a response").status
    };
    assert_eq!(ask("catalog.test"), 200);
    assert_eq!(ask("admin.test"), 403);
}

#[test]
fn source_address_is_the_last_untrusted_hop() {
    let token = bearer(&Token::user());
    let ask = |auth: &AuthService, address: &str| {
        let fields = [("X-Forwarded-For", address), ("Authorization", token.as_str())];
        auth.ask("GET", "/net", &fields).status
    };
    let auth = AuthService::of("request");
    assert_eq!(ask(&auth, "192.0.2.9"), 200);
    assert_eq!(ask(&auth, "203.0.113.1, 192.0.2.9"), 200);
    assert_eq!(ask(&auth, "192.0.2.9, 203.0.113.1"), 403, "the first address is the client's claim");
    for (at, unknown) in ["", "unknown", "192.0.2.9, unix:", "192.0.2.9,"].into_iter().enumerate() {
        let path = format!("/unknown/{at}");
        let fields = [("X-Forwarded-For", unknown), ("Authorization", token.as_str())];
        assert_eq!(auth.ask("GET", &path, &fields).status, 400, "{unknown:?}");
        let wanted = format!("X-Forwarded-For names no address: field \"x-forwarded-for\" is \"{unknown}\"");
        assert_eq!(auth.stage.gateway.audit_of(&path)["detail"], wanted.as_str());
    }
    let auth = AuthService::with("request", &format!("{RULES}trustedProxies: [203.0.113.0/24]"));
    assert_eq!(ask(&auth, "192.0.2.9, 203.0.113.1"), 200);
    assert_eq!(ask(&auth, "192.0.2.9, 198.51.100.1, 203.0.113.1"), 403);
}

#[test]
fn auth_request_framing_is_strict() {
    let auth = AuthService::of("forwarded");
    let token = bearer(&Token::user());
    let named = format!(
        "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /private\r\nX-Forwarded-Host: a\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n"
    );
    for framing in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content_Length: 3\r\n",
    ] {
        let mut client = Client::connect(auth.address);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{named}{framing}\r\nabc"));
        assert_eq!(client.response().expect("a response").status, 400, "{framing}");
    }
}
