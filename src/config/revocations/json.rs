//! One entry as one JSON object, as a store has it.

use super::entries::{ISSUED_BEFORE, ISSUER, LineFault, NOTE, UNTIL, WrittenEntry, of_line};
use crate::numeric_date::NumericDate;
use crate::printable;

/// The end of the year 9999. Later times are written as seconds.
const LAST_WRITTEN: i64 = 253_402_300_799;

impl WrittenEntry {
    /// Parses an entry that is written as one JSON object.
    ///
    /// # Errors
    /// What is wrong with it. The text omits values, which may be tokens.
    pub fn from_json(text: &str) -> Result<Self, String> {
        of_line(text).map_err(|fault| match fault {
            LineFault::Unreadable(problems) => {
                problems.into_iter().next().map_or_else(String::new, |problem| problem.message)
            }
            LineFault::Wrong(problem) => problem.message,
        })
    }

    /// The entry as one JSON object on one line, which YAML can read too. The same entry always has the same text.
    pub fn to_json(&self) -> String {
        let revocation = &self.revocation;
        let time = |time: NumericDate| match time.as_secs() {
            0..=LAST_WRITTEN => humantime::format_rfc3339_seconds(time.into()).to_string(),
            seconds => seconds.to_string(),
        };
        let members = [
            (revocation.by().as_str(), Some(revocation.value().to_owned())),
            (ISSUER, revocation.issuer().map(ToOwned::to_owned)),
            (ISSUED_BEFORE, revocation.before().map(time)),
            (UNTIL, self.until.map(time)),
            (NOTE, self.note.as_deref().map(ToOwned::to_owned)),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        printable::line(&serde_json::Value::Object(members.collect()).to_string()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (line, written) in [
            (r#"{"jti":"a"}"#, r#"{"jti":"a"}"#),
            (
                r#"{jti: 007, note: "left \"us\"", issuer: okta}"#,
                r#"{"issuer":"okta","jti":"007","note":"left \"us\""}"#,
            ),
            (
                r#"{"sub":"ada","issuedBefore":1795329000,"until":"2100-01-01T00:00:00Z"}"#,
                r#"{"issuedBefore":"2026-11-22T06:30:00Z","sub":"ada","until":"2100-01-01T00:00:00Z"}"#,
            ),
            (r#"{"jti":"a","until":99999999999999}"#, r#"{"jti":"a","until":"99999999999999"}"#),
            // Characters that YAML refuses, and one that it need not.
            (
                r#"{"jti":"a\u007f\u0080\uffff","note":"\u200b\ud83d\ude00"}"#,
                "{\"jti\":\"a\\u007f\\u0080\\uffff\",\"note\":\"\\u200b\u{1f600}\"}",
            ),
        ] {
            let entry = WrittenEntry::from_json(line).unwrap();
            assert_eq!(entry.to_json(), written);
            assert_eq!(WrittenEntry::from_json(written).unwrap(), entry);
        }
        for wrong in ["", "{", "{}", "[]", r#"{"jit":"a"}"#, "{\"jti\":\"a\"}\n{\"jti\":\"b\"}"] {
            assert!(WrittenEntry::from_json(wrong).is_err(), "{wrong}");
        }
    }
}
