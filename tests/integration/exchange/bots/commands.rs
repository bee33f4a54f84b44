//! What the commands refuse and say, and what a bot's end does to its requests.

use std::fs;

use serde_json::{Value, json};

use super::{Bots, TABLES, id, path};
use crate::exchange::directory;
use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::stub::{Gate, Next};
use crate::support::upstream::Upstream;
use crate::support::wire::Client;

#[test]
fn a_bot_that_no_entry_names_is_not_forwarded() {
    let bots = Bots::plain();
    let done = bots.run(&["create", "unmapped"]);
    assert!(done.stderr.contains("no entry of exchange names the bot"), "{}", done.stderr);
    let refused = || bots.gateway.try_get_with(&done.stdout, "/api/v1/unmapped").map(|answer| answer.status);
    eventually("the list", || (refused() == Some(403)).then_some(()));
    assert!(bots.backend.upstream.requests().is_empty());
    let is_unmapped = |record: &Value| text(record, "reason") == Some("no_mapping");
    eventually("the audit record", || bots.gateway.audit().iter().any(is_unmapped).then_some(()));
}

#[test]
fn commands_refuse_what_would_lose_or_leak_a_token() {
    let bots = Bots::plain();
    let file = path(&bots.files, "nightly.token");
    let done = bots.run(&["create", "nightly", "--out", &file]);
    assert_eq!((done.code, &*done.stdout), (Some(0), ""), "{}", done.stderr);
    let token = fs::read_to_string(&file).expect("a token");
    bots.wait_for(&token, 200);
    let before = fs::read_to_string(bots.list()).expect("a list");
    for arguments in [
        &["create", "nightly"][..],
        &["regenerate", "nightly", "--out", &file],
        &["regenerate", "nobody"],
        &["create", "other", "--expires", "366d"],
        &["create", "other", "--expires", "0s"],
        &["create", "Other"],
        &["create", "other", "--source", "10.0.0.0/40"],
        &["create", "other", "--print"],
    ] {
        let done = bots.run(arguments);
        assert!(matches!(done.code, Some(1 | 2)) && done.stdout.is_empty(), "{arguments:?}: {}", done.stderr);
    }
    assert_eq!(fs::read_to_string(bots.list()).expect("a list"), before);
    // For a list that is changed elsewhere, the changed one is printed.
    let other = path(&bots.files, "other.token");
    let printed = bots.run(&["create", "other", "--print", "--out", &other]);
    assert!(printed.stdout.contains("name: \"other\"") && printed.stdout.contains("name: \"nightly\""));
    assert!(!printed.stdout.contains(&fs::read_to_string(&other).expect("a token")));
    assert_eq!(fs::read_to_string(bots.list()).expect("a list"), before);
}

#[test]
fn check_and_explain_say_what_becomes_of_a_bot() {
    let bots = Bots::plain();
    let file = path(&bots.files, "token");
    assert_eq!(
        bots.run(&["create", "nightly", "--role", "ingestion", "--expires", "10d", "--out", &file]).code,
        Some(0)
    );
    assert_eq!(bots.run(&["create", "unmapped"]).code, Some(0));
    let run = |arguments: &[&str]| {
        let setup = Setup::command(arguments).config(&*bots.config);
        setup.env("METAGATE_UPSTREAM__URL", bots.backend.upstream.url()).finish()
    };
    let checked = run(&["check", "--offline"]).stdout;
    for line in [
        "warning[bot-token-ends]: issuer.bots.file: the last token of the bot nightly ends in",
        "warning[bot-unmapped]: issuer.bots.file: no entry of exchange names the bot unmapped",
        "warning[bot-unmapped]: issuer.bots.file: exchange `bots` names the bot limited",
    ] {
        assert!(checked.contains(line), "{line} is not in {checked}");
    }
    let explained = run(&["explain", "--token-file", &file, "--path", TABLES]);
    let id = id(&fs::read_to_string(&file).expect("a token"));
    for part in [&*format!("bot nightly, jti {id}, roles [ingestion]"), "acts as ingestion-bot", "entry bots"]
    {
        assert!(explained.stdout.contains(part), "{part} is not in {}", explained.stdout);
    }
    fs::write(bots.list(), "- {}").expect("a list");
    let checked = run(&["check", "--offline"]);
    assert!(
        checked.code == Some(1) && checked.stdout.contains("error[bots-unreadable]"),
        "{}",
        checked.stdout
    );
}

/// A response that is still running when the token of its request is revoked.
#[test]
fn revoking_a_bot_ends_its_running_responses() {
    let (files, gate) = (directory(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/stream" {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
            exchange.hold(&held);
            exchange.send("3\r\nbye\r\n0\r\n\r\n")?;
            return Ok(Next::Close);
        }
        exchange.reply(200, &[], "ok")
    });
    let at = |name| path(&files, name);
    assert_eq!(Setup::command(&["issuer", "init", &at("issuer.pem")]).finish().code, Some(0));
    fs::write(files.path().join("stored"), "a-token-of-the-backend-with-32-bytes-or-more").expect("a token");
    let config = format!(
        "upstream: {{url: '{}'}}\nissuer: {{url: u, audience: metagate, keyFiles: ['{}'], bots: {{file: '{}'}}}}\n\
         exchange: [{{name: bots, from: {{bots: [a, b]}}, as: {{user: x}}, credential: tokenFile, tokenFile: '{}'}}]\n",
        upstream.url(),
        at("issuer.pem"),
        at("bots.yaml"),
        at("stored")
    );
    let bot = |arguments: &[&str]| {
        let done = Setup::command(&["bot"]).arguments(arguments).config(&*config).finish();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done.stdout
    };
    let (a, b) = (bot(&["create", "a"]), bot(&["create", "b"]));
    let gateway = Setup::run().config(&*config).start();
    gateway.wait_ready();
    let stream = |token: &str| {
        let mut client = Client::connect(gateway.proxy);
        client.send(format!(
            "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(client.response_head().expect("a head").0, 200);
        client
    };
    let (mut of_a, mut of_b) = (stream(&a), stream(&b));
    bot(&["revoke", "a"]);
    assert!(of_a.rest().ends_with("2\r\nhi\r\n"), "cut off");
    let record = gateway.audit_of("/stream");
    assert_eq!((text(&record, "subject"), &record["complete"]), (Some("a"), &json!(false)), "{record}");
    gate.open();
    assert!(of_b.rest().ends_with("3\r\nbye\r\n0\r\n\r\n"), "the other bot's goes on");
}
