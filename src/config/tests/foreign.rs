//! Files and environment variables of OpenMetadata and DataHub.

use super::*;
use crate::backend::Backend;
use crate::claims::{NonExpiring, PrincipalMapping, PrincipalStyle};
use crate::jose::{Algorithm, AlgorithmSet};

const GOOGLE: &str = "https://www.googleapis.com/oauth2/v3/certs";
const OWN: &str = "http://localhost:8585/api/v1/system/config/jwks";

/// As in OpenMetadata's documentation about bots.
#[test]
fn the_three_documented_forms() {
    let bare_metal = r#"
authenticationConfiguration:
  provider: "google"
  publicKeyUrls:
    -  "https://www.googleapis.com/oauth2/v3/certs"
    -  "http://localhost:8585/api/v1/system/config/jwks"
"#;
    let docker =
        "[https://www.googleapis.com/oauth2/v3/certs, http://localhost:8585/api/v1/system/config/jwks]";
    let kubernetes = r#"
openmetadata:
  config:
    authentication:
      publicKeys:
        -  "https://www.googleapis.com/oauth2/v3/certs"
        -  "http://localhost:8585/api/v1/system/config/jwks" 
"#;
    for case in [file(bare_metal), environment(&[("AUTHENTICATION_PUBLIC_KEYS", docker)]), file(kubernetes)] {
        assert_eq!(urls(&case.with(&[UPSTREAM]).config().trust[0]), [GOOGLE, OWN]);
    }
}

const YAML: &str = r#"
clusterName: ${OPENMETADATA_CLUSTER_NAME:-openmetadata}
basePath: ${BASE_PATH:-/}
server:
  rootPath: '/api/*'
  applicationConnectors:
    - type: http
      port: ${SERVER_PORT:-8585}
limits:
  enable: ${LIMITS_ENABLED:-false}
authorizerConfiguration:
  className: ${AUTHORIZER_CLASS_NAME:-org.openmetadata.service.security.DefaultAuthorizer}
  adminPrincipals: ${AUTHORIZER_ADMIN_PRINCIPALS:-[admin]}
  principalDomain: ${AUTHORIZER_PRINCIPAL_DOMAIN:-"open-metadata.org"}
  allowedDomains: ${AUTHORIZER_ALLOWED_DOMAINS:-[]}
  enforcePrincipalDomain: ${AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN:-false}
authenticationConfiguration:
  clientType: ${AUTHENTICATION_CLIENT_TYPE:-public}
  provider: ${AUTHENTICATION_PROVIDER:-basic}
  publicKeyUrls: ${AUTHENTICATION_PUBLIC_KEYS:-[http://localhost:8585/api/v1/system/config/jwks]}
  tokenValidationAlgorithm: ${AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM:-"RS256"}
  authority: ${AUTHENTICATION_AUTHORITY:-https://accounts.google.com}
  clientId: ${AUTHENTICATION_CLIENT_ID:-""}
  jwtPrincipalClaims: ${AUTHENTICATION_JWT_PRINCIPAL_CLAIMS:-[email,preferred_username,sub]}
  jwtPrincipalClaimsMapping: ${AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING:-[]}
  ldapConfiguration:
    host: ${AUTHENTICATION_LDAP_HOST:-}
jwtTokenConfiguration:
  rsapublicKeyFilePath: ${RSA_PUBLIC_KEY_FILE_PATH:-"./conf/public_key.der"}
  jwtissuer: ${JWT_ISSUER:-"open-metadata.org"}
  keyId: ${JWT_KEY_ID:-"Gb389a-9f76-gdjs-a92j-0242bk94356"}
spellings:
  spaced : ${SPACED:-true}
  empty: ${EMPTY:-}
  list: ${LIST:-["/*"]}
  commented: ${COMMENTED:-"no"} # one of "no", "yes"
  inside: jdbc:${SCHEME:-mysql}://${HOST:-localhost}/x?a=true&b=${B:-false}
  pattern: "%level [%d{ISO8601,UTC}] %msg%n"
  #unused: ${UNUSED:-""}
rdf:
  remoteEndpoint: ${RDF_ENDPOINT:-${FUSEKI_URL:-http://localhost:3030/openmetadata}}
"#;

#[test]
fn openmetadatas_own_yaml_with_its_defaults() {
    let loaded = file(YAML).with(&[UPSTREAM, ("METAGATE_BACKEND", "openmetadata")]).loaded();
    let entry = &loaded.config.trust[0];
    assert_eq!(urls(entry), [OWN]);
    assert_eq!(entry.algorithms, [Algorithm::RS256].into_iter().collect::<AlgorithmSet>());
    assert_eq!(entry.rules.principal.claims, ["email", "preferred_username", "sub"].map(Box::from));
    assert_eq!(entry.rules.principal.style, PrincipalStyle::LocalPart);
    assert!(entry.rules.domain.is_none());
    assert_eq!(
        loaded.infos,
        ["not read in OpenMetadata's YAML: clusterName, server, limits, spellings, rdf"]
    );
    assert!(
        loaded.warnings.iter().any(|finding| finding.path == "openmetadata.keyId"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn openmetadatas_own_yaml_with_its_environment() {
    let case = file(YAML).with(&[
        UPSTREAM,
        ("METAGATE_BACKEND", "openmetadata"),
        ("AUTHENTICATION_PUBLIC_KEYS", "[\"https://a.example/x\",\"https://b.example/y\"] # two"),
        ("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", "\"ES256\""),
        ("AUTHORIZER_ALLOWED_DOMAINS", "[\"acme.example\"]"),
        ("AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN", "\"true\""),
        ("JWT_ISSUER", "\"acme\""),
        ("JWT_KEY_ID", "7"),
        ("BASE_PATH", "\"/catalog/\""),
    ]);
    let config = case.config();
    assert_eq!(urls(&config.trust[0]), ["https://a.example/x", "https://b.example/y"]);
    assert_eq!(config.trust[0].algorithms, [Algorithm::ES256].into_iter().collect::<AlgorithmSet>());
    let domain = config.trust[0].rules.domain.as_ref().unwrap();
    assert_eq!((&*domain.principal_domain, &*domain.allowed[0]), ("open-metadata.org", "acme.example"));
    assert_eq!((&*domain.own_issuer, &*domain.own_key_id), ("acme", "7"));
    let routes = config.policy.routes.rows().iter();
    let open: Vec<_> = routes
        .filter(|row| row.route != crate::policy::Route::Protected)
        .map(|row| row.pattern.to_string())
        .collect();
    assert!(open.contains(&"GET /catalog/api/v1/system/config/jwks".to_owned()), "{open:?}");
    assert!(open.iter().all(|route| route.contains(" /catalog/")), "{open:?}");
}

#[test]
fn nested_defaults_are_read_inside_the_blocks() {
    let text = "authenticationConfiguration:\n  publicKeyUrls: ${A:-${B:-[https://x.example/a]}}\n";
    assert_eq!(urls(&file(text).with(&[UPSTREAM]).config().trust[0]), ["https://x.example/a"]);
    let set = file(text).with(&[UPSTREAM, ("B", "'[https://b.example/a, http://[::1]:1/b]'")]).config();
    assert_eq!(urls(&set.trust[0]), ["https://b.example/a", "http://[::1]:1/b"]);
}

#[test]
fn an_expression_without_a_value_is_an_error_only_if_it_is_read() {
    let text = "authenticationConfiguration:\n  clientId: ${NOT_SET}\n  publicKeyUrls: [https://a.example, \"${KEYS}\"]\n";
    let errors = file(text).with(&[UPSTREAM]).errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_error(&errors, "authentication.publicKeyUrls @ 3:38 | has a `${...}` that was not replaced");
}

#[test]
fn positions_are_those_of_the_original_file() {
    let text = "x: ${X:-1}\nauthenticationConfiguration:\n  publicKeyUrls: ${A:-[https://a.example]}\n  {\n";
    let errors = file(text).with(&[UPSTREAM, ("X", "a much longer text")]).errors();
    assert!(errors[0].starts_with(" @ 4:"), "{errors:#?}");
    let text = "authorizerConfiguration: {a: \"${X:-1}\", enforcePrincipalDomain: maybe}\n";
    let errors = file(text).with(&[UPSTREAM, KEYS_URL, ("X", "a much longer text")]).errors();
    assert_eq!(
        errors,
        ["authentication.enforcePrincipalDomain @ 1:65 | \"maybe\" is neither true nor false"]
    );
}

#[test]
fn expressions_are_replaced_in_helm_values_too() {
    let text = "openmetadata:\n  config:\n    authentication: {provider: basic, publicKeys: \"${KEYS}\"}\n    jwtTokenConfiguration: \
                {jwtissuer: \"${ISS:-acme}\"}\nextraEnvs: [{name: X, value: \"${OTHER}\"}]\n";
    let keys = ("KEYS", "[https://a.example/x, https://b.example/y]");
    let config = file(text).with(&[UPSTREAM, keys]).config();
    assert_eq!(urls(&config.trust[0]), ["https://a.example/x", "https://b.example/y"]);
    let errors = file(text).with(&[UPSTREAM]).errors();
    assert_error(&errors, "authentication.publicKeyUrls @ 3:51 | the environment variable KEYS is not set");
    assert_eq!(errors.len(), 1, "{errors:#?}");
}

#[test]
fn a_placeholder_in_a_variable_is_an_error_if_it_is_read() {
    let text = "authenticationConfiguration:\n  clientId: ${A:-x}\n  publicKeyUrls: ${B}\n  jwtPrincipalClaims: [\"$${x}\"]\n";
    let good = ("B", "[https://a.example]");
    let config = file(text).with(&[UPSTREAM, ("A", "${NOT_READ}"), good]).config();
    assert_eq!(config.trust[0].rules.principal.claims[0].as_str(), "${x}", "an escaped one is text");
    for value in
        ["['https://a.example/${TENANT}']", "[https://a.example/$(TENANT)]", "$(KEYS)", "\"${KEYS}\""]
    {
        let errors = file(text).with(&[UPSTREAM, ("B", value), ("TENANT", "t")]).errors();
        assert_error(&errors, "authentication.publicKeyUrls @ 3:18 | has a `$");
        assert_eq!(errors.len(), 1, "{value}: {errors:#?}");
    }
    let broken = file(text).with(&[UPSTREAM, ("B", "[https://a.example/${TENANT}]")]).result().unwrap_err();
    assert!(
        broken.to_string().contains("help: a `${...}` that was not replaced may be the cause"),
        "{broken}"
    );
}

#[test]
fn typos_in_foreign_files_are_errors() {
    let text = "authenticationConfiguration:\n  publicKeyUrl: [https://a.example]\n  jwtPrincipalClaim: [sub]\n  clientId: x\n\
                upstram: {url: 'http://up'}\njwtTokenConfiguration: [x]\n";
    let errors = file(text).with(&[KEYS_URL]).errors();
    for expected in [
        "authenticationConfiguration.publicKeyUrl @ 2:3 | unknown key; did you mean `publicKeyUrls`?",
        "authenticationConfiguration.jwtPrincipalClaim @ 3:3 | unknown key; did you mean `jwtPrincipalClaims`?",
        "upstram @ 5:1 | unknown key; did you mean `upstream`?",
        "jwtTokenConfiguration @ 6:24 | is a list, not a map",
    ] {
        assert_error(&errors, expected);
    }
    let errors = file("openmetadata:\n  config:\n    authentication: {publicKeyUrls: [https://a.example]}\n")
        .with(&[UPSTREAM])
        .errors();
    assert_error(
        &errors,
        "openmetadata.config.authentication.publicKeyUrls @ 3:22 | unknown key; did you mean `publicKeys`?",
    );
}

#[test]
fn helm_values() {
    let text = r#"
replicaCount: 1
openmetadata:
  config:
    logLevel: INFO
    authorizer:
      enabled: true
      initialAdmins: [admin]
      principalDomain: "acme.example"
      allowedDomains: []
      enforcePrincipalDomain: true
    authentication:
      enabled: true
      provider: "okta"
      publicKeys: ["https://acme.okta.com/keys"]
      jwtPrincipalClaims: ["email"]
      jwtPrincipalClaimsMapping:
      - username:sub
      - email:email
    jwtTokenConfiguration:
      jwtissuer: "acme"
      keyId: ""
sidecars: []
tls: {}
"#;
    let config = file(text).with(&[UPSTREAM]).config();
    let rules = &config.trust[0].rules;
    assert_eq!(urls(&config.trust[0]), ["https://acme.okta.com/keys"]);
    assert_eq!(rules.principal.claims, ["email"].map(Box::from));
    let mapping = PrincipalMapping { username: "sub".into(), email: "email".into() };
    assert_eq!(rules.principal.mapping, Some(mapping));
    let domain = rules.domain.as_ref().unwrap();
    assert_eq!((&*domain.principal_domain, &*domain.own_issuer), ("acme.example", "acme"));
    assert_eq!(&*domain.own_key_id, "Gb389a-9f76-gdjs-a92j-0242bk94356", "an empty value is none");
    assert_eq!(config.trust[0].algorithms, AlgorithmSet::asymmetric());
}

#[test]
fn empty_and_quoted_values_as_the_chart_renders_them() {
    let config = environment(&[
        UPSTREAM,
        ("AUTHENTICATION_PUBLIC_KEYS", "[\"https://www.googleapis.com/oauth2/v3/certs\",\"http://localhost:8585/api/v1/system/config/jwks\"]"),
        ("AUTHENTICATION_PROVIDER", "\"basic\""),
        ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS", "[\"email\",\"sub\"]"),
        ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING", "[]"),
        ("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", ""),
        ("AUTHORIZER_PRINCIPAL_DOMAIN", "\"\""),
        ("AUTHORIZER_ALLOWED_DOMAINS", " "),
        ("AUTHORIZER_ENFORCE_PRINCIPAL_DOMAIN", "\"false\""),
        ("JWT_ISSUER", "\"open-metadata.org\""),
        ("JWT_KEY_ID", "''"),
    ])
    .config();
    assert_eq!(urls(&config.trust[0]), [GOOGLE, OWN]);
    assert_eq!(config.trust[0].rules.principal.claims, ["email", "sub"].map(Box::from));
    assert_eq!(config.trust[0].algorithms, AlgorithmSet::asymmetric());
}

#[test]
fn token_validation_algorithm_restricts_only_the_simple_list() {
    let text = "authentication: {issuers: [{name: a, issuer: https://a.example}]}";
    let case = file(text).with(&[UPSTREAM, KEYS_URL, ("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", "RS512")]);
    let config = case.config();
    assert_eq!(config.trust[0].algorithms, AlgorithmSet::asymmetric());
    assert_eq!(config.trust[1].algorithms, [Algorithm::RS512].into_iter().collect::<AlgorithmSet>());
    for algorithm in ["ES521", "HS256", "none", "RS256,RS384"] {
        let variables = [UPSTREAM, KEYS_URL, ("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", algorithm)];
        let errors = environment(&variables).errors();
        assert_error(
            &errors,
            "authentication.tokenValidationAlgorithm @ AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM | ",
        );
    }
    let errors = file("authentication: {algorithms: [ES256], tokenValidationAlgorithm: RS256}")
        .with(&[UPSTREAM, KEYS_URL])
        .errors();
    assert_error(
        &errors,
        "authentication.tokenValidationAlgorithm @ 1:65 | RS256 is not in authentication.algorithms",
    );
}

#[test]
fn a_mapping_needs_exactly_username_and_email() {
    for (mapping, message) in [
        ("[username:sub]", "needs both username and email"),
        ("[username:sub, email:email, name:x]", "item 3: \"name:x\" is neither"),
        ("[username:sub, username:x]", "item 2: `username` needs one claim, given once"),
        ("[username:, email:x]", "item 1: `username` needs one claim"),
        ("[username]", "item 1: \"username\" is neither"),
    ] {
        let variables = [UPSTREAM, KEYS_URL, ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING", mapping)];
        let name = "authentication.principalClaimsMapping @ AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING | ";
        assert_error(&environment(&variables).errors(), &format!("{name}{message}"));
    }
    for mapping in [
        "[username:sub, email:mail]",
        "username:sub,email:mail",
        "['username: sub', 'email: mail']",
        "[username: sub, email: mail]",
    ] {
        let variables = [UPSTREAM, KEYS_URL, ("AUTHENTICATION_JWT_PRINCIPAL_CLAIMS_MAPPING", mapping)];
        let config = environment(&variables).config();
        let expected = PrincipalMapping { username: "sub".into(), email: "mail".into() };
        assert_eq!(config.trust[0].rules.principal.mapping, Some(expected), "{mapping}");
    }
}

#[test]
fn variables_of_datahub() {
    let key = "signing-key-with-at-least-32-bytes-in-it";
    let config = environment(&[
        UPSTREAM,
        ("METAGATE_BACKEND", "datahub-gms"),
        ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", key),
        ("DATAHUB_SYSTEM_CLIENT_SECRET", "q3tEo0gHk1Yw9sVb7nXcR5mZ"),
    ])
    .config();
    let entry = &config.trust[0];
    assert_eq!((config.trust.len(), &*entry.name), (1, "datahub"));
    assert_eq!(entry.algorithms, [Algorithm::HS256].into_iter().collect::<AlgorithmSet>());
    assert_eq!(entry.rules.issuers, ["datahub-metadata-service"].map(Box::from));
    assert_eq!(entry.rules.principal.claims, ["actorId", "sub"].map(Box::from));
    assert_eq!(entry.rules.non_expiring, NonExpiring::AccessTokens);
    assert_eq!(config.backend, Backend::DataHubGms);
    assert_eq!(&*config.datahub_system.unwrap().client_id, "__datahub_system");

    let variables = [
        UPSTREAM,
        ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", key),
        ("DATAHUB_TOKEN_SERVICE_ISSUER", "\"mine\""),
        ("DATAHUB_SYSTEM_CLIENT_ID", "x"),
    ];
    let config = environment(&variables).config();
    assert_eq!(config.trust[0].rules.issuers, ["mine"].map(Box::from));
    assert!(config.datahub_system.is_none(), "no secret, no credential");
    let errors = environment(&[UPSTREAM, ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "WnEdIeTG")]).errors();
    assert_error(
        &errors,
        "datahub.tokenServiceSigningKey @ DATAHUB_TOKEN_SERVICE_SIGNING_KEY | the secret is shorter than 32 bytes",
    );
}
