//! `metagate top` against a running proxy.

use crate::support::gateway::Setup;
use crate::support::stage::Stage;
use crate::support::token::Token;

#[test]
fn top_prints_once_what_a_running_proxy_does() {
    let stage = Stage::plain(|setup| setup);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200);
    assert_eq!(stage.gateway.get("/x", &[]).status, 401);
    let url = format!("http://{}", stage.gateway.admin());
    // Standard output is a pipe.
    let finished = Setup::command(&["top", "--interval", "500ms", "--url", &url]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let text = finished.stdout;
    assert!(!text.contains('\u{1b}'), "nothing for a terminal: {text:?}");
    for expected in [
        format!("metagate      {}  ready  up ", env!("CARGO_PKG_VERSION")),
        "needs a look  ".to_owned(),
        "requests      0.0/s".to_owned(),
        "workers       0: ".to_owned(),
        "connections   ".to_owned(),
        "keys          public-keys  ".to_owned(),
        "  1 usable, fetched ".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in\n{text}");
    }
}

#[test]
fn top_says_if_no_proxy_answers() {
    let finished = Setup::command(&["top", "--once", "--url", "http://127.0.0.1:9"]).finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("http://127.0.0.1:9/status"), "{}", finished.stderr);
    let stage = Stage::plain(|setup| setup);
    let url = format!("http://{}", stage.gateway.health);
    let finished = Setup::command(&["top", "--once", "--url", &url]).finish();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("not the admin listener of metagate"), "{}", finished.stderr);
}
