//! Configuration reloads while requests are served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::holding;
use crate::support::eventually;
use crate::support::gateway::{DELIBERATE, Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::stub::Gate;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{self, Client, request_bytes};

mod admission;
mod at_the_start;
mod directory;
mod keys_at_once;
mod token_headers;

/// A gateway whose config file a test rewrites.
struct Reloadable {
    gateway: Gateway,
    upstream: Upstream,
    issuer: Issuer,
    directory: TempDir,
}

/// A config file with the usual key list and this addition.
fn document(upstream: &Upstream, issuer: &Issuer, more: &str) -> String {
    let (url, keys) = (upstream.url(), issuer.url(JWKS));
    format!("upstream: {{url: \"{url}\"}}\nauthentication: {{publicKeyUrls: [\"{keys}\"]}}\n{more}\n")
}

impl Reloadable {
    fn start(more: &str) -> Self {
        Self::with(Upstream::echo(), more, |setup| setup)
    }

    fn with(upstream: Upstream, more: &str, adjust: impl FnOnce(Setup) -> Setup) -> Self {
        let issuer = Issuer::of(keys::rsa());
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("config.yaml");
        fs::write(&file, document(&upstream, &issuer, more)).expect("a file");
        let setup = Setup::run().env("METAGATE_CONFIG", file.to_str().expect("a path"));
        let gateway = adjust(setup).start();
        gateway.wait_ready();
        Self { gateway, upstream, issuer, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("config.yaml")
    }

    fn write(&self, more: &str) {
        self.write_whole(&document(&self.upstream, &self.issuer, more));
    }

    fn write_whole(&self, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, self.file()).expect("a new file");
    }

    /// Requests a reload from the admin listener.
    #[track_caller]
    fn reload(&self) -> (u16, Value) {
        let response = self.gateway.ask_admin("POST", "/reload", &[DELIBERATE]);
        (response.status, response.json())
    }

    fn status(&self) -> Value {
        self.gateway.ask_admin("GET", "/status", &[]).json()
    }
}

#[test]
fn reload_applies_the_whole_configuration() {
    let stage = Reloadable::start("");
    let gateway = &stage.gateway;
    // One connection for the whole test.
    let mut client = Client::connect(gateway.proxy);
    let mut ask = |token: &Token| {
        client.send(request_bytes("DELETE", "/api/x", &[("Authorization", &bearer(token))], b""));
        client.response().expect("a response").status
    };
    let token = Token::bot();
    assert_eq!((ask(&token), ask(&token)), (200, 200), "the second one from the cache");
    let before = stage.status();

    stage.write("authorization: {rules: [{name: no-deletes, match: {methods: [DELETE]}, action: deny}]}");
    let (status, said) = stage.reload();
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["result"], "applied");
    assert_eq!(said["changed"], json!(["authorization.rules"]));
    assert_eq!(ask(&token), 403, "the next request on the same connection");
    let after = stage.status();
    assert_ne!(before["config"]["hash"], after["config"]["hash"]);
    assert_eq!(after["last_reload"]["trigger"], "request");
    assert_eq!(after["config"]["rules"], json!(["no-deletes"]));
    assert_eq!(stage.issuer.hits(JWKS), 2, "a requested reload also fetches the keys");

    // Tokens cached under the previous configuration do not count.
    stage.write("authorization: {default: allow}\nlimits: {tokenBytes: 256}");
    assert_eq!(stage.reload().0, 200);
    assert_eq!(ask(&token), 401, "over the new size limit");
    stage.write("");
    assert_eq!(stage.reload().0, 200);
    assert_eq!(ask(&token), 200);
    assert_eq!(gateway.metric("metagate_config_reloads_total", &[("result", "applied")]), 3.0);
    assert_eq!(stage.issuer.hits(JWKS), 4);
}

#[test]
fn reload_does_not_accept_cached_tokens_that_it_now_refuses() {
    let stage = Reloadable::start("");
    let token = Token::bot().encode();
    let ask = || stage.gateway.get_with(&token, "/x").status;
    assert_eq!((ask(), ask()), (200, 200));
    assert_eq!(stage.gateway.metric("metagate_token_cache_total", &[("result", "hit")]), 1.0);
    let text = fs::read_to_string(stage.file()).expect("the file");
    stage.write_whole(&text.replace("authentication: {", "authentication: {audiences: [other], "));
    assert_eq!(stage.reload().0, 200);
    assert_eq!(ask(), 401);
    assert_eq!(stage.status()["sources"][0]["keys"][0]["kid"], "rsa-1", "the keys are the same");
}

#[test]
fn invalid_configuration_is_refused_and_the_current_one_kept() {
    let stage = Reloadable::start("authorization: {public: [\"GET /open\"]}");
    let gateway = &stage.gateway;
    let good = document(&stage.upstream, &stage.issuer, "authorization: {public: [\"GET /other\"]}");
    let broken: [(&str, &str); 20] = [
        ("", "upstream.url"),
        ("{", "config.yaml"),
        ("[]", "map"),
        ("\u{0}", "config.yaml"),
        ("GOOD\nlisten: nowhere", "listen"),
        ("GOOD\nlistne: 127.0.0.1:0", "listne"),
        ("GOOD\nworkers: many", "workers"),
        ("GOOD\nbackend: unknown", "backend"),
        ("GOOD\nlimits: {tokenBytes: -1}", "limits.tokenBytes"),
        ("GOOD\nlimits: {connections: 0}", "limits.connections"),
        ("GOOD\nlog: {level: \"[[\"}", "log.level"),
        ("GOOD\nlog: {format: xml}", "log.format"),
        ("GOOD\ntls: {certFile: /nowhere/crt, keyFile: /nowhere/key}", "error: tls.certFile: /nowhere/crt"),
        ("GOOD\ntls: {certFile: /nowhere/crt}", "tls.certFile"),
        ("GOOD\nidentity: {user: \"a b\"}", "identity.user"),
        ("GOOD\ntrustedProxies: [nobody]", "trustedProxies"),
        ("GOOD\nshutdown: {delay: soon}", "shutdown.delay"),
        ("GOOD\ndatahub: {tokenServiceSigningKeyFile: /nowhere/key}", "error: datahub.tokenService"),
        ("GOOD\ndatahub: {tokenServiceSigningKey: short}", "datahub.tokenServiceSigningKey"),
        ("GOOD\nupstream: {}", "upstream"),
    ];
    for (index, (text, about)) in broken.iter().enumerate() {
        stage.write_whole(&text.replace("GOOD", &good));
        let (status, said) = stage.reload();
        assert_eq!(status, 400, "{text}: {said}");
        assert_eq!(said["result"], "refused", "{text}");
        let errors = said["errors"].to_string();
        assert!(errors.contains(about), "{text}: {errors}");
        assert!(!about.starts_with("error: ") || errors.contains("\\n  --> "), "{text}: {errors}");
        assert_eq!(gateway.get("/open", &[]).status, 200, "the current configuration stays: {text}");
        assert_eq!(gateway.get("/other", &[]).status, 401, "nothing of the new one is applied: {text}");
        assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200);
        let count = gateway.metric("metagate_config_reloads_total", &[("result", "refused")]);
        assert!(count >= index as f64 + 1.0);
        assert_eq!(gateway.metric("metagate_config_last_reload_successful", &[]), 0.0);
    }
    let logged = gateway.logs();
    let refused = |log: &&Value| log.to_string().contains("configuration refused");
    assert!(logged.iter().filter(refused).count() >= broken.len(), "each refusal is logged");
    assert!(logged.iter().filter(refused).all(|log| text(log, "level") == Some("ERROR")));
    stage.write_whole(&good);
    assert_eq!(stage.reload().0, 200);
    assert_eq!((gateway.get("/open", &[]).status, gateway.get("/other", &[]).status), (401, 200));
    assert_eq!(gateway.metric("metagate_config_last_reload_successful", &[]), 1.0);
    assert!(gateway.metric("metagate_config_last_reload_success_timestamp_seconds", &[]) > 1.7e9);
}

#[test]
fn sighup_and_file_changes_cause_a_reload() {
    let stage = Reloadable::start("");
    let gateway = &stage.gateway;
    assert_eq!(gateway.get("/open", &[]).status, 401);
    stage.write("authorization: {public: [\"GET /open\"]}");
    eventually("the changed file to be noticed", || (gateway.get("/open", &[]).status == 200).then_some(()));
    // It is reported once it is in force.
    eventually("the reload to be reported", || {
        (stage.status()["last_reload"]["trigger"] == "file").then_some(())
    });
    assert_eq!(stage.status()["last_reload"]["changed_files"], json!([stage.file()]));
    assert_eq!(stage.issuer.hits(JWKS), 1, "a file change does not fetch keys");
    // The content is unchanged, so only the signal causes a reload.
    gateway.signal("HUP");
    eventually("a reload by signal", || (stage.status()["last_reload"]["trigger"] == "signal").then_some(()));
    assert_eq!(gateway.get("/open", &[]).status, 200);
    stage.issuer.wait_hits(JWKS, 2);
}

#[test]
fn mounted_configmap_is_reloaded_through_its_symlinks() {
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (upstream, issuer) = (Upstream::echo(), Issuer::of(keys::rsa()));
    let version = |name: &str, more: &str| {
        fs::create_dir(at(name)).expect("a directory");
        fs::write(at(name).join("config.yaml"), document(&upstream, &issuer, more)).expect("a file");
    };
    version("..2026_1", "");
    symlink("..2026_1", at("..data")).expect("a link");
    symlink("..data/config.yaml", at("config.yaml")).expect("a link");
    let gateway = Setup::run().env("METAGATE_CONFIG", at("config.yaml").to_str().expect("a path")).start();
    gateway.wait_ready();
    assert_eq!(gateway.get("/open", &[]).status, 401);
    version("..2026_2", "authorization: {public: [\"GET /open\"]}");
    symlink("..2026_2", at("..data_tmp")).expect("a link");
    fs::rename(at("..data_tmp"), at("..data")).expect("the swap");
    fs::remove_dir_all(at("..2026_1")).expect("the old version goes");
    eventually("the new version", || (gateway.get("/open", &[]).status == 200).then_some(()));
}

#[test]
fn keys_that_need_a_restart_are_reported_and_the_rest_applied() {
    let stage = Reloadable::start("shutdown: {delay: 0s}");
    stage.write("workers: 3\nlog: {format: text}\nauthorization: {public: [\"GET /open\"]}");
    let (status, said) = stage.reload();
    assert_eq!(status, 200, "{said}");
    // The environment sets `workers`, so the file does not change it.
    assert_eq!(said["needs_restart"], json!(["log.format"]));
    assert_eq!(said["changed"], json!(["authorization.public", "log.format"]));
    assert_eq!(stage.gateway.get("/open", &[]).status, 200);
    let logs = stage.gateway.logs();
    let warned = logs.iter().find(|log| log["message"].to_string().contains("after a restart"));
    assert_eq!(text(warned.expect("a warning"), "keys"), Some("log.format"));
}

#[test]
fn reload_changes_the_log_level_at_once() {
    let stage = Reloadable::start("");
    let reloads_logged = || {
        let logs = stage.gateway.logs();
        logs.iter().filter(|log| text(log, "message") == Some("the configuration was reloaded")).count()
    };
    for (level, lines) in [("info", 1), ("error", 1), ("info", 2)] {
        stage.write(&format!("log: {{level: {level}}}"));
        assert_eq!(stage.reload().0, 200);
        // Standard error is unbuffered: lines logged before the response arrive soon.
        eventually("the log lines so far", || (reloads_logged() >= lines).then_some(()));
        assert_eq!(reloads_logged(), lines, "{level}");
    }
}

/// Sets the flag when dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn reloads_under_load_lose_no_request() {
    const RELOADS: usize = 40;
    const CLIENTS: usize = 4;
    let stage = Reloadable::start("");
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Also if this thread panics, because the others would never stop.
        let _stop = Stop(&stop);
        for number in 0..CLIENTS {
            let (stop, answered, proxy) = (&stop, &answered, stage.gateway.proxy);
            scope.spawn(move || {
                let token = bearer(&Token::bot());
                let mut client = Client::connect(proxy);
                while !stop.load(Ordering::SeqCst) {
                    let path = format!("/api/{number}");
                    client.send(request_bytes("GET", &path, &[("Authorization", &token)], b""));
                    let response = client.response().expect("a response on the same connection");
                    assert_eq!((response.status, &response.json()["target"]), (200, &json!(path)));
                    client.send(request_bytes("GET", &path, &[], b""));
                    assert_eq!(client.response().expect("a response").status, 401);
                    answered.fetch_add(2, Ordering::SeqCst);
                }
            });
        }
        for number in 0..RELOADS {
            let before = answered.load(Ordering::SeqCst);
            // Changes the pool, the rules and the key settings.
            let rule = format!("{{name: r{number}, match: {{methods: [PUT]}}, action: deny}}");
            let text =
                document(&stage.upstream, &stage.issuer, &format!("authorization: {{rules: [{rule}]}}"));
            let connect = format!("upstream: {{connectTimeout: {}s, ", number % 9 + 1);
            let jwks = format!("authentication: {{jwks: {{maxWait: {}s}}, ", number + 1);
            stage.write_whole(&text.replace("upstream: {", &connect).replace("authentication: {", &jwks));
            let (status, said) = stage.reload();
            assert_eq!(status, 200, "{said}");
            eventually("responses between two reloads", || {
                (answered.load(Ordering::SeqCst) > before + 2 * CLIENTS).then_some(())
            });
        }
    });
    assert_eq!(stage.issuer.hits(JWKS), 1 + RELOADS, "one fetch for each requested reload");
    assert_eq!(
        stage.gateway.metric("metagate_config_reloads_total", &[("result", "applied")]),
        RELOADS as f64
    );
    assert_eq!(stage.gateway.metric("metagate_panics_total", &[]), 0.0);
}

#[test]
fn request_keeps_the_configuration_it_started_with() {
    let gate = Gate::default();
    let upstream = holding(&gate);
    let stage = Reloadable::with(upstream, "", |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));
    // Another upstream and other keys: nothing of the previous configuration remains.
    let (other, keys) = (Upstream::echo(), Issuer::of(keys::other_rsa()));
    stage.write_whole(&document(&other, &keys, ""));
    assert_eq!(stage.reload().0, 200);
    let new = Token::bot().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&new, "/new").status, 200);
    assert_eq!(other.only_request().head.target(), "/new");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/old").status, 401, "its key is no longer trusted");
    gate.open();
    assert_eq!(client.response().expect("the response").json()["target"], "/held");
    client.send(request_bytes("GET", "/next", &[("Authorization", &bearer(&Token::bot()))], b""));
    assert_eq!(client.response().expect("a response").status, 401, "the next request on that connection");
    let page = stage.gateway.probe("/metrics").text();
    assert!(page.contains(&format!("{} 1", keys_of(&keys))), "{page}");
    assert!(!page.contains(&keys_of(&stage.issuer)), "{page}");
}

#[test]
fn reload_fetches_the_keys_of_new_sources_first() {
    let stage = Reloadable::start("");
    let more = Issuer::of(keys::other_rsa());
    let text = fs::read_to_string(stage.file()).expect("the file");
    let both = text.replace("publicKeyUrls: [", &format!("publicKeyUrls: [\"{}\", ", more.url(JWKS)));
    stage.write_whole(&both);
    assert_eq!(stage.reload().0, 200);
    let token = Token::bot().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&token, "/x").status, 200);
    assert_eq!(
        (stage.issuer.hits(JWKS), more.hits(JWKS)),
        (2, 1),
        "one fetch of each before the reload completed"
    );
    // An unchanged entry keeps its keys even if its server is unavailable.
    stage.issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    stage.write("");
    assert_eq!(stage.reload().0, 200);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200);
    // The token's source is gone. The other source might have its key, but cannot be reached.
    assert_eq!(stage.gateway.get_as(&token, "/x").status, 503);
    stage.issuer.publish(JWKS, &[keys::rsa().jwk()]);
    assert_eq!(stage.reload().0, 200);
    assert_eq!(stage.gateway.get_as(&token, "/x").status, 401);
}

/// The gauge of an issuer's keys.
fn keys_of(issuer: &Issuer) -> String {
    let url = issuer.url(JWKS);
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    format!("metagate_jwks_keys{{issuer=\"public-keys\",source=\"{host}\"}}")
}

#[test]
fn configuration_without_keys_is_not_applied() {
    let stage = Reloadable::start("");
    let late = Issuer::empty();
    stage.write_whole(&document(&stage.upstream, &late, "authorization: {public: [\"GET /open\"]}"));
    let (status, said) = stage.reload();
    assert_eq!(status, 409, "{said}");
    let errors = said["errors"].to_string();
    assert!(errors.contains("public-keys") && errors.contains(&late.url(JWKS)), "{errors}");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200, "the current configuration stays");
    assert_eq!(stage.gateway.get("/open", &[]).status, 401);
    assert_eq!(stage.gateway.probe("/readyz").status, 200);
    let page = stage.gateway.probe("/metrics").text();
    assert!(!page.contains(&keys_of(&late)), "{page}");
    late.publish(JWKS, &[keys::other_rsa().jwk()]);
    assert_eq!(stage.reload().0, 200);
    let token = Token::bot().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&token, "/x").status, 200);
    assert_eq!(wire::get(stage.gateway.proxy, "/open", &[]).status, 200);
}
