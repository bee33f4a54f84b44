//! A backend that cannot be reached: what the audit record, the log and the metrics say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use super::faults::closed_port;
use crate::support::eventually;
use crate::support::gateway::{Gateway, text};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

fn at(url: &str) -> Stage {
    Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__URL", url).env("METAGATE_WORKERS", "2"))
}

#[track_caller]
fn assert_detail(url: &str, detail: &str) {
    let stage = at(url);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/a").status, 502);
    assert_eq!(text(&stage.gateway.audit_of("/a"), "detail"), Some(detail));
}

#[test]
fn the_record_names_the_address_that_refused_and_the_name_that_is_unknown() {
    let url = closed_port();
    assert_detail(&url, &format!("connection refused by {}", url.trim_start_matches("http://")));
    let stage = at("http://gms.invalid:8080");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/a").status, 502);
    let record = stage.gateway.audit_of("/a");
    // Without a network there is no name server to say that there is no such name.
    let detail = text(&record, "detail").unwrap_or_default();
    assert!(
        detail == "name gms.invalid not found" || detail.starts_with("name gms.invalid cannot"),
        "{detail}"
    );
}

fn changes(gateway: &Gateway) -> Vec<String> {
    let logs = gateway.logs();
    let messages = logs.iter().filter_map(|log| text(log, "message"));
    messages.filter(|message| message.contains("the backend is")).map(str::to_owned).collect()
}

#[test]
fn each_change_is_one_warning_for_all_workers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("backend.sock");
    let stage = at(&format!("unix:{}", path.display()));
    let gateway = &stage.gateway;
    let clients = || {
        thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| gateway.get_as(&Token::bot(), "/down"))));
        });
    };
    clients();
    assert_eq!(
        text(&gateway.audit_of("/down"), "detail"),
        Some(&*format!("socket {} does not exist", path.display()))
    );
    assert_eq!(gateway.metric("metagate_upstream_up", &[]), 0.0);
    assert_eq!(gateway.metric("metagate_upstream_duration_seconds_count", &[]), 0.0);

    let listener = UnixListener::bind(&path).expect("a socket");
    let serve = move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    };
    thread::spawn(serve);
    eventually("the backend to be up", || {
        assert_eq!(gateway.get_as(&Token::bot(), "/up").status, 204);
        (gateway.metric("metagate_upstream_up", &[]) == 1.0).then_some(())
    });
    clients();
    assert!(gateway.metric("metagate_upstream_duration_seconds_count", &[]) > 8.0);
    assert_eq!(changes(gateway), ["the backend is unreachable", "the backend is reachable again"]);
    let logs = gateway.logs();
    let again = logs.iter().find(|log| text(log, "message") == Some("the backend is reachable again"));
    assert!(again.expect("a line")["down_secs"].as_u64().is_some_and(|secs| secs >= 1));
}

#[test]
fn a_connection_that_closes_without_a_response_is_explained() {
    let stage = Stage::with(Issuer::of(keys::rsa()), Upstream::scripted(|_| Ok(Next::Close)), |setup| setup);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/a").status, 502);
    let record = stage.gateway.audit_of("/a");
    assert_eq!(text(&record, "reason"), Some("upstream_protocol"));
    let detail = text(&record, "detail").unwrap_or_default();
    assert!(detail.contains("closed the connection without a response; if it speaks TLS"), "{detail}");
}
