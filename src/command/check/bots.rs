//! The allow-list of bots, and whether OpenMetadata has the keys that sign their tokens.

use serde_json::Value;
use url::Url;

use super::backend::Asking;
use super::mint::fetch_key_set;
use crate::bots::{Bot, Bots};
use crate::command::bot::store;
use crate::config::{BotSource, Finding, FindingId, Loaded, redacted};
use crate::diagnosis::Span;
use crate::jose::{KeyDialect, ParsedKeys};
use crate::numeric_date::NumericDate;
use crate::own_issuer::{ENTRY, TokenIssuer};

const FILE: &str = "issuer.bots.file";
const STORE: &str = "issuer.bots.store";
const KEY_FILES: &str = "issuer.keyFiles";
/// A bot whose last token ends within this time needs another one.
const SOON_SECONDS: u64 = 14 * 86_400;
/// The most key URLs of OpenMetadata that are read.
const MAX_URLS: usize = 20;

/// What the list says. `offline` is a machine that need not have the file.
pub(super) fn findings(loaded: &Loaded, offline: bool, now: NumericDate) -> Vec<Finding> {
    let file = match &loaded.config.bots {
        None => return Vec::new(),
        Some(BotSource::Store(_)) if offline => {
            return vec![Finding::info(format!("skipped: {STORE}: the store is not asked"))];
        }
        Some(BotSource::Store(access)) => {
            return match store::read(access) {
                Ok((bots, _)) => of_list(loaded, &Bots::new(bots), STORE, now),
                Err(why) => {
                    let finding = Finding::error(FindingId::BotsUnreadable, STORE, why);
                    vec![finding.help("without the list metagate is not ready, and no bot is accepted")]
                }
            };
        }
        Some(BotSource::File(file)) => file,
    };
    if offline && !file.path().exists() {
        return vec![Finding::info(format!("skipped: {FILE}: {} is not here", file.path().display()))];
    }
    match file.read(now) {
        Ok(version) => of_list(loaded, &version.bots, FILE, now),
        Err(fault) => {
            let finding = Finding::error(FindingId::BotsUnreadable, FILE, fault.to_string());
            vec![finding.help("no bot is accepted; `metagate bot create` makes the list")]
        }
    }
}

fn of_list(loaded: &Loaded, list: &Bots, key: &'static str, now: NumericDate) -> Vec<Finding> {
    let entries = || loaded.config.exchange.table.entries_of(ENTRY);
    let mut findings = Vec::new();
    for bot in list.bots() {
        findings.extend(ending(bot, key, now));
        if !entries().any(|entry| entry.takes_subject(&bot.name)) {
            let message =
                format!("no entry of exchange names the bot {}: its requests are refused", bot.name);
            let finding = Finding::warning(FindingId::BotUnmapped, key, message);
            findings.push(finding.help(format!("write `from: {{bots: [{}]}}` in an entry", bot.name)));
        }
    }
    let is_known = |name: &str| list.bots().iter().any(|bot| *bot.name == *name);
    for entry in entries() {
        for name in entry.subjects.iter().filter(|name| !is_known(name)) {
            let message =
                format!("exchange `{}` names the bot {name}, which {key} does not have", entry.user.entry);
            let finding = Finding::warning(FindingId::BotUnmapped, key, message);
            findings.push(finding.help(format!("make it with `metagate bot create {name}`")));
        }
    }
    findings
}

/// Warns about a bot whose last token ends soon, or that has none.
fn ending(bot: &Bot, key: &'static str, now: NumericDate) -> Option<Finding> {
    let last = bot.tokens.iter().map(|token| token.expires).max();
    let left = last.map_or(0, |end| end.since(now).max(0).unsigned_abs());
    (left <= SOON_SECONDS).then(|| {
        let message = match left {
            0 => format!("the bot {} has no token that is accepted", bot.name),
            left => format!("the last token of the bot {} ends in {}", bot.name, Span(left)),
        };
        Finding::warning(FindingId::BotTokenEnds, key, message)
            .help(format!("`metagate bot regenerate {} --grace 24h` gives it another one", bot.name))
    })
}

/// Errors about keys of `issuer.keyFiles` that OpenMetadata trusts: every token of a client would be a login there.
pub(super) async fn listed(loaded: &Loaded) -> Vec<Finding> {
    let Some(issuer) = &loaded.config.issuer else { return Vec::new() };
    let mut findings = Vec::new();
    for url in loaded.config.upstream.urls() {
        let Some(asking) = Asking::new(loaded, url) else { continue };
        // Other backends have no such document, and not every version shows the list.
        let Ok(response) = asking.ask("/api/v1/system/config/auth").await else { continue };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let urls = body["publicKeyUrls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let urls = urls.iter().filter_map(Value::as_str).filter_map(|url| Url::parse(url).ok());
        for url in urls.filter(|url| matches!(url.scheme(), "http" | "https")).take(MAX_URLS) {
            let shown = redacted(url.as_str());
            match fetch_key_set(url).await {
                Ok(document) if has_key_of(issuer, &document) => findings.push(
                    Finding::error(
                        FindingId::IssuerKeyListed,
                        KEY_FILES,
                        format!("OpenMetadata lists {shown}, which has a key of {KEY_FILES}"),
                    )
                    .help(
                        "every token of a client is a login at OpenMetadata itself: remove the key there, restart \
                         OpenMetadata, and make another key with `metagate issuer rotate`",
                    ),
                ),
                Ok(_) => {}
                Err(why) => findings.push(Finding::info(format!(
                    "{KEY_FILES}: cannot tell whether {shown}, which OpenMetadata lists, has a key of it: {why}"
                ))),
            }
        }
    }
    findings
}

fn has_key_of(issuer: &TokenIssuer, document: &[u8]) -> bool {
    let Ok(keys) = ParsedKeys::parse(document, KeyDialect::Standard) else { return false };
    let is_ours = |material| issuer.keys().iter().any(|key| key.material() == material);
    keys.usable.iter().any(|key| is_ours(key.material()))
}
