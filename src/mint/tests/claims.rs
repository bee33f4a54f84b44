//! What is in a minted token, and who it can name.

use super::*;

/// `claims` without the random `jti`, which has 128 bits.
fn without_id(mut claims: Value) -> Value {
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 32);
    claims
}

#[test]
fn a_token_for_openmetadata_has_exactly_these_members() {
    let minter = minter();
    let (header, claims) = minted(&minter, TokenFormat::OpenMetadata, bot());
    let kid = format!("metagate-{}", private(&RSA).thumbprint());
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": kid}));
    // No isBot, roles, tokenType, sessionId or impersonatedUser: `JwtFilter` acts on each of them.
    let expected = json!({
        "iss": ISSUER, "aud": "openmetadata", "iat": NOW, "exp": NOW + 300,
        "sub": "ingestion-bot", "preferred_username": "ingestion-bot",
        "email": "ingestion-bot@open-metadata.org",
    });
    assert_eq!(without_id(claims), expected);
}

#[test]
fn a_token_for_datahub_has_exactly_these_members() {
    let (header, claims) = minted(&minter(), TokenFormat::DataHub, user("service_6f0c"));
    assert_eq!(header, json!({"alg": "HS256"}));
    let expected = json!({
        "iss": ISSUER, "aud": "datahub", "iat": NOW, "exp": NOW + 300, "sub": "service_6f0c",
        "type": "SERVICE_ACCOUNT", "version": "1", "actorType": "USER", "actorId": "service_6f0c",
    });
    assert_eq!(without_id(claims), expected);
    let secret = SecretSlice::from(SECRET.to_vec());
    let keys = SigningKeys::new(Vec::new(), Algorithm::RS256, Some(&secret));
    let older = Minter::new(ISSUER, keys, usual_claims(), DatahubTokenType::Session);
    let (_, claims) = minted(&older, TokenFormat::DataHub, user("ada"));
    assert_eq!(claims["type"], "SESSION");
}

#[test]
fn every_principal_claim_of_openmetadata_is_filled() {
    let list = |names: &[&str]| PrincipalClaims {
        ordered: names.iter().map(|name| (*name).into()).collect(),
        mapping: None,
    };
    let mapping = PrincipalClaims { mapping: Some(("oid".into(), "upn".into())), ..usual_claims() };
    for (claims, user, expected) in [
        (list(&["upn", "uid"]), bot(), json!({"upn": bot().email, "uid": bot().name})),
        (list(&["Email", "sub"]), bot(), json!({"Email": bot().email, "sub": bot().name})),
        // Without an address, OpenMetadata takes the name from the next claim.
        (list(&["email", "uid"]), user("ada"), json!({"email": null, "uid": "ada", "sub": "ada"})),
        (mapping, bot(), json!({"oid": bot().name, "upn": bot().email, "email": bot().email})),
        // Such a list is of no use to OpenMetadata, and must not make a privileged token.
        (list(&["sub", "isBot", "ROLES", "tokenType", "exp", "iss", ""]), user("ada"), json!({"sub": "ada"})),
    ] {
        let (_, found) = minted(&minter_with(&[&RSA], claims.clone()), TokenFormat::OpenMetadata, user);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&found[name], value, "{claims:?}: {name}");
        }
        for name in ["isBot", "ROLES", "roles", "tokenType", "sessionId", "impersonatedUser", ""] {
            assert_eq!(found.get(name), None, "{claims:?}: {name}");
        }
        assert_eq!((&found["iss"], &found["exp"]), (&json!(ISSUER), &json!(NOW + 300)));
        let names: Vec<String> = found.as_object().unwrap().keys().map(|name| name.to_lowercase()).collect();
        let emails = names.iter().filter(|name| *name == "email").count();
        assert!(emails <= 1, "OpenMetadata reads names without case: {names:?}");
    }
}

#[test]
fn hostile_names_are_refused_when_they_are_prepared() {
    let minter = minter();
    let long = "a".repeat(8 * 1024);
    for name in [
        "",
        " ",
        "a b",
        "a\n",
        "a\u{0}",
        "a\u{202e}b",
        "%5f",
        "a:b",
        "urn:li:corpuser:a",
        "a,b",
        "(a)",
        &long,
    ] {
        for format in [TokenFormat::OpenMetadata, TokenFormat::DataHub] {
            assert_eq!(prepare(&minter, format, user(name)).err(), Some(MintFault::InvalidUser), "{name:?}");
        }
    }
    for name in ["__datahub_system", "__DataHub_System"] {
        let fault = prepare(&minter, TokenFormat::DataHub, user(name)).err();
        assert_eq!(fault, Some(MintFault::SystemUser), "{name}");
    }
    let renamed = self::minter().with_system_user("gms-system");
    assert_eq!(
        prepare(&renamed, TokenFormat::DataHub, user("GMS-system")).err(),
        Some(MintFault::SystemUser)
    );
    for (name, email, fault) in [
        ("Ada", None, MintFault::NotLowerCase),
        ("ada@example.org", None, MintFault::NameIsAddress),
        ("ada", Some("ada"), MintFault::InvalidEmail),
        ("ada", Some("@x"), MintFault::InvalidEmail),
        ("ada", Some("ada@x@y"), MintFault::InvalidEmail),
        ("ada", Some("ada@x y"), MintFault::InvalidEmail),
        ("ada", Some("ada@x\u{e9}"), MintFault::InvalidEmail),
        ("ada", Some("admin@example.org"), MintFault::EmailOfAnotherUser),
    ] {
        let found = prepare(&minter, TokenFormat::OpenMetadata, TargetUser { name, email }).err();
        assert_eq!(found, Some(fault), "{name} {email:?}");
    }
    // DataHub's names may be addresses.
    assert!(prepare(&minter, TokenFormat::DataHub, user("Ada@example.org")).is_ok());
}

#[test]
fn names_of_other_scripts_stay_valid_json() {
    let (_, claims) = minted(&minter(), TokenFormat::DataHub, user("jürgen\"\\鍵"));
    assert_eq!(claims["actorId"], "jürgen\"\\鍵");
}

#[test]
fn a_format_needs_its_key() {
    let secret = SecretSlice::from(SECRET.to_vec());
    let with = |rsa, algorithm, secret| {
        let keys = SigningKeys::new(rsa, algorithm, secret);
        Minter::new(ISSUER, keys, usual_claims(), DatahubTokenType::default())
    };
    let fault = |minter: Minter, format| prepare(&minter, format, user("ada")).err();
    let (om, datahub) = (TokenFormat::OpenMetadata, TokenFormat::DataHub);
    let rsa = || vec![private(&RSA)];
    assert_eq!(fault(with(Vec::new(), Algorithm::RS256, Some(&secret)), om), Some(MintFault::NoRsaKey));
    assert_eq!(fault(with(rsa(), Algorithm::ES256, None), om), Some(MintFault::WrongAlgorithm));
    assert_eq!(fault(with(rsa(), Algorithm::RS256, None), datahub), Some(MintFault::NoDatahubKey));
    for algorithm in [Algorithm::RS384, Algorithm::RS512] {
        let minter = with(rsa(), algorithm, None);
        let (header, _) = minted(&minter, om, user("ada"));
        assert_eq!(header["alg"], algorithm.name());
        assert_eq!(minter.keys().jwks()["keys"][0]["alg"], algorithm.name());
    }
}

#[test]
fn the_shown_claims_are_those_of_a_token() {
    let minter = minter();
    for (format, user) in [(TokenFormat::OpenMetadata, bot()), (TokenFormat::DataHub, user("ada"))] {
        let target = prepare(&minter, format, user).unwrap();
        let (_, claims) = parts(&text(&minter.mint(&target, NOW_DATE, None).unwrap()));
        let mut shown = minter.shown_claims(&target, NOW_DATE);
        shown["jti"] = claims["jti"].clone();
        assert_eq!(shown, claims);
    }
}

/// What tokens depend on is in the id of their target, so that none is kept for another target.
#[test]
fn a_targets_id_depends_on_everything() {
    let id = |minter: &Minter, entry: &str, user: TargetUser<'_>, seconds: u64| {
        let lifetime = Duration::from_secs(seconds);
        *minter.prepare(entry, TokenFormat::OpenMetadata, user, lifetime).unwrap().id()
    };
    let one = minter();
    let usual = id(&one, "nightly", bot(), 300);
    assert_eq!(usual, id(&minter(), "nightly", bot(), 300), "the same after a reload without a change");
    let other_issuer = Minter { issuer: "https://other.example".into(), ..minter() };
    for other in [
        id(&one, "other", bot(), 300),
        id(&one, "nightly", user("ingestion-bot"), 300),
        id(&one, "nightly", user("ada"), 300),
        id(&one, "nightly", bot(), 299),
        id(&minter_with(&[&OTHER_RSA], usual_claims()), "nightly", bot(), 300),
        id(&minter_with(&[&RSA, &OTHER_RSA], usual_claims()), "nightly", bot(), 300),
        id(&other_issuer, "nightly", bot(), 300),
    ] {
        assert_ne!(other, usual);
    }
    let datahub = prepare(&one, TokenFormat::DataHub, bot()).unwrap();
    assert_ne!(*datahub.id(), usual);
}

#[test]
fn debug_output_shows_no_key_and_no_token() {
    let minter = minter();
    let target = prepare(&minter, TokenFormat::OpenMetadata, bot()).unwrap();
    let token = minter.mint(&target, NOW_DATE, None).unwrap();
    let secret = String::from_utf8_lossy(SECRET).into_owned();
    let shown = format!("{minter:?} {target:?} {token:?} {:?}", token.authorization);
    assert!(!shown.contains(&text(&token)) && !shown.contains(&secret), "{shown}");
    let pem = RSA.private_pem();
    for line in pem.lines().filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(line), "{shown}");
    }
}
