"""A request's way from the octets of its head to the decision, in the order of the contract (docs/architecture.md)."""

import re

from . import claims, head, paths, token
from .outcome import Outcome, Refused
from .rules import Judge

# docs/configuration.md, Impersonation: endpoints for credentials, and everything below them.
CREDENTIALS = [
    "users/security/token", "users/generateToken", "users/revokeToken", "users/token", "users/auth-mechanism",
    "users/changePassword", "users/generateRandomPwd", "users/logout",
]


class Credential:
    def __init__(self, text, padded=False, is_system=False):
        self.text = text
        self.padded = padded
        self.is_system = is_system


def credentials(request, settings):
    """The one credential of a request: None, a Credential, or the reason why what it has is none. 400 if ambiguous."""
    fields = settings.token_fields
    has_system = settings.backend == "datahub-gms" and settings.datahub.get("systemClientSecret") is not None
    if has_system and not any(name == "authorization" for name, _, _ in fields):
        fields = [*fields, ("authorization", "", False)]  # for the system credential only
    found = [(spec, value) for spec in fields for value in request.values(spec[0])]
    # Where it is not listed, any other Authorization is ignored.
    if not any(spec[1] == "" and value.isascii() and value.partition(b" ")[0].lower() == b"basic" for spec, value in found):
        found = [(spec, value) for spec, value in found if spec[1] != ""]
    if len(found) > 1:
        raise Refused("ambiguous_credentials")
    if not found or not found[0][1]:
        return None
    (name, scheme, padded), value = found[0]
    text = value.decode("latin-1")
    if not text.isascii():
        return "malformed_token"
    word, space, rest = text.partition(" ")
    # Other schemes may have commas in one credential (RFC 9110 section 11.4).
    if "," in text and (scheme is None or word.lower() == scheme):
        raise Refused("ambiguous_credentials")
    if scheme is None:
        return Credential(text, padded)
    if word.lower() == scheme:
        return Credential(rest, padded) if space else None
    if has_system and name == "authorization" and word.lower() == "basic":
        client = settings.datahub.get("systemClientId", "__datahub_system")
        if rest == f"{client}:{settings.datahub['systemClientSecret']}":
            return Credential("", is_system=True)
    return "unsupported_scheme"


def with_prefix_fault(octets, settings):
    """Of a head with several faults, that it is outside of `stripPrefix` may be the one that is named."""
    target = octets.split(b"\r\n")[0].split(b" ")[1:2]
    try:
        in_prefix(re.sub(rb"^\w+://[^/]*", b"", target[0] if target else b"").partition(b"?")[0], settings)
    except Refused as refused:
        return refused.reasons
    return frozenset()


def in_prefix(path, settings):
    """The path below `stripPrefix`, byte for byte."""
    prefix = settings.strip_prefix
    if prefix is None:
        return path
    prefix = prefix.encode()
    if path != prefix and not path.startswith(prefix + b"/"):
        raise Refused("outside_prefix")
    return path[len(prefix) :] or b"/"


def refused_while_reporting(outcome, settings):
    """In report mode refusals of tokens and rules are only recorded."""
    if settings.reports:
        outcome.decision = "would_deny"
    return outcome


def check_impersonation(request, readings, identity, settings):
    if settings.backend != "openmetadata" or not request.values("x-impersonate-user"):
        return
    bots = settings.openmetadata.get("impersonation", {}).get("bots", [])
    is_named = identity.token_class == "bot" and identity.principal in bots
    is_theirs = identity.is_own and identity.claims.get("iss") == settings.openmetadata_issuer
    for reading in readings:
        segments = b"/".join(reading.split(b"/")).decode("utf-8", "replace")
        if any(f"/{each}/" in f"{segments}/" for each in CREDENTIALS):
            raise Refused("impersonation_denied")
    if not is_named or not is_theirs:
        raise Refused("impersonation_denied")


def check_actor(identity, settings):
    """identity.datahubActor never names an administrator of DataHub; in report mode too."""
    if settings.backend != "datahub-gms" or not settings.sets_actor:
        return
    datahub = settings.datahub
    names = ["datahub", "__datahub_system", datahub.get("systemClientId", "__datahub_system")]
    if identity.principal.lower() in [each.lower() for each in names + datahub.get("administrators", [])]:
        raise Refused("insufficient_permissions")


def described(identity):
    return {"principal": identity.principal, "token_class": identity.token_class, "issuer": identity.issuer.name}


def authorize(request, readings, identity, settings, source, body):
    """The outcome for a verified token."""
    known = described(identity)
    try:
        check_actor(identity, settings)
    except Refused as refused:
        return Outcome("deny", refused.reasons, **known)
    judge = Judge(settings, request, identity, source)
    try:
        check_impersonation(request, readings, identity, settings)
        judge.verdict(readings, body)
    except Refused as refused:
        rules = refused.rule or frozenset()
        return refused_while_reporting(Outcome("deny", refused.reasons, rules=frozenset(rules), **known), settings)
    if judge.would:
        reasons = frozenset({"insufficient_permissions"})
        return Outcome("would_deny", reasons, rules=frozenset(judge.would), **known)
    rules = judge.allowed_by if len(judge.allowed_by) == 1 else ()
    return Outcome("allow", rules=frozenset(rules), **known)


def decide(settings, octets, now, source="127.0.0.1", body=b""):
    """What becomes of the request with the head `octets` at `now` (seconds since 1970) from the address `source`."""
    try:
        request = head.read(octets, settings)
        path = in_prefix(request.path, settings)
        readings = paths.readings(request.path) and paths.readings(path)
        kind = paths.route_kind(settings, request.method, path)
        credential = credentials(request, settings)
        head.check_connection(request)
    except Refused as refused:
        return Outcome("deny", refused.reasons | with_prefix_fault(octets, settings))
    if kind == "public":
        return Outcome("public")
    if credential is None and kind == "optional":
        return Outcome("allow")
    if credential is None or isinstance(credential, str):
        return refused_while_reporting(Outcome("deny", frozenset({credential or "missing_token"})), settings)
    if credential.is_system:
        return Outcome("allow", principal=settings.datahub.get("systemClientId", "__datahub_system"))
    issuer = None
    try:
        verified, issuer, key = token.verify(credential.text, settings, credential.padded)
        identity = claims.judge(verified, issuer, key, settings, now)
    except Refused as refused:
        known = described(refused.identity) if refused.identity else {}
        return refused_while_reporting(Outcome("deny", refused.reasons, **known), settings)
    return authorize(request, readings, identity, settings, source, body)
