//! Revocations in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use metagate::StoreList;
use metagate::claims::VerifiedToken;
use metagate::config::{ClientTls, ListFormat, StoreAccess, WrittenEntry};
use metagate::numeric_date::NumericDate;
use metagate::revocation::{Revocations, RevokedBy};
use metagate::shared_set::{SetName, SetReader, Update};
use serde_json::json;

use super::super::world;
use super::{List, Members};

pub struct RevocationSet {
    list: StoreList,
    revision: Option<u64>,
    /// Tokens that the list in force must revoke, because the store has their entries.
    revoked: Vec<Arc<VerifiedToken>>,
    /// Tokens that stay revoked because the store has lost their entries.
    kept: Option<Vec<Arc<VerifiedToken>>>,
    tokens: HashMap<String, Option<Arc<VerifiedToken>>>,
}

impl RevocationSet {
    pub fn new() -> Self {
        let list = StoreList::unread(&access(), ListFormat::default());
        Self { list, revision: None, revoked: Vec::new(), kept: None, tokens: HashMap::new() }
    }

    /// A token that an entry revokes; `None` for an entry that no token of the tests' issuer meets.
    fn token(&mut self, text: &str, entry: &WrittenEntry) -> Option<Arc<VerifiedToken>> {
        let make = || {
            let revocation = &entry.revocation;
            let mut claims = match revocation.by() {
                RevokedBy::Id => json!({"jti": revocation.value(), "sub": "ada"}),
                RevokedBy::Subject => json!({"sub": revocation.value()}),
                RevokedBy::Fingerprint | RevokedBy::Key | RevokedBy::DatahubTokenHash => return None,
            };
            claims["exp"] = (world::NOW.as_secs() + 600).into();
            if revocation.issuer().is_some_and(|issuer| issuer != "idp") {
                return None;
            }
            world::verify(&world::signed(claims.to_string().as_bytes())).map(Arc::new)
        };
        self.tokens.entry(text.to_owned()).or_insert_with(make).clone()
    }

    /// The entries that have not ended, or `None` if one is invalid.
    fn entries(members: &Members, now: NumericDate) -> Option<Vec<(&str, WrittenEntry)>> {
        let mut entries = Vec::new();
        for (text, score) in members {
            let entry = WrittenEntry::from_json(text).ok()?;
            let by_score =
                score.filter(|score| score.abs() < 1e15).map(|score| NumericDate::from_secs(score as i64));
            let until = entry.until.into_iter().chain(by_score).min();
            if until.is_none_or(|until| until > now) {
                entries.push((&**text, WrittenEntry { until, ..entry }));
            }
        }
        Some(entries)
    }
}

impl List for RevocationSet {
    fn reader(&self) -> SetReader {
        SetReader::new(self.name())
    }

    fn name(&self) -> SetName {
        SetName::new("fuzz", "revocations")
    }

    fn written(&self, text: &str) -> String {
        let Ok(entry) = WrittenEntry::from_json(text) else { return text.to_owned() };
        let written = entry.to_json();
        let again = WrittenEntry::from_json(&written).map(|again| WrittenEntry { at: entry.at, ..again });
        assert_eq!(again.as_ref(), Ok(&entry), "{written}");
        written
    }

    fn take(&mut self, update: Update, members: &Members, now: SystemTime) -> bool {
        let (before, date) = (self.list.list(), NumericDate::from(now));
        let given: Members = match &update {
            Update::Unchanged => Members::new(),
            Update::Added { members, .. } | Update::Whole { members, .. } => {
                members.iter().map(|member| (member.text.clone(), member.until)).collect()
            }
        };
        let is_whole = matches!(update, Update::Whole { .. });
        if let Update::Whole { revision, .. } = &update
            && self.revision.is_some_and(|before| *revision < before)
        {
            self.kept = before.is_some().then(|| self.revoked.clone());
        }
        if let Update::Added { revision, .. } | Update::Whole { revision, .. } = &update {
            self.revision = Some(*revision);
        }
        let accepted = self.list.take(&update, now).is_ok();
        assert_eq!(accepted, Self::entries(&given, date).is_some(), "{given:?}");
        let list = self.list.list();
        if !accepted || matches!(update, Update::Unchanged) {
            assert_eq!(
                list.as_ref().map(Arc::as_ptr),
                before.as_ref().map(Arc::as_ptr),
                "the list has changed"
            );
            return accepted;
        }
        let list = list.expect("it was read");
        let entries = Self::entries(members, date).expect("all were accepted");
        if is_whole {
            self.revoked = self.kept.clone().unwrap_or_default();
            assert!(self.kept.is_some() || list.len() == entries.len(), "{} {entries:?}", list.len());
            assert_same_copy(&entries, date);
        }
        for (text, entry) in &entries {
            let token = self.token(text, entry);
            self.revoked.extend(token);
        }
        assert_revokes(&list, &self.revoked);
        true
    }
}

/// The lines that are kept on disk are a list with the same entries.
fn assert_same_copy(entries: &[(&str, WrittenEntry)], now: NumericDate) {
    let lines: String = entries.iter().map(|(_, entry)| entry.to_json() + "\n").collect();
    let lines = if lines.is_empty() { "[]" } else { &*lines };
    let read = ListFormat::default().read("the copy", lines.as_bytes(), now);
    assert_eq!(read.map(|read| read.list.len()), Ok(entries.len()), "{lines}");
}

fn assert_revokes(list: &Revocations, tokens: &[Arc<VerifiedToken>]) {
    for token in tokens {
        assert!(list.find(token, "").is_some(), "{:?} {:?} is not revoked", token.id(), token.subject());
    }
}

/// A store that is never connected to.
pub fn access() -> Arc<StoreAccess> {
    Arc::new(StoreAccess {
        urls: Vec::new(),
        sentinel_master: None,
        namespace: "fuzz".into(),
        username: None,
        password: None,
        sentinel_password: None,
        tls: ClientTls::default(),
        poll: std::time::Duration::from_secs(1),
        max_stale: None,
    })
}
