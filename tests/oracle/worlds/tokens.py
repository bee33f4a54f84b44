"""Random tokens: most fit the configuration but for one near miss."""

import json

from .configurations import AUDIENCES, ISSUERS, KIDS, chance, fault
from .keyring import SECRETS, b64, keyring, shared_signature

NOW = 1_800_000_000
TYPES = ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", "JOSE", "logout+jwt", "dpop+jwt", "", " JWT", "application/jwt"]
LOGOUT = {"http://schemas.openid.net/event/backchannel-logout": {}}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class TokenPlan:
    """A token, and the times at which something about it changes."""

    def __init__(self, text, times):
        self.text = text
        self.times = times


def near_iss(source, iss):
    return source.choice([
        iss + "/", iss.rstrip("/"), iss.upper(), iss.replace("http", "https", 1), [iss], None, 1, iss + "\u200b",
        iss.replace("e", "\u0435"), "", " " + iss, {"iss": iss}, True,
    ])


def near_time(source, value):
    return source.choice([str(value), value + 0.5, float(value), None, [value], True, -value, value * 1000, 1e300, 2**63, 0])


def audience_claim(source, wanted):
    right = source.choice(wanted or AUDIENCES)
    return source.choice([
        right, right, right, [right], [right, "other"], ["other", right], right.upper(), right + "/", ["other"], [], None, 1,
        [right, 1], " ".join(["other", right]), {"aud": right}, [[right]], right.replace("a", "\u0430"),
    ])


def identity_claims(source, claims):
    claims["sub"] = source.choice(["ada", "ada", "bot", "Ada", "datahub", "ROOT", "ada@example.org", ""])
    if chance(source, 0.5):
        claims["email"] = source.choice([
            "ada@example.org", "ada@example.org", "Ada@Example.ORG", "ada@evil@example.org", "ada", "@example.org", "ada@", "",
            1, None, "ada@example.org.evil", "ada@sub.example.org", ["ada@example.org"], "bob@open-metadata.org",
        ])
    if chance(source, 0.3):
        claims["preferred_username"] = source.choice(["ada", "", None, "bob@example.com"])
    if chance(source, 0.2):
        claims["name"] = source.choice([{"first": "Ada"}, {"first": ""}, "Ada", {"first": 1}])
    if chance(source, 0.1):
        claims["a.b"] = source.choice(["x", 1, None])
    if chance(source, 0.1):
        claims["a"] = {"b": source.choice(["x", "y"])}
    if fault(source, 0.08):
        del claims["sub"]


def right_claims(source, claims):
    values = [
        ["Admin"], ["Reader", "Admin"], ["x", "Data Steward", "team"], ["admin", "Reader", "Admin", "team"], "Admin", "Admin Reader", "Data Steward", [], [{"name": "Admin"}], {"Admin": {}, "x": False},
        {"Reader": True}, ["admin"], None, 1, [1, "Admin"], {"name": "Admin"}, ["team", "tools"], "",
    ]
    for name in ("roles", "groups"):
        if chance(source, 0.6):
            claims[name] = source.choice(values)
    if chance(source, 0.3):
        claims["realm_access"] = source.choice([{"roles": ["Admin"]}, {"roles": "Admin"}, ["Admin"], {}])
    if chance(source, 0.3):
        claims["scope"] = source.choice(["datahub.read", "datahub.read datahub.write", "read  read", ["datahub.read"], "", 1])
    if chance(source, 0.2):
        claims["scp"] = source.choice(["datahub.write", ["datahub.read", "datahub.write"], []])


def other_claims(source, claims):
    if chance(source, 0.3):
        claims["isBot"] = source.choice([True, True, False, "true", None, 1])
    if chance(source, 0.2):
        claims["tokenType"] = source.choice(["BOT", "OM_USER", "PERSONAL_ACCESS", "bot", None])
    if chance(source, 0.2):
        claims["type"] = source.choice(["PERSONAL", "SESSION", "SERVICE_ACCOUNT", "session", None])
    if "type" in claims and chance(source, 0.7) or chance(source, 0.03):
        claims["actorType"] = source.choice(["USER", "USER", None])
    if fault(source, 0.06):
        claims[source.choice(["ISBOT", "isbot", "TokenType", "Email", "SUB", "Iss", "EXP", "Events", "Roles", "scope "])] = source.choice(
            [True, "BOT", "ada@example.org", LOGOUT, NOW]
        )
    if chance(source, 0.02):
        claims["typ"] = source.choice(["Refresh", "Bearer", "Logout", "ID"])
    if chance(source, 0.2):
        claims["actorId"] = source.choice(["ada", "datahub"])
    if chance(source, 0.2):
        claims["jti"] = source.choice(["id-1", "ID-1", "id-2"])
    if fault(source, 0.1):
        claims[source.choice(["nonce", "at_hash", "c_hash"])] = source.choice(["x", None])
    if fault(source, 0.08):
        claims["events"] = source.choice([LOGOUT, {"other": {}}, None, [], "http://schemas.openid.net/event/backchannel-logout"])
    if chance(source, 0.7):
        claims["level"] = source.choice([4, 4, 3, "4", "4", 4.0, 4.5, True, None, 2**63, 9007199254740993])
    if chance(source, 0.3):
        claims["team"] = source.choice(["a", "b", "A", 1, None, ["a"]])
    if chance(source, 0.2):
        claims["email_verified"] = source.choice([True, "true", False, 1, "True"])


def claim_set(source, entry):
    """(claims, the times at which they change meaning)"""
    iss = source.choice(entry["iss"]) if entry["iss"] else source.choice(ISSUERS)
    claims = {"iss": iss}
    if fault(source, 0.06):
        claims["iss"] = near_iss(source, iss)
    elif fault(source, 0.05):
        del claims["iss"]
    elif fault(source, 0.08):
        claims["iss"] = source.choice(ISSUERS)
    identity_claims(source, claims)
    if chance(source, 0.92 if entry["audiences"] else 0.3):
        right = entry["audiences"] or AUDIENCES
        claims["aud"] = source.choice(right) if not fault(source, 0.3) else audience_claim(source, right)
    claims["exp"] = NOW + source.choice([600, 600, 3600] + source.faults * [3601, 86400, 86401, 60, 10**9])
    if chance(source, 0.7):
        claims["iat"] = NOW - source.choice([0, 0, 10] + source.faults * [1000, -10, -31])
    if chance(source, 0.3):
        claims["nbf"] = NOW - source.choice([0, 60] + source.faults * [-10, -100])
    times = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    if fault(source, 0.12):
        claims.pop("exp")
    for name in ("exp", "nbf", "iat"):
        if name in claims and fault(source, 0.05):
            claims[name] = near_time(source, claims[name])
    right_claims(source, claims)
    other_claims(source, claims)
    return claims, times


def signer_of(source, entry):
    """(alg, kid, a function that signs)"""
    if entry["secret"]:
        secret = entry["secret"] if not fault(source, 0.08) else source.choice(SECRETS)
        kid = "one" if chance(source, 0.1) else None
        return "HS256", kid, lambda signed, _: shared_signature(secret, signed)
    kid, name = source.choice(entry["keys"])
    if fault(source, 0.08):
        name = source.choice(list(keyring()))
    key = keyring()[name]
    alg = source.choice(key.algorithms)
    if key.name.startswith("rsa") and chance(source, 0.6):
        alg = "RS256"
    if fault(source, 0.12):
        kid = source.choice([None, None, "unknown", "", *KIDS])
    return alg, kid, lambda signed, malleated: key.sign(alg, signed, malleated)


def header_of(source, alg, kid):
    header = {"alg": alg}
    if kid is not None:
        header["kid"] = kid
    if fault(source, 0.4):
        header["typ"] = source.choice(["JWT", "JWT", "JWT", "at+jwt", source.choice(TYPES)])
    if chance(source, 0.1):
        header["signer"] = source.choice(["arn:one", "arn:two", "ARN:one", ["arn:one"], None])
    if fault(source, 0.1):
        header.update(source.choice([
            {"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"cty": "JWT"}, {"cty": "json"}, {"typ": 1}, {"typ": None}, {"kid": 1},
            {"kid": None}, {"jwk": {}}, {"jku": "http://evil.example"}, {"x5u": "http://evil.example"}, {"b64": True}, {"zip": "DEF"},
            {"typ": "JWT", "x": "\ud800"}, {"alg": "none"}, {"alg": alg.lower()}, {"alg": None}, {"alg": "HS256"}, {"alg": "RS1"},
            {"alg": "ES256K"}, {"alg": 1}, {"alg": "RS256"}, {"enc": "A128GCM"},
        ]))
    return header


def written(source, value):
    """JSON, sometimes in an unusual spelling: white space, escapes, duplicate members."""
    text = json.dumps(value, ensure_ascii=chance(source, 0.5))
    text = text if "\\ud800" not in text and "\ud800" not in text else json.dumps(value)
    if fault(source, 0.1):
        name = source.choice(list(value) or ["x"])
        text = source.choice([
            f" \n{text}\t", text[:-1] + f', "{name}": {json.dumps(value.get(name))}}}', text[:-1] + ', "z": {"y": 1, "y": 2}}',
            text[:-1] + ', "\\u0061lg": "none"}', text + "x", text[:-1] + ",}", "\ufeff" + text, f"[{text}]", text[:-1] + ', "z": NaN}',
            text[:-1] + ', "z": 01}', text[:-1] + ', "z": 1e400}', text[:-1] + ', "z": "\x01"}', text[:-1] + ', "z": "\\ud800"}',
            "", "null", text[:-1], text[:-1] + ', "z": -0, "w": 1E2, "v": [[[[]]]]}', text[:-1] + ', "z": "\\u0000"}',
        ])
    return text.encode("utf-8", "surrogatepass")


def damaged(source, text):
    """The compact form, with one fault."""
    header, payload, signature = text.split(".")
    last = signature[-1:] or "A"
    return source.choice([
        text + "=", f"{header}=.{payload}.{signature}", f"{header}.{payload}.", f"{header}.{payload}", text + ".x", f".{payload}.{signature}",
        f"{header}..{signature}", text[:-1] + ALPHABET[(ALPHABET.index(last) + 1) % 64], text[:-4], f"{header}.{payload}.{signature[::-1]}",
        text.replace("-", "+").replace("_", "/"), f"{header}.{payload[:-1]}.{signature}", text + "A", f"{header}.{payload}. {signature}",
        "x", "...", "", f"{header}.{payload}.{'A' * len(signature)}", text + "%", f"{header}.{payload}A.{signature}",
        ".".join(part + "=" * (-len(part) % 4) for part in (header, payload, signature)),
        ".".join(part + "=" for part in (header, payload, signature)), f"{header}.{payload}.{signature}.{signature}.{signature}",
    ])


def token_plan(source, world):
    source.faults = source.choice([0, 1])
    entry = source.choice(world.entries)
    claims, times = claim_set(source, entry)
    alg, kid, sign = signer_of(source, entry)
    header = header_of(source, alg, kid)
    if chance(source, 0.02):
        claims["padding"] = "x" * source.choice([1, 2, 3, 200, 12000])
    signed = b".".join(b64(written(source, part)).encode() for part in (header, claims))
    text = (signed + b"." + b64(sign(signed, chance(source, 0.05))).encode()).decode()
    if fault(source, 0.1):
        text = damaged(source, text)
    return TokenPlan(text, times)
