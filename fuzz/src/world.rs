//! The authorizer, keys and callers of the fuzz targets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use metagate::admission::{Admission, Admitted, RequestHead, Snapshot, Via};
use metagate::backend::Backend;
use metagate::claims::{
    ClaimRules, DomainRule, NonExpiring, OwnTokens, PrincipalMapping, PrincipalRules, PrincipalStyle,
    RolesClaim, TokenKinds, VerifiedToken,
};
use metagate::decision::{Authorizer, Caller, Denial, Permit};
use metagate::jose::{Algorithm, AlgorithmSet, KeySet, UnverifiedToken, VerificationKey};
use metagate::message::Fields;
use metagate::numeric_date::NumericDate;
use metagate::outbound_head::{Authorization, IdentityNames, OutboundHead};
use metagate::policy::{Place, Policy, Route, RouteTable};
use metagate::request::{BackendQuirks, Credentials, RequestFacts};
use metagate::token_exchange::TokenExchange;
use metagate::trust::{self, KeyRing, TrustedIssuer};

pub const MAX_BYTES: usize = 16 * 1024;
pub const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Realistic expressions, evaluated on any claims.
pub const EXPRESSIONS: [&str; 6] = [
    "!claims.isBot",
    "claims.roles.exists(role, role.startsWith(\"Adm\")) && !has(claims.missing)",
    "claims.a.all(x, claims.b.exists(y, x == y)) || claims.a in claims.b",
    "claims.a.map(x, x + x).filter(x, x > claims.b).size() > 0 && claims.a[0] < claims.b",
    "claims.a.matches(\"^(a+)+$\") || claims.a.substring(1, 3).split(\",\")[0].trim() == claims.b",
    "int(claims.a) + 1 > uint(claims.b) / 0u || string(claims.a).indexOf(\"x\") > -claims.b",
];
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

static ADA: LazyLock<Arc<VerifiedToken>> = LazyLock::new(|| {
    let claims = br#"{"iss":"https://idp.example","sub":"ada","email":"ada@example.org","roles":["Reader"],"exp":1800000600}"#;
    Arc::new(verify(&signed(claims)).expect("a good token"))
});

/// A verified user with an email address and a role.
pub fn ada() -> Arc<VerifiedToken> {
    ADA.clone()
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key of [`signed`].
pub fn key() -> VerificationKey {
    VerificationKey::from_shared_secret(SECRET)
}

/// Signs these bytes as a payload with HS256, to reach the code behind the signature check.
pub fn signed(payload: &[u8]) -> String {
    let input = format!("{}.{}", base64url(br#"{"alg":"HS256","typ":"JWT"}"#), base64url(payload));
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), input.as_bytes());
    format!("{input}.{}", base64url(made.as_ref()))
}

/// Verifies a token by the lax rules and the key of [`signed`].
pub fn verify(token: &str) -> Option<VerifiedToken> {
    let token = UnverifiedToken::parse(token, MAX_BYTES).ok()?;
    trust::verify(&token, &entry(), Some(&KeySet::new(vec![key().into()])), NOW).ok()
}

fn entry() -> TrustedIssuer {
    let [rules, ..] = rules();
    TrustedIssuer { name: "idp".into(), algorithms: AlgorithmSet::from_iter([Algorithm::HS256]), rules }
}

/// Lax rules, and rules that check everything.
pub fn rules() -> [ClaimRules; 2] {
    let lax = ClaimRules {
        own_tokens: OwnTokens::All,
        kinds: TokenKinds::default(),
        issuers: Vec::new(),
        audiences: Vec::new(),
        refuses_foreign_audiences: false,
        non_expiring: NonExpiring::Bots,
        max_lifetime: None,
        leeway: Duration::from_secs(30),
        principal: PrincipalRules {
            claims: vec!["email".into(), "preferred_username".into(), "sub".into()],
            mapping: None,
            style: PrincipalStyle::LocalPart,
        },
        roles_claim: RolesClaim::default(),
        domain: None,
    };
    let strict = ClaimRules {
        issuers: vec!["https://idp.example".into()],
        audiences: vec!["metadata".into()],
        refuses_foreign_audiences: false,
        max_lifetime: Some(Duration::from_secs(86_400)),
        principal: PrincipalRules {
            claims: vec!["sub".into()],
            mapping: Some(PrincipalMapping { username: "sub".into(), email: "email".into() }),
            style: PrincipalStyle::AsIs,
        },
        roles_claim: RolesClaim::new("realm_access.roles"),
        domain: Some(DomainRule {
            principal_domain: "example.org".into(),
            allowed: vec!["example.org".into()],
            own_issuer: "open-metadata.org".into(),
            own_key_id: "own".into(),
        }),
        ..lax.clone()
    };
    [lax, strict]
}

/// An authorizer with these open routes. Its issuer's key is never used, because no fuzzed request has a
/// valid token.
pub fn authorizer(backend: Backend, public: &[&str]) -> Authorizer {
    let rows: Vec<_> = public.iter().map(|route| (Route::Public, *route)).collect();
    authorizer_with(backend, RouteTable::parse(&rows).expect("patterns"))
}

/// An authorizer with a backend's own routes.
pub fn preset_authorizer(backend: Backend, place: &Place<'_>) -> Authorizer {
    authorizer_with(backend, RouteTable::preset(backend, place).expect("a preset"))
}

/// An authorizer with these routes.
pub fn authorizer_with(backend: Backend, routes: RouteTable) -> Authorizer {
    Authorizer {
        backend,
        policy: Policy { routes, ..Policy::default() },
        trust: vec![entry()],
        datahub_system: None,
        token_bytes: MAX_BYTES,
        exchange: TokenExchange::default(),
    }
}

/// Takes a request of [`PEER`] through every step of admission. Whose tokens hold, [`signed`] says.
pub fn admit(
    authorizer: Authorizer,
    method: &Method,
    target: &Uri,
    version: Version,
    headers: &Fields,
) -> Result<Admitted, Denial> {
    let keys = KeySet::new(vec![key().into()]);
    let ring = KeyRing { generation: 0, sets: vec![Some(keys.into())] };
    let admission =
        Admission { head: head(authorizer.backend), authorizer, body_bytes: u64::MAX, target_bytes: 8192 };
    let (source, content_length, via) = (Some(PEER), None, Via::Proxy);
    let request =
        RequestHead { method, target, version, headers, source, content_length, via, token_fields: None };
    admission.admit_offline(&request, &mut Snapshot::new(NOW, ring.into()), &mut ())
}

/// Parses `name:value`, one field per line. Lines that are not fields are skipped.
pub fn fields(data: &[u8]) -> Fields {
    let mut fields = Fields::new();
    // hyper's limit on the number of fields is far lower.
    for line in data.split(|byte| *byte == b'\n').take(1000) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(0));
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}

/// Facts of an HTTP/1.1 request from [`PEER`].
pub fn facts(method: &str, target: &str, fields: &Fields) -> RequestFacts {
    let mut fields = fields.clone();
    fields.insert("host", HeaderValue::from_static("a.example"));
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let target = Uri::try_from(target).expect("a target");
    RequestFacts::read(&method, &target, Version::HTTP_11, &fields, BackendQuirks::default(), PEER)
        .expect("a good request")
}

/// A permit for this caller.
pub fn permit(caller: Caller) -> Permit {
    let authorizer = authorizer(Backend::Generic, &["/**"]);
    let facts = facts("GET", "/x", &Fields::new());
    authorizer.decide(&facts, authorizer.route(&facts), Ok(caller)).expect("no rule refuses")
}

/// The head rules with the default names of identity fields.
pub fn head(backend: Backend) -> OutboundHead {
    let names = IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor: backend == Backend::DataHubGms,
    };
    OutboundHead::new(backend, names, Authorization::Forward, Vec::new())
}

/// One caller of each kind.
pub fn callers() -> [Caller; 4] {
    [Caller::Anonymous, Caller::Token(ada()), Caller::DatahubSystem, Caller::SessionCookie]
}

/// Rewrites a client's fields for this caller. Of all names that a server could read as reserved,
/// only those that the gateway sets remain, with its values, and those that this caller may send.
pub fn assert_own_fields(backend: Backend, fields: &Fields, caller: Caller) {
    let head = head(backend);
    let granted: &[&str] = match (backend, &caller) {
        (Backend::OpenMetadata, Caller::Token(_)) => &["x-openmetadata-persona"],
        (Backend::DataHubGms, Caller::DatahubSystem) => OF_DATAHUB,
        _ => &[],
    };
    let mut expected = set_for(backend, &caller);
    let judged = head.check_connection(fields);
    if judged.is_ok() {
        let sent =
            granted.iter().filter_map(|name| Some((*name, fields.get(*name)?.to_str().unwrap_or("?"))));
        expected.extend(sent);
    }
    expected.sort_unstable();
    let mut sent = fields.clone();
    let facts = facts("GET", "/x", &Fields::new());
    sent.remove("host");
    head.rewrite(&mut sent, &facts, &permit(caller), PEER, false).expect("plain names");
    let mut found: Vec<(&str, &str)> = sent
        .iter()
        .map(|field| (field.name(), field.value().to_str().unwrap_or("?")))
        .filter(|(name, _)| is_ours(backend, name))
        // If the head is refused for its Connection, only the fields that the gateway sets matter.
        .filter(|(name, _)| judged.is_ok() || !granted.contains(name))
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    for name in ["connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect"] {
        assert!(!sent.contains_key(name), "{name}");
    }
    let options = fields.get_all("connection").flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for name in options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()) {
        let named = ["authorization", "host", "cookie", "content-length", "transfer-encoding"];
        let ours = is_ours(backend, name.as_str()) || named.contains(&name.as_str());
        assert!(!ours || judged.is_err(), "Connection names {name}");
    }
}

/// The fields that the gateway sets for this caller.
fn set_for(backend: Backend, caller: &Caller) -> Vec<(&'static str, &'static str)> {
    let mut fields = vec![("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")];
    if matches!(caller, Caller::Token(_)) {
        // By the lax rules the principal is the local part of the email address.
        fields.extend([
            ("x-forwarded-user", "ada"),
            ("x-forwarded-email", "ada@example.org"),
            ("x-forwarded-groups", "Reader"),
        ]);
        if backend == Backend::DataHubGms {
            fields.push(("x-datahub-actor", "urn:li:corpuser:ada"));
        }
    }
    match (backend, caller) {
        (Backend::DataHubGms | Backend::DataHubFrontend, Caller::Token(_)) => {
            fields.push(("x-datahub-request-source", "SDK"));
        }
        (Backend::DataHubFrontend, Caller::SessionCookie) => {
            fields.push(("x-datahub-request-source", "BROWSER"));
        }
        _ => {}
    }
    fields
}

/// A request with a bearer token is forwarded with that token in canonical form and without session
/// cookies. One without credentials is forwarded without an `Authorization` field.
pub fn assert_one_login(backend: Backend, fields: &Fields) {
    let mut sent = fields.clone();
    sent.remove("host");
    sent.insert("host", HeaderValue::from_static("a.example"));
    let target = Uri::from_static("/x");
    let quirks = backend.quirks();
    let Ok(facts) = RequestFacts::read(&Method::GET, &target, Version::HTTP_11, &sent, quirks, PEER) else {
        return;
    };
    head(backend).rewrite(&mut sent, &facts, &permit(Caller::Anonymous), PEER, false).expect("plain names");
    match &facts.credentials {
        Credentials::Missing => assert!(!sent.contains_key("authorization")),
        Credentials::Bearer(token) => {
            assert_eq!(
                sent.get("authorization").expect("a field").as_bytes(),
                format!("Bearer {}", token.as_str()).as_bytes()
            );
            for value in sent.get_all("cookie") {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                let mut names =
                    text.split(';').map(|cookie| cookie.split('=').next().unwrap_or_default().trim());
                assert!(
                    quirks.session_cookies.is_empty()
                        || !names.any(|name| quirks.session_cookies.contains(&name)),
                    "{text}"
                );
            }
        }
        _ => {}
    }
}

const OF_DATAHUB: &[&str] = &[
    "x-datahub-actor",
    "x-datahub-delegated-for",
    "x-datahub-delegated-for-id",
    "x-datahub-delegated-for-type",
    "x-datahub-request-source",
    "x-datahubloginsource",
];

/// Whether some server reads this name as an identity or the origin of the request. Written
/// independently of the code under test.
fn is_ours(backend: Backend, name: &str) -> bool {
    let letters_and_digits =
        |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
    let name = letters_and_digits(name);
    let named = [
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "forwarded",
        "x-auth-request-user",
        "x-auth-request-email",
        "x-auth-user",
        "x-remote-user",
        "remote-user",
        "x-webauth-user",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-user",
        "proxy",
        "client-cert",
    ];
    let families = ["xauthrequest", "cfaccess", "xgoogiap", "xamznoidc", "xmsclientprincipal", "sslclient"];
    let of_backend = match backend {
        Backend::OpenMetadata => &[
            "x-impersonate-user",
            "x-auth-params-email",
            "x-openmetadata-persona",
            "userid",
            "remoteaddress",
            "sessionid",
        ][..],
        Backend::DataHubGms | Backend::DataHubFrontend => OF_DATAHUB,
        Backend::Generic => &[],
    };
    let harmless = ["xdatahubclientmode", "xdatahubpycliversion", "xdatahubsyncindexupdate"];
    let is_datahub = matches!(backend, Backend::DataHubGms | Backend::DataHubFrontend);
    name.starts_with("xforwarded")
        || families.iter().any(|family| name.starts_with(family))
        || (is_datahub && name.starts_with("xdatahub") && !harmless.contains(&&*name))
        || named.iter().chain(of_backend).any(|own| letters_and_digits(own) == name)
}
