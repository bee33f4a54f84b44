//! A model of OpenMetadata's `JwtFilter` and `MultiUrlJwkProvider`, written from their source: the checks that it makes of
//! a token, in its order. It is not OpenMetadata.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::support::keys::spare_rsa;
use crate::support::stub::{Exchange, Next};
use crate::support::token::{now, parts};
use crate::support::upstream::Upstream;
use crate::support::wire;

/// `jwtPrincipalClaims`, as OpenMetadata sets them by default.
const PRINCIPAL_CLAIMS: [&str; 3] = ["email", "preferred_username", "sub"];
/// How many keys of other issuers it keeps, for a day.
const KEPT_KEYS: usize = 10;

/// What the model has in its database and its configuration.
#[derive(Default)]
pub struct Database {
    /// The users that exist, and whether each is a bot.
    pub users: Vec<(&'static str, bool)>,
    /// `publicKeyUrls`: the addresses of health listeners.
    pub key_urls: Vec<std::net::SocketAddr>,
    /// How far its clock is ahead, in seconds.
    pub clock: i64,
    kept: BTreeMap<String, Value>,
    /// How often it has asked for keys.
    pub fetches: usize,
}

pub struct OpenMetadata {
    pub upstream: Upstream,
    pub database: Arc<Mutex<Database>>,
}

impl OpenMetadata {
    pub fn start() -> Self {
        let users = vec![("ingestion-bot", true), ("lineage-bot", true), ("ada", false), ("admin", false)];
        let database = Arc::new(Mutex::new(Database { users, ..Database::default() }));
        let state = database.clone();
        let upstream = Upstream::scripted(move |exchange| answer(exchange, &state));
        Self { upstream, database }
    }

    pub fn change(&self, change: impl FnOnce(&mut Database)) {
        change(&mut self.database.lock().expect("no poisoned lock"));
    }
}

fn answer(exchange: &mut Exchange, database: &Mutex<Database>) -> io::Result<Next> {
    exchange.read_body()?;
    let head = exchange.request.head.clone();
    let authorization = head.value("authorization").map(str::to_owned);
    let judged = authorize(authorization.as_deref(), &mut database.lock().expect("no poisoned lock"));
    let seen = authorization.unwrap_or_default();
    // As a page that shows the fields of its request would.
    let token = seen.rsplit(' ').next().unwrap_or_default().to_owned();
    let fields: Vec<(&str, &str)> = match head.target() {
        "/api/v1/echo" => {
            exchange.send(format!("HTTP/1.1 103 Early Hints\r\nX-Seen: {seen}\r\n\r\n"))?;
            vec![("X-Seen", &*seen), ("Set-Cookie", &token), ("X-Other", "kept")]
        }
        _ => Vec::new(),
    };
    match judged {
        Ok(user) => exchange.reply(200, &fields, user.to_string()),
        Err((status, message)) => {
            exchange.reply(status, &fields, json!({"code": status, "message": message}).to_string())
        }
    }
}

/// The user of a request, or the response that refuses it. `JwtFilter.filter` in its order.
fn authorize(authorization: Option<&str>, database: &mut Database) -> Result<Value, (u16, String)> {
    let refuse = |message: &str| Err((401, message.to_owned()));
    // `extractToken`.
    let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
        return refuse("Not Authorized! Token not present");
    };
    // `validateJwtAndGetClaims`: decode, expiry without leeway, key by kid, algorithm, signature.
    let (header, payload, signature) = parts(token);
    let (Some(header), Some(claims)) = (object(header), object(payload)) else {
        return refuse("Invalid token");
    };
    let now = now() + database.clock;
    if claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp < now) {
        return refuse("Expired token!");
    }
    let Some(kid) = header.get("kid").and_then(Value::as_str) else { return refuse("Invalid token: no kid") };
    let Some(key) = key(kid, database) else { return refuse("Invalid token: no such key") };
    if header.get("alg") != Some(&json!("RS256")) {
        return refuse("Token signature algorithm does not match");
    }
    let input = token.rsplit_once('.').expect("a signature").0;
    if !verifies(&key, input.as_bytes(), &decoded(signature)) {
        return refuse("Invalid token: signature");
    }
    // Names of claims are compared without case.
    let claims: Map<String, Value> =
        claims.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let Some(principal) = PRINCIPAL_CLAIMS.iter().find_map(|name| text(name)) else {
        return refuse("Invalid JWT token, none of the following claims are present");
    };
    let user = principal.split('@').next().unwrap_or_default().to_lowercase();
    // `checkValidationsForToken`.
    if claims.get("isbot") == Some(&json!(true)) {
        return refuse("Not Authorized! Invalid Token: not the bot's stored token");
    }
    if text("tokentype") == Some("PERSONAL_ACCESS") {
        return refuse("Not Authorized! Invalid Token: not one of the user's tokens");
    }
    if claims.contains_key("sessionid") {
        return refuse("Not Authorized! No such session");
    }
    // `SubjectCache`: the user must exist. OpenMetadata does not create it.
    match database.users.iter().find(|(name, _)| *name == user) {
        // With `useRolesFromProvider` the roles of the token would replace those of the database.
        Some((_, is_bot)) => Ok(json!({"name": user, "isBot": is_bot, "roles": claims.get("roles")})),
        None => Err((404, format!("user instance for {user} not found"))),
    }
}

/// Its own key first, then that of the first URL that has the `kid`.
fn key(kid: &str, database: &mut Database) -> Option<Value> {
    if kid == spare_rsa().kid {
        return Some(spare_rsa().jwk());
    }
    if let Some(kept) = database.kept.get(kid) {
        return Some(kept.clone());
    }
    let found = database.key_urls.clone().into_iter().find_map(|address| {
        database.fetches += 1;
        let response = wire::get(address, "/mint/jwks.json", &[]);
        let set: Value = serde_json::from_slice(&response.body).ok()?;
        set["keys"].as_array()?.iter().find(|key| key["kid"] == kid).cloned()
    })?;
    if database.kept.len() < KEPT_KEYS {
        database.kept.insert(kid.to_owned(), found.clone());
    }
    Some(found)
}

fn verifies(key: &Value, input: &[u8], signature: &[u8]) -> bool {
    let number = |name: &str| decoded(key[name].as_str().unwrap_or_default());
    let components = RsaPublicKeyComponents { n: number("n"), e: number("e") };
    components.verify(&RSA_PKCS1_2048_8192_SHA256, input, signature).is_ok()
}

pub fn decoded(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
}

/// The JSON object in one part of a token.
pub fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&decoded(part)).ok()
}
