//! Errors are reported all at once, each with its location.

use super::*;

/// At least one error of every kind in a file.
const BROKEN: &str = "\
lissten: 0.0.0.0:1
listen: nowhere
listen: 0.0.0.0:2
upstream:
  connectTimeout: 5 apples
  tls: {certFile: a.pem}
authentication:
  publicKeyUrl: https://idp.example/jwks
  algorithms: [RS256, HS256, none]
  leeway: 301s
  jwks:
    timeout: \"5\"
    cacheDir: /x
  issuers:
    - name: a
      issuer: https://a.example
      leway: 3s
    - issuer: [https://a.example, https://b.example]
      publicKeyUrls: [https://b.example/jwks, b.example/jwks]
authorization:
  public: [GET docs]
  rules:
    - action: deny
trustedProxies: 10.0.0.0/33
";

#[test]
fn errors_of_all_sources_are_reported_at_once() {
    let case = file(BROKEN)
        .with(&[
            ("METAGATE_LISTN", "x"),
            ("METAGATE_WORKERS", "many"),
            ("AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN", "\"maybe\""),
        ])
        .flags(Flags { backend: Some("openmetdata".into()), ..Flags::default() });
    let errors = case.errors();
    let expected = [
        "lissten @ 1:1 | unknown key; did you mean `listen`?",
        "listen @ 2:9 | \"nowhere\" is not an address; write an IP address and a port, like 0.0.0.0:8685 or [::]:8685",
        " @ 3:1 | `listen` is written twice, first in line 2",
        "upstream.connectTimeout @ 5:19 | \"5 apples\" is not a duration; write it like 30s, 5m, 250ms",
        "upstream.tls.certFile @ 6:19 | requires keyFile",
        "authentication.publicKeyUrl @ 8:3 | unknown key; did you mean `publicKeyUrls`?",
        "authentication.algorithms @ 9:23 | item 2: HS256 is only for an issuer entry with a sharedSecret",
        "authentication.algorithms @ 9:30 | item 3: \"none\" would accept unsigned tokens",
        "authentication.leeway @ 10:11 | 301s is out of range; accepted: 0s to 5m",
        "authentication.jwks.timeout @ 12:14 | \"5\" is not a duration",
        "authentication.issuers[0].leway @ 17:7 | unknown key; did you mean `leeway`?",
        "authentication.issuers[1].name @ 18:7 | an issuer entry needs a name",
        "authentication.issuers[1].publicKeyUrls @ 19:47 | item 2: \"b.example/jwks\" is not a URL that begins with http:// or https:// or file://",
        "authorization.public @ 21:12 | item 1: a path pattern starts with `/`, `docs` does not",
        "authorization.rules[0].name @ 23:7 | a rule needs a name",
        "trustedProxies @ 24:17 | item 1: \"10.0.0.0/33\" is not a network",
        "authentication.enforcePrincipalDomain @ AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN | \"maybe\" is neither true nor false",
        " @ METAGATE_LISTN | unknown environment variable METAGATE_LISTN; did you mean METAGATE_LISTEN?",
        "workers @ METAGATE_WORKERS | \"many\" is not a whole number",
        "backend @ --backend | \"openmetdata\" is not accepted; write one of: generic, openmetadata, datahub-gms, \
         datahub-frontend; did you mean `openmetadata`?",
        "upstream.url @ - | is missing",
    ];
    for expected in expected {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "in the order of the sources: {error}, not {expected}");
    }
}

#[test]
fn an_error_is_formatted_like_a_compiler_error() {
    let case = file("authentication:\n  jwks:\n    timeout: 5 apples\n").with(&[KEYS_URL]);
    let path = case.sources.files[0].display().to_string();
    let errors = case.result().unwrap_err();
    assert_eq!(
        errors.to_string(),
        format!(
            "error: authentication.jwks.timeout: \"5 apples\" is not a duration; write it like 30s, 5m, 250ms\n  \
             --> {path}:3:14\n\n\
             error: upstream.url: is missing: requests have nowhere to go\n  \
             = help: set upstream.url, METAGATE_UPSTREAM__URL or --upstream, to a URL like http://127.0.0.1:8585"
        )
    );
}

#[test]
fn an_empty_configuration_names_the_required_keys() {
    let errors = file("").errors();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert_error(&errors, "upstream.url @ - | is missing");
    assert_error(&errors, "authentication.publicKeyUrls @ default | no tokens are trusted");
}

#[test]
fn a_misplaced_key_gets_a_hint() {
    let errors = file(
        "leeway: 3s\nauthentication.leeway: 3s\nauthentication: {connectTimeout: 1s, zzz: 1, \"\": 1}\n",
    )
    .errors();
    assert_error(&errors, "leeway @ 1:1 | unknown key; did you mean `authentication.leeway`?");
    assert_error(&errors, "authentication.leeway @ 2:1 | unknown key; did you mean `authentication.leeway`?");
    assert_error(
        &errors,
        "authentication.connectTimeout @ 3:18 | unknown key; did you mean `upstream.connectTimeout`?",
    );
    assert_error(&errors, "authentication.zzz @ 3:");
    assert_error(&errors, "authentication.\"\" @ 3:");
}

#[test]
fn values_of_the_wrong_shape_are_errors() {
    let errors = file(
        "upstream: http://x\nlisten: [a]\nauthentication:\n  audiences: {a: b}\n  issuers: {name: x}\n  principalClaims: \
         [[a], {b: c}, ~, '']\nauthorization: {rules: [~, x, {name: r, require: {claims: [a]}}]}\nlog: [json]\n",
    )
    .errors();
    for expected in [
        "upstream @ 1:11 | is a single value, not a map with the keys url, connectTimeout",
        "listen @ 2:10 | \"a\" is not an address",
        "authentication.audiences @ 4:14 | is a map; accepted: a list of texts",
        "authentication.issuers @ 5:12 | is a map, not a list of maps",
        "authentication.principalClaims @ 6:21 | item 1 is a list",
        "authentication.principalClaims @ 6:26 | item 2 is a map",
        "authentication.principalClaims @ 6:34 | item 3 is nothing",
        "authorization.rules[0] @ 7:25 | is empty",
        "authorization.rules[1] @ 7:28 | is a single value, not a map with the keys name, match",
        "authorization.rules[2].require.claims @ 7:59 | is a list, not a map",
        "log @ 8:6 | is a list",
    ] {
        assert_error(&errors, expected);
    }
}

#[test]
fn a_broken_file_does_not_hide_the_environment() {
    let errors = file("a: [b\nc: d").with(&[("METAGATE_WORKERS", "x")]).errors();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert_error(&errors, " @ 2:2 | not YAML: ");
    assert_error(&errors, "workers @ METAGATE_WORKERS");
}

#[test]
fn contradictory_issuer_entries_are_errors() {
    let errors = file(
        "upstream: {url: http://up}
authentication:
  issuers:
    - {name: a, issuer: a, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8, audiences: [x]}
    - {name: a, issuer: a, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
    - {name: b, issuer: b, publicKeyUrls: [https://b], sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
    - {name: c, issuer: c}
    - {name: d, issuer: [https://d, https://e]}
    - {name: public-keys, issuer: https://f}
    - {name: g, issuer: [https://d], publicKeyUrls: []}
    - {name: h, issuer: h, publicKeyUrls: [https://h], algorithms: [HS256, RS256]}
    - {name: i, issuer: i, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u, algorithms: [RS256]}
    - {name: j, issuer: [j, j], sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
    - {name: k, issuer: j, publicKeyUrls: [https://k]}
    - {name: 'l l', issuer: l, publicKeyUrls: ['https://u:p@l', ftp://l]}
",
    )
    .errors();
    for expected in [
        "authentication.issuers[0].sharedSecret @ 4:42 | the secret is shorter than 32 bytes",
        "authentication.issuers[2].sharedSecret @ 6:70 | is set together with publicKeyUrls",
        "authentication.issuers[3].issuer @ 7:25 | \"c\" is not a URL",
        "authentication.issuers[4].issuer @ 8:25 | has several values",
        "authentication.issuers[5].name @ 9:14 | `public-keys` is the name of the simple list",
        "authentication.issuers[6].publicKeyUrls @ 10:53 | is an empty list",
        "authentication.issuers[7].algorithms @ 11:68 | item 1: HS256",
        "authentication.issuers[8].algorithms @ 12:88 | item 1: \"RS256\" cannot be verified with a shared secret",
        "authentication.issuers[9].issuer @ 13:25 | \"j\" is written twice",
        "authentication.issuers[10].issuer @ 14:25 | \"j\" belongs to the entry `j` already",
        "authentication.issuers[11].name @ 15:14 | \"l l\" is not a name",
        "authentication.issuers[11].publicKeyUrls @ 15:48 | item 1: a URL with a user name or a password",
        "authentication.issuers[11].publicKeyUrls @ 15:65 | item 2: \"ftp://l\" is not a URL",
    ] {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), 13, "{errors:#?}");
}

#[test]
fn duplicate_entries_are_errors() {
    let secret = "sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u";
    let text = format!(
        "upstream: {{url: http://up}}\nauthentication:\n  issuers:\n  - {{name: a, issuer: a, {secret}}}\n  - \
         {{name: a, issuer: b, {secret}}}\n  - {{name: c, issuer: a, {secret}}}\n"
    );
    let errors = file(&text).errors();
    assert_error(
        &errors,
        "authentication.issuers[1].name @ 5:12 | `a` is the name of another issuer entry too",
    );
    assert_error(&errors, "authentication.issuers[2].issuer @ 6:23 | \"a\" belongs to the entry `a` already");
    assert_eq!(errors.len(), 2, "{errors:#?}");

    let errors = file(&text.replace("name: a, issuer: b", "name: datahub, issuer: datahub-metadata-service"))
        .with(&[("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u")])
        .errors();
    assert_error(
        &errors,
        "datahub.tokenServiceSigningKey @ DATAHUB_TOKEN_SERVICE_SIGNING_KEY | `datahub` is the name",
    );
    assert_error(&errors, "datahub.tokenServiceIssuer @ default | \"datahub-metadata-service\" belongs to");
}

#[test]
fn colliding_listeners_and_fields_are_errors() {
    let errors = file(
        "listen: 0.0.0.0:80\nhealth: {listen: 127.0.0.1:80}\nadmin: {listen: 127.0.0.1:80}\nupstream: {url: \
         'http://localhost', authorization: datahubSystem}\nidentity: {user: X-User, email: x--user, groups: Ho_st}\n\
         tls: {clientCaFile: x, minVersion: '1.3'}\n",
    )
    .with(&[KEYS_URL])
    .errors();
    for expected in [
        "health.listen @ 2:18 | 127.0.0.1:80 is already the address of the data listener",
        "admin.listen @ 3:17 | 127.0.0.1:80 is already the address of the data listener",
        "upstream.url @ 4:17 | is our own listener",
        "upstream.authorization @ 4:52 | `datahubSystem` would make every verified caller DataHub's system user",
        "identity.email @ 5:33 | `x--user` is also identity.user",
        "identity.groups @ 5:50 | `ho_st` already has another meaning",
        "tls.clientCaFile @ 6:21 | requires certFile and keyFile",
        "tls.minVersion @ 6:36 | requires certFile and keyFile",
    ] {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), 8, "{errors:#?}");
}

#[test]
fn rules_without_or_with_contradictory_outcomes_are_errors() {
    let errors = file(
        "authorization:
  rules:
    - {name: a, action: deny, require: {anyRole: [x]}}
    - {name: b, match: {paths: [/a]}}
    - {name: a, require: {anyRole: []}}
    - {name: c, when: 'claim.isBot'}
    - {name: d, require: {}}
    - {name: e, require: {claims: {x: []}}}
    - {name: f, requires: {anyRole: [x]}}
    - {name: g, match: {methods: [get], paths: [a]}, action: allow}
  tests: [{name: t}]
",
    )
    .with(&[KEYS_URL, UPSTREAM])
    .errors();
    for expected in [
        "authorization.rules[0].action @ 3:25 | `deny` refuses every request",
        "authorization.rules[1].require @ 4:7 | the rule has no outcome",
        "authorization.rules[2].name @ 5:14 | `a` is the name of another rule",
        "authorization.rules[2].require.anyRole @ 5:36 | is an empty list",
        "authorization.rules[3].when @ 6:23 | `claim` is unknown; there are claims, request",
        "authorization.rules[4].require @ 7:17 | has no value",
        "authorization.rules[5].require.claims @ 8:35 | `x` has an empty list of values",
        "authorization.rules[6].requires @ 9:17 | unknown key; did you mean `require`?",
        "authorization.rules[7].match.methods @ 10:35 | item 1: `get` is not one of GET",
        "authorization.rules[7].match.paths @ 10:49 | item 1: a path pattern starts with",
        "authorization.tests[0].request @ 11:11 | is missing",
        "authorization.tests[0].expect @ 11:11 | is missing",
    ] {
        assert_error(&errors, expected);
    }
}

/// A template that renders nothing must not widen a rule.
#[test]
fn a_key_of_a_rule_without_a_value_is_an_error() {
    let errors = file(
        "authorization:
  rules:
    - {name: a, match: {graphql: {}}, action: allow}
    - {name: b, match: {graphql: }, action: allow}
    - {name: c, match: , action: allow}
    - {name: d, match: {paths: , methods: [GET]}, action: allow}
    - {name: e, match: {paths: [], methods: [], hosts: [], issuers: []}, action: allow}
    - {name: f, match: {query: {}}, action: allow}
    - {name: g, require: {anyRole: , principals: [ada]}}
    - {name: h, require: {claims: {}, principals: [ada]}}
    - {name: i, require: {principals: [ada]}, when: ''}
    - {name: j, action: Allow}
    - {name: k, match: {}, action: deny, mode: ~}
",
    )
    .with(&[KEYS_URL, UPSTREAM])
    .errors();
    for expected in [
        "authorization.rules[0].match.graphql @ 3:25 | has no value",
        "authorization.rules[1].match.graphql @ 4:25 | has no value",
        "authorization.rules[2].match @ 5:17 | has no value",
        "authorization.rules[3].match.paths @ 6:25 | has no value",
        "authorization.rules[4].match.paths @ 7:32 | is an empty list",
        "authorization.rules[4].match.methods @ 7:45 | is an empty list",
        "authorization.rules[4].match.hosts @ 7:56 | is an empty list",
        "authorization.rules[4].match.issuers @ 7:69 | is an empty list",
        "authorization.rules[5].match.query @ 8:25 | has no value",
        "authorization.rules[6].require.anyRole @ 9:27 | has no value",
        "authorization.rules[7].require.claims @ 10:27 | has no value",
        "authorization.rules[8].when @ 11:47 | has no value",
        // Not also that it has no outcome.
        "authorization.rules[9].action @ 12:25 | \"Allow\" is not accepted",
        "authorization.rules[10].mode @ 13:42 | has no value",
    ] {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), 14, "{errors:#?}");
}

#[test]
fn expressions_and_graphql_are_checked_on_load() {
    let errors = file(
        "authorization:
  rules:
    - {name: a, when: 'claims.isBot ='}
    - {name: b, when: 'request.pth == 1'}
    - name: c
      match: {graphql: {unreadable: allow, operations: [mutations]}, query: {action: []}}
      when: >
        claims.isBot
    - {name: d, match: {graphql: {fields: []}}, action: deny}
    - {name: e, match: {graphql: {unreadable: skip}}, action: deny}
    - {name: f, when: 1}
    - {name: g, when: \"'true'\"}
    - {name: h, when: '[true]'}
    - {name: i, when: true}
limits: {graphqlBytes: 1}
",
    )
    .with(&[KEYS_URL, UPSTREAM])
    .errors();
    for expected in [
        "authorization.rules[0].when @ 3:23 | is not a valid CEL expression: line 1, column 14: ",
        "authorization.rules[1].when @ 4:23 | `request.pth` is unknown; there are method",
        "authorization.rules[2].match.graphql.unreadable @ 6:37 | \"allow\" is not accepted; write one of: deny, skip",
        "authorization.rules[2].match.graphql.operations @ 6:57 | item 1: \"mutations\" is not accepted; write one of: query",
        "authorization.rules[2].match.query @ 6:77 | `action` has an empty list",
        "authorization.rules[3].match.graphql.fields @ 9:43 | is an empty list",
        "authorization.rules[4].match.graphql.operations @ 10:7 | the rule does not say which operations",
        "authorization.rules[5].when @ 11:23 | is neither true nor false, whatever the request is",
        "authorization.rules[6].when @ 12:23 | is neither true nor false",
        "authorization.rules[7].when @ 13:23 | is neither true nor false",
        "limits.graphqlBytes @ 15:24 | 1 is out of range",
    ] {
        assert_error(&errors, expected);
    }
    assert_eq!(errors.len(), 11, "{errors:#?}");
}

/// A template that renders an empty list must not accept every audience.
#[test]
fn an_issuer_entry_with_empty_audiences_is_an_error() {
    let issuers = |more: &str| {
        format!("authentication:\n  issuers:\n  - name: a\n    issuer: https://a.example\n    {more}\n")
    };
    let empty = "is an empty list: tokens issued for any other service would be accepted";
    let nothing = "has no value, so tokens issued for any other service would be accepted; leave it out";
    for (more, place, message) in [
        ("audiences: []", "5:16", empty),
        ("audiences: '[]'", "5:16", empty),
        ("audiences: ${AUDIENCES}", "5:16", empty),
        ("audiences:", "5:5", nothing),
        ("audiences: ~", "5:5", nothing),
        ("audiences: ''", "5:5", nothing),
        ("audiences: ${NONE:-}", "5:5", nothing),
        ("audiences: ['']", "5:17", "item 1: is empty"),
    ] {
        let errors = file(&issuers(more)).with(&[UPSTREAM, ("AUDIENCES", "[]")]).errors();
        let expected = format!("authentication.issuers[0].audiences @ {place} | {message}");
        assert_eq!(errors, [expected], "{more}");
    }
    let errors = file(&issuers("principalClaims: []")).with(&[UPSTREAM]).errors();
    let expected = "authentication.issuers[0].principalClaims @ 5:22 | is an empty list: no token could have a principal";
    assert_eq!(errors, [expected]);
    file(&issuers("audiences: [catalog]")).with(&[UPSTREAM]).loaded();
    let loaded = file(&issuers("optional: true")).with(&[UPSTREAM]).loaded();
    let warned = |finding: &Finding| finding.path == "authentication.issuers[0].audiences";
    assert!(loaded.warnings.iter().any(warned), "left out is a warning");
}
