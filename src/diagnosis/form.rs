//! Tokens that are not a compact JWS of a claims set.

use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine as _};
use serde::de::IgnoredAny;

use super::text::{Claim, Detail, Quoted, Words};
use crate::jose::{Algorithm, JoseFault, JsonObject};
use crate::trust::TrustedIssuer;

/// The longest header that is decoded again, in bytes of base64url. Longer ones are refused before they are decoded.
const MAX_HEADER_BYTES: usize = 4096;

/// Why a text cannot be parsed as a token. `max_bytes` is the longest token.
pub fn unparsed(text: &str, fault: JoseFault, max_bytes: usize) -> Detail {
    let length = text.len();
    if length > max_bytes {
        return Detail::of(format_args!("token has {length} bytes, limits.tokenBytes is {max_bytes}"));
    }
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return wrong_parts(text.split('.').count(), length);
    };
    for (name, part) in [("header", header), ("payload", payload), ("signature", signature)] {
        if part.is_empty() {
            return Detail::of(format_args!("the token's {name} is empty: was it cut off?"));
        }
    }
    if header.len() > MAX_HEADER_BYTES {
        let length = header.len();
        return Detail::of(format_args!(
            "header has {length} bytes of base64url, at most {MAX_HEADER_BYTES}"
        ));
    }
    let decoded = [("header", header), ("payload", payload), ("signature", signature)].map(|(name, part)| {
        // Only a token whose field says `padded: true` gets here with padding.
        let padded = part.contains('=');
        let decoded = if padded { URL_SAFE.decode(part) } else { URL_SAFE_NO_PAD.decode(part) };
        decoded.map_err(|error| not_base64(name, part.len(), &error))
    });
    let [Ok(header), Ok(payload), Ok(_)] = decoded else {
        let [header, payload, signature] = decoded.map(Result::err);
        return header.or(payload).or(signature).unwrap_or_else(|| of_fault(fault));
    };
    match (JsonObject::parse(&header), fault) {
        (None, _) => not_an_object("header", &header),
        (Some(members), JoseFault::AlgorithmUnknown) => {
            let supported = Words(Algorithm::ALL.into_iter().map(Algorithm::name));
            Detail::of(format_args!("alg: {}, supported {supported}", Claim(members.get("alg"))))
        }
        (Some(members), _) => match broken_member(&members) {
            Some(detail) => detail,
            None => broken_payload(&payload).unwrap_or_else(|| of_fault(fault)),
        },
    }
}

/// The entry does not accept this `typ`.
pub(super) fn token_type(found: Option<&str>, entry: &TrustedIssuer, why: &str) -> Detail {
    let name = &entry.name;
    match found {
        Some(found) => {
            let accepted = Words(entry.rules.kinds.types.iter().map(AsRef::as_ref));
            Detail::of(format_args!("typ: {}, entry {name} accepts {accepted} (tokenTypes)", Quoted(found)))
        }
        None => Detail::of(format_args!("{why} (entry {name})")),
    }
}

fn of_fault(fault: JoseFault) -> Detail {
    match fault {
        JoseFault::Malformed(why) => Detail::of(format_args!("{why}")),
        JoseFault::AlgorithmUnknown => Detail::of(format_args!("alg is not supported")),
        JoseFault::InvalidSignature => Detail::of(format_args!("signature is not valid")),
    }
}

fn wrong_parts(count: usize, length: usize) -> Detail {
    let hint = match count {
        1 => ": is it an opaque access token?",
        2 => ": was its signature cut off?",
        5 => ": it is encrypted (JWE)",
        _ => "",
    };
    let parts = if count == 1 { "part" } else { "parts" };
    Detail::of(format_args!("token does not have three parts but {count} {parts}, {length} bytes{hint}"))
}

/// Names the place and not the character, which is a part of the token.
fn not_base64(name: &str, length: usize, error: &DecodeError) -> Detail {
    let mut detail = Detail::of(format_args!("{name} is not canonical base64url: "));
    match error {
        DecodeError::InvalidByte(at, _) => {
            detail.add(format_args!("character {} of {length} is not in its alphabet", at + 1));
        }
        DecodeError::InvalidLength(_) => {
            detail.add(format_args!("no text is encoded in {length} characters; was it cut off?"));
        }
        DecodeError::InvalidLastSymbol(..) => {
            detail.add(format_args!("the unused bits of its last character are not zero"));
        }
        DecodeError::InvalidPadding => detail.add(format_args!("its padding is not complete")),
    }
    detail
}

/// Where a part stops being JSON. serde's messages name what is expected, and never what is there.
fn not_an_object(name: &str, text: &[u8]) -> Detail {
    match serde_json::from_slice::<IgnoredAny>(text) {
        Err(error) => Detail::of(format_args!("{name} is not JSON: {error}")),
        Ok(_) if text.trim_ascii_start().starts_with(b"{") => {
            Detail::of(format_args!("{name} has a member twice, or is nested too deeply"))
        }
        Ok(_) => Detail::of(format_args!("{name} is JSON, but not an object")),
    }
}

/// The member of a header that is refused.
fn broken_member(members: &JsonObject) -> Option<Detail> {
    if let Some(name) = ["crit", "b64", "zip", "enc"].into_iter().find(|name| members.get(name).is_some()) {
        return Some(Detail::of(format_args!("header has {name}, which is not supported")));
    }
    let found = |name| members.get(name);
    match (found("alg"), found("kid"), found("typ")) {
        (alg, _, _) if alg.and_then(|alg| alg.as_str()).is_none() => {
            Some(Detail::of(format_args!("alg: {} is not a string", Claim(alg))))
        }
        (_, Some(kid), _) => match kid.as_str() {
            Some(kid) if kid.len() > 256 => {
                let length = kid.len();
                Some(Detail::of(format_args!("kid: it has {length} bytes, at most 256")))
            }
            Some(_) => broken_type(members),
            None => Some(Detail::of(format_args!("kid: {} is not a string", Claim(Some(kid))))),
        },
        _ => broken_type(members),
    }
}

fn broken_type(members: &JsonObject) -> Option<Detail> {
    let found = members.get("typ").filter(|found| found.as_str().is_none())?;
    Some(Detail::of(format_args!("typ: {} is not a string", Claim(Some(found)))))
}

fn broken_payload(payload: &[u8]) -> Option<Detail> {
    let Some(claims) = JsonObject::parse(payload) else { return Some(not_an_object("payload", payload)) };
    // Members are sorted so that such names are neighbours.
    let mut names = claims.members().iter().map(|(name, _)| name);
    let mut before = names.next()?;
    for name in names {
        if before.eq_ignore_ascii_case(name) {
            let (one, other) = (Quoted(before), Quoted(name));
            return Some(Detail::of(format_args!("claims {one} and {other} differ only in letter case")));
        }
        before = name;
    }
    None
}
