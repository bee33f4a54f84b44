//! Credentials: which the backend gets, and which count.

use super::identity::{arrived, backend};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;

#[test]
fn datahub_frontend_gets_a_token_or_a_session_but_not_both() {
    let stage = backend("datahub-frontend");
    let token = bearer(&Token::user());
    let cookies = "theme=dark; PLAY_SESSION=abc.def; actor=urn:li:corpuser:admin; lang=en";
    let fields = [("Authorization", token.as_str()), ("Cookie", cookies)];
    assert_eq!(stage.gateway.get("/api/v2/graphql", &fields).status, 200);
    let kept = stage.upstream.request_to("/api/v2/graphql").head;
    let kept = kept.value("cookie").unwrap_or_default();
    assert!(kept.contains("theme=dark") && kept.contains("lang=en"), "{kept}");
    assert!(!kept.contains("PLAY_SESSION") && !kept.contains("actor"), "{kept}");

    assert_eq!(
        stage.gateway.get("/api/session", &[("Cookie", cookies)]).status,
        200,
        "the frontend checks its session itself"
    );
    assert_eq!(stage.upstream.request_to("/api/session").head.value("cookie"), Some(cookies));
    assert_eq!(stage.gateway.get("/api/none", &[]).status, 401);
    // An empty field is not a credential here and must not become one for the frontend.
    let fields = [("Authorization", ""), ("Cookie", cookies)];
    assert_eq!(stage.gateway.get("/api/empty", &fields).status, 200);
    assert_eq!(stage.upstream.request_to("/api/empty").head.value("authorization"), None);
}

#[test]
fn session_cookie_does_not_excuse_a_bad_credential() {
    let stage = backend("datahub-frontend");
    let cookies = "PLAY_SESSION=abc.def; actor=urn:li:corpuser:admin";
    for value in [
        "Bearer abc".to_owned(),
        bearer(&Token::user().expires_in(-3600)),
        bearer(&Token::user().signed("RS256", keys::other_rsa())),
        "Basic __datahub_system:JohnSnowKnowsNothing".to_owned(),
        "Negotiate abc".to_owned(),
        "Bearer a b".to_owned(),
    ] {
        let fields = [("Authorization", value.as_str()), ("Cookie", cookies)];
        for target in ["/api/v2/graphql", "/openapi/v3/entity/dataset"] {
            assert_eq!(stage.gateway.get(target, &fields).status, 401, "{value}");
        }
    }
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn datahub_system_credential_is_accepted_exactly() {
    let secret = "a system secret of a fair length";
    let issuer = Issuer::of(keys::rsa());
    let stage = Stage::with(issuer, Upstream::echo(), |setup| {
        setup.env("METAGATE_BACKEND", "datahub-gms").env("DATAHUB_SYSTEM_CLIENT_SECRET", secret)
    });
    let basic = |value: String| stage.gateway.get("/entities", &[("Authorization", &value)]).status;
    assert_eq!(basic(format!("Basic __datahub_system:{secret}")), 200);
    assert_eq!(
        stage.upstream.request_to("/entities").head.value("authorization"),
        Some(format!("Basic __datahub_system:{secret}").as_str())
    );
    // DataHub's services act for users with fields that are removed from all other requests.
    let credential = format!("Basic __datahub_system:{secret}");
    let fields = [
        ("Authorization", credential.as_str()),
        ("X-DataHub-Actor", "urn:li:corpuser:ada"),
        ("X_DataHub_Actor", "urn:li:corpuser:eve"),
        ("X-DataHub-Request-Source", "BROWSER"),
        ("X-Forwarded-User", "ada"),
    ];
    for (target, actor) in [("/aspects", &["urn:li:corpuser:ada"][..]), ("/config", &[])] {
        assert_eq!(stage.gateway.get(target, &fields).status, 200);
        let head = stage.upstream.request_to(target).head;
        assert_eq!(arrived(&head, "x-datahub-actor"), actor, "{target}: removed on public routes");
        assert_eq!(arrived(&head, "x-forwarded-user"), Vec::<&str>::new());
    }
    let before = stage.upstream.requests().len();
    for value in [
        format!("Basic __datahub_system:{secret}x"),
        format!("Basic __datahub_system:{}", &secret[..secret.len() - 1]),
        format!("Basic other:{secret}"),
        "Basic __datahub_system:".to_owned(),
        "Basic __datahub_system:JohnSnowKnowsNothing".to_owned(),
        format!("Bearer __datahub_system:{secret}"),
    ] {
        assert_eq!(basic(value.clone()), 401, "{value}");
    }
    assert_eq!(stage.upstream.requests().len(), before);
    let without = backend("datahub-gms");
    let response =
        without.gateway.get("/entities", &[("Authorization", "Basic __datahub_system:JohnSnowKnowsNothing")]);
    assert_eq!(response.status, 401);
}

#[test]
fn authorization_is_stripped_if_configured() {
    let config = "upstream: {authorization: strip}\nauthentication: {publicKeyUrls: [ISSUER/jwks]}";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200);
    assert_eq!(stage.upstream.only_request().head.value("authorization"), None);
}
