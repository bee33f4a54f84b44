//! Key sets are fetched through an HTTP proxy, except from local addresses.

use std::io;

use super::sources;
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{self, key_set};
use crate::support::stage::Stage;
use crate::support::stub::{Exchange, Next, Stub};
use crate::support::token::Token;
use crate::support::upstream::Upstream;

const SOURCE: &str = "http://keys.example.test/jwks";

/// A proxy that serves the key sets itself, so that no name needs to resolve.
fn proxy() -> Stub {
    proxy_with(|target, exchange| match target {
        SOURCE => exchange.reply(200, &[], key_set(&[keys::rsa().jwk()])),
        _ => exchange.reply(502, &[], "no such host"),
    })
}

fn proxy_with(script: impl Fn(&str, &mut Exchange) -> io::Result<Next> + Send + Sync + 'static) -> Stub {
    Stub::start(move |exchange| {
        let target = exchange.request.head.target().to_owned();
        script(&target, exchange)
    })
}

fn asked(proxy: &Stub) -> Vec<String> {
    let requests = proxy.requests();
    requests.iter().map(|request| format!("{} {}", request.head.method(), request.head.target())).collect()
}

fn url(proxy: &Stub) -> String {
    format!("http://{}", proxy.address)
}

#[test]
fn proxy_from_the_environment_is_used() {
    let proxy = proxy();
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", SOURCE)
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .env("HTTP_PROXY", url(&proxy))
        .start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200);
    assert_eq!(asked(&proxy), [format!("GET {SOURCE}")], "the backend is not contacted through the proxy");
}

#[test]
fn https_source_is_fetched_through_connect() {
    let proxy = proxy();
    let source = ["https://keys.example.test/jwks".to_owned()];
    let (found, code) = sources(&source, |setup| setup.env("HTTPS_PROXY", url(&proxy)));
    assert_eq!((code, asked(&proxy)), (Some(1), vec!["CONNECT keys.example.test:443".to_owned()]));
    assert!(found[0]["failure"].is_string());
}

#[test]
fn no_proxy_is_honored() {
    let proxy = proxy();
    let (found, _) = sources(&[SOURCE.to_owned()], |setup| {
        setup.env("HTTP_PROXY", url(&proxy)).env("NO_PROXY", "other.test, .example.test")
    });
    // The name does not resolve, so the direct fetch fails. What matters is that the proxy was not
    // used.
    assert!(found[0]["failure"].is_string());
    assert_eq!(asked(&proxy), [""; 0]);
}

#[test]
fn loopback_sources_are_fetched_directly() {
    let proxy = proxy();
    let stage = Stage::plain(|setup| {
        setup
            .env("HTTP_PROXY", url(&proxy))
            .env("http_proxy", url(&proxy))
            .env("ALL_PROXY", url(&proxy))
            .env("METAGATE_AUTHENTICATION__PROXY", url(&proxy))
    });
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200);
    assert_eq!(asked(&proxy), [""; 0]);
}

#[test]
fn entry_proxy_overrides_the_environment() {
    let (own, common) = (proxy(), proxy());
    let issuer = Issuer::of(keys::rsa());
    let config = format!(
        "authentication:\n  publicKeyUrls: ['{}']\n  issuers:\n    - {{name: far, issuer: 'https://far.test', publicKeyUrls: ['{SOURCE}'], proxy: '{}'}}\n",
        issuer.url(JWKS),
        url(&own)
    );
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .env("HTTP_PROXY", url(&common))
        .config(config)
        .start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::user().issuer("https://far.test"), "/x").status, 200);
    assert_eq!((asked(&own), asked(&common)), (vec![format!("GET {SOURCE}")], vec![]));
}

#[test]
fn remote_source_cannot_redirect_to_a_local_address() {
    let inner = Issuer::of(keys::rsa());
    let target = inner.url(JWKS);
    let port = inner.address.port();
    let proxy = proxy_with(move |asked, exchange| {
        let to = match asked {
            "http://keys.example.test/literal" => target.clone(),
            "http://keys.example.test/name" => format!("http://localhost:{port}/jwks"),
            "http://keys.example.test/mapped" => format!("http://[::ffff:127.0.0.1]:{port}/jwks"),
            "http://keys.example.test/cloud" => "http://169.254.169.254/latest".to_owned(),
            "http://keys.example.test/elsewhere" => SOURCE.to_owned(),
            "http://idp.example.test/.well-known/openid-configuration" => {
                let document = serde_json::json!({"issuer": "http://idp.example.test", "jwks_uri": target});
                return exchange.reply(200, &[], document.to_string());
            }
            _ => return exchange.reply(200, &[], key_set(&[keys::rsa().jwk()])),
        };
        exchange.reply(302, &[("Location", &to)], "")
    });
    let cases = [
        ("literal", "loopback"),
        ("name", "loopback"),
        ("mapped", "loopback"),
        ("cloud", "metadata"),
        ("elsewhere", ""),
    ];
    let urls = cases.map(|(path, _)| format!("http://keys.example.test/{path}"));
    let (found, _) = sources(&urls, |setup| setup.env("HTTP_PROXY", url(&proxy)));
    for (source, (path, cause)) in found.iter().zip(cases) {
        let failure = source["failure"].as_str().unwrap_or_default();
        assert!(failure.contains(cause) && failure.is_empty() == cause.is_empty(), "{path}: {failure}");
    }
    // A discovery document also names a URL.
    let finished = Setup::command(&["keys", "--json"])
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .env("HTTP_PROXY", url(&proxy))
        .config("authentication: {issuers: [{name: idp, issuer: 'http://idp.example.test'}]}")
        .finish();
    assert!(finished.stdout.contains("it leads to a loopback address"), "{}", finished.stdout);
    assert_eq!(inner.requests().len(), 0, "F01");
}

/// `ada:s3cret-w0rd` as `Proxy-Authorization` has it.
const CREDENTIALS: &str = "Basic YWRhOnMzY3JldC13MHJk";

fn authorizations(proxy: &Stub) -> Vec<Option<String>> {
    let requests = proxy.requests();
    requests.iter().map(|request| request.head.value("proxy-authorization").map(str::to_owned)).collect()
}

#[test]
fn proxy_credentials_come_from_the_environment_or_the_configuration_and_are_never_shown() {
    let proxy = proxy();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "ada:s3cret-w0rd\n").expect("a file");
    let with_user = format!("http://ada:s3cret-w0rd@{}", proxy.address);
    type Adjust<'a> = Box<dyn FnOnce(Setup) -> Setup + 'a>;
    let ways: [(&str, Adjust<'_>); 4] = [
        ("HTTP_PROXY", Box::new(|setup: Setup| setup.env("HTTP_PROXY", with_user.clone()))),
        ("ALL_PROXY without a scheme", Box::new(|setup: Setup| setup.env("all_proxy", &with_user[7..]))),
        (
            "a key",
            Box::new(|setup: Setup| {
                setup
                    .env("METAGATE_AUTHENTICATION__PROXY", url(&proxy))
                    .env("METAGATE_AUTHENTICATION__PROXY_CREDENTIALS", "ada:s3cret-w0rd")
            }),
        ),
        (
            "a file",
            Box::new(|setup: Setup| {
                setup
                    .env("METAGATE_AUTHENTICATION__PROXY", url(&proxy))
                    .env("METAGATE_AUTHENTICATION__PROXY_CREDENTIALS_FILE", file.path().display().to_string())
            }),
        ),
    ];
    for (number, (name, adjust)) in ways.into_iter().enumerate() {
        let setup = Setup::command(&["keys"])
            .env("AUTHENTICATION_PUBLIC_KEYS", SOURCE)
            .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
            .env("METAGATE_LOG__LEVEL", "trace");
        let finished = adjust(setup).finish();
        assert_eq!(finished.code, Some(0), "{name}: {} {}", finished.stdout, finished.stderr);
        assert_eq!(authorizations(&proxy).get(number), Some(&Some(CREDENTIALS.to_owned())), "{name}");
        let shown = finished.stdout + &finished.stderr;
        assert!(!shown.contains("s3cret") && !shown.contains("YWRhOn"), "{name}: {shown}");
    }
    // For https the credentials are part of CONNECT.
    let source = ["https://keys.example.test/jwks".to_owned()];
    sources(&source, |setup| setup.env("HTTPS_PROXY", with_user));
    assert_eq!(asked(&proxy).last().map(String::as_str), Some("CONNECT keys.example.test:443"));
    assert_eq!(authorizations(&proxy).last(), Some(&Some(CREDENTIALS.to_owned())));
}

#[test]
fn no_proxy_applies_to_the_configured_proxy_too() {
    let proxy = proxy();
    let (found, _) = sources(&[SOURCE.to_owned()], |setup| {
        setup.env("METAGATE_AUTHENTICATION__PROXY", url(&proxy)).env("NO_PROXY", "*.example.test:80")
    });
    assert!(found[0]["failure"].is_string(), "the name does not resolve");
    assert_eq!(asked(&proxy), [""; 0]);
}
