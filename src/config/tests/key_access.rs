//! Credentials for key servers, their proxies, and the cluster's own keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn entry(more: &str) -> String {
    format!(
        "upstream: {{url: 'http://127.0.0.1:1'}}\nauthentication: {{issuers: [{{name: a, audiences: [metagate], {more}}}]}}\n"
    )
}

const HTTPS: &str = "issuer: x, publicKeyUrls: ['https://keys.test/jwks']";

#[test]
fn credentials_are_read() {
    let case = file("");
    let (key, value) = (case.beside("key.pem", b"k"), case.beside("value", b"from-a-file\n"));
    let config = file(&entry(&format!(
        "{HTTPS}, bearerTokenFile: /run/token, clientCertFile: /c.pem, clientKeyFile: '{}', headers: [{{name: X-One, \
         value: \"${{ONE}}\"}}, {{name: x-two, valueFile: '{}'}}], proxy: 'http://proxy:3128', proxyCredentials: 'ada:pass'",
        key.display(),
        value.display()
    )))
    .with(&[("ONE", "1")])
    .config();
    let access = &config.trust[0].access;
    assert_eq!(access.bearer_token_file.as_deref(), Some("/run/token".as_ref()));
    assert_eq!(access.identity, Some(("/c.pem".into(), key.clone())));
    let headers: Vec<_> =
        access.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("x-one", &b"1"[..]), ("x-two", b"from-a-file")]);
    assert_eq!(access.proxy_authorization.as_ref().unwrap(), "Basic YWRhOnBhc3M=");
    assert!(config.certificate_files().contains(&key), "a new certificate is noticed");
    let shown = format!("{config:?}");
    assert!(!shown.contains("from-a-file") && !shown.contains("YWRhOnBhc3M"), "{shown}");
}

#[test]
fn credentials_go_to_one_server_and_are_encrypted() {
    for (more, message) in [
        ("issuer: x, publicKeyUrls: ['http://keys.test/jwks'], bearerTokenFile: /t", "without encryption"),
        (
            "issuer: x, publicKeyUrls: ['http://keycloak:8080/jwks'], headers: [{name: a, value: b}]",
            "without encryption",
        ),
        ("issuer: 'http://idp.test', bearerTokenFile: /t", "without encryption"),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/1', 'https://b.test/2'], bearerTokenFile: /t",
            "would be sent to two servers: https://a.test/1 and https://b.test/2",
        ),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/1', 'https://a.test:8443/2'], headers: [{name: a, value: b}]",
            "would be sent to two servers",
        ),
        ("issuer: x, publicKeyUrls: ['https://a.test/'], clientCertFile: /c", "requires clientKeyFile"),
        ("issuer: x, publicKeyUrls: ['https://a.test/'], clientKeyFile: /c", "requires clientCertFile"),
        ("issuer: x, publicKeyUrls: ['https://a.test/'], headers: [{name: a}]", "a header needs a value"),
        ("issuer: x, publicKeyUrls: ['https://a.test/'], headers: [{value: b}]", "a header needs a name"),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/'], headers: [{name: Host, value: b}]",
            "set by metagate itself",
        ),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/'], headers: [{name: a, value: b}, {name: A, value: c}]",
            "written twice",
        ),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/'], bearerTokenFile: /t, headers: [{name: Authorization, value: b}]",
            "which bearerTokenFile sets too",
        ),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/'], headers: [{name: a, value: \"b\\nc\"}]",
            "line break",
        ),
        ("issuer: x, publicKeyUrls: ['https://a.test/'], proxyCredentials: 'a:b'", "requires proxy"),
        (
            "issuer: x, publicKeyUrls: ['https://a.test/'], proxy: 'http://p:1', proxyCredentials: secretword",
            "is not a user name and a password",
        ),
    ] {
        let errors = file(&entry(more)).errors();
        assert!(errors.iter().any(|error| error.contains(message)), "{more}: {errors:?}");
        assert!(!errors.concat().contains("secretword"), "{errors:?}");
    }
    for more in [
        "issuer: x, publicKeyUrls: ['http://127.0.0.1:1/1', 'http://127.0.0.1:1/2'], bearerTokenFile: /t",
        "issuer: x, publicKeyUrls: ['https://a.test/1', 'https://a.test:443/2', 'file:///keys'], bearerTokenFile: /t",
        "issuer: 'https://idp.test', headers: [{name: a, value: b}]",
    ] {
        file(&entry(more)).config();
    }
    let loaded = file(&entry("issuer: x, publicKeyUrls: ['file:///keys'], bearerTokenFile: /t")).loaded();
    assert!(loaded.warnings.iter().any(|warning| warning.id == Some(FindingId::NoEffect)));
}

#[test]
fn the_credentials_of_an_inherited_proxy_are_inherited_with_it() {
    let text = "upstream: {url: 'http://127.0.0.1:1'}\nauthentication:\n  proxy: http://proxy:3128\n  proxyCredentials: 'ada:pass'\n  \
                issuers: [{name: a, issuer: 'https://a.test', audiences: [b]}, {name: b, issuer: 'https://b.test', audiences: [b], \
                proxy: 'http://other:3128'}]\n  publicKeyUrls: ['https://c.test/']\n  audiences: [b]\n";
    let config = file(text).config();
    let has: Vec<_> = config.trust.iter().map(|entry| entry.access.proxy_authorization.is_some()).collect();
    assert_eq!(has, [true, false, true], "they are not for another proxy");
}

/// A token like the one that the kubelet writes for a pod.
fn service_account_token(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

#[test]
fn kubernetes_takes_everything_from_the_service_account() {
    let case = file("");
    let claims = format!(r#"{{"iss":"{ISSUER}","aud":["{ISSUER}","k3s"]}}"#);
    let token = case.beside("token", service_account_token(&claims).as_bytes());
    let cluster = |more: &str| entry(&format!("kubernetes: {{tokenFile: '{}'{more}}}", token.display()));
    let config = file(&cluster(""))
        .with(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")])
        .config();
    let entry = &config.trust[0];
    assert_eq!(*entry.rules.issuers, [Box::from(ISSUER)]);
    assert_eq!(urls(entry), ["https://10.96.0.1/openid/v1/jwks"]);
    assert_eq!(
        entry.ca_file.as_deref(),
        Some("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".as_ref())
    );
    assert_eq!(entry.access.bearer_token_file.as_deref(), Some(&*token));
    assert!(entry.access.direct, "no proxy is used inside the cluster");
    let six = file(&cluster(""))
        .with(&[("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "6443")])
        .config();
    assert_eq!(urls(&six.trust[0]), ["https://[fd00::1]:6443/openid/v1/jwks"]);
    let without = file(&cluster("")).config();
    assert_eq!(urls(&without.trust[0]), ["https://kubernetes.default.svc/openid/v1/jwks"]);
    let own = file(&cluster(", apiServer: 'https://api.test/base', caFile: /ca.pem")).config();
    assert_eq!(urls(&own.trust[0]), ["https://api.test/base/openid/v1/jwks"]);
    assert_eq!(own.trust[0].ca_file.as_deref(), Some("/ca.pem".as_ref()));
}

#[test]
fn kubernetes_alone_is_a_section() {
    // Its files are not on this machine.
    let errors = file(&entry("kubernetes: {}")).errors();
    assert!(errors[0].contains("kubernetes.tokenFile") && errors[0].contains("cannot be read"), "{errors:?}");
    let case = file(&entry("issuer: 'https://cluster.test', kubernetes: {}"));
    assert_eq!(*case.config().trust[0].rules.issuers, [Box::from("https://cluster.test")]);
    let printed = print(&case.loaded());
    assert!(printed.contains("kubernetes: {}"), "{printed}");
    assert!(load_without_secrets(&file(&entry("kubernetes: {}")).sources).is_ok());
    let errors = file(&entry("kubernetes:")).errors();
    assert!(
        errors[0].contains("an issuer entry needs an issuer"),
        "a key without a value is absent: {errors:?}"
    );
}

#[test]
fn a_kubernetes_entry_that_would_accept_the_api_servers_tokens_is_refused() {
    let case = file("");
    let claims = format!(r#"{{"iss":"{ISSUER}","aud":"k3s"}}"#);
    let token = case.beside("token", service_account_token(&claims).as_bytes());
    let cluster = |audiences: &str, more: &str| {
        format!(
            "upstream: {{url: 'http://127.0.0.1:1'}}\nauthentication: {{issuers: [{{name: a, {audiences} kubernetes: \
             {{tokenFile: '{}'{more}}}}}]}}\n",
            token.display()
        )
    };
    for (text, message) in [
        (cluster("", ""), "an entry with kubernetes needs audiences"),
        (cluster(&format!("audiences: [metagate, '{ISSUER}'],"), ""), "is the audience of the API server"),
        (cluster("audiences: [k3s],", ""), "is the audience of the API server"),
        (cluster("issuer: own, audiences: [own],", ""), "is the audience of the API server"),
        (cluster("audiences: ['https://kubernetes.default.svc'],", ""), "is the audience of the API server"),
        (
            cluster("audiences: [a], publicKeyUrls: ['https://a.test/'],", ""),
            "is set together with kubernetes",
        ),
        (cluster("audiences: [a], bearerTokenFile: /t,", ""), "is set together with kubernetes"),
        (cluster("audiences: [a],", ", apiServer: 'http://10.0.0.1'"), "without encryption"),
    ] {
        let errors = file(&text).errors();
        assert!(errors.iter().any(|error| error.contains(message)), "{text}: {errors:?}");
    }
}

#[test]
fn a_file_that_is_no_token_of_a_service_account_is_named_and_not_shown() {
    for text in [
        "secretword".to_owned(),
        "a.b.c".to_owned(),
        service_account_token(r#"{"sub":"secretword"}"#),
        service_account_token(r#"{"iss":"kubernetes/serviceaccount","sub":"secretword"}"#),
    ] {
        let case = file("");
        let token = case.beside("token", text.as_bytes());
        let errors = file(&entry(&format!("kubernetes: {{tokenFile: '{}'}}", token.display()))).errors();
        assert!(errors[0].starts_with("authentication.issuers[0].kubernetes.tokenFile"), "{errors:?}");
        assert!(!errors.concat().contains("secretword") && !errors.concat().contains(&text), "{errors:?}");
    }
}
