//! Lists of `name=value` in one variable, with percent-encoded values.

use http::{HeaderName, HeaderValue};

/// Reads the fields of each request to the collector.
///
/// # Errors
/// What is wrong, without the value.
pub(super) fn headers(list: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let field = |(name, value): (String, String)| {
        let value = HeaderValue::try_from(value);
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(&name), value) else {
            return Err("has a name or a value that cannot be in a request".to_owned());
        };
        value.set_sensitive(true);
        Ok((name, value))
    };
    pairs(list)?.into_iter().map(field).collect()
}

/// Reads attributes of the resource. Of two with one name, the last counts.
///
/// # Errors
/// What is wrong.
pub(super) fn resource_attributes(list: &str) -> Result<Vec<(String, String)>, String> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (name, value) in pairs(list)? {
        attributes.retain(|(known, _)| *known != name);
        attributes.push((name, value));
    }
    Ok(attributes)
}

fn pairs(list: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |(number, item): (usize, &str)| {
        let item = item.trim();
        let (name, value) = item.split_once('=').unwrap_or_default();
        let name = decoded(name.trim()).filter(|name| !name.is_empty());
        name.zip(decoded(value.trim()))
            .ok_or_else(|| format!("element {} is not name=value, with percent-encoded text", number + 1))
    };
    let items = list.split(',').enumerate().filter(|(_, item)| !item.trim().is_empty());
    items.map(pair).collect()
}

/// Percent-decoded text; `None` if it is not valid.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\u{fffd}'))
}
