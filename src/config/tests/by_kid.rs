//! Keys with one URL each, and the signer that an entry requires.

use super::*;

const AWS: &str = "https://public-keys.auth.elb.eu-central-1.amazonaws.com/{kid}";

fn entry(urls: &str, more: &str) -> Case {
    let text = format!(
        "authentication:\n  issuers:\n    - name: alb\n      issuer: https://idp.example\n      publicKeyUrls: {urls}\n{more}"
    );
    file(&text).with(&[UPSTREAM])
}

#[test]
fn a_url_with_a_place_for_the_kid_is_one_url_for_each_key() {
    let config =
        entry(&format!("['{AWS}']"), "      requireHeader: {signer: arn, client: [a, b]}\n").config();
    let KeySource::ByKid(template) = &config.trust[0].keys else { panic!("{:?}", config.trust[0].keys) };
    assert_eq!(template.as_str(), AWS.replace("{kid}", KID_IN_URL));
    let required = &config.trust[0].rules.kinds.header;
    let expected: [(Box<str>, Vec<Box<str>>); 2] =
        [("client".into(), vec!["a".into(), "b".into()]), ("signer".into(), vec!["arn".into()])];
    assert_eq!(required[..], expected);
    // A YAML list without quotes cannot have a brace in it, a block list can.
    assert!(matches!(entry(&format!("\n        - {AWS}"), "").config().trust[0].keys, KeySource::ByKid(_)));
}

#[test]
fn the_place_for_the_kid_is_the_last_segment() {
    for (urls, message) in [
        ("['https://a.example/{kid}/x']", "must have {kid} once, as the whole last segment"),
        ("['https://a.example/x-{kid}']", "must have {kid} once, as the whole last segment"),
        ("['https://{kid}.example/{kid}']", "must have {kid} once, as the whole last segment"),
        ("['https://a.example/?x=/{kid}']", "must have {kid} once"),
        ("['https://{kid}']", "must have {kid} once"),
        ("['https:///{kid}']", "must have {kid} once"),
        ("['file:///{kid}']", "is not a URL that begins with http:// or https://"),
        ("['https://a.example/%7Bkid%7D']", "must have {kid} once, as the whole last segment"),
        ("['https://a.example/{kid}', 'https://b.example/jwks']", "must be the only one of its entry"),
        ("['https://a.example/{tenant}/{kid}']", "has a placeholder in it"),
    ] {
        let errors = entry(urls, "").errors().join("\n");
        assert!(errors.contains(message), "{urls}: {errors}");
    }
    let simple = file("authentication: {publicKeyUrls: ['https://a.example/{kid}']}").with(&[UPSTREAM]);
    assert!(!simple.errors().is_empty(), "the simple list binds neither issuer nor signer");
}

#[test]
fn a_load_balancer_of_aws_must_be_named() {
    let ids = |urls: &str, more: &str| -> Vec<&'static str> {
        let warnings = entry(urls, more).result().unwrap().warnings;
        warnings.iter().filter_map(|finding| finding.id).map(FindingId::as_str).collect()
    };
    let aws = format!("['{AWS}']");
    assert_eq!(ids(&aws, ""), ["any-signer"]);
    assert_eq!(ids(&aws, "      requireHeader: {client: a}\n"), ["any-signer"]);
    assert!(ids(&aws, "      requireHeader: {signer: arn}\n").is_empty());
    assert!(ids("['https://a.example/{kid}']", "").is_empty());
}

#[test]
fn required_members_have_values_and_no_key_of_their_own() {
    for (more, message) in [
        ("{signer: []}", "`signer` has an empty list of values"),
        ("{alg: ES256}", "`alg` is checked by another key: algorithms"),
        ("{typ: JWT}", "`typ` is checked by another key: tokenTypes"),
        ("{signer: <your ARN>}", "has a placeholder in it"),
        ("signer", "not a map"),
    ] {
        let errors =
            entry(&format!("['{AWS}']"), &format!("      requireHeader: {more}\n")).errors().join("\n");
        assert!(errors.contains(message), "{more}: {errors}");
    }
}
