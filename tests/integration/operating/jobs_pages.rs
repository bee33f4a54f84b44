//! The deployments of `deploy/compose` and a rule set of docs/rules.md, started with what the pages say, and asked with
//! the commands of the pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::Token;
use crate::support::upstream::Upstream;
use crate::support::wire;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the page")
}

/// The environment of a service in a Compose file, with the defaults of its variables. Those without a default are a
/// secret.
fn environment(compose: &str, service: &str) -> Vec<(String, String)> {
    let (_, rest) = compose.split_once(&format!("\n  {service}:")).expect("the service");
    let (_, rest) = rest.split_once("\n    environment:\n").expect("its environment");
    let lines = rest.lines().take_while(|line| line.starts_with("      "));
    let pair = |line: &str| {
        let (name, value) = line.trim().split_once(": ").expect("a name");
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let value = match value.strip_prefix("${").and_then(|value| value.strip_suffix('}')) {
            Some(variable) => variable.split_once(":-").map_or(keys::DATAHUB_SECRET, |(_, default)| default),
            None => value,
        };
        (name.to_owned(), value.to_owned())
    };
    lines.filter(|line| !line.trim_start().starts_with('#')).map(pair).collect()
}

/// The requests of a page's check, and the status that the page says for each.
fn requests(page: &str) -> Vec<(String, Option<u16>)> {
    let (_, rest) = page.split_once("## Check that it works").expect("the part");
    let (_, block) = rest.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let mut found: Vec<(String, Option<u16>)> = Vec::new();
    for line in block.lines() {
        let (command, comment) = line.split_once('#').unwrap_or((line, ""));
        let status = comment.trim().get(..3).and_then(|status| status.parse().ok());
        match (command.trim(), found.last_mut()) {
            // The status of a long command is in the next line.
            ("", Some((_, last))) if last.is_none() => *last = status,
            (command, _) if command.starts_with("curl") => found.push((command.to_owned(), status)),
            _ => {}
        }
    }
    found
}

/// Runs a `curl` of a page; returns the status and the whole response.
fn curl(command: &str, token: &Token) -> (Option<u16>, String) {
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TOKEN", token.encode())
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status, text)
}

/// Sends the requests to the listeners of these gateways in place of the ports that the page names.
fn check(page: &str, ports: &[(&str, u16)], token: &Token, expected: usize) {
    let requests = requests(page);
    assert_eq!(requests.len(), expected, "{requests:?}");
    for (command, status) in requests {
        let local = ports.iter().fold(command.clone(), |command, (port, own)| {
            command.replace(&format!("localhost:{port}"), &format!("127.0.0.1:{own}"))
        });
        let (found, response) = curl(&local, token);
        match status {
            Some(status) => assert_eq!(found, Some(status), "{command}: {response}"),
            // /readyz, and a request whose status the page leaves out.
            None => assert!(response.starts_with("ok") || found == Some(200), "{command}: {response}"),
        }
    }
}

fn started(environment: Vec<(String, String)>, upstream: &Upstream) -> Gateway {
    let is_upstream = |name: &str| name == "METAGATE_UPSTREAM__URL";
    let setup = environment.into_iter().fold(Setup::run(), |setup, (name, value)| {
        let value = if is_upstream(&name) { upstream.url() } else { value };
        setup.env(&name, value)
    });
    let gateway = setup.start();
    gateway.wait_ready();
    gateway
}

#[test]
fn openmetadata_with_compose() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let compose = read("deploy/compose/openmetadata/metagate.override.yaml");
    let mut environment = environment(&compose, "metagate");
    for (_, value) in &mut environment {
        *value =
            value.replace("http://openmetadata-server:8585/api/v1/system/config/jwks", &issuer.url(JWKS));
    }
    assert!(environment.len() >= 9, "{environment:?}");
    let gateway = started(environment, &upstream);
    let ports = [("8585", gateway.proxy.port()), ("8686", gateway.health.port())];
    check(&read("deploy/compose/openmetadata/README.md"), &ports, &Token::bot(), 4);
}

#[test]
fn datahub_access_tokens_with_compose() {
    let upstream = Upstream::echo();
    let compose = read("deploy/compose/datahub/metagate.override.yaml");
    let gms = started(environment(&compose, "metagate-gms"), &upstream);
    let frontend = started(environment(&compose, "metagate-frontend"), &upstream);
    let ports = [("8080", gms.proxy.port()), ("9002", frontend.proxy.port())];
    check(&read("deploy/compose/datahub/README.md"), &ports, &Token::datahub(), 4);
}

#[test]
fn bots_are_read_only_with_the_configuration_of_the_page() {
    let (issuer, upstream) = (Issuer::of(keys::rsa()), Upstream::echo());
    let page = read("docs/rules.md");
    let (_, rest) =
        page.split_once("<!-- rules: openmetadata-own-tokens-read -->\n```yaml\n").expect("the set");
    let (config, _) = rest.split_once("```").expect("its end");
    let okta = "issuer: https://acme.okta.com/oauth2/default, audiences";
    assert!(config.contains(okta), "{config}");
    let config = config
        .replace(okta, &format!("publicKeyUrls: [{}], {okta}", issuer.url(JWKS)))
        .replace("http://localhost:8585/api/v1/system/config/jwks", &issuer.url(JWKS))
        .replace("http://localhost:8585", &upstream.url());
    let checked = Setup::command(&["check", "--offline"]).config(config.clone()).finish();
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let gateway = Setup::run().config(config).start();
    gateway.wait_ready();
    let send = |method: &str, token: &Token, path: &str| {
        let field = format!("Bearer {}", token.encode());
        wire::send(gateway.proxy, method, path, &[("Authorization", &field)], b"").status
    };
    let bot = Token::bot().issuer("open-metadata.org");
    let user =
        Token::user().issuer("https://acme.okta.com/oauth2/default").claim("aud", json!("openmetadata"));
    for (method, token, path, status) in [
        ("GET", &bot, "/api/v1/tables", 200),
        ("PUT", &bot, "/api/v1/tables", 403),
        ("POST", &bot, "/mcp", 403),
        ("GET", &bot, "/api/v1/users/token/7b4b4a9e-6c2b-4d3f-9c39-0a1b2c3d4e5f", 403),
        ("PUT", &user, "/api/v1/tables", 200),
    ] {
        assert_eq!(send(method, token, path), status, "{method} {path}");
    }
}
