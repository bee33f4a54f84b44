//! `tokenHeaders` of an element of `listen`, whose address only a restart changes.

use serde_json::json;

use super::Reloadable;
use crate::support::token::{Token, bearer};

const OWN: &str = "listen: [{address: \"127.0.0.1:0\", tokenHeaders: [X-Own]}]";

fn statuses(reloadable: &Reloadable) -> [u16; 3] {
    let (raw, own) = (Token::user().encode(), bearer(&Token::user()));
    [("X-Own", &*raw), ("X-Other", &raw), ("Authorization", &own)]
        .map(|field| reloadable.gateway.get("/x", &[field]).status)
}

#[test]
fn a_reload_changes_the_token_headers_of_an_open_address() {
    let reloadable = Reloadable::with(crate::support::upstream::Upstream::echo(), OWN, |mut setup| {
        setup.environment.remove("METAGATE_LISTEN");
        setup
    });
    assert_eq!(statuses(&reloadable), [200, 401, 401]);
    reloadable.write(&OWN.replace("X-Own", "X-Other"));
    assert_eq!(reloadable.reload().1["needs_restart"], json!([]));
    assert_eq!(statuses(&reloadable), [401, 200, 401]);
    // The address stays open until a restart, and never begins to read another field.
    reloadable.write("listen: [{address: \"127.0.0.2:0\", tokenHeaders: [X-Own]}]");
    assert_eq!(reloadable.reload().1["needs_restart"], json!(["listen"]));
    assert_eq!(statuses(&reloadable), [401, 200, 401]);
    let own = Token::user().encode();
    assert_eq!(reloadable.gateway.get("/kept", &[("X-Other", &own), ("X-Own", &own)]).status, 200);
    let sent = reloadable.upstream.request_to("/kept").head;
    assert!(sent.value("x-other").is_none() && sent.value("x-own").is_none(), "neither is forwarded");
    reloadable.write("listen: \"127.0.0.1:0\"");
    assert_eq!(reloadable.reload().1["needs_restart"], json!([]));
    assert_eq!(statuses(&reloadable), [401, 401, 200]);
}
