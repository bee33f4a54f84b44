//! How the request is named that a question is about.

use super::*;

#[test]
fn each_form_is_judged_by_its_own_fields() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    for (form, ask) in [
        ("forwarded", Judge::forwarded as fn(&Judge, &str, &str, &[(&str, &str)]) -> Response),
        ("original", Judge::original),
        ("request", Judge::request),
    ] {
        let judge = Judge::of(form);
        assert_eq!(ask(&judge, "GET", "/public/page?q=1", &[]).status, 200, "{form}");
        refused(&ask(&judge, "POST", "/public/page", &[]), 401, NO_TOKEN);
        refused(&ask(&judge, "GET", "/private?/public/page", &[]), 401, NO_TOKEN);
        assert_eq!(ask(&judge, "GET", "/private/a%2Fb;c=d//e", &[authorization]).status, 200, "{form}");
        let denied = ask(&judge, "DELETE", "/private", &[authorization]);
        refused(&denied, 403, "Token lacks required role/permission");
        for target in
            ["/public/../private", "/public/%2e%2e/private", "/public/..;/private", "/public/%252e%252e/x"]
        {
            refused(&ask(&judge, "GET", target, &[authorization]), 400, BAD_TARGET);
        }
        for target in ["//public/page", "/public;/page", "/%70ublic/page", "/public/a%2fb", "/PUBLIC/page"] {
            refused(&ask(&judge, "GET", target, &[]), 401, NO_TOKEN);
        }
    }
}

#[test]
fn a_fragment_is_refused_where_a_field_names_the_target() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    for target in ["/public/page#x", "/private#/public/page", "/private?a#b"] {
        refused(&Judge::of("forwarded").forwarded("GET", target, &[authorization]), 400, BAD_TARGET);
        refused(&Judge::of("original").original("GET", target, &[authorization]), 400, BAD_TARGET);
    }
}

#[test]
fn the_question_itself_may_be_of_any_method_and_have_any_path() {
    let judge = Judge::of("forwarded");
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
        assert_eq!(judge.ask(method, target, &with_token).status, 200, "{method} {target}");
        let response = judge.ask(method, target, &fields);
        assert_eq!(response.status, 401, "{method} {target}");
        assert_eq!(response.body.is_empty(), method == "HEAD");
    }
}

#[test]
fn a_question_without_a_target_is_refused() {
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    let named = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/public/page"),
        ("X-Forwarded-Host", "catalog.test"),
        ("X-Forwarded-For", "192.0.2.9"),
    ];
    let judge = Judge::of("forwarded");
    assert_eq!(judge.ask("GET", "/", &[&named[..], &[authorization]].concat()).status, 200);
    for left_out in 0..named.len() {
        let mut fields = named.to_vec();
        fields.remove(left_out);
        fields.push(authorization);
        refused(&judge.ask("GET", "/public/page", &fields), 400, BAD_TARGET);
    }
    refused(&judge.ask("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    refused(&judge.original("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    refused(&judge.request("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    let judge = Judge::of("original");
    refused(&judge.forwarded("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
    refused(&judge.request("GET", "/public/page", &[authorization]), 400, BAD_TARGET);
}

#[test]
fn no_client_chooses_which_path_is_judged() {
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
    for (form, ask, own) in [
        ("forwarded", Judge::forwarded as fn(&Judge, &str, &str, &[(&str, &str)]) -> Response, "X-Forwarded"),
        ("original", Judge::original, "X-Original"),
        ("request", Judge::request, "none"),
    ] {
        let judge = Judge::of(form);
        for field in smuggled {
            // Refused with a token, too: whoever sends these means no good, or is set up wrongly.
            for fields in
                [&[field][..], &[field, authorization], &[field, ("Connection", field.0), authorization]]
            {
                let response = ask(&judge, "GET", "/private", fields);
                refused(&response, 400, BAD_TARGET);
            }
            let twice = ask(&judge, "GET", "/private", &[field, field, authorization]);
            assert_eq!(twice.status, 400, "{form} {field:?} twice, own {own}");
        }
        // One that says the same does no harm, such as of a proxy that names the request in two ways.
        if form == "request" {
            let same = [("X-Forwarded-Uri", "/private"), ("X-Original-Method", "GET"), authorization];
            assert_eq!(ask(&judge, "GET", "/private", &same).status, 200);
        }
    }
}

#[test]
fn an_absolute_url_names_the_host_and_no_client_does() {
    let judge = Judge::of("original");
    let token = bearer(&Token::user());
    let authorization = ("Authorization", token.as_str());
    let ask = |url: &str, fields: &[(&str, &str)]| {
        let named = [
            ("X-Original-Method", "GET"),
            ("X-Original-URL", url),
            ("X-Forwarded-For", "192.0.2.9"),
            authorization,
        ];
        judge.ask("GET", "/", &[&named[..], fields].concat())
    };
    assert_eq!(ask("http://catalog.test/private", &[]).status, 200);
    assert_eq!(ask("https://admin.test:8443/private", &[]).status, 403);
    // The same host to a resolver, and another to whoever compares names.
    refused(&ask("https://ADMIN.test./private", &[]), 400, BAD_TARGET);
    assert_eq!(ask("https://admin.test/private", &[("X-Forwarded-Host", "catalog.test")]).status, 403);
    // What a client writes into Host stands before the path.
    for url in [
        "http://catalog.test?/public/page",
        "http://catalog.test#/private",
        "http://user@catalog.test/private",
        "http://catalog.test:80:80/private",
        "http:///private",
        "http://catalog.test",
        "ftp://catalog.test/private",
    ] {
        refused(&ask(url, &[]), 400, BAD_TARGET);
    }
    // Beside a path that nginx names, a URL is the client's.
    let both = judge.original(
        "GET",
        "/private",
        &[("X-Original-URL", "http://catalog.test/private"), authorization],
    );
    refused(&both, 400, BAD_TARGET);
}

#[test]
fn the_host_of_a_path_is_the_hosts() {
    let token = bearer(&Token::user());
    let judge = Judge::of("forwarded");
    let ask = |host: &str, own: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {own}\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /x\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n\r\n"
        );
        Client::connect(judge.address).send(request).response().expect("a response").status
    };
    assert_eq!(ask("catalog.test", "admin.test"), 200);
    assert_eq!(ask("admin.test", "catalog.test"), 403);
    assert_eq!(ask("a, b", "catalog.test"), 400);
    let judge = Judge::of("original");
    let ask = |own: &str| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {own}\r\nX-Original-Method: GET\r\nX-Original-URI: /x\r\nX-Forwarded-Host: catalog.test\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n\r\n"
        );
        Client::connect(judge.address).send(request).response().expect("a response").status
    };
    assert_eq!(ask("catalog.test"), 200);
    assert_eq!(ask("admin.test"), 403);
}

#[test]
fn the_address_is_the_last_that_is_no_trusted_proxys() {
    let token = bearer(&Token::user());
    let ask = |judge: &Judge, address: &str| {
        let fields = [("X-Forwarded-For", address), ("Authorization", token.as_str())];
        judge.ask("GET", "/net", &fields).status
    };
    let judge = Judge::of("request");
    assert_eq!(ask(&judge, "192.0.2.9"), 200);
    assert_eq!(ask(&judge, "203.0.113.1, 192.0.2.9"), 200);
    assert_eq!(ask(&judge, "192.0.2.9, 203.0.113.1"), 403, "what a client wrote comes first");
    for unknown in ["", "unknown", "192.0.2.9, unix:", "192.0.2.9,"] {
        assert_eq!(ask(&judge, unknown), 400, "{unknown:?}");
    }
    let judge = Judge::with("request", &format!("{RULES}trustedProxies: [203.0.113.0/24]"));
    assert_eq!(ask(&judge, "192.0.2.9, 203.0.113.1"), 200);
    assert_eq!(ask(&judge, "192.0.2.9, 198.51.100.1, 203.0.113.1"), 403);
}

#[test]
fn a_question_is_framed_like_any_request() {
    let judge = Judge::of("forwarded");
    let token = bearer(&Token::user());
    let named = format!(
        "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /private\r\nX-Forwarded-Host: a\r\nX-Forwarded-For: 192.0.2.9\r\nAuthorization: {token}\r\n"
    );
    for framing in [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content_Length: 3\r\n",
    ] {
        let mut client = Client::connect(judge.address);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{named}{framing}\r\nabc"));
        assert_eq!(client.response().expect("a response").status, 400, "{framing}");
    }
}
