//! The text of an allow-list.

use std::fmt::Write as _;

use serde_json::json;

use super::super::yaml_text::quoted;
use crate::bots::{Bot, BotToken};
use crate::printable;

const HEADER: &str = "\
# The bots whose tokens metagate accepts. `metagate bot` writes this file; comments are not kept.
# It holds no secret: the tokens are not in it.
";

/// A bot as one JSON object in one line, with the keys of the list. YAML can read it too.
pub fn json(bot: &Bot) -> String {
    let token = |token: &BotToken| {
        json!({
            "jti": token.id, "created": token.created.to_string(), "expires": token.expires.to_string(), "note": token.note,
        })
    };
    let mut value = json!({
        "name": bot.name,
        "roles": bot.roles,
        "created": bot.created.to_string(),
        "sourceIps": bot.source_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tokens": bot.tokens.iter().map(token).collect::<Vec<_>>(),
    });
    // A key without a value is not a key of the list.
    for token in value["tokens"].as_array_mut().into_iter().flatten() {
        if let Some(token) = token.as_object_mut().filter(|token| token["note"].is_null()) {
            token.remove("note");
        }
    }
    printable::line(&value.to_string()).into_owned()
}

/// The text of a list of these bots.
pub fn text(bots: &[Bot]) -> String {
    let mut text = HEADER.to_owned();
    if bots.is_empty() {
        text.push_str("[]\n");
    }
    for bot in bots {
        let list = |items: Vec<String>| items.join(", ");
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "- name: {}", quoted(&bot.name));
        let _ = writeln!(text, "  roles: [{}]", list(bot.roles.iter().map(|role| quoted(role)).collect()));
        let _ = writeln!(text, "  created: {}", bot.created);
        if !bot.source_ips.is_empty() {
            let networks = bot.source_ips.iter().map(|network| quoted(&network.to_string())).collect();
            let _ = writeln!(text, "  sourceIps: [{}]", list(networks));
        }
        text.push_str(if bot.tokens.is_empty() { "  tokens: []\n" } else { "  tokens:\n" });
        for token in &bot.tokens {
            let _ = writeln!(text, "    - jti: {}", quoted(&token.id));
            let _ = writeln!(text, "      created: {}", token.created);
            let _ = writeln!(text, "      expires: {}", token.expires);
            if let Some(note) = &token.note {
                let _ = writeln!(text, "      note: {}", quoted(note));
            }
        }
    }
    text
}
