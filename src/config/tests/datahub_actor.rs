//! `identity.datahubActor` and `upstream.authorization` with DataHub.

use super::*;

fn of_gms(rest: &str) -> Case {
    file(&format!("backend: datahub-gms\n{rest}")).with(&[KEYS_URL, UPSTREAM])
}

#[test]
fn datahubs_credential_does_not_replace_a_token() {
    for case in [
        of_gms(
            "upstream: {authorization: datahubSystem}\ndatahub: {systemClientSecret: JohnSnow-and-more}\n",
        ),
        of_gms(
            "upstream: {authorization: datahubSystem}\nforwardAuth: {listen: 127.0.0.1:8688, target: original}\n",
        ),
    ] {
        let errors = case.errors();
        let error = "upstream.authorization @ 2:27 | `datahubSystem` would make every verified caller DataHub's \
                     system user: with authentication on, GMS ignores the actor if that credential is \
                     present; write `forward`";
        assert_error(&errors, error);
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
    let errors = of_gms("upstream: {authorization: forwards}\n").errors();
    assert_error(
        &errors,
        "upstream.authorization @ 2:27 | \"forwards\" is not accepted; write one of: forward, strip",
    );
}

#[test]
fn an_actor_is_never_an_administrator() {
    let reserved = |rest: &str| of_gms(rest).config().policy.reserved_actors;
    assert!(reserved("").is_empty(), "GMS verifies tokens itself");
    assert_eq!(reserved("identity: {datahubActor: true}"), ["__datahub_system", "datahub"].map(Box::from));
    let more = "identity: {datahubActor: true}\ndatahub: {administrators: [Root, ada@example.org], systemClientId: sys}";
    assert_eq!(
        reserved(more),
        ["__datahub_system", "ada@example.org", "datahub", "root", "sys"].map(Box::from)
    );
    // The field is set for every backend, so it may name no administrator of any.
    let generic = file("identity: {datahubActor: true}").with(&[KEYS_URL, UPSTREAM]).config();
    assert_eq!(generic.policy.reserved_actors, ["__datahub_system", "datahub"].map(Box::from));
    for spelled in ["true", "True", "TRUE"] {
        assert!(!reserved(&format!("identity: {{datahubActor: {spelled}}}")).is_empty(), "{spelled}");
    }
}

#[test]
fn the_actor_field_is_a_warning() {
    let found = |case: &Case, path: &str, text: &str| {
        case.loaded().warnings.iter().any(|found| found.path == path && found.message.contains(text))
    };
    let actor = "identity.datahubActor";
    assert!(found(&of_gms("identity: {datahubActor: true}"), actor, "authentication is off"));
    assert!(!found(&of_gms(""), actor, ""));
    let generic = file("identity: {datahubActor: true}").with(&[KEYS_URL, UPSTREAM]);
    assert!(found(&generic, actor, "authentication is off"));
    let administrators = of_gms("datahub: {administrators: [root]}");
    assert!(found(&administrators, "datahub.administrators", "without identity.datahubActor"));
}
