//! `exchange`: which workloads act as which user of the backend.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::backend::TokenFormat;
use crate::claims::{ClaimPath, MappedUser};
use crate::test_support::{RSA, SigningKey};
use crate::token_exchange::{ClaimValue, ExchangeEntry};

const SIGNING_KEY: &str = "5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU";
const GITHUB: &str = "{name: github, issuer: 'https://github.example', audiences: [metagate]}";

/// A configuration for DataHub with these issuer entries and these entries of `exchange`.
fn datahub(issuers: &str, exchange: &str) -> Case {
    with("datahub-gms", issuers, exchange, "")
}

fn with(backend: &str, issuers: &str, exchange: &str, rest: &str) -> Case {
    let text = format!(
        "backend: {backend}\nauthentication: {{issuers: [{issuers}]}}\nexchange: [{exchange}]\n\
         mint: {{issuer: 'https://m.example', datahub: {{signingKey: {SIGNING_KEY}}}}}\n{rest}"
    );
    file(&text).with(&[UPSTREAM])
}

/// An entry of `exchange` with this `from` and this `as`.
fn entry(from: &str, target: &str) -> String {
    format!("{{name: nightly, from: {{{from}}}, as: {{{target}}}}}")
}

fn of_github(target: &str) -> Case {
    datahub(GITHUB, &entry("issuer: github, subjects: [a]", target))
}

/// The same for OpenMetadata, whose key is in a file.
fn openmetadata(authentication: &str, target: &str, rest: &str) -> Case {
    let key: &SigningKey = &RSA;
    let case = file("");
    let path = case.beside("1.pem", key.private_pem().as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let exchange = entry("issuer: github, subjects: [a]", target);
    let text = format!(
        "backend: openmetadata\nauthentication: {{issuers: [{GITHUB}]{authentication}}}\nexchange: [{exchange}]\n\
         mint: {{issuer: 'https://m.example', keyFiles: ['{}']}}\n{rest}",
        path.display()
    );
    std::fs::write(&case.sources.files[0], text).unwrap();
    case.with(&[UPSTREAM])
}

#[track_caller]
fn refused(case: &Case, path: &str, text: &str) {
    let errors = case.errors();
    let named = errors.iter().any(|error| error.starts_with(path) && error.contains(text));
    assert!(named && errors.len() == 1, "{path}: {text}: {errors:#?}");
}

fn entries(config: &Config) -> Vec<&ExchangeEntry> {
    config.trust.iter().flat_map(|trust| config.exchange.table.entries_of(&trust.name)).collect()
}

#[test]
fn entries_are_read_with_the_types_of_their_values() {
    let text = "{name: one, from: {issuer: github, claims: {repository_id: ['456789'], ref: refs/heads/main, \
                protected: [true, 'true', 5]}}, as: {user: ingestion, email: i@x.example}, lifetime: 2m}, \
                {name: two, from: {issuer: github, subjects: ['a:b', c], claims: {'\"k.io\".ns': [x]}}, \
                as: {user: service_6f0c}, credential: tokenFile, tokenFile: /run/secrets/token}";
    let config = datahub(GITHUB, text).config();
    let [one, two] = entries(&config)[..] else { panic!("two entries") };
    let string = |value: &str| ClaimValue::String(value.into());
    assert_eq!(
        one.claims,
        [
            (
                ClaimPath::new("protected"),
                vec![ClaimValue::Bool(true), string("true"), ClaimValue::Number(5.into())]
            ),
            (ClaimPath::new("ref"), vec![string("refs/heads/main")]),
            (ClaimPath::new("repository_id"), vec![string("456789")]),
        ]
    );
    let user = MappedUser {
        index: 0,
        entry: "one".into(),
        user: "ingestion".into(),
        email: Some("i@x.example".into()),
    };
    assert_eq!((&*one.user, one.subjects.len()), (&user, 0));
    assert_eq!(two.subjects, ["a:b", "c"].map(Box::<str>::from));
    assert_eq!((two.user.index, &*two.user.user, &two.user.email), (1, "service_6f0c", &None));
    let [ExchangeCredential::Minted(target), ExchangeCredential::File(path)] = &*config.exchange.credentials
    else {
        panic!("a minted one and a file")
    };
    assert_eq!((target.format(), target.lifetime()), (TokenFormat::DataHub, Duration::from_secs(120)));
    assert_eq!(path.as_path(), std::path::Path::new("/run/secrets/token"));
}

#[test]
fn without_entries_nothing_changes() {
    let kubernetes = "{name: cluster, kubernetes: {}, issuer: 'https://k.example', audiences: [metagate]}";
    for issuers in [GITHUB, kubernetes] {
        let config = datahub(issuers, "").config();
        assert!(config.exchange.table.is_empty() && config.exchange.credentials.is_empty());
        assert!(!config.trust[0].rules.refuses_foreign_audiences);
        assert_eq!(config.trust[0].rules.principal.claims.len(), 3);
    }
}

#[test]
fn tokens_of_an_issuer_that_takes_part_must_be_exchanged() {
    let issuers = |mode: &str| {
        format!(
            "{{name: github, issuer: 'https://github.example', audiences: [metagate]{mode}}}, \
             {{name: cluster, kubernetes: {{}}, issuer: 'https://k.example', audiences: [metagate]}}, \
             {{name: people, issuer: 'https://people.example', audiences: [metagate]}}"
        )
    };
    let entry = entry("issuer: github, subjects: [a]", "user: b");
    let token = |config: &Config, issuer: &str, subject: &str| {
        use crate::claims::{ClaimRules, Mapping};
        let rules =
            ClaimRules { issuers: Vec::new(), audiences: Vec::new(), ..config.trust[0].rules.clone() };
        let claims = crate::test_support::with(
            crate::test_support::good_claims(),
            serde_json::json!({"sub": subject}),
        );
        let now = crate::numeric_date::NumericDate::from_secs(crate::test_support::NOW);
        let token =
            crate::claims::validate(crate::test_support::signed(&claims), issuer, &rules, now).unwrap();
        match config.exchange.table.map(token).mapping() {
            Mapping::None => "forwarded",
            Mapping::Missing => "refused",
            Mapping::User(_) => "mapped",
        }
    };
    for (mode, unmapped) in
        [("", "refused"), (", exchange: required", "refused"), (", exchange: optional", "forwarded")]
    {
        let config = datahub(&issuers(mode), &entry).config();
        assert_eq!(token(&config, "github", "a"), "mapped", "{mode}");
        assert_eq!(token(&config, "github", "b"), unmapped, "{mode}");
        assert_eq!(token(&config, "cluster", "a"), "refused", "no entry is about it");
        assert_eq!(token(&config, "people", "a"), "forwarded");
        let rules = |name: &str| &config.trust.iter().find(|entry| &*entry.name == name).unwrap().rules;
        assert!(rules("github").refuses_foreign_audiences && !rules("people").refuses_foreign_audiences);
        let claims = if unmapped == "refused" { 1 } else { 3 };
        assert_eq!(rules("github").principal.claims.len(), claims);
        assert_eq!(rules("people").principal.claims.len(), 3);
    }
    let required = GITHUB.replace('}', ", exchange: required}");
    assert_eq!(token(&datahub(&required, "").config(), "github", "a"), "refused");
}

/// Workloads have no user name and no address of the domain.
#[test]
fn the_rules_for_people_do_not_apply_to_workloads() {
    let more = ", enforcePrincipalDomain: true, principalDomain: corp.example, \
                principalClaimsMapping: ['username:name', 'email:email']";
    let case = openmetadata(more, "user: b, email: b@corp.example", "");
    let rules = &case.config().trust[0].rules;
    assert!(rules.domain.is_none() && rules.principal.mapping.is_none());
    assert_eq!(rules.principal.claims, [ClaimPath::new("sub")]);
}

#[test]
fn an_issuer_must_be_bound_to_metagate() {
    let entry = entry("issuer: github, subjects: [a]", "user: b");
    let issuer = |more: &str| format!("{{name: github, issuer: 'https://github.example'{more}}}");
    refused(&datahub(&issuer(""), &entry), "exchange[0].from.issuer", "has no audiences");
    for foreign in [
        "sts.amazonaws.com",
        "api://AzureADTokenExchange",
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://github.example",
    ] {
        let issuer = issuer(&format!(", audiences: [metagate, '{foreign}']"));
        refused(&datahub(&issuer, &entry), "authentication.issuers[0].audiences", "another service");
        assert!(datahub(&issuer, "").result().is_ok(), "without exchange it is forwarded as before");
    }
    let kubernetes = "{name: cluster, issuer: 'https://k.example', kubernetes: {}}";
    refused(&datahub(kubernetes, ""), "authentication.issuers[0].audiences", "needs audiences");
    for unknown in ["public-keys", "datahub", "nobody"] {
        let entry = entry.replace("issuer: github", &format!("issuer: {unknown}"));
        let rest = "datahub: {tokenServiceSigningKey: 5hM0y8xQ2kWc7rTzN1bVfJ4pLsG9dEaU}";
        let case = with("datahub-gms", GITHUB, &entry, rest);
        refused(&case, "exchange[0].from.issuer", "is not the name of an entry");
    }
}

#[test]
fn an_entry_says_whose_tokens_it_takes() {
    let of = |from: &str| datahub(GITHUB, &entry(&format!("issuer: github{from}"), "user: b"));
    refused(&of(""), "exchange[0].from.subjects", "would take every token");
    for claims in ["{}", "{aud: [metagate]}", "{iss: ['https://github.example'], aud: [metagate]}"] {
        let case = of(&format!(", claims: {claims}"));
        let errors = case.errors();
        assert!(errors.iter().all(|error| error.starts_with("exchange[0].from.")), "{claims}: {errors:?}");
    }
    refused(&of(", subjects: []"), "exchange[0].from.subjects", "empty list");
    refused(&of(", subjects: ['repo:acme/*']"), "exchange[0].from.subjects", "patterns are not accepted");
    refused(&of(", subjects: "), "exchange[0].from.subjects", "has no value");
    refused(&of(", subjects: [a], claims: "), "exchange[0].from.claims", "has no value");
    for (claims, text) in [
        ("{ref: []}", "empty list"),
        ("{ref: [null]}", "null"),
        ("{ref: }", "null"),
        ("{ref: [[a]]}", "a list or a map"),
        ("{ref: {a: b}}", "a list or a map"),
        ("{'\"ref': [a]}", "a quote is not closed"),
    ] {
        refused(&of(&format!(", subjects: [a], claims: {claims}")), "exchange[0].from.claims", text);
    }
}

#[test]
fn administrators_need_a_second_word() {
    let rest = "openmetadata: {adminPrincipals: [boss, 'chief@corp.example']}";
    for user in ["admin", "boss", "chief", "datahub"] {
        let case = openmetadata("", &format!("user: {user}"), rest);
        refused(&case, "exchange[0].as.user", "is an administrator");
        let entry = format!(
            "{{name: n, from: {{issuer: github, subjects: [a]}}, as: {{user: {user}}}, privileged: true}}"
        );
        assert!(datahub(GITHUB, &entry).result().is_ok(), "{user}");
    }
    refused(&of_github("user: Admin"), "exchange[0].as.user", "is an administrator");
    let rest = "datahub: {administrators: [boss], systemClientId: our_system}";
    let boss = with("datahub-gms", GITHUB, &entry("issuer: github, subjects: [a]", "user: boss"), rest);
    let errors = boss.errors();
    assert!(errors.iter().any(|error| error.contains("is an administrator")), "{errors:?}");
    for user in ["__datahub_system", "__DataHub_System", "our_system"] {
        for more in ["", ", privileged: true", ", credential: tokenFile, tokenFile: /x"] {
            let entry =
                format!("{{name: n, from: {{issuer: github, subjects: [a]}}, as: {{user: {user}}}{more}}}");
            let case = with("datahub-gms", GITHUB, &entry, "datahub: {systemClientId: our_system}");
            refused(&case, "exchange[0].as.user", "system user");
        }
    }
}

/// OpenMetadata takes the name from the address by default.
#[test]
fn an_address_names_the_same_user() {
    refused(
        &openmetadata("", "user: b, email: admin@x.example", ""),
        "exchange[0].as",
        "is an administrator",
    );
    refused(
        &openmetadata("", "user: b, email: c@x.example", ""),
        "exchange[0].as.email",
        "which is not this name",
    );
    assert!(openmetadata("", "user: b, email: b@x.example", "").result().is_ok());
    let mapping = ", principalClaimsMapping: ['username:name', 'email:email']";
    assert!(openmetadata(mapping, "user: b, email: c@x.example", "").result().is_ok());
    refused(&openmetadata("", "user: B", ""), "exchange[0].as.user", "lower case");
    for user in ["'a b'", "'*'", "'urn:li:corpuser:a'", "a@x.example", "'a,b'"] {
        refused(&of_github(&format!("user: {user}")), "exchange[0].as.user", "is not the name of a user");
    }
    refused(&of_github(""), "exchange[0].as.user", "needs the user");
}

#[test]
fn names_and_tokens_belong_to_one_entry() {
    let two = |one: &str, other: &str| {
        let entry = |name: &str, from: &str| {
            format!("{{name: {name}, from: {{issuer: github, {from}}}, as: {{user: b}}}}")
        };
        datahub(GITHUB, &format!("{}, {}", entry("n", one), entry("m", other)))
    };
    for (one, other) in [
        ("subjects: [a]", "subjects: [a]"),
        ("subjects: [a, b]", "subjects: [b]"),
        ("subjects: [a]", "subjects: [a], claims: {ref: [x]}"),
        ("claims: {ref: [x, y]}", "claims: {ref: [x]}"),
        ("claims: {ref: [x]}", "subjects: [a], claims: {env: [p], ref: [x]}"),
    ] {
        refused(&two(one, other), "exchange[1].from.issuer", "takes all of its tokens before");
    }
    for (one, other) in [
        ("subjects: [a]", "subjects: [b]"),
        ("subjects: [a], claims: {ref: [x]}", "subjects: [a]"),
        ("claims: {ref: [x]}", "claims: {ref: [x, y]}"),
        ("subjects: [a]", "claims: {ref: [x]}"),
        ("claims: {ref: ['1']}", "claims: {ref: [1]}"),
    ] {
        assert!(two(one, other).result().is_ok(), "{one} {other}");
    }
    let entry = entry("issuer: github, subjects: [a]", "user: b");
    let same = datahub(GITHUB, &format!("{entry}, {}", entry.replace("[a]", "[c]")));
    refused(&same, "exchange[1].name", "is the name of another entry");
}

#[test]
fn a_credential_can_be_had() {
    let entry =
        |more: &str| format!("{{name: n, from: {{issuer: github, subjects: [a]}}, as: {{user: b}}{more}}}");
    let without_keys = |backend: &str, more: &str| {
        let text = format!(
            "backend: {backend}\nauthentication: {{issuers: [{GITHUB}]}}\nexchange: [{}]",
            entry(more)
        );
        file(&text).with(&[UPSTREAM])
    };
    refused(&without_keys("openmetadata", ""), "exchange[0].credential", "mint is not set");
    refused(&without_keys("generic", ""), "exchange[0].credential", "does not say for which product");
    refused(
        &datahub(GITHUB, &entry(", credential: mintOpenmetadata")),
        "exchange[0].credential",
        "mint.keyFiles",
    );
    refused(&without_keys("generic", ", credential: tokenFile"), "exchange[0].tokenFile", "needs the file");
    let file = ", credential: tokenFile, tokenFile: /none";
    assert!(without_keys("generic", file).result().is_ok(), "the file may come later");
    refused(&without_keys("generic", &format!("{file}, lifetime: 2m")), "exchange[0].lifetime", "no effect");
    refused(&datahub(GITHUB, &entry(", tokenFile: /none")), "exchange[0].tokenFile", "no effect");
    refused(&datahub(GITHUB, &entry(", lifetime: 5s")), "exchange[0].lifetime", "out of range");
    assert!(with("generic", GITHUB, &entry(", credential: mintDatahub"), "").result().is_ok());
}

#[test]
fn another_proxy_never_gets_a_credential() {
    let entry = entry("issuer: github, subjects: [a]", "user: b");
    let rest = "forwardAuth: {listen: '127.0.0.1:0', target: original}";
    let case = with("datahub-gms", GITHUB, &entry, rest);
    refused(&case, "exchange", "forwardAuth.listen is also set; set only one of them");
    assert!(with("datahub-gms", GITHUB, "", rest).result().is_ok());
}
