//! Requested reloads fetch the keys, because a new key is often the reason for a reload.

use super::*;

#[test]
fn requested_reload_fetches_the_keys_at_once() {
    let stage = Reloadable::start("");
    let ask = |key| stage.gateway.get_as(&Token::user().signed("RS256", key), "/x").status;
    assert_eq!(ask(keys::rsa()), 200);
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    assert_eq!(stage.reload().0, 200);
    assert_eq!(ask(keys::rsa()), 401, "a key that was removed");
    assert_eq!(ask(keys::other_rsa()), 200);
    // Even if the configuration is invalid.
    stage.issuer.publish(JWKS, &[keys::rsa().jwk()]);
    stage.write("nonsense: 1");
    assert_eq!(stage.reload().0, 400);
    assert_eq!(ask(keys::other_rsa()), 401);
    assert_eq!(ask(keys::rsa()), 200);
}

#[test]
fn reload_fetches_each_source_once() {
    let stage = Reloadable::start("");
    stage.issuer.publish("/more", &[keys::other_rsa().jwk()]);
    let more = stage.issuer.url("/more");
    let text = document(&stage.upstream, &stage.issuer, "");
    stage.write_whole(&text.replace("publicKeyUrls: [", &format!("publicKeyUrls: [\"{more}\", ")));
    assert_eq!(stage.reload().0, 200);
    assert_eq!((stage.issuer.hits(JWKS), stage.issuer.hits("/more")), (2, 1));
}
