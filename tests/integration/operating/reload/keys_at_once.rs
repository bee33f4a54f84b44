//! What an operator reloads for is often a new key.

use super::*;

#[test]
fn a_reload_that_is_asked_for_fetches_the_keys_at_once() {
    let stage = Reloaded::start("");
    let ask = |key| stage.gateway.get_as(&Token::user().signed("RS256", key), "/x").status;
    assert_eq!(ask(keys::rsa()), 200);
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    assert_eq!(stage.reload().0, 200);
    assert_eq!(ask(keys::rsa()), 401, "a key that was removed");
    assert_eq!(ask(keys::other_rsa()), 200);
    // Also if the configuration is not good.
    stage.issuer.publish(JWKS, &[keys::rsa().jwk()]);
    stage.write("nonsense: 1");
    assert_eq!(stage.reload().0, 400);
    assert_eq!(ask(keys::other_rsa()), 401);
    assert_eq!(ask(keys::rsa()), 200);
}

#[test]
fn a_reload_fetches_each_source_once() {
    let stage = Reloaded::start("");
    stage.issuer.publish("/more", &[keys::other_rsa().jwk()]);
    let more = stage.issuer.url("/more");
    let text = document(&stage.upstream, &stage.issuer, "");
    stage.write_whole(&text.replace("publicKeyUrls: [", &format!("publicKeyUrls: [\"{more}\", ")));
    assert_eq!(stage.reload().0, 200);
    assert_eq!((stage.issuer.hits(JWKS), stage.issuer.hits("/more")), (2, 1));
}
