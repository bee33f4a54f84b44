//! Stored keys: a restart while the issuer is unavailable.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

fn with_cache(setup: Setup, directory: &tempfile::TempDir, issuer: &Issuer) -> Setup {
    setup
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .env("METAGATE_AUTHENTICATION__JWKS__CACHE_DIR", directory.path().display().to_string())
}

#[test]
fn restart_during_an_outage_serves_with_stored_keys() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let issuer = Issuer::of(keys::rsa());
    let upstream = Upstream::echo();
    let start = || -> Gateway {
        with_cache(Setup::run(), &directory, &issuer).env("METAGATE_UPSTREAM__URL", upstream.url()).start()
    };
    let gateway = start();
    gateway.wait_ready();
    let stored = eventually("the stored set", || {
        let mut files = directory.path().read_dir().expect("a directory").flatten();
        files.find(|file| file.path().extension().is_some_and(|extension| extension == "json"))
    });
    assert_eq!(stored.metadata().expect("its metadata").permissions().mode() & 0o777, 0o600);
    drop(gateway);

    issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    let gateway = start();
    assert_eq!(gateway.probe("/readyz").status, 200, "ready although nothing was fetched");
    assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200);
    assert!(
        gateway
            .logs()
            .iter()
            .any(|log| text(log, "message") == Some("using stored keys until they are fetched"))
    );

    // The commands show what would be loaded at startup, and do not change it.
    let before = std::fs::read(stored.path()).expect("the stored set");
    let shown = with_cache(Setup::command(&["keys"]), &directory, &issuer).finish();
    assert_eq!(shown.code, Some(1));
    for words in ["failed: answered 500", "stored keys, stale until they are fetched", "usable   kid=rsa-1"] {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }
    let shown = with_cache(Setup::command(&["keys", "--json"]), &directory, &issuer).finish();
    assert!(shown.stdout.contains("\"restored\": true"), "{}", shown.stdout);
    let shown = with_cache(Setup::command(&["check"]), &directory, &issuer).finish();
    assert!(shown.stdout.contains("1 stored keys would serve meanwhile"), "{}", shown.stdout);
    issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let shown = with_cache(Setup::command(&["keys"]), &directory, &issuer).finish();
    assert_eq!(shown.code, Some(0), "{}", shown.stdout);
    assert_eq!(std::fs::read(stored.path()).expect("the stored set"), before);
}
