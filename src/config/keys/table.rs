//! The table itself.

use std::time::Duration;

use super::super::published::PUBLISHED_KEY_ID;
use super::super::words::{RefusedKind, Word};
use super::super::{
    ClientAuth, LogFormat, ProxyProtocol, TlsVersion, UpstreamAuthorization, UpstreamProtocol,
};
use super::kind::{Key, Kind};
use crate::backend::Backend;
use crate::claims::NonExpiring;
use crate::policy::{Effect, Mode, Unreadable};
use crate::request::{OperationKind, TargetForm};

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
    Key { path, kind, default, doc }
}

/// Every key, in the order of the example.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listen", Kind::Listen, "0.0.0.0:8685", "Where requests come in: an address, or unix:/path for a socket file."),
    key("workers", Kind::Integer(0, 1024), "0", "Worker runtimes; 0 is one for each core that the container may use."),
    key("backend", word::<Backend>(), "generic", "What stands behind: its public routes, header hygiene and token shapes."),
    key("tls.certFile", Kind::Path, "", "PEM certificate chain of the listener, leaf first; TLS is off unless it is given."),
    key("tls.keyFile", Kind::Path, "", "PEM private key of the listener."),
    key("tls.clientCaFile", Kind::Path, "", "PEM authorities of client certificates."),
    key("tls.clientAuth", word::<ClientAuth>(), "required", "Whether clients must show a certificate, where clientCaFile is given."),
    key("tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest version of TLS that the listener speaks."),
    key("health.listen", Kind::Address, "0.0.0.0:8686", "Where /livez, /readyz and /metrics are."),
    key("admin.listen", Kind::Address, "127.0.0.1:8687", "Where the status page, /status, /refusals, POST /reload and POST /keys/refresh are: a loopback address. The last three need the field X-Metagate: 1."),
    key("forwardAuth.listen", Kind::Address, "", "Where other proxies ask for decisions (nginx auth_request and the like); off unless it is given."),
    key("forwardAuth.target", word::<TargetForm>(), "", "How they name the request: X-Forwarded-Method/-Uri/-Host (Traefik, Caddy), X-Original-Method/-URI/-URL (nginx), or by the question's own method and target (Envoy). Required with listen."),

    key("upstream.url", Kind::Url(UPSTREAM), "", "Where requests go; a path in it is put before every request's path. unix:/path is HTTP over a socket file. Required."),
    key("upstream.connectTimeout", WAIT, "2s", "The longest time to an open connection, TLS included."),
    key("upstream.responseTimeout", WAIT, "300s", "The longest time from the end of a request to the head of its answer."),
    key("upstream.idleTimeout", WAIT, "300s", "The longest silence within a body."),
    key("upstream.tls.caFile", Kind::Path, "", "PEM authorities of an https upstream, besides the platform's."),
    key("upstream.tls.certFile", Kind::Path, "", "PEM client certificate chain for the upstream."),
    key("upstream.tls.keyFile", Kind::Path, "", "PEM private key of that certificate."),
    key("upstream.tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest version of TLS that is spoken to an https upstream."),
    key("upstream.protocol", word::<UpstreamProtocol>(), "http1", "What is spoken to it: HTTP/1.1; HTTP/2 (by ALPN over https, by prior knowledge over http); or, over https, what ALPN settles on."),
    key("upstream.upgrades", Kind::Texts, "[websocket]", "The protocols that a connection may be switched to; empty tunnels nothing. h2c never."),
    key("upstream.closeOnTokenExpiry", Kind::Bool, "false", "Whether tunnels and streamed answers end when the token of their request expires."),
    key("upstream.authorization", word::<UpstreamAuthorization>(), "forward", "What becomes of the Authorization field on its way upstream."),

    key("authentication.publicKeyUrls", Kind::Urls(KEY_URLS), "[]", "The simple list: a key of any of these verifies a token, whoever issued it."),
    key("authentication.audiences", Kind::Texts, "[]", "Tokens of the simple list must have one of these in aud; empty binds none."),
    key("authentication.issuers", Kind::Entries, "[]", "The safe form: a token's iss picks the entry, and only that entry's keys can verify it."),
    key("authentication.issuers[].name", Kind::Name, "", "The entry's name in logs, metrics and rules. Required."),
    key("authentication.issuers[].issuer", Kind::Texts, "", "The values of iss that belong to the entry, one or a list. Required."),
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
    key("authentication.algorithms", Kind::Algorithms, ALGORITHMS, "The algorithms that tokens may use."),
    key("authentication.tokenValidationAlgorithm", Kind::Algorithm, "", "Narrows the simple list to one algorithm, as in OpenMetadata."),
    key("authentication.tokenTypes", Kind::Texts, "[JWT, at+jwt]", "What a token's typ may be, compared without case and without application/."),
    key("authentication.requireTokenType", Kind::Bool, "false", "Whether a token without typ is refused."),
    key("authentication.refuse", Kind::Words(RefusedKind::WORDS), "[logoutTokens]", "Kinds of token that are refused by their claims: idTokens (nonce, at_hash or c_hash), logoutTokens (events)."),
    key("authentication.backendTokens", Kind::Bool, "", "The same for tokens of publicKeyUrls; left out, those of OpenMetadata's own key set, or of openmetadata.issuer if that set is not listed."),
    key("authentication.allowNonExpiring", word::<NonExpiring>(), "bots", "Which tokens may come without exp, or with exp null."),
    key("authentication.maxLifetime", LONG, "", "The longest time from iat (or now) to exp; not bounded unless it is given."),
    key("authentication.leeway", LEEWAY, "30s", "How far clocks may differ: whole seconds."),
    key("authentication.principalClaims", Kind::Texts, "[email, preferred_username, sub]", "The first of these that is a non-empty text names the principal."),
    key("authentication.principalClaimsMapping", Kind::Texts, "[]", "As in OpenMetadata: [username:x, email:y]; goes before principalClaims."),
    key("authentication.rolesClaim", Kind::Text, "roles", "The path of the claim with the roles."),
    key("authentication.caFile", Kind::Path, "", "PEM authorities for fetching keys, besides the platform's."),
    key("authentication.proxy", Kind::Url(HTTP), "", "The HTTP proxy for fetching keys."),
    key("authentication.provider", Kind::Text, "", "OpenMetadata's name of the identity provider; `saml` opens OpenMetadata's SAML servlets."),
    key("authentication.principalDomain", Kind::Text, "open-metadata.org", "The domain of principals where allowedDomains is empty."),
    key("authentication.allowedDomains", Kind::Texts, "[]", "The domains of principals."),
    key("authentication.enforcePrincipalDomain", Kind::Bool, "false", "Whether a principal's domain is checked, as in OpenMetadata."),
    key("authentication.revocations.file", Kind::Path, "", "A list of revoked tokens, YAML or JSON lines, read again when it changes."),
    key("authentication.jwks.refreshInterval", LONG, "10m", "How often key sets are fetched whose answers have neither Cache-Control nor Expires."),
    key("authentication.jwks.unknownKeyCooldown", LONG, "30s", "Tokens that the keys here do not fit (an unknown kid, or a signature that fails) cause at most 3 fetches in a row and one in this time in the long run, of each source."),
    key("authentication.jwks.timeout", WAIT, "5s", "The longest time for one fetch."),
    key("authentication.jwks.maxStale", LONG, "24h", "How long keys are used that cannot be fetched again."),
    key("authentication.jwks.maxBytes", Kind::Size(1024, 64 << 20), "512KiB", "The largest key set."),
    key("authentication.jwks.maxWait", TIME, "5s", "How long a request is held while keys are missing, or until the next fetch that its unknown key may cause."),
    key("authentication.jwks.cacheDir", Kind::Path, "", "A directory where the last good key sets are kept over a restart, within maxStale."),
    key("authentication.tokenCache.maxBytes", Kind::Size(0, 64 << 30), "32MiB", "The most memory for verified tokens; 0 keeps none."),
    key("authentication.tokenCache.maxTtl", TIME, "5m", "The longest time a token is believed without verifying it again."),

    key("authorization.mode", word::<Mode>(), "enforce", "Whether refusals are carried out, or only logged and counted."),
    key("authorization.public", Kind::Routes, "[]", "Routes without a token, in front of the backend's own; a token there is not looked at."),
    key("authorization.optional", Kind::Routes, "[]", "Routes where a token is verified if there is one, in front of authorization.public."),
    key("authorization.rules", Kind::Entries, "[]", "The first that matches decides."),
    key("authorization.rules[].name", Kind::Name, "", "The rule's name in metrics and the audit log. Required."),
    key("authorization.rules[].match.methods", Kind::Methods, "", "The methods it is about; left out, all."),
    key("authorization.rules[].match.paths", Kind::PathPatterns, "", "The paths it is about; left out, all."),
    key("authorization.rules[].match.hosts", Kind::Texts, "", "The hosts it is about, without port; left out, all."),
    key("authorization.rules[].match.issuers", Kind::Texts, "", "The issuer entries it is about, each by its name or by an iss that it binds; left out, all."),
    key("authorization.rules[].match.query", Kind::Claims, "", "For each parameter of the query the values it is about; * stands for any run of characters."),
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
    key("authorization.rules[].action", word::<Effect>(), "", "Instead of require: what becomes of every request that matches."),
    key("authorization.rules[].mode", word::<Mode>(), "", "Whether this rule's refusals are carried out; left out, enforce."),
    key("authorization.default", word::<Effect>(), "allow", "For an authenticated request that no rule matches."),
    key("authorization.tests", Kind::Entries, "[]", "Requests and what is to become of them: `metagate check` holds the rules against them."),
    key("authorization.tests[].name", Kind::Text, "", "What the test shows. Required."),
    key("authorization.tests[].claims", Kind::Free, "", "The token's claims; iss, aud, iat and exp that the issuer entry accepts are added where they are not given. Left out, the request has no token."),
    key("authorization.tests[].issuer", Kind::Name, "", "The name of the issuer entry whose key signs; left out, the one for the claims' iss, else the first."),
    key("authorization.tests[].request", Kind::Text, "", "METHOD /path, as it goes over the wire. Required."),
    key("authorization.tests[].host", Kind::Text, "", "The request's Host; left out, localhost."),
    key("authorization.tests[].headers", Kind::Free, "", "Further fields of the request, each with its value."),
    key("authorization.tests[].body", Kind::Body, "", "The request's body; a map is sent as JSON."),
    key("authorization.tests[].sourceIp", Kind::Text, "", "Where the request comes from; left out, 127.0.0.1."),
    key("authorization.tests[].expect", Kind::Expectation, "", "allow, or the status of the refusal. Required."),
    key("authorization.tests[].rule", Kind::Name, "", "The name of the rule that decides; left out, any or none."),

    key("identity.user", Kind::HeaderName, "X-Forwarded-User", "The field that tells the backend the principal."),
    key("identity.email", Kind::HeaderName, "X-Forwarded-Email", "The field with the email address."),
    key("identity.groups", Kind::HeaderName, "X-Forwarded-Groups", "The field with the roles, comma-joined."),
    key("identity.datahubActor", Kind::Bool, "false", "Whether X-DataHub-Actor is set (datahub-gms). Only a GMS whose authentication is off reads it."),

    key("openmetadata.issuer", Kind::Text, "open-metadata.org", "iss of OpenMetadata's own tokens."),
    key("openmetadata.keyId", Kind::Text, PUBLISHED_KEY_ID, "kid of OpenMetadata's own tokens."),
    key("openmetadata.basePath", Kind::BasePath, "/", "The path that OpenMetadata is served under; its public routes begin with it."),
    key("openmetadata.impersonation.bots", Kind::Texts, "[]", "Bots that may act as another user (X-Impersonate-User), by name, with tokens of openmetadata.issuer; never on endpoints for credentials."),

    key("datahub.systemClientId", Kind::Text, "__datahub_system", "The id of DataHub's own services (datahub-gms)."),
    key("datahub.systemClientSecret", Kind::Secret, "", "Their secret, at least 16 bytes; lets them through where it is given."),
    key("datahub.systemClientSecretFile", Kind::Path, "", "A file with their secret."),
    key("datahub.frontendPeers", Kind::Networks, "[]", "Peers that are DataHub's frontend: of them alone X-DataHub-Request-Source, by which GMS picks a rate limit, is believed; every other token is that of a program (datahub-gms)."),
    key("datahub.tokenServiceSigningKey", Kind::Secret, "", "DataHub's signing key: makes the issuer entry `datahub` (HS256), at least 32 bytes."),
    key("datahub.tokenServiceSigningKeyFile", Kind::Path, "", "A file with DataHub's signing key."),
    key("datahub.tokenServiceIssuer", Kind::Text, "datahub-metadata-service", "iss of DataHub's own tokens."),
    key("datahub.administrators", Kind::Texts, "[]", "Further users that identity.datahubActor never names. datahub and __datahub_system are always among them."),
    key("datahub.tokenServiceSalt", Kind::Secret, "", "What DataHub hashes after a token: for datahubTokenHash in a revocation list; none unless it is given."),
    key("datahub.tokenServiceSaltFile", Kind::Path, "", "A file with that salt."),

    key("proxyProtocol", word::<ProxyProtocol>(), "off", "Whether each connection to listen begins with a PROXY protocol header (version 1 or 2), from a peer in trustedProxies; one without is closed."),
    key("trustedProxies", Kind::Proxies, "[]", "Peers whose X-Forwarded-* and PROXY protocol headers are believed; unix for those on a socket file."),
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
    key("shutdown.delay", TIME, "0s", "How long to go on accepting after readiness has gone."),
    key("shutdown.drainTimeout", TIME, "30s", "How long what runs may take to finish."),
    key("log.level", Kind::Text, "info", "error, warn, info, debug, trace, or target=level directives."),
    key("log.format", word::<LogFormat>(), "json", "One JSON object per line, or lines for people."),
];
