"""Random configurations."""

import json

from .keyring import SECRETS, keyring
from .rules import rules

ISSUERS = [
    "https://idp.example", "https://idp.example/", "https://IDP.example", "http://idp.example", "https://idp.example/v2",
    "open-metadata.org", "datahub-metadata-service", "partner",
]
AUDIENCES = ["openmetadata", "api://default", "OpenMetadata", "openmetadata/"]
KIDS = ["one", "two", "One", "ein-schlüssel", "1"]
NAMES = ["okta", "partner-entry", "internal", "keycloak"]
ROUTES = ["/docs/**", "/docs", "/docs/*", "/docs/a/**", "/status", "/api/v1/open/**", "/api/v1/*/open", "/push/feed/**"]
WEIGHTED_KEYS = ["ec-a", "ec-a", "ec-b", "ed-a", "ed-a", "ed-b", "rsa-a", "rsa-a", "rsa-b", "ec-c", "ec-d", "rsa-short"]


def some(source, items, low=1, high=2):
    return source.sample(items, min(len(items), source.randint(low, high)))


def chance(source, probability):
    return source.random() < probability


def fault(source, probability):
    """Whether something is wrong now. Half of all tokens and requests have no such faults, so that they get to the rules."""
    return source.random() < probability * source.faults


class World:
    """A configuration with its key documents, its revocations, and what tokens need to know to fit it."""

    def __init__(self):
        self.config = {"upstream": {"url": "http://127.0.0.1:9"}}
        self.keys = {}
        self.revocations = None
        self.entries = []  # {"name", "iss", "audiences", "keys": [(kid, signing key)], "secret"}


def jwk_of(source, name, kid):
    key = keyring()[name]
    jwk = dict(key.jwk)
    if kid is not None:
        jwk["kid"] = kid
    draw = source.random()
    if draw < 0.15:
        jwk["alg"] = source.choice(key.algorithms)
    elif draw < 0.17:
        jwk["alg"] = source.choice(["RS256", "ES256", "RSA-OAEP", None])
    if chance(source, 0.3):
        jwk["use"] = source.choice(["sig"] * 8 + ["enc", None])
    if chance(source, 0.08):
        jwk["key_ops"] = source.choice([["verify"], ["verify"], ["sign", "verify"], ["encrypt"], []])
    if chance(source, 0.02):
        jwk["d"] = "AQAB"
    return jwk


def key_document(source, entry):
    """A JWK Set, a JWK or PEM, whose keys the entry then knows."""
    draw = source.random()
    if draw < 0.1:
        name = source.choice(WEIGHTED_KEYS[:-1])
        entry["keys"].append((None, name))
        return keyring()[name].pem()
    if draw < 0.2:
        name = source.choice(WEIGHTED_KEYS[:-1])
        kid = source.choice([None, "one"])
        entry["keys"].append((kid, name))
        return jwk_of(source, name, kid)
    jwks = []
    for _ in range(source.choice([1, 1, 2, 2, 3])):
        name = source.choice(WEIGHTED_KEYS)
        kid = source.choice(KIDS) if chance(source, 0.9) else None
        entry["keys"].append((kid, name))
        jwks.append(jwk_of(source, name, kid))
    return {"keys": jwks}


def token_rules(source, inner):
    """Keys that an entry has or inherits."""
    found = {}
    if chance(source, 0.25):
        found["algorithms"] = some(source, ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "RS512"], 1, 5)
    if chance(source, 0.2):
        found["allowNonExpiring"] = source.choice(["none", "bots", "accessTokens", "any"])
    if chance(source, 0.3):
        found["leeway"] = source.choice(["0s", "1s", "30s", "5m"])
    if chance(source, 0.2):
        found["maxLifetime"] = source.choice(["1h", "24h", "3601s"])
    if chance(source, 0.15):
        found["tokenTypes"] = source.choice([["at+jwt"], ["JWT"], ["JWT", "at+jwt", "logout+jwt"], ["application/at+JWT"]])
    if chance(source, 0.1):
        found["requireTokenType"] = source.choice([True, False])
    if chance(source, 0.15):
        found["refuse"] = source.choice([["idTokens"], ["idTokens", "logoutTokens"], []])
    if chance(source, 0.25):
        found["principalClaims"] = source.choice([
            ["sub"], ["email"], ["preferred_username", "sub"], ["name.first", "sub"], ["/name/first"], ["a.b", "sub"],
        ])
    elif not inner and chance(source, 0.08):
        found["principalClaimsMapping"] = source.choice([["username:sub", "email:email"], ["username:email", "email:email"]])
    if chance(source, 0.25):
        found["rolesClaim"] = source.choice(["groups", "realm_access.roles", "/groups", "/realm_access/roles"])
    if chance(source, 0.12):
        found.update(source.choice([{"rolesSeparator": " "}, {"rolesMember": "name"}, {"rolesFromKeys": True}]))
    if chance(source, 0.1):
        found["backendTokens"] = source.choice([True, False])
    return found


def issuer_entry(source, world, name, left):
    """One element of `authentication.issuers`; takes its `iss` from `left`."""
    iss = [left.pop() for _ in range(source.choice([1, 1, 1, 2])) if left]
    entry = {"name": name, "issuer": iss if len(iss) > 1 or chance(source, 0.2) else iss[0]}
    known = {"name": name, "iss": iss, "keys": [], "secret": None}
    if chance(source, 0.15):
        known["secret"] = entry["sharedSecret"] = source.choice(SECRETS)
    elif chance(source, 0.5):
        document = key_document(source, known)
        entry["publicKeys"] = document
    else:
        entry["publicKeyUrls"] = key_urls(source, world, known)
    if chance(source, 0.55):
        entry["audiences"] = some(source, AUDIENCES)
    entry.update(token_rules(source, inner=True))
    if known["secret"]:
        entry.pop("algorithms", None)
    if chance(source, 0.08):
        entry["requireHeader"] = {"signer": ["arn:one", "arn:two"]}
    known["audiences"] = entry.get("audiences", [])
    world.entries.append(known)
    return entry


def key_urls(source, world, known):
    urls = []
    for _ in range(source.choice([1, 1, 2])):
        path = source.choice(["jwks", "keys", "api/v1/system/config/jwks"])
        url = f"http://keys{len(world.keys)}.example/{path}"
        world.keys[url] = json.dumps(key_document_for_url(source, known))
        urls.append(url)
    return urls


def key_document_for_url(source, known):
    while isinstance(document := key_document(source, known), str):
        known["keys"].pop()
    return document


def authentication(source, world):
    found = token_rules(source, inner=False)
    found.pop("backendTokens", None)
    left = source.sample(ISSUERS, len(ISSUERS))
    count = source.choice([0, 1, 1, 2, 2, 3])
    if count:
        found["issuers"] = [issuer_entry(source, world, name, left) for name in source.sample(NAMES, count)]
    if not count or chance(source, 0.35):
        known = {"name": "public-keys", "iss": [], "keys": [], "secret": None, "audiences": []}
        found["publicKeyUrls"] = key_urls(source, world, known)
        if chance(source, 0.3):
            found["audiences"] = known["audiences"] = some(source, AUDIENCES)
        if chance(source, 0.15):
            found["tokenValidationAlgorithm"] = source.choice(["RS256", "ES256", "EdDSA"])
        if chance(source, 0.1):
            found["backendTokens"] = source.choice([True, False])
        world.entries.append(known)
    if chance(source, 0.12):
        found["enforcePrincipalDomain"] = True
        if chance(source, 0.6):
            found["principalDomain"] = "example.org"
        if chance(source, 0.4):
            found["allowedDomains"] = ["example.org", "example.com"]
    if chance(source, 0.2):
        found["tokenHeaders"] = source.choice([
            ["X-Token"], ["Authorization", "X-Token"], [{"name": "X-Token", "padded": True}],
            ["Authorization", {"name": "X-Token", "scheme": "Token"}], ["Proxy-Authorization"],
        ])
    return found


def revocations(source, world):
    found = []
    for _ in range(source.randint(1, 3)):
        entry = source.choice([
            {"jti": "id-1"}, {"jti": "ID-1"}, {"sub": "ada"}, {"sub": "ada", "issuedBefore": source.choice([1799999000, 1800000000])},
            {"kid": source.choice(KIDS)}, {"fingerprint": "0123456789abcdef"}, {"sub": "bot"},
        ])
        entry = dict(entry)
        if chance(source, 0.4):
            of = source.choice(world.entries)
            entry["issuer"] = source.choice([of["name"], *of["iss"], "public-keys"])
        found.append(entry)
    return found


def configuration(source):
    """A World."""
    world = World()
    config = world.config
    config["backend"] = source.choice(["generic"] * 6 + ["openmetadata"] * 2 + ["datahub-gms"] * 2)
    config["authentication"] = authentication(source, world)
    if config["backend"] == "openmetadata" and chance(source, 0.5):
        config["openmetadata"] = {"impersonation": {"bots": ["bot"]}}
    if config["backend"] == "datahub-gms":
        datahub = config["datahub"] = {}
        if chance(source, 0.5):
            datahub["systemClientSecret"] = "system-secret-of-oracle-tests"
        if chance(source, 0.4) and not any("datahub-metadata-service" in entry["iss"] for entry in world.entries):
            datahub["tokenServiceSigningKey"] = SECRETS[0]
            world.entries.append({
                "name": "datahub", "iss": ["datahub-metadata-service"], "keys": [], "secret": SECRETS[0], "audiences": [],
            })
        if chance(source, 0.3):
            config["identity"] = {"datahubActor": True}
            datahub["administrators"] = ["root"]
    authorization = config["authorization"] = {}
    if chance(source, 0.1):
        authorization["mode"] = "report"
    if chance(source, 0.4):
        authorization["public"] = [route(source) for _ in range(source.randint(1, 2))]
    if chance(source, 0.3):
        taken = [each.split(" ")[-1] for each in authorization.get("public", [])]
        found = [each for each in [route(source)] if each.split(" ")[-1] not in taken]
        authorization["optional"] = found
    authorization["rules"] = rules(source, world)
    if chance(source, 0.3):
        authorization["default"] = source.choice(["deny", "allow"])
    if chance(source, 0.2):
        world.revocations = revocations(source, world)
        config["authentication"]["revocations"] = {}
    limits(source, config)
    return world


def route(source):
    return source.choice(["", "GET ", "GET,HEAD ", "POST "]) + source.choice(ROUTES)


def limits(source, config):
    found = {}
    if chance(source, 0.1):
        found["tokenBytes"] = source.choice([256, 400, 600])
    if chance(source, 0.1):
        found["targetBytes"] = "1KiB"
    if chance(source, 0.05):
        found["headerCount"] = 8
    if found:
        config["limits"] = found
    if config["backend"] == "generic" and chance(source, 0.07):
        config["stripPrefix"] = "/catalog"
