//! Jobs that the pages describe, done as a reader does them: their commands in a shell, with the program on its path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

/// The lines of the first block of shell commands after `heading`, without their comments.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let (_, block) = rest.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
}

/// A running proxy, and a directory with its configuration `F`, its revocation list, and a token.
struct Desk {
    gateway: Gateway,
    issuer: Issuer,
    _upstream: Upstream,
    directory: TempDir,
}

impl Desk {
    fn new(token: &Token) -> Self {
        let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
        let directory = TempDir::new().expect("a directory");
        let list = directory.path().join("list.yaml");
        fs::write(&list, "[]\n").expect("a list");
        fs::write(directory.path().join("token.txt"), token.encode()).expect("a token");
        let config = format!(
            "upstream: {{url: {}}}\nlisten: 127.0.0.1:0\nauthentication:\n  revocations: {{file: {}}}\n  issuers:\n    - {{name: okta, issuer: https://okta.example, publicKeyUrls: [{}], audiences: [openmetadata]}}\n",
            upstream.url(),
            list.display(),
            issuer.url(JWKS),
        );
        let gateway = Setup::run().config(config.clone()).start();
        gateway.wait_ready();
        let listeners = format!(
            "health: {{listen: {}}}\nadmin: {{listen: {}}}\n",
            gateway.listener("health"),
            gateway.admin()
        );
        fs::write(directory.path().join("F"), config + &listeners).expect("a configuration");
        Self { gateway, issuer, _upstream: upstream, directory }
    }

    /// Runs a command of a page. Returns its exit code, and what it prints.
    #[track_caller]
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_metagate"));
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display());
        let output = Command::new("/bin/sh")
            .args(["-c", line])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", path)
            .env("METAGATE_CONFIG", self.directory.path().join("F"))
            .output()
            .expect("a shell");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }
}

fn good() -> Token {
    Token::user().issuer("https://okta.example").claim("aud", json!("openmetadata"))
}

#[test]
fn tokens_are_revoked_with_the_commands_of_the_page() {
    let desk = Desk::new(&good());
    assert_eq!(desk.gateway.get_as(&good(), "/a").status, 200);
    let lines = commands("rotation.md", "## Revoking");
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines {
        let (code, printed) = desk.run(line);
        assert_eq!(code, Some(0), "{line}: {printed}");
        assert!(!printed.contains("eyJ"), "{printed}");
    }
    let refused = eventually("the list in force", || {
        desk.gateway.try_get_with(&good().encode(), "/revoked").filter(|response| response.status == 401)
    });
    assert!(refused.text().contains("Token has been revoked"), "{}", refused.text());
    let (code, listed) = desk.run("metagate revoke list");
    assert_eq!(code, Some(0), "{listed}");
    for value in ["3f0a9d5c1b2e4f60", "ada", "leaked-key-1"] {
        assert!(listed.contains(value), "{value}: {listed}");
    }
}

#[test]
fn the_commands_of_troubleshooting_say_why_a_token_gets_401() {
    let expired = good().expires_in(-3 * 3600);
    let desk = Desk::new(&expired);
    assert_eq!(desk.gateway.get_as(&expired, "/why").status, 401);
    let record = desk.gateway.audit_of("/why");
    assert!(text(&record, "detail").is_some_and(|why| why.starts_with("exp: expired 3h")), "{record}");
    let lines = commands("troubleshooting.md", "# Troubleshooting");
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines {
        let (code, printed) = desk.run(line);
        if line.starts_with("metagate explain") {
            assert_eq!(code, Some(1), "{line}: {printed}");
            assert!(printed.contains("exp: expired 3h"), "{line}: {printed}");
        } else {
            assert_eq!(code, Some(0), "{line}: {printed}");
        }
        assert!(!printed.contains("eyJ"), "{printed}");
    }
}

#[test]
fn a_new_key_is_used_after_the_refresh_that_the_page_names() {
    let desk = Desk::new(&good());
    desk.issuer.publish(JWKS, &[keys::rsa().jwk(), keys::other_rsa().jwk()]);
    let (code, printed) = desk.run("metagate keys --refresh");
    assert_eq!(code, Some(0), "{printed}");
    let renewed = good().signed("RS256", keys::other_rsa());
    assert_eq!(desk.gateway.get_as(&renewed, "/a").status, 200);
    let (code, printed) = desk.run("metagate keys --running");
    assert_eq!((code, printed.matches("usable").count()), (Some(0), 2), "{printed}");
}
