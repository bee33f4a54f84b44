//! `authentication.tokenCache.maxBytes` is the memory that a full token cache really uses.
//!
//! The test has a process of its own and the allocator of the proxy, and reads from the kernel how much memory that
//! process uses.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::alloc::GlobalAlloc;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metagate::claims::{
    ClaimRules, FieldRules, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds,
    VerifiedToken, validate,
};
use metagate::jose::{UnverifiedToken, VerificationKey};
use metagate::numeric_date::NumericDate;
use metagate::token_cache::{TokenCache, TokenDigest};
use mimalloc::MiMalloc;
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const MAX_BYTES: u64 = 12 << 20;

/// One after the other in one process: tests in parallel would measure each other.
#[test]
fn a_full_cache_uses_the_memory_that_is_configured() {
    // The program's allocator.
    std::hint::black_box(MiMalloc::alloc as unsafe fn(&_, _) -> _);
    let issuer = Issuer::new();
    for (name, count, claims) in [
        ("bot", 12_000, bot as fn(usize) -> Value),
        ("user", 6_000, user),
        ("many roles", 3_000, with_many_roles),
    ] {
        // What the allocator keeps for later is there before the measurement.
        drop(filled(&issuer, 200, claims));
        let before = used_bytes();
        let cache = filled(&issuer, count, claims);
        let used = used_bytes() - before;
        let ratio = used as f64 / MAX_BYTES as f64;
        println!("{name}: {used} bytes, {ratio:.3} of the configured");
        assert!((0.9..=1.1).contains(&ratio), "{name}: {used} bytes, {ratio:.3} of the configured");
        // Kept until the end: freed memory would be used by the next cache and not be measured.
        std::mem::forget(cache);
    }
}

/// A cache into which this many different tokens were put.
fn filled(issuer: &Issuer, count: usize, claims: fn(usize) -> Value) -> TokenCache {
    let cache = TokenCache::new(MAX_BYTES, Duration::from_secs(300));
    for number in 0..count {
        let text = issuer.token(&claims(number));
        let token = Arc::new(issuer.verified(&text));
        cache.insert(TokenDigest::of(&text), token.clone(), 1);
        // The first audit record of a token makes them, after the cache has weighed it.
        token.audit_members(|token| {
            format!(
                ",\"principal\":\"{}\",\"token_class\":\"user\",\"issuer\":\"{}\",\"kid\":\"hmac-2026\",\"token_fingerprint\":\"{}\"",
                token.principal(),
                token.entry(),
                token.fingerprint().short()
            )
            .into()
        });
    }
    cache
}

/// As OpenMetadata makes them.
fn bot(number: usize) -> Value {
    json!({
        "iss": "open-metadata.org", "sub": format!("ingestion-bot-{number}"), "roles": ["IngestionBotRole"],
        "email": format!("ingestion-bot-{number}@open-metadata.org"), "isBot": true, "tokenType": "BOT",
        "iat": NOW - 10, "exp": NOW + 86400,
    })
}

/// As Keycloak makes them.
fn user(number: usize) -> Value {
    let account = json!({"roles": ["manage-account", "manage-account-links", "view-profile"]});
    json!({
        "exp": NOW + 300, "iat": NOW, "auth_time": NOW, "jti": format!("onrtac:{number:08}-9c0e-4c1b-8f0e-0d3f5b9f4c11"),
        "iss": "https://sso.example.org/realms/data", "aud": ["openmetadata", "account"],
        "sub": format!("f{number:07}-a2b4-4c6d-8e0f-1a2b3c4d5e6f"), "typ": "Bearer", "azp": "openmetadata",
        "sid": format!("{number:08}-1111-2222-3333-444455556666"), "acr": "1",
        "allowed-origins": ["https://metadata.example.org"],
        "realm_access": {"roles": ["offline_access", "uma_authorization", "default-roles-data"]},
        "resource_access": {"account": account}, "scope": "openid email profile", "email_verified": true,
        "name": format!("Ada Lovelace {number}"), "preferred_username": format!("ada.{number}"),
        "given_name": "Ada", "family_name": format!("Lovelace {number}"), "email": format!("ada.{number}@example.org"),
    })
}

fn with_many_roles(number: usize) -> Value {
    let roles: Vec<String> = (0..60).map(|role| format!("Data Domain {role} Steward")).collect();
    json!({"sub": format!("ada-{number}"), "roles": roles, "iat": NOW, "exp": NOW + 300})
}

/// The memory of this process that is its own, in RAM or swapped out.
fn used_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
    };
    1024 * (kib("RssAnon:") + kib("VmSwap:"))
}

struct Issuer {
    key: hmac::Key,
    verifier: VerificationKey,
    rules: ClaimRules,
    fields: Arc<FieldRules>,
}

impl Issuer {
    fn new() -> Self {
        let rules = ClaimRules {
            issuers: Vec::new(),
            own_tokens: OwnTokens::All,
            kinds: TokenKinds::default(),
            audiences: Vec::new(),
            refuses_foreign_audiences: false,
            non_expiring: NonExpiring::Bots,
            max_lifetime: None,
            leeway: Duration::ZERO,
            principal: PrincipalRules {
                claims: vec!["sub".into()],
                mapping: None,
                style: PrincipalStyle::AsIs,
            },
            roles_claim: RolesClaim::default(),
            domain: None,
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        Self { key, verifier: VerificationKey::from_shared_secret(SECRET), rules, fields: Arc::default() }
    }

    fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input =
            format!("{}.{}", part(&json!({"alg": "HS256", "kid": "hmac-2026", "typ": "JWT"})), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, input.as_bytes()));
        format!("{input}.{signature}")
    }

    fn verified(&self, text: &str) -> VerifiedToken {
        let signed = UnverifiedToken::parse(text, 16 * 1024).unwrap().verify(&self.verifier).unwrap();
        let token = validate(signed, "idp", &self.rules, NumericDate::from_secs(NOW)).unwrap();
        // As the proxy does before it caches a token.
        token.identity_values(&self.fields).unwrap();
        token
    }
}
