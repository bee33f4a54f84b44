//! `authorization.tests`, and warnings about rules.

use http::{Method, StatusCode};
use serde_json::json;

use super::*;

const ENTRIES: &str = "authentication:
  issuers:
    - {name: okta, issuer: https://okta.example, publicKeyUrls: [https://okta.example/keys]}
    - {name: dh, issuer: dh, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
  publicKeyUrls: [https://idp.example/jwks]
authorization:
";

fn with_entries(authorization: &str) -> Case {
    file(&format!("{ENTRIES}{authorization}")).with(&[UPSTREAM])
}

#[test]
fn a_test_with_every_key() {
    let config = with_entries(
        "  rules: [{name: r, action: deny}]
  tests:
    - name: all of it
      claims: {sub: ada, isBot: true, quoted: 'true', n: 7, f: 1.5, text: 007, exp: null, roles: [A, 1], deep: {x: [y]}}
      issuer: dh
      request: PUT /a%20b;x/c?q=1
      host: a.example:8080
      headers: {X-One: 1, x-two: b}
      body: {query: '{ me }', variables: {n: 1}}
      sourceIp: 10.1.2.3
      expect: 403
      rule: r
",
    )
    .config();
    let [test] = &config.rule_tests[..] else { panic!("{:?}", config.rule_tests) };
    assert_eq!((&*test.name, &*test.path), ("all of it", "authorization.tests[0]"));
    let claims = json!({"sub": "ada", "isBot": true, "quoted": "true", "n": 7, "f": 1.5, "text": "007", "exp": null, "roles": ["A", 1], "deep": {"x": ["y"]}});
    assert_eq!(test.claims.as_ref(), claims.as_object());
    assert_eq!(&*config.trust[test.entry].name, "dh");
    assert_eq!((&test.method, test.target.to_string().as_str()), (&Method::PUT, "/a%20b;x/c?q=1"));
    let field = |name: &str| test.fields.get(name).unwrap().to_str().unwrap();
    assert_eq!((field("host"), field("x-one"), field("x-two")), ("a.example:8080", "1", "b"));
    assert_eq!(&*test.body, br#"{"query":"{ me }","variables":{"n":1}}"#);
    assert_eq!(test.source_ip, IpAddr::from([10, 1, 2, 3]));
    assert_eq!((test.expect, test.rule), (Some(StatusCode::FORBIDDEN), Some(0)));
}

#[test]
fn omitted_keys_have_defaults() {
    let config = with_entries(
        "  tests:
    - {name: a, request: GET /, expect: allow}
    - {name: b, request: GET /, expect: 401, claims: {}, body: text}
    - {name: c, request: GET /, expect: 401, claims: {iss: dh}}
    - {name: d, request: GET /, expect: 401, claims: {iss: nobody}}
",
    )
    .config();
    let [a, b, c, d] = &config.rule_tests[..] else { panic!("{:?}", config.rule_tests) };
    assert_eq!((a.claims.is_some(), a.expect, a.rule, a.body.len()), (false, None, None, 0));
    assert_eq!(
        (a.source_ip, &a.fields["host"]),
        (IpAddr::from([127, 0, 0, 1]), &"localhost".parse().unwrap())
    );
    assert_eq!((b.claims.as_ref().map(serde_json::Map::len), &*b.body), (Some(0), &b"text"[..]));
    let entry = |test: &RuleTest| &*config.trust[test.entry].name;
    assert_eq!((entry(b), entry(c), entry(d)), ("okta", "dh", "okta"));
}

#[test]
fn errors_in_tests_are_errors_of_the_configuration() {
    let errors = with_entries(
        "  rules: [{name: r, action: deny}]
  tests:
    - {name: a, request: GET /, expect: 200}
    - {name: a, request: GET /, expect: allow}
    - {name: a, request: GET /, expect: allow, rule: q}
    - {name: b, request: get /, expect: allow}
    - {name: c, request: /a, expect: deny}
    - {name: d, request: GET a, expect: 403, claims: text}
    - {name: e, request: GET /, expect: 500, issuer: okta}
    - {name: f, request: GET /, expect: 401, issuer: otka, claims: {}}
    - {name: g, request: GET /, expect: 401, headers: {authorization: x, host: y, a b: c, x: [d]}}
    - {name: h, request: GET /, expect: 401, sourceIp: 10.0.0.0/8, claim: {}}
    - {}
",
    )
    .errors();
    for expected in [
        "authorization.tests[0].expect @ 9:41 | \"200\" is not accepted; write `allow`",
        "authorization.tests[2].rule @ 11:54 | no rule is named \"q\"",
        "authorization.tests[3].request @ 12:26 | \"get /\" is not a request",
        "authorization.tests[4].request @ 13:26 | \"/a\" is not a request",
        "authorization.tests[4].expect @ 13:38 | \"deny\" is not accepted; write `allow`",
        "authorization.tests[5].request @ 14:26 | \"a\" is not a valid request path",
        "authorization.tests[5].claims @ 14:54 | is a single value; accepted: a map",
        "authorization.tests[6].expect @ 15:41 | \"500\" is not accepted",
        "authorization.tests[6].issuer @ 15:54 | has no effect without `claims`",
        "authorization.tests[7].issuer @ 16:54 | no issuer entry is named \"otka\"",
        "authorization.tests[8].headers @ 17:55 | Authorization is made of `claims`",
        "authorization.tests[8].headers @ 17:55 | write `host`",
        "authorization.tests[8].headers @ 17:55 | \"a b\" is not a header name",
        "authorization.tests[8].headers @ 17:55 | \"x\" is not a single value",
        "authorization.tests[9].claim @ 18:68 | unknown key; did you mean `claims`?",
        "authorization.tests[9].sourceIp @ 18:56 | \"10.0.0.0/8\" is not an IP address",
        "authorization.tests[10].name @ 19:7 | is missing",
        "authorization.tests[10].expect @ 19:7 | is missing",
    ] {
        assert_error(&errors, expected);
    }
    let twice = with_entries(
        "  tests: [{name: a, request: GET /, expect: allow}, {name: a, request: GET /, expect: allow}]\n",
    );
    assert_error(
        &twice.errors(),
        "authorization.tests[1].name @ 7:60 | is the name of authorization.tests[0] too",
    );
}

/// Each warning about authorization as `path: message`.
fn warnings(backend: &str, authorization: &str) -> Vec<String> {
    let case = with_entries(authorization).with(&[("METAGATE_BACKEND", backend)]);
    let warnings = case.loaded().warnings;
    let about = warnings.iter().filter(|finding| finding.path.starts_with("authorization"));
    about
        .map(|finding| {
            assert!(finding.help.is_some(), "{finding}");
            format!("{}: {}", finding.path, finding.message)
        })
        .collect()
}

#[test]
fn a_rule_that_never_decides_is_a_warning() {
    let never = |rules: &str| -> Vec<String> {
        let found = warnings("generic", &format!("  rules:\n{rules}"));
        found.into_iter().filter(|warning| warning.contains("never decides")).collect()
    };
    let wide =
        "    - {name: wide, match: {methods: [GET, PUT], paths: [/a/**, /b]}, require: {anyRole: [x]}}\n";
    assert_eq!(
        never(&format!(
            "{wide}    - {{name: narrow, match: {{methods: [PUT], paths: [/a/*/c, /b]}}, action: deny}}\n"
        )),
        ["authorization.rules[1].match: `narrow` never decides: `wide` matches all of its requests first"]
    );
    for other in [
        // Each matches requests that the other does not.
        "    - {name: o, match: {methods: [PUT], paths: [/a/x, /c]}, action: deny}\n",
        "    - {name: o, match: {methods: [PUT, POST], paths: [/a/x]}, action: deny}\n",
        "    - {name: o, match: {paths: [/a/x]}, action: deny}\n",
        "    - {name: o, match: {methods: [PUT]}, action: deny}\n",
    ] {
        assert!(never(&format!("{wide}{other}")).is_empty(), "{other}");
        assert!(never(&format!("{other}{wide}")).is_empty(), "{other}");
    }
    let reporting = wide.replace("wide,", "wide, mode: report,");
    let narrow = "    - {name: narrow, match: {methods: [PUT], paths: [/b]}, action: deny}\n";
    assert!(never(&format!("{reporting}{narrow}")).is_empty(), "what reports decides nothing");
    assert_eq!(never(&format!("{wide}{}", narrow.replace("narrow,", "narrow, mode: report,"))).len(), 1);
}

#[test]
fn a_rule_about_an_open_route_is_a_warning() {
    let rules = |method: &str, path: &str| {
        format!(
            "  public: [GET /docs/**, PUT /a/*]\n  optional: [/o/**]\n  rules: [{{name: r, match: {{methods: [{method}], paths: [{path}]}}, action: deny}}]\n"
        )
    };
    let warnings_about = |backend, method: &str, path: &str| warnings(backend, &rules(method, path));
    let path = "authorization.rules[0].match.paths:";
    assert_eq!(
        warnings_about("generic", "GET", "/docs/x"),
        [format!("{path} `r` is not evaluated on public routes: `GET /docs/**`")]
    );
    assert_eq!(warnings_about("generic", "GET", "/**").len(), 2, "the optional one too");
    assert_eq!(
        warnings_about("generic", "PATCH", "/o/x"),
        [format!("{path} `r` is not evaluated without a token: `/o/**`")]
    );
    for (method, path) in [("POST", "/docs/x"), ("GET", "/doc"), ("PUT", "/a/b/c"), ("PUT", "/a")] {
        assert!(warnings_about("generic", method, path).is_empty(), "{method} {path}");
    }
    // A route of the backend that covers the whole rule, and one that covers a part.
    assert_eq!(warnings_about("openmetadata", "POST", "/api/v1/users/login").len(), 1);
    assert!(warnings_about("openmetadata", "POST", "/api/v1/users/**").is_empty());
    let infos = with_entries(&rules("POST", "/api/v1/users/**"))
        .with(&[("METAGATE_BACKEND", "openmetadata")])
        .loaded()
        .infos;
    assert!(
        infos.iter().any(|info| info
            .contains("`r` is not evaluated on public routes of the backend: `POST /api/v1/users/signup`")),
        "{infos:?}"
    );
    assert!(warnings_about("generic", "POST", "/api/v1/users/login").is_empty());
}

#[test]
fn report_mode_and_patterns_that_cannot_match_are_warnings() {
    let found = warnings(
        "openmetadata",
        "  rules:
    - {name: a, match: {paths: [/api/v1/x]}, action: deny, mode: report}
",
    );
    assert_eq!(
        found,
        ["authorization.rules[0].mode: what `a` would refuse is forwarded, only logged and counted"]
    );
    let based = "  rules: [{name: a, match: {paths: [/api/v1/x, /catalog/api/v1/y, /**, /*/api/z]}, action: deny}]\nopenmetadata: {basePath: /catalog}\n";
    assert_eq!(
        warnings("openmetadata", based),
        [
            "authorization.rules[0].match.paths: `/api/v1/x` matches nothing that is served: openmetadata.basePath is /catalog"
        ]
    );
    assert!(warnings("generic", based).is_empty());
    let documented =
        "  rules: [{name: a, match: {paths: [/v1/tables/**, /api/v1/x, /**, /*/tables]}, action: deny}]\n";
    assert_eq!(
        warnings("openmetadata", documented),
        [
            "authorization.rules[0].match.paths: `/v1/tables/**` matches nothing that is served: OpenMetadata's API is below /api"
        ]
    );
    let empty = "  rules: [{name: a, match: {paths: [/a/, /a//b, /, /b/**, /c//**]}, action: deny}]\n";
    let found = warnings("generic", empty);
    for path in ["/a/", "/a//b", "/c//**"] {
        let wanted = format!(
            "authorization.rules[0].match.paths: `{path}` matches only where the path has the empty segment too"
        );
        assert!(found.contains(&wanted), "{path}: {found:#?}");
    }
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(warnings("generic", "  mode: report\n").len(), 1);
}
