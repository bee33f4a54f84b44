//! `${NAME}` in our own YAML, and placeholders that were not replaced.

use secrecy::ExposeSecret;

use super::*;
use crate::policy::Route;

const SIGNING_KEY: &str = "q3tEo0gHk1Yw: #'\"{[9sVb7nXcR5mZ2pLdJf8uA6";

#[test]
fn expressions_are_replaced_in_every_kind_of_value() {
    let text = r#"
listen: ${HOST:-127.0.0.1}:${PORT}
workers: ${WORKERS:-3}
backend: ${BACKEND:-${FALLBACK:-datahub-gms}}
upstream: {url: "${SCHEME:-http}://${UPSTREAM_HOST}:8080"}
authentication:
  leeway: "${LEEWAY}"
  requireTokenType: ${STRICT:-true}
  publicKeyUrls: ${KEYS}
  principalClaims: ["${CLAIM:-email}", sub]
  issuers:
    - name: ${NAME:-partner}
      issuer: ${ISSUER}
      sharedSecret: ${SIGNING_KEY}
      audiences: "${AUDIENCES}"
datahub: {systemClientSecret: "${SIGNING_KEY}"}
authorization:
  public: [ "GET ${PREFIX:-/docs}/**" ]
  rules:
    - name: by-claim
      match: {paths: ["${PREFIX:-/docs}/x"], query: {q: ["${NAME:-a}"]}}
      require: {claims: {tenant: ["${TENANT}"]}}
    - {name: by-expression, when: 'claims.tenant == "${TENANT}"', action: deny}
  tests:
    - name: t
      issuer: partner
      claims: {sub: a, isBot: "${BOT:-true}", tenant: "${TENANT}"}
      headers:
        x-number: ${NUMBER:-7}
      request: GET /y
      expect: 403
"#;
    let variables = [
        ("PORT", "7001"),
        ("UPSTREAM_HOST", "gms.example"),
        ("LEEWAY", "7s"),
        ("KEYS", "[https://a.example/x, https://b.example/y]"),
        ("ISSUER", "https://issuer.example/#x"),
        ("SIGNING_KEY", SIGNING_KEY),
        ("AUDIENCES", "[catalog, other]"),
        ("TENANT", "acme # 1"),
    ];
    let config = file(text).with(&variables).config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:7001");
    assert_eq!((config.workers, config.backend), (3, crate::backend::Backend::DataHubGms));
    assert_eq!(config.upstream.url.as_str(), "http://gms.example:8080/");
    let partner = &config.trust[0];
    assert_eq!(&*partner.name, "partner");
    assert_eq!(partner.rules.issuers, ["https://issuer.example/#x"].map(Box::<str>::from));
    assert_eq!(partner.rules.audiences, ["catalog", "other"].map(Box::from));
    assert_eq!((partner.rules.leeway.as_secs(), partner.rules.kinds.require_type), (7, true));
    assert_eq!(partner.rules.principal.claims, ["email", "sub"].map(Box::from));
    let KeySource::SharedSecret(secret) = &partner.keys else { panic!("{:?}", partner.keys) };
    assert_eq!(secret.expose_secret(), SIGNING_KEY.as_bytes(), "nothing in it is YAML");
    let system = config.datahub_system.as_ref().unwrap();
    assert_eq!(system.client_secret.expose_secret(), SIGNING_KEY.as_bytes());
    assert_eq!(urls(&config.trust[1]), ["https://a.example/x", "https://b.example/y"]);
    let first = &config.policy.routes.rows()[0];
    assert_eq!((first.route, first.pattern.to_string()), (Route::Public, "GET /docs/**".to_owned()));
    let test = format!("{:?}", config.rule_tests[0]);
    assert!(test.contains(r#""isBot": String("true")"#) && test.contains("acme # 1"), "{test}");
    assert!(test.contains(r#""x-number": "7""#), "{test}");
}

#[test]
fn an_expression_without_a_value_is_an_error_with_its_position() {
    let text = "upstream:\n  url: http://${UPSTREAM_HOST}:8080\nauthentication:\n  publicKeyUrls: [https://a.example, '${KEYS}']\n  \
                rolesClaim: ${A:?x}\n  leeway: ${LEEWAY\n  issuers:\n  - {name: a, issuer: a, sharedSecret: '${SIGNING_KEY}'}\nauthorization:\n  rules:\n  \
                - {name: r, match: {paths: '${PATHS:-}'}, action: deny}\ndatahub: {systemClientId: $(ID)}\n";
    let errors = file(text).with(&[("SIGNING_KEY", ""), ("LEEWAY", "1s")]).errors();
    assert_eq!(
        errors,
        [
            "upstream.url @ 2:8 | the environment variable UPSTREAM_HOST is not set",
            "authentication.publicKeyUrls @ 4:38 | the environment variable KEYS is not set",
            "authentication.rolesClaim @ 5:15 | `${...}` is neither ${NAME} nor ${NAME:-default}; write `$${` for a literal `${`",
            "authentication.leeway @ 6:11 | `${` has no `}`; write `$${` for a literal `${`",
            "authentication.issuers[0].sharedSecret @ 8:40 | the environment variable SIGNING_KEY is empty",
            "authorization.rules[0].match.paths @ 11:23 | has no value, so the rule would match more or require less; leave it out",
            "datahub.systemClientId @ 12:27 | has a `$(...)`, which is not replaced here",
        ]
    );
}

#[test]
fn a_value_that_turns_out_empty_opens_nothing() {
    let text = "authentication:\n  publicKeyUrls: [https://a.example]\n  audiences: ${AUDIENCES:-}\n";
    let errors = file(text).with(&[UPSTREAM]).errors();
    assert_eq!(errors, ["authentication.audiences @ 3:14 | is empty; write an empty list as []"]);
    let text = "tls: {certFile: /c, keyFile: /k, clientCaFile: '${CA}'}\n";
    let errors = file(text).with(&[UPSTREAM, KEYS_URL, ("CA", "")]).errors();
    assert_eq!(errors, ["tls.clientCaFile @ 1:48 | the environment variable CA is empty"]);
    let text = "tls: {certFile: /c, keyFile: /k, clientCaFile: '${CA:-}'}\n";
    let config = file(text).with(&[UPSTREAM, KEYS_URL]).config();
    assert_eq!(config.tls.unwrap().client_ca_file, None, "as it says");
}

#[test]
fn placeholders_in_the_environment_and_in_flags_are_errors() {
    for (name, value, path) in [
        ("METAGATE_UPSTREAM__URL", "http://$(OPENMETADATA_SERVICE_HOST):8585", "upstream.url"),
        ("METAGATE_AUTHENTICATION__AUDIENCES", "[a, ${CLIENT_ID}]", "authentication.audiences"),
        ("AUTHENTICATION_PUBLIC_KEYS", "[https://a.example/$(TENANT)]", "authentication.publicKeyUrls"),
        (
            "DATAHUB_TOKEN_SERVICE_SIGNING_KEY",
            "${SIGNING_KEY_OF_SOME_LENGTH:-}-and-more",
            "datahub.tokenServiceSigningKey",
        ),
        ("DATAHUB_SYSTEM_CLIENT_SECRET", "$(SYSTEM_CLIENT_SECRET_OF_DATAHUB)", "datahub.systemClientSecret"),
        ("JWT_ISSUER", "${JWT_ISSUER}", "openmetadata.issuer"),
    ] {
        let others = [UPSTREAM, KEYS_URL].into_iter().filter(|(other, _)| *other != name);
        let variables: Vec<_> = others.chain([(name, value)]).collect();
        let errors = environment(&variables).errors();
        let expected = format!("{path} @ {name} | has a placeholder in it that was not replaced");
        assert_eq!(errors, [expected], "{value}");
    }
    let signing_key = ("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", "$(SIGNING_KEY)");
    assert_eq!(environment(&[UPSTREAM, signing_key]).errors().len(), 1, "and nothing that follows from it");
    let flags = Flags { upstream: Some("http://$(HOST):1".to_owned()), ..Flags::default() };
    let errors = environment(&[KEYS_URL]).flags(flags).errors();
    assert_eq!(errors, ["upstream.url @ --upstream | has a placeholder in it that was not replaced"]);
    let errors = file("authentication: {audiences: ['${AUDIENCE}']}")
        .with(&[UPSTREAM, KEYS_URL, ("AUDIENCE", "$(CLIENT_ID)")])
        .errors();
    assert_eq!(
        errors,
        [
            "authentication.audiences @ 1:30 | the environment variable AUDIENCE has a placeholder in it that was not replaced"
        ]
    );
}

#[test]
fn errors_do_not_show_parts_of_a_secret_as_variable_names() {
    let text = "datahub: {tokenServiceSigningKey: 'q3tEo0gHk1Yw${hunter2}9sVb7nXcR5mZ2pLdJf8u'}";
    let errors = file(text).with(&[UPSTREAM]).result().unwrap_err();
    assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
    assert!(errors.to_string().contains("datahub.tokenServiceSigningKey: has a `${...}`"), "{errors}");
}

#[test]
fn printed_values_parse_to_the_same_values() {
    let text = "authentication: {rolesClaim: '$${roles}$$(x)$'}\nauthorization: {tests: [{name: '$${t}', claims: {'a': '$${b}'}, request: GET /, expect: allow}]}\n";
    let loaded = file(text).with(&[UPSTREAM, KEYS_URL]).loaded();
    let printed = print(&loaded);
    assert!(printed.contains(r#"rolesClaim: "$${roles}$$(x)$""#), "{printed}");
    let again = file(&printed).loaded();
    assert_eq!(print(&again).matches("$${").count(), 3, "{printed}");
    assert_eq!(loaded.config.rule_tests[0].name, again.config.rule_tests[0].name);
    assert_eq!(&*again.config.rule_tests[0].name, "${t}");
}
