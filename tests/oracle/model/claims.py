"""What a verified token must contain, and what it says: RFC 7519 section 4.1, docs/configuration.md (Claims and roles)."""

import hashlib
import re
from dataclasses import dataclass, field
from decimal import Decimal

from .outcome import Refused
from .token import LOWER

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


@dataclass
class Identity:
    """Who a verified token is, for the rules."""

    issuer: object
    claims: dict
    kid: str | None
    token_class: str
    principal: str
    is_own: bool
    roles: list = field(default_factory=list)
    scopes: list = field(default_factory=list)
    audiences: list = field(default_factory=list)


def dotted(text):
    """The members of `a."b.c".d`."""
    parts, position = [], 0
    while position <= len(text):
        quoted = QUOTED.match(text, position)
        if quoted:
            parts.append(re.sub(r"\\(.)", r"\1", quoted[1]))
            position = quoted.end() + 1
        else:
            end = text.find(".", position)
            end = len(text) if end == -1 else end
            parts.append(text[position:end])
            position = end + 1
    return parts


def lookup(claims, text):
    """The claim that a key like `rolesClaim` leads to, or None."""
    if text in claims:
        return claims[text]
    pointer = text.startswith("/")
    parts = text[1:].split("/") if pointer else dotted(text)
    value = claims
    for part in parts:
        if pointer:
            part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif pointer and isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]*", part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def is_number(value):
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def ignoring_case(claims, name):
    """A claim as OpenMetadata reads it. Two with the same name in another case are refused before."""
    return next((value for each, value in claims.items() if each.translate(LOWER) == name.translate(LOWER)), None)


def check_kind(claims, issuer):
    """Kinds of tokens that `refuse` names, and Keycloak's refresh and logout tokens."""
    if claims.get("typ") in ("Refresh", "Offline", "Logout"):
        raise Refused("malformed_token")
    if "idTokens" in issuer.refuse and any(ignoring_case(claims, name) is not None for name in ("nonce", "at_hash", "c_hash")):
        raise Refused("malformed_token")
    events = ignoring_case(claims, "events")
    if "logoutTokens" in issuer.refuse and isinstance(events, dict) and LOGOUT in events:
        raise Refused("malformed_token")


def is_date(value):
    """RFC 7519 section 2: a JSON number of seconds since 1970, as far as a program can count them."""
    return is_number(value) and 0 <= value < 2**63


def is_own_token(issuer, claims, key, settings):
    """Whether it is one of the backend's own tokens (docs/configuration.md, The backend's own tokens)."""
    if issuer.backend_tokens is not None:
        return issuer.backend_tokens
    if key is not None and key.openmetadata:
        return True
    if issuer.iss:
        return claims["iss"] in settings.own_issuers
    return not issuer.lists_openmetadata and claims.get("iss") == settings.openmetadata_issuer


def class_of(claims, is_own):
    """DataHub's tokens are known by `actorType`, and say what they are in `type`; OpenMetadata's in the other two."""
    if not is_own:
        return "user"
    if "actorType" in claims:
        words = {"PERSONAL": "personal_access", "SESSION": "session", "SERVICE_ACCOUNT": "service_account"}
        word = claims.get("type")
        return words.get(word, "user") if isinstance(word, str) else "user"
    is_bot, word = ignoring_case(claims, "isBot"), ignoring_case(claims, "tokenType")
    if is_bot is True or (is_bot is None and word == "BOT"):
        return "bot"
    return "personal_access" if word == "PERSONAL_ACCESS" else "user"


def check_times(claims, issuer, token_class, now):
    """RFC 7519 sections 4.1.4 to 4.1.6, with leeway."""
    expiry = claims.get("exp")
    if expiry is not None and not is_date(expiry):
        raise Refused("malformed_token")
    if expiry is None:
        allowed = {
            "none": token_class in (),
            "bots": token_class == "bot",
            "accessTokens": token_class in ("bot", "personal_access", "service_account"),
            "any": token_class != "session",
        }[issuer.allow_non_expiring]
        if not allowed:
            raise Refused("missing_expiry")
    if any(name in claims and not is_date(claims[name]) for name in ("nbf", "iat")):
        raise Refused("malformed_token")
    if expiry is not None and now >= expiry + issuer.leeway:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        if name in claims and claims[name] > now + issuer.leeway:
            raise Refused("not_yet_valid")


def check_audience(claims, issuer):
    audiences = claims.get("aud")
    audiences = [] if audiences is None else audiences
    audiences = audiences if isinstance(audiences, list) else [audiences]
    if not all(isinstance(each, str) for each in audiences):
        raise Refused("malformed_token")
    if issuer.audiences and not any(each in issuer.audiences for each in audiences):
        raise Refused("wrong_audience")
    return audiences


def check_lifetime(claims, issuer, now):
    if issuer.max_lifetime is not None and claims.get("exp") is not None:
        if claims["exp"] - claims.get("iat", now) > issuer.max_lifetime:
            raise Refused("lifetime_too_long")


def first_text(claims, names):
    for name in names:
        value = ignoring_case(claims, name)
        value = lookup(claims, name) if value is None else value
        if isinstance(value, str) and value:
            return value
    return None


def principal_of(claims, issuer, token_class, settings):
    """(principal, the text that its domain is in)"""
    if claims.get("sub") is not None and not isinstance(claims["sub"], str):
        raise Refused("malformed_token")
    # OpenMetadata does not apply the mapping to bots.
    if issuer.mapping and token_class != "bot":
        name = first_text(claims, [issuer.mapping["username"]])
        address = first_text(claims, [issuer.mapping["email"]])
        if address is None or "@" not in address:
            raise Refused("missing_principal")
    else:
        name = address = first_text(claims, issuer.principal_claims)
    if name is None:
        raise Refused("missing_principal")
    if settings.backend == "openmetadata":
        name = name.split("@")[0].lower()
        if not name:
            raise Refused("missing_principal")
    return name, address


def check_domain(address, token_class, is_openmetadata, settings):
    """Bots and OpenMetadata's own tokens are exempt."""
    if not settings.enforces_domain or is_openmetadata or token_class == "bot":
        return
    _, at, domain = (address or "").partition("@")
    if not at or "@" in domain or domain.lower() not in [each.lower() for each in settings.domains]:
        raise Refused("wrong_domain")


def roles_of(claims, issuer):
    roles = []
    for path in issuer.roles_claim:
        value = lookup(claims, path)
        if issuer.roles_from_keys:
            if isinstance(value, dict):
                roles += [key for key, member in value.items() if isinstance(member, dict) or member is True]
        elif issuer.roles_member is not None:
            maps = value if isinstance(value, list) else [value]
            found = [each.get(issuer.roles_member) for each in maps if isinstance(each, dict)]
            roles += [each for each in found if isinstance(each, str)]
        elif isinstance(value, str):
            separator = issuer.roles_separator
            roles += [each for each in value.split(separator) if each] if separator else [value]
        elif isinstance(value, list):
            roles += [each for each in value if isinstance(each, str)]
    return roles


def scopes_of(claims):
    """`scope` is a text with spaces (RFC 8693 section 4.2); some providers write `scp`, also as a list."""
    value = claims.get("scope", claims.get("scp"))
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def is_revoked(entry, identity, token, now):
    """One entry of a revocation list (docs/configuration.md, Revoked tokens)."""
    if "issuer" in entry and entry["issuer"] not in [identity.issuer.name, *matching_iss(identity)]:
        return False
    if "until" in entry and now >= entry["until"]:
        return False
    if "jti" in entry:
        return identity.claims.get("jti") == entry["jti"]
    if "fingerprint" in entry:
        return hashlib.sha256(token.signed).hexdigest().startswith(entry["fingerprint"].lower())
    if "kid" in entry:
        return entry["kid"] in (identity.kid, token.kid)
    if identity.claims.get("sub") != entry["sub"]:
        return False
    return "issuedBefore" not in entry or "iat" not in identity.claims or identity.claims["iat"] < entry["issuedBefore"]


def matching_iss(identity):
    """The `iss` of a token, if its issuer entry binds it."""
    return [identity.claims["iss"]] if identity.issuer.iss else []


def judge(token, issuer, key, settings, now):
    """The identity of a token whose signature is right, or Refused."""
    claims = token.payload
    check_kind(claims, issuer)
    is_own = is_own_token(issuer, claims, key, settings)
    token_class = class_of(claims, is_own)
    check_times(claims, issuer, token_class, now)
    audiences = check_audience(claims, issuer)
    check_lifetime(claims, issuer, now)
    principal, address = principal_of(claims, issuer, token_class, settings)
    of_openmetadata = is_own and claims.get("iss") == settings.openmetadata_issuer
    of_openmetadata &= token.kid == settings.openmetadata.get("keyId", "Gb389a-9f76-gdjs-a92j-0242bk94356")
    check_domain(address, token_class, of_openmetadata, settings)
    kid = key.kid if key is not None else None
    identity = Identity(issuer, claims, kid, token_class, principal, is_own)
    if any(is_revoked(entry, identity, token, now) for entry in settings.revocations):
        raise Refused("revoked", identity=identity)
    identity.roles = roles_of(claims, issuer)
    identity.scopes = scopes_of(claims)
    identity.audiences = audiences
    return identity
