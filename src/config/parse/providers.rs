//! The identity providers that are known by the URL of their keys, so that advice can name their issuer.

use url::Url;

/// What the URL of a key set says about its provider.
pub(super) struct Provider {
    /// A name for its entry.
    pub(super) name: String,
    /// The `iss` of its tokens, or a text with a `<placeholder>`.
    pub(super) issuer: String,
    /// Its name for what is in `aud`.
    pub(super) audience: &'static str,
    /// Whose tokens these keys verify, if that is surprising.
    pub(super) everyone: Option<&'static str>,
}

const GOOGLE: &str =
    "with these keys Google signs the ID tokens of every application in the world that uses its sign-in";
const MICROSOFT: &str = "these are the keys of all of Microsoft's tenants: any application of any organization gets tokens \
                         signed with them";

/// The paths that Microsoft's multi-tenant endpoints have in place of a tenant.
const ALL_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

impl Provider {
    /// The provider of a key URL.
    pub(super) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let known = match host {
            "www.googleapis.com" => google(url),
            "login.microsoftonline.com" | "login.microsoftonline.us" | "login.windows.net" => microsoft(url),
            _ => by_suffix(url, host),
        };
        known.unwrap_or_else(|| Self {
            name: name_of(host),
            issuer: format!("<the iss of the tokens signed with {}>", place(url)),
            audience: "<what these tokens have in aud for this service, usually a client ID>",
            everyone: None,
        })
    }
}

fn google(url: &Url) -> Option<Provider> {
    let everyone = match url.path() {
        "/oauth2/v3/certs" | "/oauth2/v2/certs" | "/oauth2/v1/certs" => GOOGLE,
        _ => return None,
    };
    Some(Provider {
        name: "google".to_owned(),
        issuer: "https://accounts.google.com".to_owned(),
        audience: "<your Google client ID>",
        everyone: Some(everyone),
    })
}

/// `/<tenant>/discovery/v2.0/keys`, and for tokens of version 1 `/<tenant>/discovery/keys`.
fn microsoft(url: &Url) -> Option<Provider> {
    let (tenant, rest) = url.path().strip_prefix('/')?.split_once('/')?;
    let all = ALL_TENANTS.contains(&tenant);
    let tenant = if all { "<your tenant ID>" } else { tenant };
    let host = url.host_str().unwrap_or_default();
    let issuer = match rest {
        "discovery/v2.0/keys" => format!("https://{host}/{tenant}/v2.0"),
        // Its tokens may be of either version.
        "discovery/keys" if all => format!("https://{host}/{tenant}/v2.0"),
        "discovery/keys" => format!("https://sts.windows.net/{tenant}/"),
        _ => return None,
    };
    Some(Provider {
        name: "azure".to_owned(),
        issuer,
        audience: "<your application (client) ID>",
        everyone: all.then_some(MICROSOFT),
    })
}

/// Providers whose issuer is a part of the key URL.
fn by_suffix(url: &Url, host: &str) -> Option<Provider> {
    let scheme_and_host = || place(url).trim_end_matches(url.path()).to_owned();
    let before = |end: &str| Some(format!("{}{}", scheme_and_host(), url.path().strip_suffix(end)?));
    let (name, issuer, audience) = if is_below(host, &["okta.com", "oktapreview.com", "okta-emea.com"]) {
        let issuer = match url.path() {
            "/oauth2/v1/keys" => Some(scheme_and_host()),
            _ => before("/v1/keys"),
        };
        ("okta", issuer?, "<your Okta client ID, or the audience of the authorization server>")
    } else if is_below(host, &["auth0.com"]) {
        let issuer = before("/.well-known/jwks.json")?;
        ("auth0", format!("{issuer}/"), "<your Auth0 client ID, or the identifier of the API>")
    } else if host.starts_with("cognito-idp.") && is_below(host, &["amazonaws.com"]) {
        ("cognito", before("/.well-known/jwks.json")?, "<your app client ID>")
    } else if is_below(host, &["onelogin.com"]) {
        ("onelogin", before("/certs")?, "<your OneLogin client ID>")
    } else if url.path().contains("/realms/") {
        let issuer = before("/protocol/openid-connect/certs")?;
        ("keycloak", issuer, "<the client that the audience mapper adds to aud>")
    } else {
        return None;
    };
    Some(Provider { name: name.to_owned(), issuer, audience, everyone: None })
}

fn is_below(host: &str, domains: &[&str]) -> bool {
    domains.iter().any(|domain| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')))
}

/// A URL without its query.
fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// A name for an entry whose keys are at this host.
fn name_of(host: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let name: String = host.chars().filter(|c| fine(*c)).take(60).collect();
    if name.is_empty() { "keys".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn issuers_are_known_by_the_key_url() {
        for (url, name, issuer) in [
            ("https://www.googleapis.com/oauth2/v3/certs", "google", "https://accounts.google.com"),
            (
                "https://login.microsoftonline.com/7f2c/discovery/v2.0/keys",
                "azure",
                "https://login.microsoftonline.com/7f2c/v2.0",
            ),
            (
                "https://login.microsoftonline.com/7f2c/discovery/keys",
                "azure",
                "https://sts.windows.net/7f2c/",
            ),
            (
                "https://login.microsoftonline.com/common/discovery/keys",
                "azure",
                "https://login.microsoftonline.com/<your tenant ID>/v2.0",
            ),
            ("https://acme.okta.com/oauth2/v1/keys", "okta", "https://acme.okta.com"),
            ("https://acme.okta.com/oauth2/default/v1/keys", "okta", "https://acme.okta.com/oauth2/default"),
            ("https://acme.eu.auth0.com/.well-known/jwks.json", "auth0", "https://acme.eu.auth0.com/"),
            (
                "https://cognito-idp.eu-central-1.amazonaws.com/eu_A/.well-known/jwks.json",
                "cognito",
                "https://cognito-idp.eu-central-1.amazonaws.com/eu_A",
            ),
            (
                "http://keycloak:8080/realms/data/protocol/openid-connect/certs",
                "keycloak",
                "http://keycloak:8080/realms/data",
            ),
            ("https://acme.onelogin.com/oidc/2/certs", "onelogin", "https://acme.onelogin.com/oidc/2"),
        ] {
            let provider = Provider::of(&Url::parse(url).unwrap());
            assert_eq!((&*provider.name, &*provider.issuer), (name, issuer), "{url}");
        }
    }

    #[test]
    fn other_issuers_are_left_to_the_reader() {
        for (url, name) in [
            ("https://idp.example/jwks?key=secret", "idp.example"),
            ("https://evilokta.com/oauth2/v1/keys", "evilokta.com"),
            ("file:///etc/keys.json", "keys"),
            ("http://[::1]:8080/jwks", "1"),
        ] {
            let provider = Provider::of(&Url::parse(url).unwrap());
            assert_eq!(provider.name, name);
            assert!(provider.issuer.starts_with('<') && !provider.issuer.contains("secret"), "{url}");
        }
    }

    #[test]
    fn keys_of_everyone_are_named() {
        for (url, everyone) in [
            ("https://www.googleapis.com/oauth2/v3/certs", true),
            ("https://login.microsoftonline.com/organizations/discovery/v2.0/keys", true),
            ("https://login.microsoftonline.com/7f2c/discovery/v2.0/keys", false),
            ("https://acme.okta.com/oauth2/v1/keys", false),
        ] {
            assert_eq!(Provider::of(&Url::parse(url).unwrap()).everyone.is_some(), everyone, "{url}");
        }
    }
}
