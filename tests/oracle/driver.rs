//! The program's decisions for `tests/oracle/run`: reads JSON lines, and writes one for each.
//!
//! A line with `config` loads a configuration as `metagate run` does, with these key sets (by URL) and this revocation
//! list. A line with `head` (base64) is a request under it, at `now` and from `source`. It takes every step that a request
//! over HTTP/1.1 takes: the strict scanner, admission with a token cache, and the decision. Only the socket, the fetching
//! of keys, the clock and the backend are missing. `tests/oracle/wire.py` compares this driver with the built program.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a part of a test")]

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{Method, Uri, Version};
use metagate::admission::{Admission, Observer, RequestHead, Snapshot, Via};
use metagate::admission_of;
use metagate::backend::key_dialect_of;
use metagate::claims::VerifiedToken;
use metagate::config::{Config, KeySource, Sources, TrustEntry, load};
use metagate::decision::{Caller, Denial, Permit, Route};
use metagate::jose::{KeySet, ParsedKeys, VerificationKey};
use metagate::numeric_date::NumericDate;
use metagate::request::{HeadLimits, HeadScanner, RepeatedSections, RequestFault, uri_of};
use metagate::revocation::RevocationLists;
use metagate::token_cache::TokenCache;
use metagate::trust::KeyRing;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

#[allow(dead_code, reason = "the benchmark counts hits")]
#[path = "../../benches/support/cached.rs"]
mod cached;

use cached::{Cached, poll_once};

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("metagate.yaml");
    let mut world = None;
    let mut sections = RepeatedSections::default();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let answer = if line["config"].is_object() {
            match World::load(&line, &file) {
                Ok(loaded) => {
                    world = Some(loaded);
                    json!({"loaded": true})
                }
                Err(errors) => {
                    world = None;
                    json!({"errors": errors})
                }
            }
        } else {
            match &mut world {
                Some(world) => world.decide(&line, &mut sections),
                None => json!({"errors": "there is no configuration"}),
            }
        };
        writeln!(output, "{answer}").expect("a reader");
        output.flush().expect("a reader");
    }
}

/// A configuration with its keys and revocations.
struct World {
    config: Config,
    admission: Admission,
    keys: Arc<KeyRing>,
    /// Of the tokens so far. None while a request has it.
    cache: Option<TokenCache>,
    revocations: Option<String>,
}

/// What admission finds out about the caller.
#[derive(Default)]
struct Seen {
    token: Option<Arc<VerifiedToken>>,
}

impl Observer for Seen {
    fn verified(&mut self, token: &Arc<VerifiedToken>) {
        self.token = Some(token.clone());
    }
}

impl World {
    fn load(line: &Value, file: &PathBuf) -> Result<Self, String> {
        fs::write(file, line["config"].to_string()).expect("a file");
        let sources = Sources { files: vec![file.clone()], ..Sources::default() };
        let config = load(&sources).map_err(|errors| errors.to_string())?.config;
        let sets = config.trust.iter().map(|entry| keys_of(entry, &config, &line["keys"]));
        let sets = sets.map(|keys| (!keys.is_empty()).then(|| Arc::new(KeySet::new(keys)))).collect();
        let cache = TokenCache::new(config.token_cache.max_bytes, config.token_cache.max_ttl);
        Ok(Self {
            admission: admission_of(&config),
            keys: Arc::new(KeyRing { generation: 1, sets }),
            cache: Some(cache),
            revocations: line["revocations"].as_str().map(str::to_owned),
            config,
        })
    }

    fn decide(&mut self, line: &Value, sections: &mut RepeatedSections) -> Value {
        let now = NumericDate::from_secs(line["now"].as_i64().expect("a time"));
        let lists = self.revocations.as_ref().map(|text| {
            let read = self.config.revocations.format.read("the list", text.as_bytes(), now);
            RevocationLists::new([read.expect("a revocation list").list], None)
        });
        let source: IpAddr = line["source"].as_str().expect("an address").parse().expect("an address");
        let head = STANDARD.decode(line["head"].as_str().expect("a head")).expect("base64");
        let body = STANDARD.decode(line["body"].as_str().unwrap_or_default()).expect("base64");
        let (method, target, version, headers) = match self.read(&head, sections) {
            Ok(read) => read,
            Err(fault) => return of_denial(&Denial::of_request(fault, None), &self.config, None),
        };
        let request = RequestHead {
            method: &method,
            target: &target,
            version,
            headers: &headers,
            source: Some(source),
            content_length: None,
            via: Via::Proxy,
            token_fields: None,
        };
        let inner = Snapshot {
            revocations: lists.as_ref(),
            body: &body,
            graphql_bytes: self.config.limits.graphql_bytes,
            ..Snapshot::new(now, self.keys.clone())
        };
        let mut environment = Cached { inner, cache: self.cache.take().expect("a cache"), hits: 0 };
        let mut seen = Seen::default();
        let admitted = poll_once(self.admission.admit(&request, &mut environment, &mut seen));
        self.cache = Some(environment.cache);
        match admitted {
            Ok(admitted) => of_permit(&admitted.permit, &self.config, seen.token.as_deref()),
            Err(denial) => of_denial(&denial, &self.config, seen.token.as_deref()),
        }
    }

    /// As `connection/http1` reads the next head of a connection.
    fn read(
        &self,
        head: &[u8],
        sections: &mut RepeatedSections,
    ) -> Result<(Method, Uri, Version, metagate::message::Fields), RequestFault> {
        let limits = &self.config.limits;
        let limits = HeadLimits {
            bytes: limits.header_bytes,
            target: limits.target_bytes,
            fields: limits.header_count,
        };
        let mut scanner = HeadScanner::new(limits);
        let Some(read) = scanner.scan_with(head, sections)? else {
            panic!("the head has no end: {:?}", String::from_utf8_lossy(head));
        };
        let (bytes, headers) = scanner.take_fields(BytesMut::from(&head[..read.len]));
        let target = scanner.target_of(&bytes);
        let uri = Uri::from_maybe_shared(bytes.slice_ref(target)).or_else(|_| uri_of(target))?;
        let method = Method::from_bytes(scanner.method_of(&bytes));
        let method = method.map_err(|_| RequestFault::BadTarget("method is not a token"))?;
        let version = if scanner.is_http_11() { Version::HTTP_11 } else { Version::HTTP_10 };
        Ok((method, uri, version, headers))
    }
}

/// The keys of an entry, as if every URL had been fetched.
fn keys_of(entry: &TrustEntry, config: &Config, documents: &Value) -> Vec<Arc<VerificationKey>> {
    let mut keys = match &entry.keys {
        KeySource::SharedSecret(secret) => {
            vec![Arc::new(VerificationKey::from_shared_secret(secret.expose_secret()))]
        }
        KeySource::Inline(keys) => keys.clone(),
        KeySource::Urls(urls) => {
            let keys_at = |url: &url::Url| {
                let document = documents[url.as_str()].as_str().expect("the document of a key URL");
                let dialect = key_dialect_of(url.path());
                ParsedKeys::parse_at_most(config.jwks.max_keys, document.as_bytes(), dialect)
                    .map_or(Vec::new(), |parsed| parsed.usable)
            };
            urls.iter().flat_map(keys_at).collect()
        }
        KeySource::ByKid(_) | KeySource::Discovery(_) => panic!("keys that only the network has"),
    };
    keys.sort_by_key(|key| !key.is_backends_own());
    keys
}

fn of_permit(permit: &Permit, config: &Config, token: Option<&VerifiedToken>) -> Value {
    let mut answer = match (permit.would_deny(), permit.route()) {
        (Some(denial), _) => described("would_deny", Some(denial), denial.rule, config, token),
        (None, Route::Public) => described("public", None, permit.rule(), config, token),
        (None, Route::Optional | Route::Protected) => described("allow", None, permit.rule(), config, token),
    };
    if let (Caller::DatahubSystem, Some(system)) = (permit.caller(), &config.datahub_system) {
        answer["principal"] = (&*system.client_id).into();
    }
    answer
}

fn of_denial(denial: &Denial, config: &Config, token: Option<&VerifiedToken>) -> Value {
    described("deny", Some(denial), denial.rule, config, token)
}

fn described(
    decision: &str,
    denial: Option<&Denial>,
    rule: Option<usize>,
    config: &Config,
    token: Option<&VerifiedToken>,
) -> Value {
    json!({
        "decision": decision,
        "status": denial.map(|denial| denial.reason.row().status.as_u16()),
        "reason": denial.map(|denial| denial.reason.as_str()),
        "detail": denial.and_then(|denial| denial.detail.as_deref()),
        "rule": rule.and_then(|rule| config.policy.rules.get(rule)).map(|rule| &*rule.name),
        "principal": token.map(VerifiedToken::principal),
        "token_class": token.map(|token| token.class().as_str()),
        "issuer": token.map(VerifiedToken::entry),
    })
}
