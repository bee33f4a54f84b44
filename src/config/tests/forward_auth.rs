//! The listener where other proxies ask for decisions.

use super::*;
use crate::request::ForwardAuthDialect;

const TARGET: (&str, &str) = ("METAGATE_FORWARD_AUTH__TARGET", "forwarded");
const LISTEN: (&str, &str) = ("METAGATE_FORWARD_AUTH__LISTEN", "127.0.0.1:8688");

fn with(variables: &[(&str, &str)]) -> Case {
    environment(&[KEYS_URL, UPSTREAM]).with(variables)
}

#[test]
fn forward_auth_is_off_by_default() {
    assert!(with(&[]).config().forward_auth.is_none());
    let given = with(&[LISTEN, TARGET]).config().forward_auth.unwrap();
    assert_eq!(given.listen, ([127, 0, 0, 1], 8688).into());
    assert_eq!(given.target, ForwardAuthDialect::Forwarded);
}

#[test]
fn each_dialect_has_its_word() {
    for (word, form) in [
        ("forwarded", ForwardAuthDialect::Forwarded),
        ("original", ForwardAuthDialect::Original),
        ("request", ForwardAuthDialect::Request),
    ] {
        let case = with(&[LISTEN, ("METAGATE_FORWARD_AUTH__TARGET", word)]);
        assert_eq!(case.config().forward_auth.unwrap().target, form);
    }
    let errors = with(&[LISTEN, ("METAGATE_FORWARD_AUTH__TARGET", "auto")]).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_error(&errors, "forwardAuth.target @ METAGATE_FORWARD_AUTH__TARGET | \"auto\" is not accepted");
}

#[test]
fn listen_and_target_require_each_other() {
    let errors = with(&[LISTEN]).errors();
    assert_error(&errors, "forwardAuth.target @ - | is missing");
    let errors = with(&[TARGET]).errors();
    assert_error(&errors, "forwardAuth.listen @ - | is missing");
}

#[test]
fn the_address_must_differ_from_other_listeners() {
    for (port, other) in [("8685", "data"), ("8686", "health"), ("8687", "admin")] {
        let address = format!("127.0.0.1:{port}");
        let errors = with(&[TARGET, ("METAGATE_FORWARD_AUTH__LISTEN", &address)]).errors();
        let start = format!(
            "forwardAuth.listen @ METAGATE_FORWARD_AUTH__LISTEN | {address} is already the address of the {other}"
        );
        assert_error(&errors, &start);
    }
}

#[test]
fn envoy_without_trusted_proxies_is_a_warning() {
    let envoy = ("METAGATE_FORWARD_AUTH__TARGET", "request");
    let warned = |case: Case| case.loaded().warnings.iter().any(|w| w.path == "forwardAuth.target");
    assert!(warned(with(&[LISTEN, envoy])));
    assert!(!warned(with(&[LISTEN, envoy, ("METAGATE_TRUSTED_PROXIES", "10.0.0.1")])));
    assert!(!warned(with(&[LISTEN, TARGET])));
}
