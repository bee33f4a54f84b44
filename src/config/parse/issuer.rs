//! Parses `issuer`: the tokens that metagate gives to clients, and the implicit issuer entry that verifies them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::{BotFile, BotSource, KeyAccess, KeySource, StoreAccess, TrustEntry, values};
use super::key_files::key_files;
use super::section::Section;
use crate::claims::is_foreign_audience;
use crate::mint::Minter;
use crate::own_issuer::{ENTRY, IssuerKey, TokenIssuer};

const KEYS: [&str; 3] = ["url", "audience", "keyFiles"];
const ANOTHER_KEY: &str = "the backend, or another issuer, must not have the key that signs tokens for clients: make \
                           another one with `metagate issuer init`";

/// The issuer, whose entry is added to `trust`; `None` if `issuer` is not set, or has errors.
pub(super) fn issuer(
    root: &Section<'_>,
    trust: &mut Vec<TrustEntry>,
    minter: Option<&Arc<Minter>>,
) -> Option<Arc<TokenIssuer>> {
    let section = root.section("issuer");
    if !is_given(root) {
        let bots = section.section("bots");
        let given = [("file", bots.is_given("file")), ("store", is_in_store(&bots))];
        if let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            bots.error_with_help(
                key,
                "requires issuer.url, issuer.audience and issuer.keyFiles",
                "make a key with `metagate issuer init`",
            );
        }
        return None;
    }
    require_all(&section);
    check_url(root, &section, trust);
    check_name(root, trust);
    section.read("url", values::filled_in);
    let url = section.text("url")?;
    let audience = audience(&section, url);
    let files: Vec<PathBuf> = section.list("keyFiles", |path| Ok(PathBuf::from(path)))?;
    let keys: Vec<IssuerKey> = key_files(&section, &files, trust, ANOTHER_KEY)?;
    refuse_minting_keys(&section, &files, &keys, minter);
    if root.report.knows("issuer") {
        return None;
    }
    let issuer = Arc::new(TokenIssuer::new(url, audience?, keys));
    trust.push(entry(&issuer, leeway(root)));
    Some(issuer)
}

/// The allow-list of bots. `store` is where revocations are.
pub(super) fn bots(root: &Section<'_>, store: Option<&Arc<StoreAccess>>) -> Option<BotSource> {
    const STORE: &str = "store";
    let section = root.section("issuer").section("bots");
    let file = section.file("file").map(|file| BotSource::File(BotFile::new(file)));
    if !section.boolean(STORE) {
        return file;
    }
    if file.is_some() {
        section.error(STORE, format!("{} is also set; a list has one place", section.path("file")));
    }
    let has_url = root.section("authentication").section("revocations").section("store").has("url");
    if store.is_none() && !has_url {
        section.error_with_help(
            STORE,
            "requires authentication.revocations.store.url",
            "write the server's URL there, like rediss://redis.example:6379/0; the same server has both lists",
        );
    }
    store.map(|store| BotSource::Store(store.clone()))
}

/// Whether there is an allow-list of bots.
pub(super) fn has_bots(root: &Section<'_>) -> bool {
    let section = root.section("issuer").section("bots");
    section.is_given("file") || is_in_store(&section)
}

/// Whether `issuer.bots` says that the list is in the store. An error about the value is reported where it is parsed.
fn is_in_store(bots: &Section<'_>) -> bool {
    bots.text("store").is_some_and(|text| values::boolean(text) == Ok(true))
}

/// Whether the section is set.
pub(super) fn is_given(root: &Section<'_>) -> bool {
    let section = root.section("issuer");
    KEYS.iter().any(|key| section.is_given(key))
}

fn require_all(section: &Section<'_>) {
    for (key, help) in KEYS.into_iter().zip([
        "write a URL of your own, like https://metagate.example: every token names it",
        "write `audience: metagate`, or another name of your own",
        "make a key with `metagate issuer init`",
    ]) {
        let is_empty =
            key == "keyFiles" && section.list(key, |_| Ok(())).is_some_and(|files| files.is_empty());
        if !section.is_given(key) || is_empty {
            section.missing(key, "is required: issuer needs url, audience and keyFiles", help);
        }
    }
}

/// Refuses an issuer that somebody else is.
fn check_url(root: &Section<'_>, section: &Section<'_>, trust: &[TrustEntry]) {
    let Some(url) = section.text("url") else { return };
    let quoted = values::quote(url);
    let help = "tokens of two issuers could not be told apart: write an issuer that no other token has";
    if url.trim() != url || url.contains(char::is_control) {
        section.error("url", format!("{quoted} begins or ends with white space, or has control characters"));
    } else if root.section("mint").text("issuer") == Some(url) {
        section.error_with_help(
            "url",
            format!("{quoted} is mint.issuer, which names the tokens for the backend"),
            help,
        );
    } else if let Some(entry) = trust.iter().find(|entry| entry.rules.binds(url) || *entry.name == *url) {
        section.error_with_help("url", format!("{quoted} is an issuer of the entry `{}`", entry.name), help);
    } else if let Some(product) = crate::backend::Backend::products()
        .find(|product| root.section(product.section).text(product.issuer_key) == Some(url))
    {
        section.error_with_help(
            "url",
            format!("{quoted} is the issuer of {}'s own tokens", product.name),
            help,
        );
    }
}

/// Refuses an entry of the configuration that has the name of the implicit one.
fn check_name(root: &Section<'_>, trust: &[TrustEntry]) {
    if trust.iter().any(|entry| *entry.name == *ENTRY || entry.rules.binds(ENTRY)) {
        root.section("authentication").error_with_help(
            "issuers",
            format!("`{ENTRY}` is the name of the entry that `issuer` adds"),
            "give the entry another name",
        );
    }
}

fn audience<'s>(section: &Section<'s>, url: &str) -> Option<&'s str> {
    section.read("audience", values::filled_in)?;
    let text = section.text("audience")?;
    if is_foreign_audience(text, &[url.into()]) {
        let message = format!("{} is the audience of another service", values::quote(text));
        section.error_with_help("audience", message, "write a name of your own, like `metagate`");
        return None;
    }
    Some(text)
}

/// Refuses a key that also signs for the backend: OpenMetadata would accept the clients' tokens.
fn refuse_minting_keys(
    section: &Section<'_>,
    files: &[PathBuf],
    keys: &[IssuerKey],
    minter: Option<&Arc<Minter>>,
) {
    let minting = || minter.into_iter().flat_map(|minter| minter.keys().rsa());
    for (key, file) in keys.iter().zip(files) {
        if minting().any(|other| other.material() == key.material()) {
            let message = format!("the key of {} is also in mint.keyFiles", file.display());
            section.error_with_help("keyFiles", message, ANOTHER_KEY);
        }
    }
}

/// An error about the setting is reported where it is parsed.
fn leeway(root: &Section<'_>) -> Duration {
    let text = root.section("authentication").text("leeway");
    text.and_then(|text| values::duration(text).ok()).unwrap_or_default()
}

/// The entry that verifies the tokens. Nothing is fetched for it.
fn entry(issuer: &TokenIssuer, leeway: Duration) -> TrustEntry {
    TrustEntry {
        name: ENTRY.into(),
        keys: KeySource::Inline(issuer.public_keys()),
        algorithms: TokenIssuer::algorithms(),
        rules: issuer.rules(leeway),
        optional: false,
        ca_file: None,
        proxy: None,
        access: KeyAccess::default(),
    }
}
