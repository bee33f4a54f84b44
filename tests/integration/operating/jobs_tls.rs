//! The jobs of docs/tls.md and docs/upgrading.md, done with the commands of the pages.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stub::Gate;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, request_bytes};

/// The text of a page after `heading`.
fn after(page: &str, heading: &str) -> String {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let page = fs::read_to_string(page).expect("the page");
    page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1.to_owned()
}

/// The content of the blocks of this language in a text, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("```").skip(1).step_by(2) {
        if let Some(block) = part.strip_prefix(&format!("{language}\n")) {
            found.push(block.to_owned());
        }
    }
    found
}

/// A directory in the place of `/etc/metagate/tls`, and the servers behind the proxy.
struct Desk {
    directory: TempDir,
    issuer: Issuer,
    upstream: Upstream,
}

impl Desk {
    fn new(upstream: Upstream) -> Self {
        Self { directory: TempDir::new().expect("a directory"), issuer: Issuer::of(keys::rsa()), upstream }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("a path").to_owned()
    }

    /// Starts the program with a configuration of a page, whose addresses and directory are replaced.
    fn start(&self, config: &str) -> Gateway {
        let config = config
            .replace("listen: \"[::]:8685\"\n", "")
            .replace("/etc/metagate/tls", self.directory.path().to_str().expect("a path"))
            .replace("http://127.0.0.1:8585", &self.upstream.url())
            .replace("https://idp.example/keys", &self.issuer.url(JWKS));
        let gateway = Setup::run().config(config).start();
        gateway.wait_ready();
        gateway
    }

    /// Runs commands in the directory. Returns the exit code, and what they print.
    fn run(&self, commands: &str) -> (Option<i32>, String) {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_metagate"));
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display());
        let output = Command::new("/bin/sh")
            .args(["-e", "-c", commands])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", path)
            .env("TOKEN", Token::user().encode())
            .output()
            .expect("a shell");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The same for commands that reach the proxy under its name.
    fn ask(&self, gateway: &Gateway, commands: &str) -> (Option<i32>, String) {
        let port = gateway.proxy.port();
        let resolved = format!("curl -s --resolve metagate.example:{port}:127.0.0.1");
        let commands = commands
            .replace("curl", &resolved)
            .replace("-connect metagate.example:8685", &format!("-connect 127.0.0.1:{port}"))
            .replace("metagate.example:8685", &format!("metagate.example:{port}"));
        self.run(&commands)
    }

    #[track_caller]
    fn succeeds(&self, commands: &str) -> String {
        let (code, printed) = self.run(commands);
        assert_eq!(code, Some(0), "{commands}: {printed}");
        printed
    }
}

#[test]
fn the_listener_gets_a_certificate_of_an_own_authority_and_a_new_one() {
    let desk = Desk::new(Upstream::echo());
    let page = after("tls.md", "## TLS for clients");
    let (commands, configs) = (blocks(&page, "sh"), blocks(&page, "yaml"));
    desk.succeeds(&commands[0]);
    let gateway = desk.start(&configs[0]);
    let (code, printed) = desk.ask(&gateway, &commands[1]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("\"target\":\"/api/v1/tables\""), "{printed}");

    let renewal = blocks(&after("tls.md", "## Renewal"), "sh").remove(0);
    let lines: Vec<_> = renewal.lines().collect();
    assert_eq!(lines.len(), 4, "{renewal}");
    let serial = |printed: &str| printed.lines().find(|line| line.starts_with("serial=")).map(str::to_owned);
    let old = serial(&desk.succeeds("openssl x509 -in tls.crt -noout -serial"));
    desk.succeeds(&lines[..2].join("\n"));
    let new = serial(&desk.succeeds(lines[2]));
    assert!(new.is_some() && new != old, "{new:?} {old:?}");
    gateway.signal("HUP");
    eventually("the new certificate", || {
        let (_, printed) = desk.ask(&gateway, lines[3]);
        (serial(&printed) == new).then_some(())
    });
    let (code, printed) = desk.ask(&gateway, &commands[1]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn clients_need_a_certificate_of_the_own_authority() {
    let desk = Desk::new(Upstream::echo());
    desk.succeeds(&blocks(&after("tls.md", "## TLS for clients"), "sh")[0]);
    let page = after("tls.md", "### Client certificates");
    let (commands, configs) = (blocks(&page, "sh"), blocks(&page, "yaml"));
    desk.succeeds(&commands[0]);
    let gateway = desk.start(&configs[0]);
    let (code, printed) = desk.ask(&gateway, &commands[1]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("\"target\":\"/api/v1/tables\""), "{printed}");
    let without = commands[1].replace("--cert client.pem --key client.key", "");
    let (code, printed) = desk.ask(&gateway, &without);
    assert!(code != Some(0) && !printed.contains("target"), "{printed}");
    let other =
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout client.key -out client.pem -days 1 -subj /CN=x";
    desk.succeeds(other);
    let (code, printed) = desk.ask(&gateway, &commands[1]);
    assert!(code != Some(0) && !printed.contains("target"), "{printed}");
}

#[test]
fn a_program_is_replaced_without_losing_a_request() {
    let held = Gate::default();
    let opened = held.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/held" {
            exchange.hold(&held);
        }
        echo(exchange)
    });
    let desk = Desk::new(upstream);
    let page = after("upgrading.md", "## Before");
    let config =
        blocks(&after("upgrading.md", "## Kubernetes"), "yaml").remove(0).replace("delay: 10s", "delay: 0s");
    let mut old = desk.start(&config);
    let mut client = Client::connect(old.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    desk.upstream.wait_for("the request", |all| all.first().map(|_| ()));

    // The commands before and after, with the configuration of the running one.
    let file = format!(
        "listen: {}\nhealth: {{listen: {}}}\nadmin: {{listen: {}}}\n{}",
        old.proxy,
        old.listener("health"),
        old.admin(),
        config
            .replace("http://127.0.0.1:8585", &desk.upstream.url())
            .replace("https://idp.example/keys", &desk.issuer.url(JWKS))
    );
    fs::write(desk.path("config.yaml"), file).expect("a configuration");
    let records: String = old.audit().iter().map(|record| format!("{record}\n")).collect();
    fs::write(desk.path("audit.log"), records).expect("records");
    let here = |line: &str| {
        let line =
            line.trim().replace("/tmp/metagate-new", "metagate").replace("/tmp/metagate-old", "metagate");
        let line = line.replace("/etc/metagate/config.yaml", &desk.path("config.yaml"));
        if line == "metagate health" { format!("{line} --config {}", desk.path("config.yaml")) } else { line }
    };
    let end = page.find("## Kubernetes").expect("the next part");
    let before = blocks(&page[..end], "sh");
    let last = blocks(&after("upgrading.md", "## Back to the old version"), "sh");
    assert_eq!((before.len(), last.len()), (3, 2));
    for line in
        before.iter().chain(&last).flat_map(|block| block.lines()).filter(|line| !line.trim().is_empty())
    {
        desk.succeeds(&here(line));
    }

    let new = desk.start(&config);
    old.terminate();
    eventually("/readyz to answer 503", || (old.probe("/readyz").status == 503).then_some(()));
    assert_eq!(new.get_as(&Token::bot(), "/next").status, 200);
    opened.open();
    assert_eq!(client.response().expect("the response to the running request").status, 200);
    drop(client);
    assert_eq!(old.wait_exit(), Some(0));
}
