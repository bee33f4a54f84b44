//! The parsed values of settings.

use std::time::Duration;

use super::*;
use crate::backend::Backend;
use crate::claims::{NonExpiring, PrincipalStyle, RolesClaim};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::policy::{Effect, Mode, Place, RouteRow, RouteTable, Verdict};

fn warnings(loaded: &Loaded) -> Vec<&str> {
    loaded.warnings.iter().map(|finding| finding.path.as_str()).collect()
}

#[test]
fn two_variables_are_a_working_proxy() {
    let loaded = environment(&[KEYS_URL, UPSTREAM]).loaded();
    assert_eq!(warnings(&loaded), ["authentication.publicKeyUrls"]);
    let Config { workers, backend, tls, upstream, trust, jwks, token_cache, limits, shutdown, log, .. } =
        &loaded.config;
    assert!(*workers >= 1 && tls.is_none());
    assert_eq!(*backend, Backend::Generic);
    assert_eq!(upstream.authorization, UpstreamAuthorization::Forward);
    assert_eq!((trust.len(), &*trust[0].name, trust[0].optional), (1, "public-keys", false));
    assert_eq!(trust[0].algorithms, AlgorithmSet::asymmetric());
    assert_eq!(trust[0].rules.non_expiring, NonExpiring::Bots);
    assert_eq!(jwks.refresh_interval, Duration::from_secs(600));
    assert_eq!((jwks.max_bytes, token_cache.max_bytes), (512 * 1024, 32 * 1024 * 1024));
    assert_eq!((limits.header_bytes, limits.token_bytes, limits.body_bytes), (65_536, 16_384, 0));
    assert_eq!((limits.target_bytes, upstream.response_fields), (8192, 1000));
    assert_eq!((shutdown.delay, shutdown.drain_timeout), (Duration::ZERO, Duration::from_secs(30)));
    assert_eq!((&*log.level, log.format), ("info", LogFormat::Json));
}

#[test]
fn an_entry_inherits_what_it_does_not_set() {
    let text = "
authentication:
  publicKeyUrls: [https://simple.example/jwks]
  audiences: [app]
  algorithms: [RS256, ES256]
  allowNonExpiring: none
  maxLifetime: 1h
  leeway: 5s
  principalClaims: [upn]
  principalClaimsMapping: [username:u, email:e]
  rolesClaim: groups
  caFile: /ca
  proxy: http://proxy:3128
  issuers:
    - {name: heir, issuer: [https://a.example, b], publicKeyUrls: 'https://a.example/jwks', audiences: app}
    - name: own
      issuer: https://own.example
      audiences: [x, y]
      algorithms: RS512
      allowNonExpiring: any
      maxLifetime: 2h
      leeway: 0s
      principalClaims: [sub]
      rolesClaim: realm_access.roles
      caFile: /own
      proxy: http://own:3128
      optional: true
";
    let config = file(text).with(&[UPSTREAM]).config();
    let [heir, own, simple] = &config.trust[..] else { panic!("{:?}", config.trust) };
    for entry in [heir, simple] {
        let rules = &entry.rules;
        assert_eq!(entry.algorithms.iter().collect::<Vec<_>>(), [Algorithm::RS256, Algorithm::ES256]);
        assert_eq!((rules.non_expiring, rules.leeway), (NonExpiring::None, Duration::from_secs(5)));
        assert_eq!(rules.max_lifetime, Some(Duration::from_secs(3600)));
        assert_eq!(rules.principal.claims, ["upn"].map(Box::from));
        assert_eq!(rules.principal.mapping.as_ref().unwrap().username.as_str(), "u");
        assert_eq!(rules.roles_claim, RolesClaim::new("groups"));
        assert_eq!(entry.ca_file.as_deref(), Some(std::path::Path::new("/ca")));
        assert_eq!(entry.proxy.as_ref().unwrap().as_str(), "http://proxy:3128/");
        assert_eq!((rules.audiences.len(), entry.optional), (1, false));
    }
    assert_eq!(heir.rules.issuers, ["https://a.example", "b"].map(Box::from));
    assert!(simple.rules.issuers.is_empty());
    assert_eq!(own.algorithms.iter().collect::<Vec<_>>(), [Algorithm::RS512]);
    assert_eq!((own.rules.non_expiring, own.rules.leeway), (NonExpiring::Any, Duration::ZERO));
    assert_eq!(own.rules.max_lifetime, Some(Duration::from_secs(7200)));
    assert_eq!(own.rules.principal.claims, ["sub"].map(Box::from));
    assert!(own.rules.principal.mapping.is_none(), "it would go before its own claims");
    assert_eq!(own.rules.roles_claim, RolesClaim::new("realm_access.roles"));
    assert_eq!(own.ca_file.as_deref(), Some(std::path::Path::new("/own")));
    assert_eq!(own.proxy.as_ref().unwrap().as_str(), "http://own:3128/");
    assert!(own.optional);
    assert!(matches!(&own.keys, KeySource::Discovery(url) if url.as_str() == "https://own.example/"));
}

#[test]
fn our_own_listener_is_read_from_the_upstream() {
    for (listen, url, read) in [
        (
            "0.0.0.0:8585",
            "http://localhost:8585/api/v1/system/config/jwks?x=1",
            "http://om:8587/api/v1/system/config/jwks?x=1",
        ),
        ("0.0.0.0:8585", "http://127.0.0.1:8585/jwks", "http://om:8587/jwks"),
        ("0.0.0.0:8585", "http://[::1]:8585/jwks", "http://om:8587/jwks"),
        ("[::]:80", "http://localhost/jwks", "http://om:8587/jwks"),
        ("10.1.2.3:8585", "http://10.1.2.3:8585/jwks", "http://om:8587/jwks"),
        ("10.1.2.3:8585", "http://localhost:8585/jwks", "http://localhost:8585/jwks"),
        ("10.1.2.3:8585", "http://127.0.0.1:8585/jwks", "http://127.0.0.1:8585/jwks"),
        ("0.0.0.0:8585", "http://localhost:8586/jwks", "http://localhost:8586/jwks"),
        ("0.0.0.0:8585", "http://openmetadata:8585/jwks", "http://openmetadata:8585/jwks"),
        ("0.0.0.0:8585", "http://localhost.example:8585/jwks", "http://localhost.example:8585/jwks"),
    ] {
        let variables = [
            ("METAGATE_LISTEN", listen),
            ("METAGATE_UPSTREAM__URL", "http://om:8587"),
            ("AUTHENTICATION_PUBLIC_KEYS", url),
        ];
        let loaded = environment(&variables).loaded();
        assert_eq!(urls(&loaded.config.trust[0]), [read], "{listen} {url}");
        let rewritten = url != read;
        let infos = loaded.infos.iter().filter(|info| info.contains("our own listener")).count();
        assert_eq!(infos, usize::from(rewritten), "{:?}", loaded.infos);
        assert_eq!(loaded.config.trust[0].optional, rewritten, "the upstream itself");
    }
    let variables = [
        ("METAGATE_LISTEN", "0.0.0.0:1"),
        ("METAGATE_UPSTREAM__URL", "https://om/base/"),
        ("AUTHENTICATION_PUBLIC_KEYS", "http://localhost:1/jwks"),
    ];
    assert_eq!(urls(&environment(&variables).config().trust[0]), ["https://om/base/jwks"]);
}

#[test]
fn keys_of_the_upstream_itself_are_optional() {
    for (upstream, url, optional) in [
        ("http://om:8585", "http://om:8585/jwks", true),
        ("http://127.0.0.1:8585", "http://localhost:8585/jwks", true),
        ("https://om", "https://om:443/jwks", true),
        ("http://om:8585", "http://om:8586/jwks", false),
        ("http://om:8585", "[http://om:8585/jwks, https://idp.example/jwks]", false),
        ("http://om:8585", "file:///jwks.json", false),
    ] {
        let variables = [("METAGATE_UPSTREAM__URL", upstream), ("AUTHENTICATION_PUBLIC_KEYS", url)];
        assert_eq!(environment(&variables).config().trust[0].optional, optional, "{upstream} {url}");
    }
    let text =
        "authentication: {issuers: [{name: a, issuer: a, publicKeyUrls: [http://om/jwks], optional: false}]}";
    assert!(!file(text).with(&[("METAGATE_UPSTREAM__URL", "http://om")]).config().trust[0].optional);
}

#[test]
fn weak_settings_are_warnings() {
    let text = "
backend: generic
authentication:
  publicKeyUrls: [http://idp.example/jwks, http://om:8585/jwks, http://om.ns.svc/jwks, http://om.ns.svc.cluster.local/jwks, 'http://[::1]/jwks', http://10.0.0.9/jwks]
  provider: gogle
  issuers:
    - {name: a, issuer: http://issuer.example}
    - {name: b, issuer: b, sharedSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u}
authorization: {mode: report, public: [/docs, GET /**], optional: [POST /**]}
identity: {datahubActor: true}
datahub: {systemClientSecret: q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8u, frontendPeers: [10.0.0.0/8]}
openmetadata: {keyId: Gb389a-9f76-gdjs-a92j-0242bk94356}
";
    let loaded = file(text).with(&[UPSTREAM]).loaded();
    let mut found = warnings(&loaded);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "authentication.issuers[0].audiences",
            "authentication.issuers[0].issuer",
            "authentication.provider",
            "authentication.publicKeyUrls",
            "authentication.publicKeyUrls",
            "authentication.publicKeyUrls",
            "authorization.mode",
            "authorization.optional",
            "authorization.public",
            "datahub.frontendPeers",
            "datahub.systemClientSecret",
            "identity.datahubActor",
            "openmetadata.keyId",
        ]
    );
    let shown = loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("http://idp.example/jwks is not encrypted"), "{shown}");
}

#[test]
fn the_backends_own_tokens_need_no_audience() {
    for (key_url, expected) in [
        ("https://10.0.0.1:8585/jwks", &[][..]),
        ("https://a.example/jwks", &["authentication.issuers[0].audiences"][..]),
    ] {
        let text =
            format!("authentication:\n  issuers: [{{name: a, issuer: a, publicKeyUrls: '{key_url}'}}]\n");
        assert_eq!(warnings(&file(&text).with(&[UPSTREAM]).loaded()), expected, "{key_url}");
    }
}

#[test]
fn audiences_without_a_simple_list_are_a_warning() {
    let text = "
authentication:
  audiences: [app]
  issuers: [{name: a, issuer: https://a.example, audiences: [app]}]
";
    assert_eq!(warnings(&file(text).with(&[UPSTREAM]).loaded()), ["authentication.audiences"]);
    assert!(warnings(&file(text).with(&[UPSTREAM, KEYS_URL]).loaded()).is_empty());
}

#[test]
fn a_careful_configuration_has_no_warnings() {
    let text = "
authentication:
  issuers:
    - {name: a, issuer: https://a.example, audiences: [app]}
";
    let loaded = file(text).with(&[UPSTREAM]).loaded();
    assert_eq!((warnings(&loaded).len(), loaded.infos.len()), (0, 0));
}

#[test]
fn rules_are_parsed() {
    let text = "
authorization:
  mode: enforce
  public: ['GET,PUT /docs/**', /open]
  optional: GET,HEAD /maybe
  default: deny
  rules:
    - name: all
      match: {methods: [GET, PUT], paths: ['/api/**'], hosts: h, issuers: [public-keys]}
      require:
        anyRole: [a]
        allRoles: [b, c]
        anyScope: 'd, with a comma'
        allScopes: e, f
        tokenType: [Bot]
        principals: ['svc-*']
        issuers: [public-keys]
        audiences: [h]
        claims: {realm.x: [1, true], y: z}
        sourceIps: [10.0.0.0/8, '::1']
      mode: report
    - {name: no, action: deny}
    - {name: yes, match: {paths: /x}, action: allow}
";
    let policy = file(text).with(&[KEYS_URL, UPSTREAM]).config().policy;
    assert_eq!((policy.mode, policy.default), (Mode::Enforce, Effect::Deny));
    let rows: Vec<_> =
        policy.routes.rows().iter().map(|row| (row.route.as_str(), row.pattern.to_string())).collect();
    assert_eq!(
        rows.iter().map(|(route, pattern)| (*route, pattern.as_str())).collect::<Vec<_>>(),
        [("optional", "GET,HEAD /maybe"), ("public", "GET,PUT /docs/**"), ("public", "/open")]
    );
    let [all, no, yes] = &policy.rules[..] else { panic!("{:?}", policy.rules) };
    assert_eq!((&*all.name, all.mode, no.mode), ("all", Mode::Report, Mode::Enforce));
    assert!(
        all.matching.methods.contain(&http::Method::PUT)
            && !all.matching.methods.contain(&http::Method::POST)
    );
    assert_eq!(
        (all.matching.paths[0].to_string(), &*all.matching.hosts[0], &*all.matching.issuers[0]),
        ("/api/**".into(), "h", "public-keys")
    );
    let Verdict::Require(require) = &all.verdict else { panic!("{all:?}") };
    assert_eq!(
        (require.any_role.len(), require.all_roles.len(), require.any_scope.len(), require.all_scopes.len()),
        (1, 2, 1, 2)
    );
    assert_eq!(
        (&*require.token_types[0], &*require.principals[0], &*require.issuers[0], &*require.audiences[0]),
        ("Bot", "svc-*", "public-keys", "h")
    );
    let claims: Vec<_> =
        require.claims.iter().map(|(path, values)| (path.as_str(), values.join(" "))).collect();
    assert_eq!(claims, [("realm.x", "1 true".to_owned()), ("y", "z".to_owned())]);
    assert_eq!(require.source_ips.len(), 2);
    assert!(matches!(no.verdict, Verdict::Deny));
    assert!(matches!(yes.verdict, Verdict::Allow));
}

#[test]
fn the_backends_public_routes_come_with_it() {
    for backend in Backend::ALL {
        let variables = [
            KEYS_URL,
            UPSTREAM,
            ("METAGATE_BACKEND", backend.as_str()),
            ("METAGATE_AUTHORIZATION__PUBLIC", "/mine"),
            ("BASE_PATH", "/base"),
        ];
        let config = environment(&variables).config();
        let base_path = if backend == Backend::OpenMetadata { "/base" } else { "" };
        let preset = RouteTable::preset(backend, &Place { base_path, ..Place::default() }).unwrap();
        let shown = |rows: &[RouteRow]| rows.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut expected = shown(preset.rows());
        let origin = "environment variable METAGATE_AUTHORIZATION__PUBLIC";
        expected.insert(0, format!("public /mine (authorization.public, {origin})"));
        assert_eq!(shown(config.policy.routes.rows()), expected);
        let style = &config.trust[0].rules.principal.style;
        assert_eq!(*style == PrincipalStyle::LocalPart, backend == Backend::OpenMetadata);
    }
}

#[test]
fn tls_on_both_sides() {
    let text = "
tls: {certFile: /c, keyFile: /k, clientCaFile: /ca, minVersion: 1.3}
upstream:
  url: https://up.example/base
  tls: {caFile: /uca, certFile: /uc, keyFile: /uk, minVersion: '1.3'}
  authorization: strip
";
    let config = file(text).with(&[KEYS_URL]).config();
    let tls = config.tls.unwrap();
    assert_eq!(
        (tls.cert_file, tls.key_file, tls.client_ca_file),
        ("/c".into(), "/k".into(), Some("/ca".into()))
    );
    assert_eq!((tls.min_version, config.upstream.tls.min_version), (TlsVersion::V13, TlsVersion::V13));
    assert_eq!(config.upstream.tls.identity, Some(("/uc".into(), "/uk".into())));
    assert_eq!(config.upstream.tls.ca_file, Some("/uca".into()));
    assert_eq!(config.upstream.authorization, UpstreamAuthorization::Strip);
}

#[test]
fn leeway_is_whole_seconds_up_to_five_minutes() {
    for (text, fine) in
        [("0s", true), ("300s", true), ("5m", true), ("301s", false), ("1500ms", false), ("1h", false)]
    {
        let case = environment(&[KEYS_URL, UPSTREAM, ("METAGATE_AUTHENTICATION__LEEWAY", text)]);
        assert_eq!(case.result().is_ok(), fine, "{text}");
    }
}

#[test]
fn proxy_protocol_is_off_or_required() {
    let config = |text: &str| file(text).with(&[KEYS_URL, UPSTREAM]).loaded();
    assert_eq!(config("proxyProtocol: off\n").config.proxy_protocol, ProxyProtocol::Off);
    let open = config("proxyProtocol: require\n");
    assert_eq!(open.config.proxy_protocol, ProxyProtocol::Require);
    assert!(warnings(&open).contains(&"proxyProtocol"), "anybody may name any address");
    let named = config("proxyProtocol: require\ntrustedProxies: [10.0.0.0/8]\n");
    assert_eq!(named.config.proxy_protocol, ProxyProtocol::Require);
    assert!(!warnings(&named).contains(&"proxyProtocol"));
    // `unix` is not a network, but is accepted.
    let unix = config("proxyProtocol: require\ntrustedProxies: [unix]\n");
    assert!(warnings(&unix).contains(&"proxyProtocol"));
    let both = config("proxyProtocol: require\ntrustedProxies: [unix, 10.0.0.0/8]\n");
    assert!(!warnings(&both).contains(&"proxyProtocol"));
    let errors = file("proxyProtocol: on\n").with(&[KEYS_URL, UPSTREAM]).errors();
    assert_error(&errors, "proxyProtocol @ 1:16");
}

#[test]
fn admin_hosts_are_names_without_scheme_and_port() {
    const HOSTS: &str = "METAGATE_ADMIN__HOSTS";
    let with = |hosts: &'static str| environment(&[KEYS_URL, UPSTREAM, (HOSTS, hosts)]);
    assert!(with("[]").config().admin_hosts.is_empty());
    let config = with("[metagate.corp.example, 10.0.0.7, Status.example]").config();
    assert_eq!(config.admin_hosts, ["metagate.corp.example", "10.0.0.7", "status.example"].map(Box::from));
    for wrong in ["https://a.example", "a.example:8687", "a b", "*.example", "a.example/x"] {
        let errors = with(wrong).errors();
        assert!(errors[0].contains("is not a host name"), "{wrong}: {errors:?}");
    }
}
