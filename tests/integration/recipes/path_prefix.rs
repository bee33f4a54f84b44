//! `docs/recipes/path-prefix.md`: its two files, with free ports in place of theirs.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{get, send};

/// The first block of this language.
fn block(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes/path-prefix.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// metagate with the file of the page, in front of a backend that redirects.
fn metagate(issuer: &Issuer) -> (Gateway, Upstream) {
    let upstream = Upstream::scripted(|exchange| match exchange.request.head.target() {
        "/old" => exchange.reply(302, &[("Location", "/new")], ""),
        _ => echo(exchange),
    });
    let text = block("yaml")
        .replace("http://127.0.0.1:8585/api/v1/system/config/jwks", &issuer.url(JWKS))
        .replace("http://127.0.0.1:8585", &upstream.url());
    let gateway = Setup::run().config(text).start();
    gateway.wait_ready();
    (gateway, upstream)
}

/// nginx with the file of the page. Dropping it ends it.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Nginx {
    /// `None` if nginx is not installed.
    fn start(metagate: SocketAddr) -> Option<Self> {
        let directory = TempDir::new().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let inside = |name: &str| directory.path().join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", inside(kind)))
            .concat();
        let text = block("nginx")
            .replace("127.0.0.1:8080", &address.to_string())
            .replace("127.0.0.1:8685", &metagate.to_string())
            .replace("http {", &format!("http {{\naccess_log off;\n{temporary}"));
        let globals = format!("daemon off; pid {}; error_log stderr;", inside("pid"));
        fs::write(inside("nginx.conf"), text).expect("a file");
        let child = Command::new("nginx")
            .args(["-p", &inside(""), "-c", &inside("nginx.conf"), "-g", &globals])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self { child, address, _directory: directory };
        eventually("nginx to listen", || TcpStream::connect(address).ok().map(|_| ()));
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it also ends its workers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn the_files_of_the_page_serve_an_installation_below_a_path() {
    let issuer = Issuer::of(keys::rsa());
    let (gateway, upstream) = metagate(&issuer);
    let token = bearer(&Token::bot());
    let authorized = [("Authorization", token.as_str())];
    let nginx = Nginx::start(gateway.proxy);
    if nginx.is_none() {
        println!("nginx is not installed: only metagate's half was run");
    }
    let address = nginx.as_ref().map_or(gateway.proxy, |nginx| nginx.address);
    assert_eq!(get(address, "/catalog/api/v1/tables", &[]).status, 401);
    assert_eq!(get(address, "/catalog/api/v1/tables", &authorized).status, 200);
    let name = "/catalog/api/v1/tables/name/a%2Fb%20c?fields=%2F";
    assert_eq!(get(address, name, &authorized).status, 200, "byte for byte");
    let request = upstream.request_to("/api/v1/tables/name/a%2Fb%20c?fields=%2F");
    assert_eq!(request.head.value("x-forwarded-prefix"), Some("/catalog"));
    assert_eq!(request.head.value("host"), Some("gateway.test"));
    assert_eq!(request.head.value("x-forwarded-host"), Some("gateway.test"));
    let redirected = get(address, "/catalog/old", &authorized);
    assert_eq!((redirected.status, redirected.header("location")), (302, Some("/catalog/new")));
    for outside in ["/catalogue", "/api/v1/tables", "/%63atalogue/x"] {
        assert_eq!(get(address, outside, &authorized).status, 404, "{outside}");
    }
    let direct = get(gateway.proxy, "/api/v1/tables", &authorized);
    assert_eq!((direct.status, direct.json()["message"].as_str()), (404, Some("No such path")));
}

#[test]
fn the_file_for_datahub_opens_its_login_and_nothing_of_its_api() {
    let issuer = Issuer::of(keys::rsa());
    let upstream = Upstream::echo();
    let text = super::named("path-prefix.md", "datahub.yaml")
        .replace("https://acme.okta.com/oauth2/default/v1/keys", &issuer.url(JWKS))
        .replace("http://127.0.0.1:9002", &upstream.url());
    let gateway = Setup::run().config(text).start();
    gateway.wait_ready();
    let status = |method: &str, target: &str, headers: &[(&str, &str)]| {
        send(gateway.proxy, method, target, headers, b"").status
    };
    for (method, target) in
        [("GET", "/catalog/"), ("GET", "/catalog/assets/a.js"), ("POST", "/catalog/logIn")]
    {
        assert_eq!(status(method, target, &[]), 200, "{target}");
        assert_eq!(upstream.request_to(target).head.target(), target, "the backend knows the path");
    }
    for target in ["/catalog/api/v2/graphql", "/catalog/openapi/v3/entity/dataset", "/catalog/track"] {
        assert_eq!(status("POST", target, &[]), 401, "{target}");
    }
    let token = Token::of(serde_json::json!({"sub": "ada"}))
        .issuer("https://acme.okta.com/oauth2/default")
        .claim("aud", serde_json::json!("datahub"))
        .expires_in(600);
    let own = bearer(&token);
    assert_eq!(status("POST", "/catalog/api/v2/graphql", &[("Authorization", &own)]), 200);
    assert_eq!(status("POST", "/api/v2/graphql", &[("Authorization", &own)]), 404);
}
