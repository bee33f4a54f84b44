//! A model of the token services of DataHub's GMS, written from their source: `StatelessTokenService` and
//! `StatefulTokenService.validateAccessToken`, and `ActorContext.isActive`. It is not GMS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::openmetadata::{decoded, object};
use crate::support::keys::DATAHUB_SECRET;
use crate::support::stub::{Exchange, Next};
use crate::support::token::{now, parts};
use crate::support::upstream::Upstream;

/// The users with a key aspect that are not suspended.
const USERS: [&str; 3] =
    ["service_6f0c1c55-0b6e-4c7e-a7a5-0d8f5c1b2a3e", "service_a1b2c3d4-5e6f-4708-8190-a2b3c4d5e6f7", "ada"];

pub struct Gms {
    pub upstream: Upstream,
    /// How far its clock is ahead, in seconds.
    pub clock: Arc<AtomicI64>,
}

impl Gms {
    pub fn start() -> Self {
        let clock: Arc<AtomicI64> = Arc::default();
        let ahead = clock.clone();
        let upstream = Upstream::scripted(move |exchange| answer(exchange, ahead.load(Ordering::SeqCst)));
        Self { upstream, clock }
    }
}

fn answer(exchange: &mut Exchange, ahead: i64) -> io::Result<Next> {
    exchange.read_body()?;
    let authorization = exchange.request.head.value("authorization").map(str::to_owned);
    match actor(authorization.as_deref(), now() + ahead) {
        Ok(actor) => exchange.reply(200, &[], json!({"actor": actor}).to_string()),
        Err(message) => exchange.reply(401, &[], json!({"status": 401, "message": message}).to_string()),
    }
}

fn actor(authorization: Option<&str>, now: i64) -> Result<String, &'static str> {
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or("no token")?;
    // The parser has only the key: `iss` and `aud` are not read. `exp` is checked without tolerance.
    let (header, payload, signature) = parts(token);
    let (header, claims) = object(header).zip(object(payload)).ok_or("not a token")?;
    if header.get("alg") != Some(&json!("HS256")) {
        return Err("another algorithm");
    }
    let input = token.rsplit_once('.').ok_or("not a token")?.0;
    let key = hmac::Key::new(hmac::HMAC_SHA256, DATAHUB_SECRET.as_bytes());
    hmac::verify(&key, input.as_bytes(), &decoded(signature)).map_err(|_| "the signature is wrong")?;
    if claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp <= now) {
        return Err("expired");
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // `TokenType.valueOf` throws for other values.
    if !["SESSION", "PERSONAL", "SERVICE_ACCOUNT"].contains(&text("type").unwrap_or_default()) {
        return Err("unknown type");
    }
    if text("actorType") != Some("USER") {
        return Err("unknown type of actor");
    }
    // `TokenClaims.fromClaims` casts it to a string. Version 2 is looked up among the stored tokens.
    match text("version") {
        Some("1") => {}
        Some("2") => return Err("revoked: it is not stored"),
        _ => return Err("unknown version"),
    }
    let user = text("actorId").ok_or("no actor")?;
    // `isActive`: the system user always is.
    if user != "__datahub_system" && !USERS.contains(&user) {
        return Err("the actor does not exist");
    }
    Ok(format!("urn:li:corpuser:{user}"))
}
