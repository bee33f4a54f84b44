//! Identity fields of other gateways and of DataHub.

use super::*;

/// Fields of many gateways, including names that come from operators or from claims.
const OF_OTHER_GATEWAYS: &[&str] = &[
    "X-Goog-Authenticated-User-Email",
    "X-Goog-Authenticated-User-Anything",
    "X-Goog-Iap-Jwt-Assertion",
    "Cf-Access-Authenticated-User-Email",
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Groups",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-New",
    "X-Ms-Client-Principal",
    "X-Ms-Client-Principal-Name",
    "X-Ms-Client-Principals",
    "X-Auth-Request-User",
    "X-Auth-Request-Roles",
    "X-User",
    "X-Remote-User",
    "X-Remote-Extra-Scopes",
    "Remote-User",
    "X-Pomerium-Claim-Department",
    "X-authentik-meta-app",
    "OIDC_CLAIM_groups",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Client-Cert-Serial-Number",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "SSL-Client-S-DN",
    "X-SSL-Client-Fingerprint",
    "X-Arr-ClientCert",
    "X-Amzn-Mtls-Clientcert-Subject",
    "Proxy",
];

fn trusting_the_peer(backend: Backend) -> OutboundHead {
    OutboundHead::new(backend, names(false), Authorization::Forward, vec![PEER.into()])
}

#[test]
fn identity_fields_of_other_gateways_never_go_upstream() {
    for backend in Backend::ALL {
        let heads = [head(backend), trusting_the_peer(backend)];
        let authorizers = [authorizer(backend), open(backend)];
        for name in OF_OTHER_GATEWAYS {
            for spelling in spellings(name) {
                for head in &heads {
                    for authorizer in &authorizers {
                        let lines = [BEARER, (&*spelling, "forged"), ("x-other", "kept")];
                        let sent = sent_by(head, authorizer, &lines, json!({}));
                        assert!(
                            !sent.iter().map(|field| field.value()).any(|value| value == "forged"),
                            "{backend:?} {spelling}"
                        );
                        assert_values(&sent, "x-other", &["kept"]);
                    }
                }
            }
        }
    }
}

#[test]
fn fields_with_similar_names_are_forwarded() {
    for name in [
        "x-user-agent",
        "x-amzn-trace-id",
        "x-goog-api-key",
        "cf-ray",
        "cf-connecting-ip",
        "x-ms-client-request-id",
        "x-auth-token",
        "x-client-version",
        "x-client",
        "remote-addr",
        "x-ssl",
        "x-remote",
        "x-data",
        "client",
        "zz",
        "a",
    ] {
        for backend in Backend::ALL {
            assert_values(&sent(backend, &[(name, "kept")], json!({})), name, &["kept"]);
        }
    }
}

#[test]
fn only_harmless_datahub_fields_are_forwarded_in_one_spelling() {
    for backend in [Backend::DataHubGms, Backend::DataHubFrontend] {
        let head = head(backend);
        let authorizers = [authorizer(backend), open(backend)];
        for name in [
            "X-DataHub-Impersonated-Urn",
            "X-DataHub-Whatever-Comes-Next",
            "X-DataHubLoginSource",
            "X-DataHub-Client-Mode-2",
        ] {
            for spelling in spellings(name) {
                for authorizer in &authorizers {
                    let lines = [BEARER, (&*spelling, "forged")];
                    let sent = sent_by(&head, authorizer, &lines, json!({}));
                    assert!(
                        !sent.iter().map(|field| field.value()).any(|value| value == "forged"),
                        "{backend:?} {spelling}"
                    );
                }
            }
        }
        for name in ["x-datahub-client-mode", "x-datahub-py-cli-version", "x-datahub-sync-index-update"] {
            for authorizer in &authorizers {
                for spelling in spellings(name) {
                    let lines = [BEARER, (&*spelling, "SDK")];
                    let sent = sent_by(&head, authorizer, &lines, json!({}));
                    let is_name = spelling.eq_ignore_ascii_case(name);
                    let expected: &[&str] = if is_name { &["SDK"] } else { &[] };
                    assert_values(&sent, &spelling, expected);
                }
            }
        }
    }
    let elsewhere = sent(Backend::Generic, &[("x-datahub-impersonated-urn", "x")], json!({}));
    assert_values(&elsewhere, "x-datahub-impersonated-urn", &["x"]);
}

/// `DATAHUB_LOGIN_SOURCE_HEADER_NAME`: without hyphens.
#[test]
fn datahubs_own_services_may_send_the_login_source() {
    let lines = [("X-DataHubLoginSource", "SSO"), ("X-DataHub-Login-Source", "PASSWORD")];
    let system = sent_for(Backend::DataHubGms, Caller::DatahubSystem, &lines);
    assert_values(&system, "x-datahubloginsource", &["SSO"]);
    assert_values(&system, "x-datahub-login-source", &[]);
}

const REQUEST_SOURCE: &str = "x-datahub-request-source";

#[test]
fn requests_with_a_token_to_gms_have_a_program_as_source() {
    for claimed in ["BROWSER", "browser", "SDK", ""] {
        let lines = [(REQUEST_SOURCE, claimed), ("x_datahub_request_source", "BROWSER")];
        let sent = sent(Backend::DataHubGms, &lines, json!({}));
        assert_values(&sent, REQUEST_SOURCE, &["SDK"]);
        assert_values(&sent, "x_datahub_request_source", &[]);
    }
    assert_values(&sent(Backend::DataHubGms, &[], json!({})), REQUEST_SOURCE, &["SDK"]);
    let claimed = [(REQUEST_SOURCE, "BROWSER")];
    assert_values(&sent_for(Backend::DataHubGms, Caller::Anonymous, &claimed), REQUEST_SOURCE, &[]);
    assert_values(
        &sent_for(Backend::DataHubGms, Caller::DatahubSystem, &claimed),
        REQUEST_SOURCE,
        &["BROWSER"],
    );
    for backend in [Backend::Generic, Backend::OpenMetadata] {
        assert_values(&sent(backend, &[], json!({})), REQUEST_SOURCE, &[]);
    }
}

#[test]
fn the_request_source_is_trusted_only_from_frontend_peers() {
    let from = |networks: &[&str], lines: &[(&str, &str)]| {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let head = head(Backend::DataHubGms).with_frontend_peers(networks);
        sent_by(&head, &authorizer(Backend::DataHubGms), &[&[BEARER], lines].concat(), json!({}))
    };
    let here = &["10.0.0.0/8", "192.0.2.0/24"][..];
    for (networks, lines, expected) in [
        (here, &[(REQUEST_SOURCE, "BROWSER")][..], "BROWSER"),
        (here, &[("X-DataHub-Request-Source", "browser")], "BROWSER"),
        (here, &[(REQUEST_SOURCE, "SDK")], "SDK"),
        (here, &[(REQUEST_SOURCE, "root")], "SDK"),
        (here, &[(REQUEST_SOURCE, "BROWSER"), (REQUEST_SOURCE, "SDK")], "SDK"),
        (here, &[("x_datahub_request_source", "BROWSER")], "SDK"),
        (here, &[], "SDK"),
        (&["10.0.0.0/8"], &[(REQUEST_SOURCE, "BROWSER")], "SDK"),
        (&[], &[(REQUEST_SOURCE, "BROWSER")], "SDK"),
    ] {
        assert_values(&from(networks, lines), REQUEST_SOURCE, &[expected]);
    }
}

#[test]
fn requests_with_a_session_cookie_have_a_browser_as_source() {
    let claimed = [(REQUEST_SOURCE, "SDK"), ("cookie", "PLAY_SESSION=x")];
    let session = sent_for(Backend::DataHubFrontend, Caller::SessionCookie, &claimed);
    assert_values(&session, REQUEST_SOURCE, &["BROWSER"]);
    let token = sent(Backend::DataHubFrontend, &[(REQUEST_SOURCE, "BROWSER")], json!({}));
    assert_values(&token, REQUEST_SOURCE, &["SDK"]);
    // GMS reads no session cookie, so it proves nothing there.
    let gms = sent_for(Backend::DataHubGms, Caller::SessionCookie, &claimed);
    assert_values(&gms, REQUEST_SOURCE, &[]);
}

#[test]
fn unlisted_names_of_reserved_families_are_found() {
    let unlisted = |backend, name: &str| {
        let fields = fields(&[(name, "x")]);
        head(backend).unlisted(&fields).map(str::to_owned).collect::<Vec<_>>()
    };
    for backend in Backend::ALL {
        assert_eq!(unlisted(backend, "Cf-Access-Groups"), ["cf-access-groups"]);
        assert_eq!(unlisted(backend, "X_Pomerium_Claim_Team"), ["x_pomerium_claim_team"]);
        for listed in ["cf-access-token", "x-forwarded-user", "x-other", "proxy"] {
            assert!(unlisted(backend, listed).is_empty(), "{listed}");
        }
    }
    assert_eq!(unlisted(Backend::DataHubGms, "X-DataHub-New"), ["x-datahub-new"]);
    for listed in ["x-datahub-actor", "x-datahub-client-mode"] {
        assert!(unlisted(Backend::DataHubGms, listed).is_empty(), "{listed}");
    }
    assert!(unlisted(Backend::Generic, "X-DataHub-New").is_empty());
}

#[test]
fn connection_may_not_name_a_field_of_a_reserved_family() {
    for name in ["Cf-Access-Groups", "x_goog_iap_jwt_assertion", "Proxy", "X-Client-Cert-Hash"] {
        let refused = head(Backend::Generic).check_connection(&fields(&[("connection", name)])).is_err();
        assert!(refused, "I05 {name}");
    }
    let new = fields(&[("connection", "close, X-DataHub-New")]);
    assert!(head(Backend::DataHubGms).check_connection(&new).is_err(), "I05");
    let harmless = fields(&[("connection", "X-DataHub-Client-Mode")]);
    assert_eq!(head(Backend::DataHubGms).check_connection(&harmless), Ok(()));
}

/// Names are compared in a buffer that long ones do not fit into.
#[test]
fn long_look_alikes_are_removed() {
    for separators in [1, 20, 24, 25, 26, 27, 40, 75] {
        let separators = "-".repeat(separators);
        let names = ["x", "forwarded", "user"].join(&separators);
        let family = format!("{}-{}", ["x", "webauth", "thing"].join(&separators), "a".repeat(60));
        let kept = format!("x-{}", "a".repeat(separators.len()));
        let lines = [(&*names, "forged"), (&*family, "forged"), (&*kept, "kept")];
        let fields = sent(Backend::Generic, &lines, json!({}));
        assert!(!fields.iter().map(|field| field.value()).any(|value| value == "forged"), "{fields:?}");
        assert_values(&fields, &kept, &["kept"]);
    }
    // The names of a configuration may be long themselves.
    for letters in [61, 62, 63, 64, 65, 100] {
        let name = format!("x-{}", "a".repeat(letters));
        let user = Some(HeaderName::try_from(&name).unwrap());
        let names = IdentityNames { user, ..names(false) };
        let head = OutboundHead::new(Backend::Generic, names, Authorization::Forward, Vec::new());
        let (look_alike, longer) = (name.replace('-', "_"), format!("{name}b"));
        let lines = [BEARER, (&*look_alike, "forged"), (&*longer, "kept")];
        let fields = sent_by(&head, &authorizer(Backend::Generic), &lines, json!({}));
        assert_values(&fields, &name, &["ada"]);
        assert_values(&fields, &look_alike, &[]);
        assert_values(&fields, &longer, &["kept"]);
    }
}

/// Whether something has to be removed or not.
#[test]
fn fields_stay_in_their_order_before_ours() {
    let ours = ["x-forwarded-user", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    let lines = [("x-b", "1"), ("accept", "*/*"), ("x-a", "2"), ("x-b", "3")];
    for removed in [None, Some(("te", "trailers"))] {
        for at in 0..=lines.len() {
            let mut lines = lines.to_vec();
            if let Some(removed) = removed {
                lines.insert(at, removed);
            }
            let fields = sent(Backend::Generic, &lines, json!({}));
            let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            assert_eq!(
                names,
                [&["authorization", "x-b", "accept", "x-a", "x-b", "host"], &ours[..]].concat()
            );
            assert_values(&fields, "x-b", &["1", "3"]);
        }
    }
}

#[test]
fn a_prepared_token_weighs_its_values() {
    let weight = |actor| {
        let head = OutboundHead::new(Backend::DataHubGms, names(actor), Authorization::Forward, Vec::new());
        let token = verified(json!({}));
        head.prepare(&token);
        token.weight()
    };
    assert!(weight(true) > weight(false));
}
