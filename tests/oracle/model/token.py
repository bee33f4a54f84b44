"""A JWS in compact form, read strictly: RFC 7515 sections 2, 4.1 and 5.2, RFC 8725 sections 3.1 and 3.11."""

import base64
import json
import re
from decimal import Decimal

from . import keys, settings
from .outcome import Refused

# Every algorithm that a token may name. Of others nothing else is read.
ALGORITHMS = {"HS256", "Ed25519", *settings.ALGORITHMS}
LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(65, 91)})
PART = re.compile(r"[A-Za-z0-9_-]*")


class Token:
    """The parts of a token before anything of it is believed."""

    def __init__(self, text, header, payload, signature):
        self.text = text
        self.header = header
        self.payload = payload
        self.signature = signature
        self.signed = text.rpartition(".")[0].encode()
        self.alg = header["alg"]
        self.kid = header.get("kid")
        self.keys = []


def octets(part, padded):
    """Base64url without padding and with zero trailing bits, so that no octets have two spellings."""
    if padded and part.endswith("="):
        if len(part) % 4 or len(part) - len(part.rstrip("=")) > 2:
            raise Refused("malformed_token")
        part = part.rstrip("=")
    if not PART.fullmatch(part) or len(part) % 4 == 1:
        raise Refused("malformed_token")
    value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(value).rstrip(b"=").decode() != part:
        raise Refused("malformed_token")
    return value


def unique(pairs):
    """A JSON object without duplicate members."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def constant(text):
    raise ValueError(f"{text} is not JSON")


def real(text):
    value = Decimal(text)
    if abs(value) > Decimal("1.7976931348623157e308"):
        raise ValueError("beyond the range of a double")
    return value


def json_object(part):
    try:
        text = part.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_float=real)
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")  # no lone surrogates
    except (ValueError, RecursionError):
        raise Refused("malformed_token") from None
    if not isinstance(value, dict):
        raise Refused("malformed_token")
    return value


def has_twins(claims):
    """Claims that differ only in the case of their names: OpenMetadata would read either."""
    return len({name.translate(LOWER) for name in claims}) != len(claims)


def parse(text, limit, padded):
    """A token from the value of a field, without its scheme."""
    if len(text) > limit:
        raise Refused("malformed_token")
    if not (re.fullmatch(r"[A-Za-z0-9_.=-]*" if padded else r"[A-Za-z0-9_.-]*", text)):
        raise Refused("malformed_token")
    parts = text.split(".")
    if len(parts) != 3:
        raise Refused("malformed_token")
    header = json_object(octets(parts[0], padded))
    if any(name in header for name in ("crit", "b64", "zip", "enc")) or not isinstance(header.get("alg"), str):
        raise Refused("malformed_token")
    if header["alg"] not in ALGORITHMS:
        raise Refused("algorithm_not_allowed")
    for name in ("kid", "typ"):
        if name in header and not isinstance(header[name], str):
            raise Refused("malformed_token")
    payload, signature = json_object(octets(parts[1], padded)), octets(parts[2], padded)
    if not signature or has_twins(payload):
        raise Refused("malformed_token")
    return Token(text, header, payload, signature)


def select_issuer(token, configuration):
    """`iss` picks the entry; any other goes to the simple list, if there is one."""
    iss = token.payload.get("iss")
    if iss is not None and not isinstance(iss, str):
        raise Refused("malformed_token")
    for issuer in configuration.issuers:
        if iss in issuer.iss:
            break
    else:
        issuer = configuration.simple_list
    if issuer is None:
        raise Refused("untrusted_issuer")
    return issuer


def check_header(token, issuer):
    """The members that the entry requires."""
    for name, wanted in issuer.require_header.items():
        if token.header.get(name) not in wanted:
            raise Refused("untrusted_issuer")


def check_type(token, issuer):
    """The header's `typ`, as media types are compared."""
    if "typ" not in token.header:
        if issuer.requires_token_type:
            raise Refused("malformed_token")
        return
    typ = keys.media_type(token.header["typ"])
    if typ in issuer.token_types or (typ == "jose" and "jwt" in issuer.token_types):
        return
    raise Refused("malformed_token")


def verify(text, configuration, padded):
    """(token, issuer entry, key): a token whose signature is right. Its claims are still to be judged."""
    token = parse(text, configuration.token_octets, padded)
    issuer = select_issuer(token, configuration)
    if keys.canonical(token.alg) not in issuer.algorithms:
        raise Refused("algorithm_not_allowed")
    check_type(token, issuer)
    check_header(token, issuer)
    if issuer.secret is None:
        token.keys = keys.candidates(issuer, token.kid, keys.canonical(token.alg))
    return token, issuer, keys.verify(issuer, token)
