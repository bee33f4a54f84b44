//! Files that change after they were read and before they are watched.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::document;
use crate::support::eventually;
use crate::support::gateway::Setup;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::upstream::Upstream;

#[test]
fn change_during_startup_is_noticed() {
    let directory = TempDir::new().expect("a directory");
    let (upstream, issuer) = (Upstream::echo(), Issuer::of(keys::rsa()));
    let at = |name: &str| directory.path().join(name);
    let (file, list, empty) = (at("config.yaml"), at("list"), at("empty"));
    let old = document(&upstream, &issuer, "");
    let new = document(&upstream, &issuer, "authorization: {public: [\"GET /open\"]}");
    fs::write(&file, old).expect("a file");
    fs::write(&empty, "[]").expect("a list");
    let made = Command::new("mkfifo").arg(&list).status().expect("mkfifo");
    assert!(made.success());
    let setup = Setup::run()
        .env("METAGATE_AUTHENTICATION__REVOCATIONS__FILE", list.to_str().expect("a path"))
        .env("METAGATE_CONFIG", file.to_str().expect("a path"));
    let changing = thread::spawn(move || {
        // Opening the pipe succeeds once the proxy opens it: by then it has read the other file.
        let mut pipe = fs::OpenOptions::new().write(true).open(&list).expect("a pipe");
        fs::write(&file, new).expect("a file");
        fs::rename(&empty, &list).expect("a file in place of the pipe");
        pipe.write_all(b"[]").expect("a reader");
    });
    let gateway = setup.start();
    changing.join().expect("it changed");
    gateway.wait_ready();
    eventually("the new version", || (gateway.get("/open", &[]).status == 200).then_some(()));
}
