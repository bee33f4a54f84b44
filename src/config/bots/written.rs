//! The text of an allow-list.

use std::fmt::Write as _;

use super::super::yaml_text::quoted;
use crate::bots::Bot;

const HEADER: &str = "\
# The bots whose tokens metagate accepts. `metagate bot` writes this file; comments are not kept.
# It holds no secret: the tokens are not in it.
";

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
