//! The table itself.

use std::time::Duration;

use super::super::published::PUBLISHED_KEY_ID;
use super::super::words::{RefusedKind, Word};
use super::super::{
    ClientAuth, LogFormat, ProxyProtocol, TlsVersion, UpstreamAuthorization, UpstreamProtocol,
};
use super::kind::{Key, Kind};
use super::samples;
use crate::backend::Backend;
use crate::claims::NonExpiring;
use crate::policy::{Effect, Mode, Unreadable};
use crate::request::{ForwardAuthDialect, OperationKind};

const HTTP: &[&str] = &["http", "https"];
const UPSTREAM: &[&str] = &["http", "https", "unix"];
const KEY_URLS: &[&str] = &["http", "https", "file"];
const ALGORITHMS: &str = "[RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]";
const LEEWAY: Kind = Kind::Duration(Duration::ZERO, Duration::from_secs(300));
/// Long enough for everybody, and never past the end of a clock.
const YEARS: Duration = Duration::from_secs(3650 * 86_400);
/// From a second on.
const LONG: Kind = Kind::Duration(Duration::from_secs(1), YEARS);
/// A time to wait: at least a moment, at most a day.
const WAIT: Kind = Kind::Duration(Duration::from_millis(1), Duration::from_secs(86_400));
/// A time that may be none.
const TIME: Kind = Kind::Duration(Duration::ZERO, Duration::from_secs(86_400));

const fn word<W: Word>() -> Kind {
    Kind::Word(W::WORDS)
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc, required: false, example: "", set_in_example: false }
}

impl Key {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A value for a key that the example leaves out.
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// A value that the example sets instead of the default.
    const fn set_in_example(self, example: &'static str) -> Self {
        Self { example, set_in_example: true, ..self }
    }
}

/// What there is to say about maps as a whole.
pub(in crate::config) const SECTIONS: &[(&str, &str)] = &[
    (
        "tls",
        "TLS on the listener, off unless certFile and keyFile are given. The files are read again when they change.",
    ),
    ("authentication.tokenCache", "Tokens that have been verified are remembered, never past their own exp."),
    (
        "authorization.rules[].match.graphql",
        "What a body asks of a GraphQL endpoint. Each field at the top of an operation is judged by itself.",
    ),
    ("authorization.rules[].require", "All of what is listed here must be met."),
    ("identity", "The fields that tell the backend who is asking. A client's own are always removed."),
];

/// Every key, in the order of the example.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listen", Kind::Listen, "0.0.0.0:8685", "Where requests come in: an address and a port, `[::]:8685` in quotes, or unix:/path for a socket file."),
    key("workers", Kind::Integer(0, 1024), "0", "Worker runtimes; 0 is one for each core that the container may use."),
    key("backend", word::<Backend>(), "generic", "What stands behind. It chooses public routes, the request fields that no client may send, and how principals are named."),
    key("tls.certFile", Kind::Path, "", "PEM certificate chain of the listener, leaf first; TLS is off unless it is given.").example("/etc/metagate/tls/tls.crt"),
    key("tls.keyFile", Kind::Path, "", "PEM private key of the listener.").example("/etc/metagate/tls/tls.key"),
    key("tls.clientCaFile", Kind::Path, "", "PEM authorities of client certificates; if it is given, clients show one.").example("/etc/metagate/tls/clients.pem"),
    key("tls.clientAuth", word::<ClientAuth>(), "required", "Whether clients must show a certificate if clientCaFile is given: required; or optional, without one too, but not with a bad one."),
    key("tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest version of TLS that the listener speaks."),
    key("health.listen", Kind::Address, "0.0.0.0:8686", "Where /livez, /readyz and /metrics are, for the kubelet and Prometheus."),
    key("admin.listen", Kind::Address, "127.0.0.1:8687", "Where the status page, /status, /refusals, POST /reload and POST /keys/refresh are: a loopback address, since there is no authentication. The last three need the field X-Metagate: 1, which no webhook and no other web page sends."),
    key("forwardAuth.listen", Kind::Address, "", "Where other proxies ask for decisions (nginx auth_request, Traefik ForwardAuth, Caddy forward_auth, HAProxy, Envoy ext_authz); off unless it is given. Nobody but them should reach it. See docs/forward-auth.md.").example("127.0.0.1:8688"),
    key("forwardAuth.target", word::<ForwardAuthDialect>(), "", "How they name the request: forwarded, by X-Forwarded-Method, -Uri and -Host (Traefik, Caddy, HAProxy); original, by X-Original-Method and X-Original-URI or -URL (nginx); or request, by the question's own method and target (Envoy). Required with listen.").example("forwarded"),

    key("upstream.url", Kind::Url(UPSTREAM), "", "Where requests go: http:// or https://; a path in it is put before every request's path. unix:/path is HTTP over a socket file.").required().set_in_example("http://127.0.0.1:8585"),
    key("upstream.connectTimeout", WAIT, "2s", "The longest time to an open connection, TLS included."),
    key("upstream.responseTimeout", WAIT, "300s", "The longest time from the end of a request to the head of its answer; the answer's body is bounded by idleTimeout."),
    key("upstream.idleTimeout", WAIT, "300s", "The longest silence within a body."),
    key("upstream.tls.caFile", Kind::Path, "", "PEM authorities of an https upstream, besides the platform's.").example("/etc/ssl/corp.pem"),
    key("upstream.tls.certFile", Kind::Path, "", "PEM client certificate chain for the upstream.").example("/etc/metagate/upstream/tls.crt"),
    key("upstream.tls.keyFile", Kind::Path, "", "PEM private key of that certificate.").example("/etc/metagate/upstream/tls.key"),
    key("upstream.tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest version of TLS that is spoken to an https upstream."),
    key("upstream.protocol", word::<UpstreamProtocol>(), "http1", "What is spoken to it: http1; http2 (by ALPN over https, by prior knowledge over http), which gRPC needs; or auto, over https what ALPN settles on."),
    key("upstream.upgrades", Kind::Texts, "[websocket]", "The protocols that a connection may be switched to, never h2c; empty tunnels nothing. With protocol: http2 nothing is tunnelled."),
    key("upstream.closeOnTokenExpiry", Kind::Bool, "false", "Whether tunnels and streamed answers end when the token of their request expires."),
    key("upstream.authorization", word::<UpstreamAuthorization>(), "forward", "What becomes of the Authorization field on its way upstream: forward (both backends verify it again) or strip."),

    key("authentication.publicKeyUrls", Kind::Urls(KEY_URLS), "[]", "The simple list: a key of any of these verifies a token, whoever issued it, as in OpenMetadata. http://, https://, or file:// (a JWK Set or PEM).").set_in_example("[https://www.googleapis.com/oauth2/v3/certs, http://127.0.0.1:8585/api/v1/system/config/jwks]"),
    key("authentication.audiences", Kind::Texts, "[]", "Tokens of the simple list must have one of these in aud; empty binds none."),
    key("authentication.issuers", Kind::Entries, "[]", "The safe form: a token's iss picks the entry, and only that entry's keys can verify it. What an entry leaves out, it takes from authentication.").example(samples::ISSUERS),
    key("authentication.issuers[].name", Kind::Name, "", "The entry's name in logs, metrics and rules.").required(),
    key("authentication.issuers[].issuer", Kind::Texts, "", "The exact values of iss that belong to the entry, one or a list.").required(),
    key("authentication.issuers[].publicKeyUrls", Kind::Urls(KEY_URLS), "", "Where its keys are; left out, they are discovered from the issuer (OpenID Connect)."),
    key("authentication.issuers[].publicKeys", Kind::Text, "", "Its keys themselves instead of URLs: a JWK Set or PEM, as text."),
    key("authentication.issuers[].sharedSecret", Kind::Secret, "", "HS256 with these bytes instead of public keys: at least 32, not published, no pattern."),
    key("authentication.issuers[].sharedSecretFile", Kind::Path, "", "A file with the shared secret."),
    key("authentication.issuers[].audiences", Kind::Texts, "", "One of these must be in aud; left out, none is bound, which is a warning; an empty list is an error."),
    key("authentication.issuers[].algorithms", Kind::Texts, "", "The algorithms of its tokens; left out, authentication.algorithms."),
    key("authentication.issuers[].tokenTypes", Kind::Texts, "", "What its tokens' typ may be; left out, authentication.tokenTypes."),
    key("authentication.issuers[].requireTokenType", Kind::Bool, "", "Whether its tokens must have typ; left out, authentication.requireTokenType."),
    key("authentication.issuers[].refuse", Kind::Words(RefusedKind::WORDS), "", "Kinds of its tokens that are refused; left out, authentication.refuse."),
    key("authentication.issuers[].backendTokens", Kind::Bool, "", "Whether its tokens are the backend's own: only in these isBot, tokenType and type count; left out, those of OpenMetadata's own key set, of openmetadata.issuer and of datahub.tokenServiceIssuer."),
    key("authentication.issuers[].allowNonExpiring", word::<NonExpiring>(), "", "Which of its tokens may come without exp; left out, authentication.allowNonExpiring."),
    key("authentication.issuers[].maxLifetime", LONG, "", "The longest time from iat to exp; left out, authentication.maxLifetime."),
    key("authentication.issuers[].leeway", LEEWAY, "", "How far clocks may differ; left out, authentication.leeway."),
    key("authentication.issuers[].principalClaims", Kind::Texts, "", "The claims that name the principal; left out, authentication.principalClaims."),
    key("authentication.issuers[].rolesClaim", Kind::Text, "", "The path of the claim with the roles; left out, authentication.rolesClaim."),
    key("authentication.issuers[].caFile", Kind::Path, "", "PEM authorities for fetching its keys; left out, authentication.caFile."),
    key("authentication.issuers[].proxy", Kind::Url(HTTP), "", "The HTTP proxy for fetching its keys; left out, authentication.proxy."),
    key("authentication.issuers[].optional", Kind::Bool, "", "Whether readiness goes without its keys; left out, only where the upstream itself serves them."),
    key("authentication.algorithms", Kind::Algorithms, ALGORITHMS, "The algorithms that tokens may use. HS256 is never here: it belongs to an entry with a shared secret."),
    key("authentication.tokenValidationAlgorithm", Kind::Algorithm, "", "Narrows the simple list to one algorithm, as in OpenMetadata.").example("RS256"),
    key("authentication.tokenTypes", Kind::Texts, "[JWT, at+jwt]", "What a token's typ may be: media types, compared without case and without application/. A token without typ is let in unless requireTokenType is true."),
    key("authentication.requireTokenType", Kind::Bool, "false", "Whether a token without typ is refused."),
    key("authentication.refuse", Kind::Words(RefusedKind::WORDS), "[logoutTokens]", "Kinds of token that are refused by their claims: idTokens (nonce, at_hash or c_hash), logoutTokens (events)."),
    key("authentication.backendTokens", Kind::Bool, "", "Whether tokens of publicKeyUrls are the backend's own, as in an entry; left out, those of OpenMetadata's own key set, or of openmetadata.issuer if that set is not listed.").example("true"),
    key("authentication.allowNonExpiring", word::<NonExpiring>(), "bots", "Which tokens may come without exp, or with exp null: none, bots (of the backend's own tokens), accessTokens (these, personal access tokens and tokens of service accounts) or any (but DataHub's sessions)."),
    key("authentication.maxLifetime", LONG, "", "The longest time from iat (or now) to exp; not bounded unless it is given.").example("24h"),
    key("authentication.leeway", LEEWAY, "30s", "How far clocks may differ: whole seconds, at most 5m."),
    key("authentication.principalClaims", Kind::Texts, "[email, preferred_username, sub]", "The first of these that is a non-empty text names the principal."),
    key("authentication.principalClaimsMapping", Kind::Texts, "[]", "As in OpenMetadata: [username:preferred_username, email:email]; goes before principalClaims."),
    key("authentication.rolesClaim", Kind::Text, "roles", "The path of the claim with the roles; dots lead into nested claims."),
    key("authentication.caFile", Kind::Path, "", "PEM authorities for fetching keys, besides the platform's.").example("/etc/ssl/corp.pem"),
    key("authentication.proxy", Kind::Url(HTTP), "", "The HTTP proxy for fetching keys.").example("http://proxy.corp:3128"),
    key("authentication.provider", Kind::Text, "", "OpenMetadata's name of the identity provider; `saml` opens OpenMetadata's SAML servlets.").example("google"),
    key("authentication.principalDomain", Kind::Text, "open-metadata.org", "The domain of principals where allowedDomains is empty."),
    key("authentication.allowedDomains", Kind::Texts, "[]", "The domains of principals."),
    key("authentication.enforcePrincipalDomain", Kind::Bool, "false", "Whether a principal's domain is checked, as in OpenMetadata. Bots and OpenMetadata's own tokens are exempt."),
    key("authentication.revocations.file", Kind::Path, "", "A list of tokens that are refused although they verify, YAML or JSON lines, read again when it changes. What it must look like is in docs/configuration.md; `metagate token fingerprint` writes its entries.").example("/etc/metagate/revocations/list.yaml"),
    key("authentication.jwks.refreshInterval", LONG, "10m", "How often key sets are fetched whose answers have neither Cache-Control nor Expires."),
    key("authentication.jwks.unknownKeyCooldown", LONG, "30s", "Tokens that the keys here do not fit (an unknown kid, or a signature that fails) cause at most 3 fetches in a row and one in this time in the long run, of each source."),
    key("authentication.jwks.timeout", WAIT, "5s", "The longest time for one fetch."),
    key("authentication.jwks.maxStale", LONG, "24h", "How long keys are used that cannot be fetched again."),
    key("authentication.jwks.maxBytes", Kind::Size(1024, 64 << 20), "512KiB", "The largest key set."),
    key("authentication.jwks.maxWait", TIME, "5s", "How long a request is held while keys are missing, or until the next fetch that its unknown key may cause."),
    key("authentication.jwks.cacheDir", Kind::Path, "", "A directory of metagate's own where the last good key sets are kept over a restart, within maxStale.").example("/var/cache/metagate"),
    key("authentication.tokenCache.maxBytes", Kind::Size(0, 64 << 30), "32MiB", "The most memory for verified tokens; 0 keeps none."),
    key("authentication.tokenCache.maxTtl", TIME, "5m", "The longest time a token is believed without verifying it again."),

    key("authorization.mode", word::<Mode>(), "enforce", "Whether refusals are carried out: enforce; or report, where they are only logged and counted."),
    key("authorization.public", Kind::Routes, "[]", "Routes without a token, in front of the backend's own: `METHOD[,METHOD] /path`, `*` is one segment, `**` the rest. A token there is not looked at, and rules are not asked. `metagate routes` lists all."),
    key("authorization.optional", Kind::Routes, "[]", "Routes where a token is verified if there is one, in front of authorization.public: if both match, this one decides."),
    key("authorization.rules", Kind::Entries, "[]", "The first that matches decides; an authenticated request that none matches gets authorization.default.").example(samples::RULES),
    key("authorization.rules[].name", Kind::Name, "", "The rule's name in metrics and the audit log.").required(),
    key("authorization.rules[].match.methods", Kind::Methods, "", "The methods it is about; left out, all."),
    key("authorization.rules[].match.paths", Kind::PathPatterns, "", "The paths it is about; left out, all."),
    key("authorization.rules[].match.hosts", Kind::Texts, "", "The hosts it is about, without port; left out, all."),
    key("authorization.rules[].match.issuers", Kind::Texts, "", "The issuer entries it is about, each by its name or by an iss that it binds, `public-keys` being the simple list; left out, all."),
    key("authorization.rules[].match.query", Kind::Claims, "", "For each parameter of the query, such as the action of a rest.li call, the values it is about; * stands for any run of characters."),
    key("authorization.rules[].match.graphql.operations", Kind::Words(OperationKind::WORDS), "", "The GraphQL operations it is about: query, mutation, subscription; left out, all."),
    key("authorization.rules[].match.graphql.fields", Kind::Texts, "", "The fields at the top of an operation it is about; * stands for any run of characters; left out, all."),
    key("authorization.rules[].match.graphql.unreadable", word::<Unreadable>(), "", "Where it cannot be told what a request asks for: refuse, or leave it to the rules after this one; left out, deny."),
    key("authorization.rules[].require.anyRole", Kind::Texts, "", "At least one of these roles."),
    key("authorization.rules[].require.allRoles", Kind::Texts, "", "All of these roles."),
    key("authorization.rules[].require.anyScope", Kind::Texts, "", "At least one of these scopes."),
    key("authorization.rules[].require.allScopes", Kind::Texts, "", "All of these scopes."),
    key("authorization.rules[].require.tokenType", Kind::Texts, "", "One of these token classes."),
    key("authorization.rules[].require.principals", Kind::Texts, "", "A principal like one of these; * stands for any run of characters."),
    key("authorization.rules[].require.issuers", Kind::Texts, "", "One of these issuer entries, each by its name or by an iss that it binds."),
    key("authorization.rules[].require.audiences", Kind::Texts, "", "One of these in aud."),
    key("authorization.rules[].require.claims", Kind::Claims, "", "For each claim path one of its values."),
    key("authorization.rules[].require.sourceIps", Kind::Networks, "", "A source address in one of these networks."),
    key("authorization.rules[].when", Kind::Expression, "", "A CEL expression over claims, request, token and graphql that must be true besides; an error in it refuses."),
    key("authorization.rules[].action", word::<Effect>(), "", "Instead of require: what becomes of every request that matches, whoever asks."),
    key("authorization.rules[].mode", word::<Mode>(), "", "Whether this rule's refusals are carried out; left out, enforce."),
    key("authorization.default", word::<Effect>(), "allow", "For an authenticated request that no rule matches."),
    key("authorization.tests", Kind::Entries, "[]", "Requests and what is to become of them: `metagate check` walks each of them the whole way, and exits with 1 if one goes another way.").example(samples::TESTS),
    key("authorization.tests[].name", Kind::Text, "", "What the test shows.").required(),
    key("authorization.tests[].claims", Kind::Free, "", "The token's claims; iss, aud, iat and exp that the issuer entry accepts are added where they are not given. Left out, the request has no token."),
    key("authorization.tests[].issuer", Kind::Name, "", "The name of the issuer entry whose key signs; left out, the one for the claims' iss, else the first."),
    key("authorization.tests[].request", Kind::Text, "", "METHOD /path, as it goes over the wire.").required(),
    key("authorization.tests[].host", Kind::Text, "", "The request's Host; left out, localhost."),
    key("authorization.tests[].headers", Kind::Free, "", "Further fields of the request, each with its value."),
    key("authorization.tests[].body", Kind::Body, "", "The request's body; a map is sent as JSON. application/json unless the headers say otherwise."),
    key("authorization.tests[].sourceIp", Kind::Text, "", "Where the request comes from; left out, 127.0.0.1."),
    key("authorization.tests[].expect", Kind::Expectation, "", "allow, or the status of the refusal.").required(),
    key("authorization.tests[].rule", Kind::Name, "", "The name of the rule that decides; left out, any or none."),

    key("identity.user", Kind::HeaderName, "X-Forwarded-User", "The field that tells the backend the principal."),
    key("identity.email", Kind::HeaderName, "X-Forwarded-Email", "The field with the email address."),
    key("identity.groups", Kind::HeaderName, "X-Forwarded-Groups", "The field with the roles, comma-joined."),
    key("identity.datahubActor", Kind::Bool, "false", "Whether X-DataHub-Actor is set (datahub-gms). Only a GMS whose own authentication is off reads it, and it trusts every sender. The value is never datahub, __datahub_system or one of datahub.administrators."),

    key("openmetadata.issuer", Kind::Text, "open-metadata.org", "iss of OpenMetadata's own tokens, which are exempt from the domain rule."),
    key("openmetadata.keyId", Kind::Text, PUBLISHED_KEY_ID, "kid of OpenMetadata's own tokens.").example(PUBLISHED_KEY_ID),
    key("openmetadata.basePath", Kind::BasePath, "/", "The path that OpenMetadata is served under; its public routes begin with it."),
    key("openmetadata.impersonation.bots", Kind::Texts, "[]", "Bots that may act as another user (X-Impersonate-User), by name, with tokens of openmetadata.issuer; never on endpoints for credentials. From everybody else the field is refused."),

    key("datahub.systemClientId", Kind::Text, "__datahub_system", "The id of DataHub's own services (datahub-gms), which are let through if the secret is given."),
    key("datahub.systemClientSecret", Kind::Secret, "", "Their secret, at least 16 bytes.").example("${SYSTEM_CLIENT_SECRET}"),
    key("datahub.systemClientSecretFile", Kind::Path, "", "A file with their secret.").example("/run/secrets/datahub-system-client-secret"),
    key("datahub.frontendPeers", Kind::Networks, "[]", "Peers that are DataHub's frontend: of them alone X-DataHub-Request-Source, by which GMS picks a rate limit for browsers or programs, is believed; every other token is that of a program (datahub-gms)."),
    key("datahub.tokenServiceSigningKey", Kind::Secret, "", "DataHub's signing key: makes the issuer entry `datahub` (HS256), at least 32 bytes. Personal access tokens and tokens of service accounts may come without exp.").example("${SIGNING_KEY}"),
    key("datahub.tokenServiceSigningKeyFile", Kind::Path, "", "A file with DataHub's signing key.").example("/run/secrets/datahub-signing-key"),
    key("datahub.tokenServiceIssuer", Kind::Text, "datahub-metadata-service", "iss of DataHub's own tokens."),
    key("datahub.administrators", Kind::Texts, "[]", "Further users that identity.datahubActor never names. datahub and __datahub_system are always among them."),
    key("datahub.tokenServiceSalt", Kind::Secret, "", "What DataHub hashes after a token: for datahubTokenHash in a revocation list; none unless it is given.").example("${TOKEN_SALT}"),
    key("datahub.tokenServiceSaltFile", Kind::Path, "", "A file with that salt.").example("/run/secrets/datahub-token-salt"),

    key("proxyProtocol", word::<ProxyProtocol>(), "off", "Whether each connection to listen begins with a PROXY protocol header (version 1 or 2), from a peer in trustedProxies, or from anybody if that is empty; one without is closed."),
    key("trustedProxies", Kind::Proxies, "[]", "Peers whose X-Forwarded-* and PROXY protocol headers are believed, like 10.0.0.0/8; unix for those on a socket file."),
    key("limits.headerBytes", Kind::Size(8192, 16 << 20), "64KiB", "The largest request head."),
    key("limits.headerCount", Kind::Integer(1, 10_000), "100", "The most fields in a request head."),
    key("limits.headerReadTimeout", WAIT, "10s", "The longest time for a request head to arrive."),
    key("limits.bodyBytes", Kind::Size(0, u64::MAX), "0", "The largest request body; 0 is no limit."),
    key("limits.graphqlBytes", Kind::Size(1024, 16 << 20), "64KiB", "The most of a request's body that is read for rules about GraphQL; a longer one is unreadable to them."),
    key("limits.connections", Kind::Integer(1, 1_000_000), "10000", "The most connections at once. When they are reached, idle ones give way, first those that have shown no verified token."),
    key("limits.connectionsPerClient", Kind::Integer(0, 1_000_000), "0", "The most connections of one client address (IPv6: one /64); 0 is half of limits.connections, but at least 16. Peers in trustedProxies are exempt."),
    key("limits.requests", Kind::Integer(1, 1_000_000), "10000", "The most requests in flight, over all connections. A request that metagate answers itself does not count once that is decided."),
    key("limits.requestsPerClient", Kind::Integer(0, 1_000_000), "0", "The most requests in flight of one client address, behind trustedProxies of the address that they name; 0 is half of limits.requests, but at least 16."),
    key("limits.memory", Kind::AutoSize(64 << 20, 1 << 40), "auto", "The most memory of the process. auto is four fifths of the container's limit, without one a quarter of the machine's memory and at most 1GiB."),
    key("limits.unverifiedTimeout", WAIT, "15s", "How long a connection that has shown no verified token may keep metagate waiting: between requests, within a body, and for an answer to be read."),
    key("limits.discardBytes", Kind::Size(0, 1 << 40), "64MiB", "The most that is read and thrown away of the body of a refused request, so that its client can read the answer."),
    key("limits.discardTimeout", TIME, "30s", "How long that may take."),
    key("limits.concurrentStreams", Kind::Integer(0, 10_000), "100", "The most requests at once on one HTTP/2 connection; 0 turns HTTP/2 off for clients."),
    key("limits.tokenBytes", Kind::Size(256, 1 << 20), "16KiB", "The largest token."),
    key("shutdown.delay", TIME, "0s", "How long to go on accepting after readiness has gone, for load balancers that are slow to notice."),
    key("shutdown.drainTimeout", TIME, "30s", "How long what runs may take to finish."),
    key("log.level", Kind::Text, "info", "error, warn, info, debug, trace, or target=level directives."),
    key("log.format", word::<LogFormat>(), "json", "One JSON object per line, or lines for people."),
];
