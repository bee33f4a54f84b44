//! A restricting rule applies to every spelling of its path.

use super::*;

/// One change to the spelling of a path that the backend may ignore.
type Change = fn(&str, usize) -> Option<String>;

fn at(text: &str, index: usize, from: &str, to: &str) -> Option<String> {
    let (start, found) = text.match_indices(from).nth(index)?;
    Some(format!("{}{to}{}", &text[..start], &text[start + found.len()..]))
}

/// The changes. Each applies at the place number `index`.
const CHANGES: [Change; 11] = [
    // A percent-encoded letter, in both cases of the hex digits.
    |path, index| escaped(path, index, |byte| format!("%{byte:02X}")),
    |path, index| escaped(path, index, |byte| format!("%{byte:02x}")),
    // Parameters of a segment, plain and escaped.
    |path, index| at(&format!("{path}/"), index + 1, "/", ";x/").map(|path| without_last_slash(&path)),
    |path, index| {
        at(&format!("{path}/"), index + 1, "/", ";a=b;c=%2F/").map(|path| without_last_slash(&path))
    },
    |path, index| at(&format!("{path}/"), index + 1, "/", "%3Bx/").map(|path| without_last_slash(&path)),
    // Slashes: doubled, escaped, with an empty segment that has parameters.
    |path, index| at(path, index, "/", "//"),
    |path, index| at(path, index + 1, "/", "%2F"),
    |path, index| at(path, index + 1, "/", "/;x/"),
    |path, index| at(path, index + 1, "/", "%2f%2F"),
    // Slashes at the end.
    |path, index| (index == 0).then(|| format!("{path}/")),
    |path, index| (index == 0).then(|| format!("{path}/;x")),
];

fn escaped(path: &str, index: usize, write: fn(u8) -> String) -> Option<String> {
    let letters = path.char_indices().filter(|(at, c)| {
        // Skip the digits of an escape.
        c.is_ascii_alphanumeric()
            && !path[..*at].ends_with('%')
            && !path[..at.saturating_sub(1)].ends_with('%')
    });
    let (at, letter) = letters.into_iter().nth(index)?;
    Some(format!("{}{}{}", &path[..at], write(u8::try_from(letter).ok()?), &path[at + 1..]))
}

fn without_last_slash(path: &str) -> String {
    path.strip_suffix('/').unwrap_or(path).to_owned()
}

/// The path with every change at every place.
fn spellings(path: &str) -> Vec<String> {
    CHANGES.iter().flat_map(|change| (0..).map_while(|index| change(path, index))).collect()
}

fn denying(pattern: &str) -> Authorizer {
    let mut authorizer = authorizer(Backend::OpenMetadata);
    authorizer.policy.rules = vec![Rule {
        name: "restricting".into(),
        matching: Matching { paths: vec![PathPattern::parse(pattern).unwrap()], ..Matching::default() },
        verdict: Verdict::Deny,
        when: None,
        mode: crate::policy::Mode::Enforce,
    }]
    .into();
    authorizer
}

/// Whether the request is refused, by the rule or because it is ambiguous.
fn is_refused(authorizer: &Authorizer, path: &str) -> bool {
    match facts_of(authorizer.backend, "PUT", path, &fields(&[BEARER])) {
        Err(_) => true,
        Ok(facts) => {
            let decided = decide(authorizer, &facts, Some(verified(json!({"roles": ["Admin"]}))));
            decided.is_err_and(|denial| denial.rule == Some(0))
        }
    }
}

#[test]
fn every_kind_of_pattern_restricts_every_spelling() {
    for (pattern, path) in [
        ("/api/v1/policies", "/api/v1/policies"),
        ("/api/v1/*", "/api/v1/policies"),
        ("/api/*/policies", "/api/v1/policies"),
        ("/*/v1/policies", "/api/v1/policies"),
        ("/api/v1/policies/*", "/api/v1/policies/abc"),
        ("/api/v1/policies/**", "/api/v1/policies"),
        ("/api/v1/policies/**", "/api/v1/policies/abc"),
        ("/api/*/policies/**", "/api/v1/policies/abc"),
        ("/**", "/api/v1/policies"),
    ] {
        let authorizer = denying(pattern);
        assert!(is_refused(&authorizer, path), "{pattern} {path}");
        let mut seen = 0;
        for once in spellings(path) {
            assert!(is_refused(&authorizer, &once), "{pattern} lets {once} through");
            for twice in spellings(&once) {
                assert!(is_refused(&authorizer, &twice), "{pattern} lets {twice} through");
                seen += 1;
            }
        }
        assert!(seen > 1000, "{pattern}: {seen}");
    }
}

/// The reverse: a rule that allows one path does not allow any spelling of another.
#[test]
fn an_allowing_rule_matches_no_spelling_of_another_path() {
    let mut authorizer = denying("/api/v1/policies/**");
    authorizer.policy.default = Effect::Deny;
    authorizer.policy.rules.change(|rules| {
        rules[0].matching.paths = vec![PathPattern::parse("/api/v1/tables/**").unwrap()];
        rules[0].verdict = Verdict::Allow;
    });
    for once in spellings("/api/v1/policies") {
        for path in spellings(&once).into_iter().chain([once]) {
            let Ok(facts) = facts_of(authorizer.backend, "PUT", &path, &fields(&[BEARER])) else { continue };
            assert!(decide(&authorizer, &facts, Some(verified(json!({})))).is_err(), "{path}");
        }
    }
    for path in
        ["/api/v1/tables/../policies", "/api/v1/tables/..;/policies", "/api/v1/tables/%2e%2e/policies"]
    {
        assert!(is_refused(&authorizer, path), "{path}");
    }
}

/// The backends do not decode twice, so `%2570` is the name `%70`. Neither a rule nor a backend reads it as `p`.
#[test]
fn a_double_escape_is_another_name_or_refused() {
    let authorizer = denying("/api/v1/policies/**");
    let read = |path: &str| facts_of(authorizer.backend, "PUT", path, &fields(&[BEARER]));
    let facts = read("/api/v1/%2570olicies").unwrap();
    assert_eq!(facts.path.raw(), "/api/v1/%2570olicies", "forwarded unchanged");
    for path in [
        "/api/v1/x/%252e%252e/policies",
        "/api/v1/x/%252E%252e%252Fpolicies",
        "/api/v1/x%255c..%255cpolicies",
        "/api/v1/policies%2500",
    ] {
        assert!(read(path).is_err(), "{path}");
    }
    // A rule that allows other paths does not allow it.
    let mut listed = denying("/api/v1/tables/**");
    listed.policy.default = Effect::Deny;
    listed.policy.rules.change(|rules| rules[0].verdict = Verdict::Allow);
    assert!(decide(&listed, &facts, Some(verified(json!({})))).is_err());
}

/// The frontend removes `/api/gms`, and has its own path for GraphQL.
#[test]
fn rules_match_the_path_that_the_datahub_frontend_sends_to_gms() {
    let frontend = |pattern: &str| Authorizer { backend: Backend::DataHubFrontend, ..denying(pattern) };
    for (pattern, path) in [
        ("/api/graphql", "/api/gms/api/graphql"),
        ("/api/graphql", "/api/v2/graphql"),
        ("/api/graphql", "/base/path/api/v2/graphql"),
        ("/api/graphql", "/base/api/gms/api/graphql"),
        ("/auth/**", "/api/gms/auth/signUp"),
        ("/auth/**", "/api/gms//auth/signUp"),
        ("/auth/**", "/api/gms;x/auth/signUp"),
        ("/auth/**", "/api;x/gms/%61uth/signUp"),
        ("/", "/api/gms"),
    ] {
        assert!(is_refused(&frontend(pattern), path), "{pattern} {path}");
        assert!(!is_refused(&denying(pattern), path), "{pattern} {path}: OpenMetadata does not");
    }
    for path in
        ["/api/gmsauth/signUp", "/api/gms@host.example/x", "/api/gms:1@host.example/", "/api/gms%40a/x"]
    {
        let facts = facts_of(Backend::DataHubFrontend, "PUT", path, &fields(&[BEARER]));
        assert!(matches!(facts.err(), Some(RequestFault::BadTarget(_))), "{path}");
    }
    for path in ["/api/v2/graphqlx", "/api/gm/auth/signUp", "/apigms/auth/signUp", "/openapi/auth/signUp"] {
        assert!(!is_refused(&frontend("/auth/**"), path), "{path}");
    }
    // Routes match the frontend's own paths.
    let routes = RouteTable::parse(&[(Route::Public, "GET /api/gms/health")]).unwrap();
    let facts = facts_of(Backend::DataHubFrontend, "GET", "/api/gms/health", &fields(&[])).unwrap();
    assert_eq!(routes.route(&facts.method, &facts.path).route, Route::Public);
}
