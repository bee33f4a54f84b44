//! Whether the backend accepts minted tokens, and whether it knows where their keys are.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::backend::Asking;
use crate::backend::TokenFormat;
use crate::command::http_client::client_builder;
use crate::command::running::cause;
use crate::config::{Finding, FindingId, Loaded};
use crate::gateway::system_clock;
use crate::jwks::SourceStatus;
use crate::mint::{JWKS_PATH, MintTarget, Minter};
use crate::printable;
use crate::upstream::ProbeResponse;

const KEY_FILES: &str = "mint.keyFiles";
/// How long our own keys may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the key set of any number of key files that makes sense.
const MAX_BYTES: usize = 64 * 1024;
/// How much of a backend's own words is shown, in characters.
const MAX_WORDS: usize = 200;

/// The key of the configuration that names a user of the backend, and the target that was made from it.
type Minted<'a> = (&'a str, &'a MintTarget);

/// Mints a token for each target and asks the backend about it.
pub(super) async fn findings(loaded: &Loaded, minted: &[Minted<'_>]) -> Vec<Finding> {
    let Some(minter) = &loaded.config.mint else { return Vec::new() };
    let mut findings = Vec::new();
    for url in loaded.config.upstream.urls() {
        let Some(asking) = Asking::new(loaded, url) else { continue };
        for minted in minted {
            findings.extend(ask(&asking, minter, *minted).await);
        }
        if !minter.keys().rsa().is_empty() {
            findings.extend(published(&asking, minter).await);
        }
    }
    findings
}

/// Warns about keys of `mint.keyFiles` in a key set that metagate trusts.
pub(super) fn trusted_key(source: &SourceStatus, loaded: &Loaded) -> Option<Finding> {
    let minter = loaded.config.mint.as_ref()?;
    let is_minting = |material: &[u8; 32]| minter.keys().rsa().iter().any(|key| key.material() == material);
    source.usable.iter().any(|key| is_minting(key.material())).then(|| {
        let message = format!("{} has a key of {KEY_FILES}", source.name);
        Finding::warning(FindingId::MintKeyTrusted, super::place(source), message).help(
            "list the URL of minted tokens' keys only in OpenMetadata's publicKeyUrls, and not in metagate's",
        )
    })
}

/// What the backend says about a token for this target. `None` if it does not answer, which is reported already.
async fn ask(asking: &Asking<'_>, minter: &Minter, (path, target): Minted<'_>) -> Option<Finding> {
    let refused = |message: String| Finding::error(FindingId::MintRefused, path, message);
    let token = match minter.mint(target, system_clock(), None) {
        Ok(token) => token.authorization,
        Err(fault) => return Some(refused(fault.to_string())),
    };
    let asked = match target.format() {
        TokenFormat::OpenMetadata => "/api/v1/users/loggedInUser".to_owned(),
        TokenFormat::DataHub => {
            format!("/openapi/v3/entity/corpuser/urn%3Ali%3Acorpuser%3A{}", encoded(target.user()))
        }
    };
    let response = asking.ask_as(&asked, token).await.ok()?;
    let judged = match target.format() {
        TokenFormat::OpenMetadata => openmetadata(target.user(), &response),
        TokenFormat::DataHub => datahub(target.user(), &response),
    };
    Some(match judged {
        Ok(()) => {
            Finding::info(format!("{path}: {} accepts minted tokens of `{}`", asking.url(), target.user()))
        }
        Err((message, help)) => refused(format!("{}: {message}", asking.url())).help(help),
    })
}

/// What is wrong, and what to do about it.
type Refusal = (String, &'static str);

fn openmetadata(user: &str, response: &ProbeResponse) -> Result<(), Refusal> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    // For a key that it does not know, OpenMetadata 1.1 sends 500 with `responseMessage`.
    let said = body["message"].as_str().or_else(|| body["responseMessage"].as_str()).unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|part| said.contains(part));
    if response.status == StatusCode::OK {
        return match body["name"].as_str() {
            Some(name) if name.eq_ignore_ascii_case(user) => Ok(()),
            Some(name) => Err((
                format!("OpenMetadata takes a minted token of `{user}` for `{}`", words(name)),
                "authentication.principalClaims and principalClaimsMapping must be those of OpenMetadata",
            )),
            None => Err(("the response is not a user".to_owned(), "correct upstream.url or `backend`")),
        };
    }
    let (message, help) = if response.status == StatusCode::NOT_FOUND {
        (format!("OpenMetadata has no user `{user}`"), "create the user or the bot, or correct the name")
    } else if has(&["signing key not found", "SigningKeyNotFound", "keyID doesn't match"]) {
        (
            "OpenMetadata does not find the key of minted tokens".to_owned(),
            "add the URL that `metagate mint show` prints to its publicKeyUrls; metagate must be running, and OpenMetadata \
             must reach its health listener",
        )
    } else if has(&["Public key mismatch", "Token verification failed"]) {
        (
            "OpenMetadata does not verify the signature".to_owned(),
            "authentication.tokenValidationAlgorithm must be that of OpenMetadata; if it is, a key with the same kid is \
             cached there: restart OpenMetadata",
        )
    } else if has(&["principal domain"]) {
        (
            "OpenMetadata enforces the domain of principals".to_owned(),
            "give the target an email address in an allowed domain",
        )
    } else if has(&["claim is not present", "claims are present", "email claim"]) {
        (
            "OpenMetadata misses a claim".to_owned(),
            "authentication.principalClaims and principalClaimsMapping must be those of OpenMetadata; give the target an \
             email address",
        )
    } else if has(&["Expired token"]) {
        (
            "OpenMetadata says that a new token has expired".to_owned(),
            "correct the clock of one of the machines",
        )
    } else {
        (format!("OpenMetadata refuses a minted token of `{user}` ({})", response.status), "see its log")
    };
    Err((with_words(message, said), help))
}

fn datahub(user: &str, response: &ProbeResponse) -> Result<(), Refusal> {
    match response.status {
        // The token was accepted, whatever the user may read.
        StatusCode::OK | StatusCode::FORBIDDEN => Ok(()),
        StatusCode::NOT_FOUND => Err((
            format!("DataHub has no user `{user}`"),
            "create the user or the service account, or correct the name",
        )),
        StatusCode::UNAUTHORIZED => Err((
            format!("DataHub refuses a minted token of `{user}`"),
            "the signing key must be DATAHUB_TOKEN_SERVICE_SIGNING_KEY of GMS; the user must exist and not be suspended; \
             before DataHub 1.4 set mint.datahub.tokenType to session",
        )),
        status => Err((format!("DataHub answers a minted token of `{user}` with {status}"), "see its log")),
    }
}

/// Whether OpenMetadata lists the URL of our keys, and whether all of them are there.
async fn published(asking: &Asking<'_>, minter: &Minter) -> Option<Finding> {
    let warning = |message: String| Finding::warning(FindingId::MintKeysUnlisted, KEY_FILES, message);
    let response = asking.ask("/api/v1/system/config/auth").await.ok()?;
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    // Other backends have no such document, and not every version shows the list.
    let listed = body["publicKeyUrls"].as_array()?;
    let urls = listed.iter().filter_map(Value::as_str).filter_map(|url| Url::parse(url).ok());
    let mut ours = urls.filter(|url| url.path().ends_with(JWKS_PATH)).peekable();
    if ours.peek().is_none() {
        return Some(
            warning(format!("publicKeyUrls of OpenMetadata lists no URL that ends in {JWKS_PATH}"))
                .help("add the URL that `metagate mint show` prints"),
        );
    }
    let wanted: BTreeSet<&str> = minter.keys().rsa().iter().map(|key| key.kid()).collect();
    let mut missing = String::new();
    for url in ours {
        let shown = crate::config::redacted(url.as_str());
        match key_ids(url).await {
            Ok(found) if wanted.iter().all(|kid| found.contains(*kid)) => {
                return Some(Finding::info(format!("{KEY_FILES}: OpenMetadata finds the keys at {shown}")));
            }
            Ok(_) => missing = format!("{shown} does not have every key of {KEY_FILES}"),
            Err(why) => {
                missing = format!("{shown}, which OpenMetadata lists, cannot be read from here: {why}")
            }
        }
    }
    Some(
        warning(missing)
            .help("start metagate with this configuration, and see that OpenMetadata reaches this URL"),
    )
}

/// The ids of the keys at a URL.
async fn key_ids(url: Url) -> Result<BTreeSet<String>, String> {
    let body: Value = serde_json::from_slice(&fetch_key_set(url).await?).unwrap_or_default();
    let keys = body["keys"].as_array().ok_or("it is not a key set")?;
    Ok(keys.iter().filter_map(|key| key["kid"].as_str()).map(str::to_owned).collect())
}

/// The document at a URL.
pub(super) async fn fetch_key_set(url: Url) -> Result<Vec<u8>, String> {
    let client = client_builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let mut response = client.get(url).send().await.map_err(|error| cause(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| cause(&error))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_BYTES {
            return Err("it is too long".to_owned());
        }
    }
    Ok(body)
}

/// A name as a part of a path: everything but unreserved characters is percent-encoded.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}

fn with_words(message: String, said: &str) -> String {
    if said.is_empty() { message } else { format!("{message}: \"{}\"", words(said)) }
}

/// A backend's words, bounded and escaped. It may repeat the token in them.
fn words(said: &str) -> String {
    let bounded: String = said.split(' ').filter(|word| !word.contains("eyJ")).collect::<Vec<_>>().join(" ");
    let bounded: String = bounded.chars().take(MAX_WORDS).collect();
    printable::line(&bounded).into_owned()
}

#[cfg(test)]
mod tests;
