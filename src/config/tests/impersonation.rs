//! `openmetadata.impersonation`.

use super::*;
use crate::policy::Impersonation;

const OWN_SET: &str = "http://om.example:8585/api/v1/system/config/jwks";

fn case(backend: &str, authentication: &str, bots: &str) -> Case {
    let text = format!(
        "backend: {backend}\nauthentication: {{{authentication}}}\nopenmetadata: {{impersonation: {{bots: {bots}}}}}"
    );
    file(&text).with(&[UPSTREAM])
}

fn of_own_set(bots: &str) -> Case {
    case("openmetadata", &format!("publicKeyUrls: ['{OWN_SET}']"), bots)
}

fn warns(case: &Case, text: &str) -> bool {
    let about =
        |found: &Finding| found.path == "openmetadata.impersonation.bots" && found.message.contains(text);
    case.loaded().warnings.iter().any(about)
}

#[test]
fn no_bot_is_allowed_by_default() {
    assert_eq!(environment(&[KEYS_URL, UPSTREAM]).config().policy.impersonation, None);
    assert_eq!(of_own_set("[]").config().policy.impersonation, None);
    assert!(!warns(&of_own_set("[]"), ""));
}

#[test]
fn bot_names_are_those_of_openmetadata() {
    let case = of_own_set("[Ingestion-Bot, other]");
    let expected = Impersonation {
        issuer: "open-metadata.org".into(),
        bots: vec!["ingestion-bot".into(), "other".into()],
    };
    assert_eq!(case.config().policy.impersonation, Some(expected));
    assert!(warns(&case, "GHSA-gxpr-mwqj-gjmr"));
    let variable = ("METAGATE_OPENMETADATA__IMPERSONATION__BOTS", "[a]");
    let config = file(&format!("backend: openmetadata\nauthentication: {{publicKeyUrls: ['{OWN_SET}']}}"));
    let config = config.with(&[UPSTREAM, variable]).config();
    assert_eq!(config.policy.impersonation.unwrap().bots, ["a"].map(Box::<str>::from));
    for bots in ["['*']", "[ingestion-*]", "[a@example.org]", "['a b']"] {
        let errors = of_own_set(bots).errors();
        assert!(errors.len() == 1 && errors[0].contains("is not the name of a bot"), "{bots}: {errors:?}");
    }
}

#[test]
fn impersonation_requires_backend_openmetadata() {
    let case = case("generic", &format!("publicKeyUrls: ['{OWN_SET}']"), "[a]");
    assert_eq!(case.config().policy.impersonation, None);
    assert!(warns(&case, "has no effect with backend generic"));
}

/// Any key of such a list can sign a token with OpenMetadata's `iss`.
#[test]
fn openmetadatas_own_keys_must_be_known() {
    let idp = "publicKeyUrls: [https://idp.example/jwks]";
    let error = "openmetadata.impersonation.bots @ 3:38 | OpenMetadata's own tokens cannot be distinguished from tokens";
    assert_error(&case("openmetadata", idp, "[a]").errors(), error);
    for more in [
        format!(", '{OWN_SET}']"),
        "], backendTokens: true".to_owned(),
        "], issuers: [{name: om, issuer: open-metadata.org, publicKeyUrls: [https://om/keys]}]".to_owned(),
    ] {
        let authentication = idp.replace(']', &more);
        assert!(
            case("openmetadata", &authentication, "[a]").config().policy.impersonation.is_some(),
            "{more}"
        );
    }
}
