//! The table of configuration keys: the only place where a key, its default and its documentation are defined.

use std::time::Duration;

use super::super::output::AuditedDecision;
use super::super::published::PUBLISHED_KEY_ID;
use super::super::token_exchange::{CredentialKind, ExchangeMode};
use super::super::words::{Introspect, RefusedKind, Word};
use super::super::{
    ClientAuth, LogFormat, ProxyProtocol, TlsVersion, UpstreamAuthorization, UpstreamProtocol,
};
use super::kind::{Key, Kind};
use super::samples;
use crate::backend::Backend;
use crate::claims::NonExpiring;
use crate::mint::{DatahubTokenType, MAX_LIFETIME, MIN_LIFETIME};
use crate::policy::{Effect, Mode, Unreadable};
use crate::request::{ForwardAuthDialect, OperationKind};
use crate::token_exchange::{MAX_TOKEN_LIFETIME, MIN_TOKEN_LIFETIME};

const HTTP: &[&str] = &["http", "https"];
const STORE: &[&str] = &["redis", "rediss"];
const UPSTREAM: &[&str] = &["http", "https", "unix"];
const KEY_URLS: &[&str] = super::super::values::KEY_URLS;
const ALGORITHMS: &str = "[RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA]";
const LEEWAY: Kind = Kind::Duration(Duration::ZERO, Duration::from_secs(300));
/// Ten years: longer than anyone needs, and a clock plus this time cannot overflow.
const YEARS: Duration = Duration::from_secs(3650 * 86_400);
/// At least one second.
const LONG: Kind = Kind::Duration(Duration::from_secs(1), YEARS);
/// The life of a minted token.
const LIFETIME: Kind = Kind::Duration(MIN_LIFETIME, MAX_LIFETIME);
/// The life of a token of the token endpoint.
const TOKEN_LIFETIME: Kind = Kind::Duration(MIN_TOKEN_LIFETIME, MAX_TOKEN_LIFETIME);
/// A timeout: at least 1 ms, at most a day.
const WAIT: Kind = Kind::Duration(Duration::from_millis(1), Duration::from_secs(86_400));
/// A time that may be zero, at most a day.
const TIME: Kind = Kind::Duration(Duration::ZERO, Duration::from_secs(86_400));

const fn word<W: Word>() -> Kind {
    Kind::Word(W::WORDS)
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc, required: false, example: "", short_form: None, set_in_example: false }
}

impl Key {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// For a list of maps: an element may be a single value, which stands for this key.
    const fn short_form(self, name: &'static str) -> Self {
        Self { short_form: Some(name), ..self }
    }

    /// A value that the example shows in a comment, for a key without a default.
    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// A value that the example sets instead of the default.
    const fn set_in_example(self, example: &'static str) -> Self {
        Self { example, set_in_example: true, ..self }
    }
}

/// Texts about sections as a whole.
pub(in crate::config) const SECTIONS: &[(&str, &str)] = &[
    (
        "tls",
        "TLS on the listener. It is off unless certFile and keyFile are set. The files are read again when they change.",
    ),
    (
        "authentication.issuers[].kubernetes",
        "Tokens of the service accounts of the cluster that this is a pod of. `kubernetes: {}` takes the issuer, the keys and how to fetch them from the pod's own service account. audiences is required.",
    ),
    (
        "mint",
        "Tokens that metagate mints for the backend, so that a workload needs no token of the backend. docs/exchange.md.",
    ),
    (
        "issuer",
        "Tokens that metagate gives to clients. url, audience and keyFiles are required together. The tokens are verified with these keys only, by the issuer entry `metagate`, which this adds, and they are never forwarded: exchange names the user they stand for.",
    ),
    ("authentication.tokenCache", "Caches verified tokens, never beyond their exp."),
    (
        "authorization.rules[].match.graphql",
        "What the body of a GraphQL request asks for. Each top-level field of an operation is evaluated separately.",
    ),
    ("authorization.rules[].require", "The token and the request must meet all of these."),
    (
        "cors",
        "Lets web pages of other origins send requests. Preflights are answered without a token. docs/cors.md.",
    ),
    (
        "identity",
        "The request fields that tell the backend who the caller is. A client's own are always removed.",
    ),
];

/// Every key, in the order of the example.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("listen", Kind::Listen, "\"[::]:8685\"", "The addresses and ports to accept requests on, or unix:/path for a socket file: one or a list. [::] is every address of the machine, IPv4 too; without IPv6 it is 0.0.0.0. In YAML, put quotes around an IPv6 address. An element may be a map.").short_form("address").example(samples::LISTEN),
    key("listen[].address", Kind::Text, "", "The address and port, or unix:/path.").required(),
    key("listen[].tokenHeaders", Kind::Entries, "", "The request fields that may hold the token on this address, in place of authentication.tokenHeaders. Every field that is listed anywhere is removed from all requests.").short_form("name"),
    key("listen[].tokenHeaders[].name", Kind::HeaderName, "", "As in authentication.tokenHeaders.").required(),
    key("listen[].tokenHeaders[].scheme", Kind::Text, "", "As in authentication.tokenHeaders."),
    key("listen[].tokenHeaders[].padded", Kind::Bool, "", "As in authentication.tokenHeaders."),
    key("workers", Kind::Integer(0, 1024), "0", "The number of worker runtimes. 0 is one for each core that the container may use."),
    key("backend", word::<Backend>(), "generic", "The backend that requests are forwarded to. It determines the public routes, the request fields that clients may not send, and how principals are named."),
    key("tls.certFile", Kind::Path, "", "PEM file of the certificate chain, leaf first. Setting it turns on TLS and requires keyFile.").example("/etc/metagate/tls/tls.crt"),
    key("tls.keyFile", Kind::Path, "", "PEM file of the certificate's private key.").example("/etc/metagate/tls/tls.key"),
    key("tls.clientCaFile", Kind::Path, "", "PEM file of certificate authorities for client certificates. If set, clients must present one, unless clientAuth is optional.").example("/etc/metagate/tls/clients.pem"),
    key("tls.clientAuth", word::<ClientAuth>(), "required", "Whether clients must present a certificate if clientCaFile is set. required: always. optional: a client may connect without one, but an invalid one is refused."),
    key("tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest TLS version to accept from clients."),
    key("health.listen", Kind::Address, "\"[::]:8686\"", "The address and port of /livez, /readyz and /metrics, for the kubelet and Prometheus. [::] is every address, as in listen."),
    key("admin.listen", Kind::Address, "127.0.0.1:8687", "The address and port of the status page, /status, /refusals, POST /reload and POST /keys/refresh. 127.0.0.1 opens the port on ::1 too, if the machine has IPv6. Use a loopback address, because there is no authentication. The last three require the field X-Metagate: 1, which webhooks and other web pages do not send."),
    key("admin.hosts", Kind::Texts, "[]", "Further host names under which browsers reach the admin listener, for example through a proxy that authenticates. Requests with another Host are refused, because web pages elsewhere can choose a name that leads here.").example("[metagate.corp.example]"),
    key("admin.quit", Kind::Bool, "false", "Whether POST /quit on the admin listener shuts metagate down like SIGTERM, with exit code 0. It is for a Job whose container ends before its sidecar, and also requires X-Metagate: 1."),
    key("forwardAuth.listen", Kind::Address, "", "The address and port where other proxies ask for decisions (nginx auth_request, Traefik ForwardAuth, Caddy forward_auth, HAProxy, Envoy ext_authz). Off if not set. Only those proxies should be able to reach it. See docs/forward-auth.md.").example("127.0.0.1:8688"),
    key("forwardAuth.target", word::<ForwardAuthDialect>(), "", "How the other proxy names the request. forwarded: X-Forwarded-Method, -Uri and -Host (Traefik, Caddy, HAProxy). original: X-Original-Method and X-Original-URI or -URL (nginx). request: the method and target of its own request (Envoy). Required with listen.").example("forwarded"),

    key("stripPrefix", Kind::BasePath, "", "The path below which clients reach this installation, if the backend does not know it. It is removed before routes and rules are evaluated and the request is forwarded, with X-Forwarded-Prefix. A path outside it gets 404. See docs/recipes/path-prefix.md.").example("/catalog"),

    key("upstream.url", Kind::UrlOrUrls(UPSTREAM), "", "The backend's URL, http:// or https://. A path in it is put before the path of every request. unix:/path is HTTP over a socket file. With a list of URLs (same scheme and path), new connections go to the first that accepts them; one that fails is tried last for 10s.").required().set_in_example("http://127.0.0.1:8585"),
    key("upstream.connectTimeout", WAIT, "2s", "The maximum time to open a connection, including TLS."),
    key("upstream.responseTimeout", WAIT, "300s", "The maximum time from the end of a request to the head of its response. The response's body is limited by idleTimeout."),
    key("upstream.idleTimeout", WAIT, "300s", "The maximum time without any data within a body."),
    key("upstream.hostHeader", Kind::Text, "forward", "The Host that the backend gets. forward: the client's. upstream: that of url. Anything else is the host itself, with a port if it has one. X-Forwarded-Host always has the client's."),
    key("upstream.keepAlive", TIME, "20s", "How long an idle connection to the backend may be used again, at most. metagate uses it for a shorter time if the backend announces one (Keep-Alive: timeout) or closes idle connections earlier. 0s: every request gets its own connection."),
    key("upstream.maxConnections", Kind::Integer(0, 1_000_000), "0", "The maximum number of open connections to the backend, idle ones and tunnels included. A request waits up to 1s for one, and then gets 503. Set limits.requestsPerClient lower, so that one client cannot use all of them. 0 is no limit."),
    key("upstream.tls.caFile", Kind::Path, "", "PEM or DER file of certificate authorities for an https upstream, in addition to the platform's, or of the upstream's own certificate if it is self-signed.").example("/etc/ssl/corp.pem"),
    key("upstream.tls.certFile", Kind::Path, "", "PEM file of the client certificate chain that is presented to the upstream. Requires keyFile.").example("/etc/metagate/upstream/tls.crt"),
    key("upstream.tls.keyFile", Kind::Path, "", "PEM file of the client certificate's private key.").example("/etc/metagate/upstream/tls.key"),
    key("upstream.tls.serverName", Kind::Text, "", "The name that is sent in the TLS handshake (SNI) and that the certificate of an https upstream must have. Default: the host of url.").example("gms.corp.example"),
    key("upstream.tls.minVersion", word::<TlsVersion>(), "1.2", "The oldest TLS version to accept from an https upstream."),
    key("upstream.protocol", word::<UpstreamProtocol>(), "http1", "The HTTP version to use. http1. http2: negotiated by ALPN over https, by prior knowledge over http; gRPC needs it. auto: whatever ALPN selects over https, HTTP/1.1 over http."),
    key("upstream.upgrades", Kind::Texts, "[websocket]", "The protocols that a connection may be upgraded to; never h2c. An empty list allows no upgrade. With protocol: http2 there are no upgrades."),
    key("upstream.closeOnTokenExpiry", Kind::Bool, "false", "Whether tunnels and streamed responses end when the token of their request expires."),
    key("upstream.authorization", word::<UpstreamAuthorization>(), "forward", "Whether the client's Authorization field is sent to the backend. forward: yes; OpenMetadata and DataHub verify the token again. strip: no."),

    key("authentication.publicKeyUrls", Kind::Urls(KEY_URLS), "[]", "The simple list: a key from any of these URLs verifies a token of any issuer, as in OpenMetadata. http://, https://, or file:// (a JWK Set, PEM or DER).").set_in_example("[https://www.googleapis.com/oauth2/v3/certs, http://127.0.0.1:8585/api/v1/system/config/jwks]"),
    key("authentication.audiences", Kind::Texts, "[]", "The accepted values of aud for tokens of the simple list. An empty list accepts any audience."),
    key("authentication.issuers", Kind::Entries, "[]", "The safe form: a token's iss selects the entry, and only that entry's keys can verify it. An entry inherits what it does not set from authentication.").example(samples::ISSUERS),
    key("authentication.issuers[].name", Kind::Name, "", "The entry's name in logs, metrics and rules.").required(),
    key("authentication.issuers[].issuer", Kind::Texts, "", "The exact value of iss that selects this entry, or a list of them. Required, except with kubernetes."),
    key("authentication.issuers[].publicKeyUrls", Kind::KeyUrls, "", "The URLs of its keys. Default: discovered from the issuer (OpenID Connect). One that ends in /{kid} has one key for each kid, as a load balancer of AWS publishes them; it must be the only one, in quotes."),
    key("authentication.issuers[].requireHeader", Kind::Claims, "", "Members that the header of its tokens must have, each with its accepted values. With the keys of AWS's load balancers, which sign for all accounts, name your own load balancer in signer."),
    key("authentication.issuers[].publicKeys", Kind::KeySet, "", "Its keys themselves, instead of URLs: PEM (public keys or certificates), a JWK Set, a JWK, or a map from kid to PEM, as a text block or as YAML."),
    key("authentication.issuers[].sharedSecret", Kind::Secret, "", "A shared secret for HS256, instead of public keys. At least 32 bytes; published secrets and repeated patterns are refused."),
    key("authentication.issuers[].sharedSecretFile", Kind::Path, "", "A file that contains the shared secret."),
    key("authentication.issuers[].audiences", Kind::Texts, "", "The accepted values of aud. Default: any audience, with a warning. An empty list is an error."),
    key("authentication.issuers[].algorithms", Kind::Texts, "", "The signature algorithms that its tokens may use. Default: authentication.algorithms."),
    key("authentication.issuers[].tokenTypes", Kind::Texts, "", "The accepted values of typ. Default: authentication.tokenTypes."),
    key("authentication.issuers[].requireTokenType", Kind::Bool, "", "Whether its tokens must have typ. Default: authentication.requireTokenType."),
    key("authentication.issuers[].refuse", Kind::Words(RefusedKind::WORDS), "", "Kinds of its tokens to refuse. Default: authentication.refuse."),
    key("authentication.issuers[].backendTokens", Kind::Bool, "", "Whether its tokens are the backend's own; the claims isBot, tokenType and type count only in those. Default: true for tokens verified by OpenMetadata's own key set, and for tokens of openmetadata.issuer or datahub.tokenServiceIssuer."),
    key("authentication.issuers[].allowNonExpiring", word::<NonExpiring>(), "", "Which of its tokens may omit exp. Default: authentication.allowNonExpiring."),
    key("authentication.issuers[].maxLifetime", LONG, "", "The maximum time from iat to exp. Default: authentication.maxLifetime."),
    key("authentication.issuers[].leeway", LEEWAY, "", "The tolerated clock difference. Default: authentication.leeway."),
    key("authentication.issuers[].principalClaims", Kind::Texts, "", "The claims that name the principal. Default: authentication.principalClaims."),
    key("authentication.issuers[].rolesClaim", Kind::Text, "", "The path of the claim that contains the roles. Default: authentication.rolesClaim."),
    key("authentication.issuers[].rolesSeparator", Kind::Text, "", "If the roles are in one text: what separates them. Default: authentication.rolesSeparator, unless the entry has a rolesClaim of its own."),
    key("authentication.issuers[].rolesMember", Kind::Text, "", "If the roles are a list of maps: the member with the role's name. Default: as for rolesSeparator."),
    key("authentication.issuers[].rolesFromKeys", Kind::Bool, "", "If the roles are the keys of one map (Zitadel). Default: as for rolesSeparator."),
    key("authentication.issuers[].caFile", Kind::Path, "", "PEM or DER file of certificate authorities for fetching its keys, or of the server's own certificate if it is self-signed. Default: authentication.caFile."),
    key("authentication.issuers[].proxy", Kind::Url(HTTP), "", "The HTTP proxy for fetching its keys, except for the hosts in NO_PROXY. Default: authentication.proxy."),
    key("authentication.issuers[].proxyCredentials", Kind::Secret, "", "The user name and password for its proxy, with `:` between them. Default: authentication.proxyCredentials, if the proxy is inherited too."),
    key("authentication.issuers[].proxyCredentialsFile", Kind::Path, "", "A file that contains them."),
    key("authentication.issuers[].bearerTokenFile", Kind::Path, "", "A file whose content is sent as the bearer token when its keys are fetched. It is read for each fetch, so it may be replaced at any time. Like the next ones, it is sent only to the origin of its key URLs, and only over https or on loopback."),
    key("authentication.issuers[].clientCertFile", Kind::Path, "", "PEM file of the client certificate chain that is presented when its keys are fetched. Requires clientKeyFile."),
    key("authentication.issuers[].clientKeyFile", Kind::Path, "", "PEM file of the client certificate's private key."),
    key("authentication.issuers[].headers", Kind::Entries, "", "Fields that are sent when its keys are fetched."),
    key("authentication.issuers[].headers[].name", Kind::HeaderName, "", "The name of the field.").required(),
    key("authentication.issuers[].headers[].value", Kind::Secret, "", "Its value."),
    key("authentication.issuers[].headers[].valueFile", Kind::Path, "", "A file that contains its value."),
    key("authentication.issuers[].kubernetes.apiServer", Kind::Url(HTTP), "", "The URL of the API server. Default: from KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, or https://kubernetes.default.svc."),
    key("authentication.issuers[].kubernetes.tokenFile", Kind::Path, "", "The token of the pod's service account. It is sent to the API server, and its iss is the issuer if the entry has none. Default: /var/run/secrets/kubernetes.io/serviceaccount/token."),
    key("authentication.issuers[].kubernetes.caFile", Kind::Path, "", "PEM file of the API server's certificate authority. Default: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt."),
    key("authentication.issuers[].exchange", word::<ExchangeMode>(), "", "What becomes of a verified token that no entry of exchange takes. required: it is refused. optional: it is forwarded. Default: required for an issuer that an entry of exchange names and, if there is any entry, for kubernetes. With required, principalClaims is [sub] by default, and neither principalClaimsMapping nor enforcePrincipalDomain applies."),
    key("authentication.issuers[].optional", Kind::Bool, "", "If true, readiness does not wait for its keys. Default: true only if all its keys come from the upstream itself."),
    key("authentication.tokenHeaders", Kind::Entries, "", "The request fields that may hold the token. Default: [Authorization]. An element of listen can have its own. An element is a name, or a map. A request with two of them is refused. All of them are removed before the request is forwarded. A verified token is forwarded as Authorization: Bearer (see upstream.authorization); an Authorization field that is not listed is removed.").short_form("name").example(samples::TOKEN_HEADERS),
    key("authentication.tokenHeaders[].name", Kind::HeaderName, "", "The field's name.").required(),
    key("authentication.tokenHeaders[].scheme", Kind::Text, "", "The word before the token, as in Authorization: Bearer. Default: Bearer for Authorization; for any other field none, so that its value is the token."),
    key("authentication.tokenHeaders[].padded", Kind::Bool, "", "Whether the three parts of the token may have base64 padding (`=`), as AWS's load balancers write it. Default: false."),
    key("authentication.algorithms", Kind::Algorithms, ALGORITHMS, "The signature algorithms that tokens may use. EdDSA includes Ed25519 (RFC 9864). HS256 cannot be listed: only an entry with a shared secret uses it."),
    key("authentication.tokenValidationAlgorithm", Kind::Algorithm, "", "Restricts the simple list to one algorithm, as in OpenMetadata.").example("RS256"),
    key("authentication.tokenTypes", Kind::Texts, "[JWT, at+jwt]", "The accepted values of a token's typ. These are media types, compared without case and without application/; JWT includes JOSE. A token without typ is accepted unless requireTokenType is true."),
    key("authentication.requireTokenType", Kind::Bool, "false", "Whether a token without typ is refused."),
    key("authentication.refuse", Kind::Words(RefusedKind::WORDS), "[logoutTokens]", "Kinds of token to refuse, recognized by their claims: idTokens (nonce, at_hash or c_hash), logoutTokens (events)."),
    key("authentication.backendTokens", Kind::Bool, "", "Whether tokens of publicKeyUrls are the backend's own, as in an entry. Default: true for tokens verified by OpenMetadata's own key set or, if that set is not listed, for tokens of openmetadata.issuer.").example("true"),
    key("authentication.allowNonExpiring", word::<NonExpiring>(), "bots", "Which tokens may omit exp or have exp null. none. bots: bots among the backend's own tokens. accessTokens: bots, personal access tokens and tokens of service accounts. any: all tokens except DataHub's sessions."),
    key("authentication.maxLifetime", LONG, "", "The maximum time from iat (or now) to exp. No limit if not set.").example("24h"),
    key("authentication.leeway", LEEWAY, "30s", "The tolerated clock difference, in whole seconds and at most 5m."),
    key("authentication.principalClaims", Kind::Texts, "[email, preferred_username, sub]", "The claims that name the principal, as names or paths like rolesClaim. The first one that is a non-empty string is used."),
    key("authentication.principalClaimsMapping", Kind::Texts, "[]", "Maps claims to the principal's name and email as in OpenMetadata: [username:preferred_username, email:email]. Takes precedence over principalClaims."),
    key("authentication.rolesClaim", Kind::Text, "roles", "The path of the claim that contains the roles: a name, a dotted path with names that contain dots in quotes (resource_access.\"my.app\".roles), or a JSON Pointer (/resource_access/my.app/roles). The claim is a text or a list of texts, unless one of the next three keys is set."),
    key("authentication.rolesSeparator", Kind::Text, "", "If several roles are in one text: what separates them. A list of texts is not split.").example("\",\""),
    key("authentication.rolesMember", Kind::Text, "", "If the roles are a list of maps, or one map: the member with the role's name.").example("name"),
    key("authentication.rolesFromKeys", Kind::Bool, "false", "Whether the roles are the keys of one map (Zitadel). A key counts if its value is a map or true."),
    key("authentication.caFile", Kind::Path, "", "PEM or DER file of certificate authorities for fetching keys, in addition to the platform's, or of the server's own certificate if it is self-signed.").example("/etc/ssl/corp.pem"),
    key("authentication.proxy", Kind::Url(HTTP), "", "The HTTP proxy for fetching keys, except for the hosts in NO_PROXY. Default: HTTPS_PROXY and HTTP_PROXY.").example("http://proxy.corp:3128"),
    key("authentication.proxyCredentials", Kind::Secret, "", "The user name and password for proxy, with `:` between them.").example("${PROXY_CREDENTIALS}"),
    key("authentication.proxyCredentialsFile", Kind::Path, "", "A file that contains them.").example("/run/secrets/proxy-credentials"),
    key("authentication.provider", Kind::Text, "", "OpenMetadata's name of the identity provider. `saml` makes OpenMetadata's SAML servlets public.").example("google"),
    key("authentication.principalDomain", Kind::Text, "open-metadata.org", "The allowed domain of principals if allowedDomains is empty."),
    key("authentication.allowedDomains", Kind::Texts, "[]", "The allowed domains of principals."),
    key("authentication.enforcePrincipalDomain", Kind::Bool, "false", "Whether a principal's domain is checked, as in OpenMetadata. Bots and OpenMetadata's own tokens are exempt."),
    key("authentication.revocations.file", Kind::Path, "", "A file of revoked tokens, YAML or JSON lines, read again when it changes. docs/rotation.md describes its format; `metagate revoke` adds and removes entries.").example("/etc/metagate/revocations/list.yaml"),
    key("authentication.revocations.urls", Kind::Urls(HTTP), "[]", "URLs of further lists in the same format, fetched every refreshInterval with If-None-Match. While one cannot be fetched its last list stays in force.").example("[https://security.corp.example/revocations.json]"),
    key("authentication.revocations.refreshInterval", LONG, "5s", "How often to fetch the lists of urls."),
    key("authentication.revocations.maxStale", LONG, "", "For how long the last list of one of urls is trusted while it cannot be fetched again. After that metagate is not ready, and refuses tokens that no list revokes with 503 (revocations_unavailable). At least three times refreshInterval. Default: the last list stays in force.").example("1h"),
    key("authentication.revocations.bearerTokenFile", Kind::Path, "", "A file with the bearer token that is sent to the servers of urls. It is read for each fetch.").example("/run/secrets/revocations/token"),
    key("authentication.revocations.caFile", Kind::Path, "", "PEM file of authorities to trust for urls, in addition to the platform's.").example("/etc/ssl/corp.pem"),
    key("authentication.revocations.introspect", word::<Introspect>(), "off", "Whether OpenMetadata is asked if it still accepts the tokens of its bots, which it compares with the stored ones. bots: when such a token is verified (the request waits for at most 1s), and each minute while it is used. If there is no answer, the last one stays in force. Only with backend: openmetadata. docs/revocation.md."),
    key("authentication.revocations.endpoint.path", Kind::Text, "", "The path of the revocation endpoint (RFC 7009) on the proxy's listener, below stripPrefix, where the holder of a token can revoke it. A request for exactly this path is never forwarded. Entries go into store, or into file if there is no store. Default: there is no endpoint. docs/revocation.md.").example("/oauth2/revoke"),
    key("authentication.revocations.endpoint.requestsPerMinute", Kind::Integer(1, 60_000), "60", "How many requests of one client network (an address, IPv6: a /64) the revocation endpoint answers in a minute. Others get 429 before anything is verified."),
    key("authentication.revocations.endpoint.burst", Kind::Integer(1, 1000), "20", "How many of them it answers at once."),
    key("authentication.revocations.store.url", Kind::UrlOrUrls(STORE), "", "A Redis (6 or later) or Valkey server that all replicas share: redis://host:port/database, or rediss:// for TLS. With a list the first server that answers is used: nodes of a cluster, or the sentinels of sentinelMaster. docs/revocation.md.").example("rediss://redis.corp.example:6379/0"),
    key("authentication.revocations.store.sentinelMaster", Kind::Text, "", "The name of the master to ask for, if url names sentinels.").example("mymaster"),
    key("authentication.revocations.store.namespace", Kind::Name, "default", "Separates installations that share a server: a part of the names of all keys and of the channel."),
    key("authentication.revocations.store.username", Kind::Text, "", "The name of the ACL user. Default: the server's default user.").example("metagate"),
    key("authentication.revocations.store.password", Kind::Secret, "", "The password.").example("${REDIS_PASSWORD}"),
    key("authentication.revocations.store.passwordFile", Kind::Path, "", "A file that contains the password.").example("/run/secrets/redis/password"),
    key("authentication.revocations.store.sentinelPassword", Kind::Secret, "", "The password of the sentinels, if they have one.").example("${SENTINEL_PASSWORD}"),
    key("authentication.revocations.store.sentinelPasswordFile", Kind::Path, "", "A file that contains the password of the sentinels.").example("/run/secrets/redis/sentinel-password"),
    key("authentication.revocations.store.caFile", Kind::Path, "", "PEM file of authorities to trust for rediss://, in addition to the platform's.").example("/etc/ssl/corp.pem"),
    key("authentication.revocations.store.certFile", Kind::Path, "", "PEM file of the client certificate for rediss://.").example("/etc/metagate/redis/tls.crt"),
    key("authentication.revocations.store.keyFile", Kind::Path, "", "PEM file of the private key of that certificate.").example("/etc/metagate/redis/tls.key"),
    key("authentication.revocations.store.poll", Kind::Duration(Duration::from_millis(100), Duration::from_secs(3600)), "1s", "How often to ask the server whether the list has changed. Its messages announce most changes earlier, but may be lost."),
    key("authentication.revocations.store.maxStale", LONG, "", "For how long the last list is trusted while the server cannot be reached. After that metagate is not ready, and refuses tokens that no list revokes with 503 (revocations_unavailable). At least three times poll. Default: the last list stays in force. docs/revocation.md.").example("1h"),
    key("authentication.jwks.refreshInterval", LONG, "10m", "How often to fetch key sets whose responses have neither Cache-Control nor Expires."),
    key("authentication.jwks.unknownKeyCooldown", LONG, "30s", "Limits the fetches that tokens can cause by an unknown kid or a signature that does not verify: for each source at most 3 in a row, and on average one in this time."),
    key("authentication.jwks.timeout", WAIT, "5s", "The maximum time for one fetch."),
    key("authentication.jwks.maxStale", LONG, "24h", "How long keys stay in use while they cannot be fetched again."),
    key("authentication.jwks.maxBytes", Kind::Size(1024, 64 << 20), "512KiB", "The maximum size of a key set. A set that is sent as gzip is counted as what it becomes."),
    key("authentication.jwks.maxKeys", Kind::Integer(1, 1000), "100", "The maximum number of keys of one source. Of a larger set the first ones that can be used are kept, with a warning."),
    key("authentication.jwks.maxWait", TIME, "5s", "The maximum time a request waits while keys are missing, or for a fetch that its unknown key may cause."),
    key("authentication.jwks.cacheDir", Kind::Path, "", "A directory, used only by metagate, that keeps the last valid key sets over a restart, for at most maxStale.").example("/var/cache/metagate"),
    key("authentication.tokenCache.maxBytes", Kind::Size(0, 64 << 30), "32MiB", "The maximum memory for verified tokens. 0 turns the cache off."),
    key("authentication.tokenCache.maxTtl", TIME, "5m", "The maximum time a cached token is accepted without verifying it again."),

    key("authorization.mode", word::<Mode>(), "enforce", "enforce refuses requests. report only logs and counts what would be refused."),
    key("authorization.public", Kind::Routes, "[]", "Routes that need no token, evaluated before the backend's own: `METHOD[,METHOD] /path`, `*` is one segment, `**` the rest of the path. A token is ignored there, and no rule is evaluated. `metagate routes` lists all routes."),
    key("authorization.optional", Kind::Routes, "[]", "Routes where a token is verified only if there is one. They are evaluated before authorization.public: if both match, optional applies."),
    key("authorization.rules", Kind::Entries, "[]", "The first rule that matches decides. An authenticated request that no rule matches gets authorization.default.").example(samples::RULES),
    key("authorization.rules[].name", Kind::Name, "", "The rule's name in metrics and the audit log.").required(),
    key("authorization.rules[].match.methods", Kind::Methods, "", "The methods that the rule applies to. Default: all."),
    key("authorization.rules[].match.paths", Kind::PathPatterns, "", "The paths that the rule applies to. Default: all."),
    key("authorization.rules[].match.hosts", Kind::Texts, "", "The hosts that the rule applies to, without port. Default: all."),
    key("authorization.rules[].match.issuers", Kind::Texts, "", "The issuers that the rule applies to: the name of an entry or an iss that one binds; `public-keys` is the simple list. Default: all."),
    key("authorization.rules[].match.query", Kind::Claims, "", "Query parameters that a request must have, each with a list of values of which one must match, for example the action of a rest.li call. `*` stands for any run of characters."),
    key("authorization.rules[].match.graphql.operations", Kind::Words(OperationKind::WORDS), "", "The GraphQL operations that the rule applies to: query, mutation, subscription. Default: all."),
    key("authorization.rules[].match.graphql.fields", Kind::Texts, "", "The top-level fields of an operation that the rule applies to. `*` stands for any run of characters. Default: all."),
    key("authorization.rules[].match.graphql.unreadable", word::<Unreadable>(), "", "What to do if metagate cannot determine what a request's body asks for. deny refuses it; skip continues with the next rule. Default: deny."),
    key("authorization.rules[].require.anyRole", Kind::Texts, "", "At least one of these roles."),
    key("authorization.rules[].require.allRoles", Kind::Texts, "", "All of these roles."),
    key("authorization.rules[].require.anyScope", Kind::Texts, "", "At least one of these scopes."),
    key("authorization.rules[].require.allScopes", Kind::Texts, "", "All of these scopes."),
    key("authorization.rules[].require.tokenType", Kind::Texts, "", "One of these token classes."),
    key("authorization.rules[].require.principals", Kind::Texts, "", "A principal that matches one of these. `*` stands for any run of characters."),
    key("authorization.rules[].require.issuers", Kind::Texts, "", "One of these issuers: the name of an entry or an iss that one binds."),
    key("authorization.rules[].require.audiences", Kind::Texts, "", "One of these values in aud."),
    key("authorization.rules[].require.claims", Kind::Claims, "", "For each claim, written like rolesClaim, one of its values."),
    key("authorization.rules[].require.sourceIps", Kind::Networks, "", "A source address in one of these networks."),
    key("authorization.rules[].when", Kind::Expression, "", "A CEL expression over claims, request, token and graphql that must also be true. If its evaluation fails, the request is refused."),
    key("authorization.rules[].action", word::<Effect>(), "", "Instead of require: the decision for every request that matches."),
    key("authorization.rules[].mode", word::<Mode>(), "", "enforce or report, for this rule. Default: enforce."),
    key("authorization.default", word::<Effect>(), "allow", "The decision for an authenticated request that no rule matches."),
    key("authorization.tests", Kind::Entries, "[]", "Requests with their expected outcome. `metagate check` evaluates each of them completely, and exits with 1 if an outcome differs.").example(samples::TESTS),
    key("authorization.tests[].name", Kind::Text, "", "What the test shows.").required(),
    key("authorization.tests[].claims", Kind::Free, "", "The token's claims. If iss, aud, iat or exp is missing, a value that the issuer entry accepts is added. Without claims, the request has no token."),
    key("authorization.tests[].issuer", Kind::Name, "", "The name of the issuer entry whose key signs the token. Default: the entry for the iss of the claims, or the first one."),
    key("authorization.tests[].request", Kind::Text, "", "METHOD /path, as sent by the client.").required(),
    key("authorization.tests[].host", Kind::Text, "", "The request's Host. Default: localhost."),
    key("authorization.tests[].headers", Kind::Free, "", "More fields of the request, each with its value."),
    key("authorization.tests[].body", Kind::Body, "", "The request's body. A map is sent as JSON. Its type is application/json unless headers has another Content-Type."),
    key("authorization.tests[].sourceIp", Kind::Text, "", "The address that the request comes from. Default: 127.0.0.1."),
    key("authorization.tests[].expect", Kind::Expectation, "", "The expected outcome: allow, or the status of the refusal.").required(),
    key("authorization.tests[].rule", Kind::Name, "", "The name of the rule that must decide. Default: not checked."),

    key("identity.user", Kind::OptionalHeader, "X-Forwarded-User", "The field with the principal's name. off, false or null: none."),
    key("identity.email", Kind::OptionalHeader, "X-Forwarded-Email", "The field with the principal's email address, or off."),
    key("identity.groups", Kind::OptionalHeader, "X-Forwarded-Groups", "The field with the principal's roles, separated by commas, or off."),
    key("identity.groupsMaxBytes", Kind::Size(64, 64 << 10), "2KiB", "The maximum size of the field with the roles. Roles that do not fit are left out, and a second field, named like the first with -Truncated at its end, is true. Rules see all roles."),
    key("identity.headers", Kind::Claims, "", "Further fields, each with the claim that it carries, written like rolesClaim, or a list of claims of which the first that the token has is used. Other characters than printable ASCII, and %, are percent-encoded; numbers, lists and maps are JSON. A token whose value is longer than 1 KiB is refused.").example("{X-Tenant: tenant_id}"),
    key("identity.datahubActor", Kind::Bool, "false", "Whether to set X-DataHub-Actor (datahub-gms). Use it only if the GMS's own authentication is off: only then does GMS read the field, and it trusts every sender. The value is never datahub, __datahub_system or one of datahub.administrators."),

    key("openmetadata.issuer", Kind::Text, "open-metadata.org", "The iss of OpenMetadata's own tokens, which are exempt from the domain rule."),
    key("openmetadata.keyId", Kind::Text, PUBLISHED_KEY_ID, "The kid of OpenMetadata's own tokens.").example(PUBLISHED_KEY_ID),
    key("openmetadata.basePath", Kind::BasePath, "/", "The path that OpenMetadata is served under. It is put before OpenMetadata's public routes."),
    key("openmetadata.adminPrincipals", Kind::Texts, "[]", "OpenMetadata's administrators, as in its authorizerConfiguration. An entry of exchange names one of them only with privileged: true.").example("[admin]"),
    key("openmetadata.impersonation.bots", Kind::Texts, "[]", "Names of bots that may act as another user (X-Impersonate-User) with tokens of openmetadata.issuer, except on endpoints for credentials. Any other request with that field is refused."),

    key("datahub.systemClientId", Kind::Text, "__datahub_system", "The client id of DataHub's own services (datahub-gms). Their credential is accepted if systemClientSecret is set."),
    key("datahub.systemClientSecret", Kind::Secret, "", "The secret of DataHub's own services, at least 16 bytes.").example("${SYSTEM_CLIENT_SECRET}"),
    key("datahub.systemClientSecretFile", Kind::Path, "", "A file that contains this secret.").example("/run/secrets/datahub-system-client-secret"),
    key("datahub.frontendPeers", Kind::Networks, "[]", "Networks of DataHub's frontend (datahub-gms). GMS chooses the rate limit for browsers or for programs by X-DataHub-Request-Source. metagate trusts that field only from these peers; any other request with a token counts as a program's."),
    key("datahub.tokenServiceSigningKey", Kind::Secret, "", "DataHub's signing key, at least 32 bytes. Setting it creates the issuer entry `datahub` (HS256), which accepts personal access tokens and tokens of service accounts without exp.").example("${SIGNING_KEY}"),
    key("datahub.tokenServiceSigningKeyFile", Kind::Path, "", "A file that contains DataHub's signing key.").example("/run/secrets/datahub-signing-key"),
    key("datahub.tokenServiceIssuer", Kind::Text, "datahub-metadata-service", "The iss of DataHub's own tokens."),
    key("datahub.administrators", Kind::Texts, "[]", "More users that identity.datahubActor must never name, in addition to datahub and __datahub_system."),
    key("datahub.tokenServiceSalt", Kind::Secret, "", "The salt that DataHub appends to a token before hashing it. It is used for datahubTokenHash in a revocation list. No salt if not set.").example("${TOKEN_SALT}"),
    key("datahub.tokenServiceSaltFile", Kind::Path, "", "A file that contains this salt.").example("/run/secrets/datahub-token-salt"),

    key("mint.issuer", Kind::Text, "", "The iss of minted tokens. It must not be the issuer of any other token, because metagate refuses tokens with it.").example("https://metagate.example/backend"),
    key("mint.keyFiles", Kind::Texts, "[]", "PEM files with RSA private keys, made by `metagate mint init`. The first one signs tokens for OpenMetadata. All public keys are at /mint/jwks.json on the health listener, which must be one of OpenMetadata's publicKeyUrls.").example("[/etc/metagate/mint/1.pem]"),
    key("mint.datahub.signingKey", Kind::Secret, "", "DataHub's signing key, with which tokens for DataHub are minted. Default: datahub.tokenServiceSigningKey. Set it here if metagate should not accept DataHub's own tokens.").example("${SIGNING_KEY}"),
    key("mint.datahub.signingKeyFile", Kind::Path, "", "A file that contains DataHub's signing key.").example("/run/secrets/datahub-signing-key"),
    key("mint.datahub.tokenType", word::<DatahubTokenType>(), "serviceAccount", "The type of minted tokens. serviceAccount: known since DataHub 1.4. session: known to every version."),

    key("issuer.url", Kind::Text, "", "The iss of these tokens. It must not be the issuer of any other token.").example("https://metagate.example"),
    key("issuer.audience", Kind::Text, "", "The aud of these tokens.").example("metagate"),
    key("issuer.keyFiles", Kind::Texts, "", "PEM files with EC private keys (P-256), made by `metagate issuer init`. The first one signs, all of them verify. Only metagate needs the public keys: the backend must not have them.").example("[/etc/metagate/issuer/1.pem]"),
    key("issuer.tokenEndpoint.path", Kind::Text, "/oauth2/token", "The path of the token endpoint (RFC 8693) on the proxy's listener, below stripPrefix. A request for exactly this path is never forwarded. The endpoint is off unless an entry of exchange has tokenLifetime. docs/exchange.md."),
    key("issuer.tokenEndpoint.requestsPerMinute", Kind::Integer(1, 60_000), "60", "How many requests of one client network (an address, IPv6: a /64) the token endpoint answers in a minute. Others get 429 before anything is verified."),
    key("issuer.tokenEndpoint.burst", Kind::Integer(1, 1000), "20", "How many of them it answers at once."),

    key("issuer.bots.file", Kind::Path, "", "The allow-list of bots, which `metagate bot` writes and which is read again when it changes. It holds no secret. A bot's token that it does not have is refused (revoked); without a list that can be read, no bot is accepted. docs/bots.md.").example("/etc/metagate/bots/bots.yaml"),
    key("issuer.bots.store", Kind::Bool, "false", "Whether the allow-list is in the store of authentication.revocations.store, in place of file: `metagate bot` then changes it for all replicas at once. docs/bots.md."),

    key("exchange", Kind::Entries, "[]", "Verified identities of workloads that act as one user of the backend. The first entry that takes a token decides. The request is forwarded with a credential of that user in place of the client's token, and rules see that user, without roles. docs/exchange.md.").example(samples::EXCHANGE),
    key("exchange[].name", Kind::Name, "", "The entry's name in the audit log.").required(),
    key("exchange[].from.issuer", Kind::Name, "", "The name of the entry of authentication.issuers that verifies the tokens. It must have audiences of its own. Required, except with bots."),
    key("exchange[].from.bots", Kind::Texts, "", "Names of bots (issuer.bots), in place of issuer, subjects and claims."),
    key("exchange[].from.subjects", Kind::Texts, "", "The accepted values of sub, compared exactly. Default: any; then claims is required."),
    key("exchange[].from.claims", Kind::Free, "", "Claims that a token must have, each written like rolesClaim, with a list of accepted values. A value is compared with its JSON type: \"true\" in quotes is a text, true is a boolean. A claim that is a list must have one of them in it. A claim that is absent never matches."),
    key("exchange[].as.user", Kind::Text, "", "The name of the user, as the backend has it. It must exist there.").required(),
    key("exchange[].as.email", Kind::Text, "", "The email address that the backend has stored for the user. OpenMetadata looks for it if email is one of its principal claims."),
    key("exchange[].credential", word::<CredentialKind>(), "", "The credential with which the request is forwarded. mint: a token minted in the form that the backend accepts, with the keys of mint. mintOpenmetadata, mintDatahub: the same for this product, for backend generic. tokenFile: the token in tokenFile. Default: mint."),
    key("exchange[].tokenFile", Kind::Path, "", "A file that contains a token of the user. It is read again when it changes. While it has none, requests get 503."),
    key("exchange[].lifetime", LIFETIME, "", "How long a minted token lives, but never longer than the token that it replaces. A new one is minted when half of it is over. Default: 5m."),
    key("exchange[].tokenLifetime", TOKEN_LIFETIME, "", "Allows the token endpoint to exchange tokens that this entry takes for one of metagate's own that lives this long, also if the exchanged token ends before. Default: tokens of this entry are only exchanged in requests to the backend. It requires issuer."),
    key("exchange[].privileged", Kind::Bool, "", "Whether the user may be an administrator: admin, datahub, or one of openmetadata.adminPrincipals or datahub.administrators. Default: false. DataHub's system user is always refused."),

    key("resourceMetadata", Kind::Entries, "[]", "Protected resources (RFC 9728), so that clients such as those of MCP find out by themselves where to get a token. The documents are served at /.well-known/oauth-protected-resource without a token, and the challenges of refusals name them. docs/mcp.md.").example(samples::RESOURCE_METADATA),
    key("resourceMetadata[].resource", Kind::Url(HTTP), "", "The URL of the resource, exactly as users give it to their client: https://, without a query. It must be among the audiences of the entries in authorizationServers.").required(),
    key("resourceMetadata[].path", Kind::BasePath, "", "The path of its requests as they reach metagate: this path and all below it. Default: the path of resource."),
    key("resourceMetadata[].authorizationServers", Kind::Texts, "", "Where clients get a token: names of entries of authentication.issuers, or the URL of the issuer of one. Required, except for openmetadata, whose MCP server has an authorization server of its own and serves the documents itself."),
    key("resourceMetadata[].scopes", Kind::Texts, "", "The scopes that clients should ask for. They are not required of a token; a rule can require them."),
    key("resourceMetadata[].name", Kind::Text, "", "The name that clients show to people."),

    key("proxyProtocol", word::<ProxyProtocol>(), "off", "Whether each connection to listen must begin with a PROXY protocol header (version 1 or 2), sent by a peer in trustedProxies, or by any peer if that list is empty. With require, a connection without the header is closed."),
    key("trustedProxies", Kind::Proxies, "[]", "Peers whose X-Forwarded-* and PROXY protocol headers are trusted, for example 10.0.0.0/8. `unix` stands for peers on a socket file."),
    key("cors.allowOrigins", Kind::Texts, "[]", "The origins of web pages that may send requests and read the responses, each as a browser sends it: scheme, host, and a port unless it is the default. `https://*.corp.example` stands for all sub-domains; `\"*\"` alone for every origin. Empty: CORS is off, and the backend's own CORS fields are sent on. Otherwise they are replaced.").example("[https://app.corp.example]"),
    key("cors.allowMethods", Kind::Texts, "[GET, HEAD, POST, PUT, PATCH, DELETE]", "The methods that those pages may use."),
    key("cors.allowHeaders", Kind::Texts, "[Authorization, Content-Type]", "The request fields that those pages may set."),
    key("cors.exposeHeaders", Kind::Texts, "[WWW-Authenticate, X-Request-Id]", "The response fields that those pages may read."),
    key("cors.allowCredentials", Kind::Bool, "false", "Whether browsers send cookies and client certificates with requests of those pages. A bearer token does not need it. An error with `\"*\"`."),
    key("cors.maxAge", TIME, "10m", "How long a browser may keep the answer to a preflight."),
    key("limits.headerBytes", Kind::Size(8192, 16 << 20), "64KiB", "The maximum size of a request head."),
    key("limits.targetBytes", Kind::Size(1024, 60 << 10), "", "The maximum size of a request target, a part of the head. At most headerBytes. Default: 32KiB for DataHub, whose clients send long queries, otherwise 8KiB, but not more than headerBytes.").example("16KiB"),
    key("limits.headerCount", Kind::Integer(1, 10_000), "100", "The maximum number of fields in a request head."),
    key("limits.responseFields", Kind::Integer(1, 10_000), "1000", "The maximum number of fields in the head of a response of the backend. All of them together have at most 64KiB."),
    key("limits.headerReadTimeout", WAIT, "10s", "The maximum time to receive a request head."),
    key("limits.bodyBytes", Kind::Size(0, u64::MAX), "0", "The maximum size of a request body. 0 is no limit."),
    key("limits.graphqlBytes", Kind::Size(1024, 16 << 20), "64KiB", "How much of a request's body is read to evaluate rules about GraphQL. A longer body is unreadable for these rules."),
    key("limits.connections", Kind::Integer(1, 1_000_000), "10000", "The maximum number of open connections. At the limit idle connections are closed, first those that have not shown a verified token."),
    key("limits.connectionsPerClient", Kind::Integer(0, 1_000_000), "0", "The maximum number of open connections of one client address (IPv6: of one /64). 0 is half of limits.connections, but at least 16. Peers in trustedProxies are exempt."),
    key("limits.requests", Kind::Integer(1, 1_000_000), "10000", "The maximum number of requests in flight over all connections. A request that metagate answers itself no longer counts once its response is decided."),
    key("limits.requestsPerClient", Kind::Integer(0, 1_000_000), "0", "The maximum number of requests in flight of one client address. For peers in trustedProxies it is the address that they name. 0 is half of limits.requests, but at least 16."),
    key("limits.memory", Kind::AutoSize(64 << 20, 1 << 40), "auto", "The maximum memory of the process. auto is four fifths of the container's limit or, without a limit, a quarter of the machine's memory and at most 1GiB."),
    key("limits.unverifiedTimeout", WAIT, "15s", "How long a connection that has not shown a verified token may be idle between requests, pause within a body, or leave a response unread."),
    key("limits.discardBytes", Kind::Size(0, 1 << 40), "64MiB", "How much of the body of a refused request is read and discarded, so that the client can read the response."),
    key("limits.discardTimeout", TIME, "30s", "The maximum time for discarding the body of a refused request."),
    key("limits.concurrentStreams", Kind::Integer(0, 10_000), "100", "The maximum number of concurrent requests on one HTTP/2 connection. 0 turns HTTP/2 off for clients."),
    key("limits.tokenBytes", Kind::Size(256, 1 << 20), "16KiB", "The maximum size of a token."),
    key("limits.failures.rate", Kind::Rate, "5/s", "How many tokens that are not genuine (malformed_token, algorithm_not_allowed, untrusted_issuer, unknown_key, invalid_signature) a client network may send, after burst. While it sends more, its tokens that are not in the cache get 429, before anything of them is parsed. off: no limit. docs/limits.md."),
    key("limits.failures.burst", Kind::Integer(1, 1_000_000), "100", "How many such tokens a client network may send at once."),
    key("limits.failures.ipv4Prefix", Kind::Integer(1, 32), "32", "How many bits of an IPv4 address make a client network."),
    key("limits.failures.ipv6Prefix", Kind::Integer(1, 128), "64", "How many bits of an IPv6 address make a client network."),
    key("limits.principal.rate", Kind::Rate, "off", "How many requests with a verified token a principal may send, after burst. Beyond that it gets 429 with the time to wait. OpenMetadata's Python client then does not use that path for a minute.").example("50/s"),
    key("limits.principal.burst", Kind::Integer(1, 1_000_000), "100", "How many such requests a principal may send at once."),
    key("shutdown.delay", TIME, "0s", "How long to keep accepting connections after readiness has failed, because load balancers notice with a delay. From its start, clients are told to reconnect elsewhere: Connection: close, and over HTTP/2 GOAWAY."),
    key("shutdown.drainTimeout", TIME, "30s", "The maximum time for running requests to finish, after delay. Idle connections are closed after its first second."),
    key("audit.output", Kind::Text, "stdout", "Where the audit records go: stdout, or the path of a file, which is opened again on SIGHUP, for logrotate. On a terminal stdout has one readable line for each request."),
    key("audit.include", Kind::Words(AuditedDecision::WORDS), "[allow, public, preflight, deny, would_deny, error]", "The decisions whose requests are recorded. Metrics count all of them."),
    key("audit.signals", Kind::Bool, "true", "Whether requests are marked that are unusual for a bot or another program, like those from a new network (`signals` in the record)."),
    key("check.accept", Kind::Findings, "[]", "Ids of warnings to accept: `metagate check` and the log leave them out. An id is in brackets in the output of `metagate check`; docs/reference.md lists all of them."),
    key("log.level", Kind::Text, "info", "error, warn, info, debug, trace, or directives of the form target=level."),
    key("log.format", word::<LogFormat>(), "json", "json: one JSON object per line. text: lines for people."),
];
