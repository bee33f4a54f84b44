"""A model of OpenMetadata: `JwtFilter` and `MultiUrlJwkProvider` as their sources have them, and a store that an ingestion
can write to. It is not OpenMetadata, and it needs no more than what the client asks for.

The checks of a token are those of the sources, in their order. A key that was found is kept, as later releases do for 24
hours; `kept` says which ones.
"""

import hashlib
import json
import re
import time
import urllib.parse
import urllib.request
import uuid

from model import Model, Refused, decoded

PRINCIPAL_CLAIMS = ("email", "preferred_username", "sub")
KEPT_KEYS = 10
# DigestInfo of SHA-256 (RFC 8017 section 9.2).
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
# Collection -> the member of a request that names the parent, and the parent's collection.
PARENTS = {
    "databaseServices": None, "databases": ("service", "databaseServices"),
    "databaseSchemas": ("database", "databases"), "tables": ("databaseSchema", "databaseSchemas"),
}
TYPES = {"databaseServices": "databaseService", "databases": "database", "databaseSchemas": "databaseSchema", "tables": "table"}
CONNECTION_TEST = {
    "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "test")), "name": "SQLite", "displayName": "SQLite", "description": "",
    "steps": [{"name": "CheckAccess", "description": "", "mandatory": True}],
}


def is_signed(key, signed, signature):
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    modulus, exponent = (int.from_bytes(decoded(key[name])) for name in ("n", "e"))
    size = (modulus.bit_length() + 7) // 8
    digest = SHA256 + hashlib.sha256(signed).digest()
    padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return len(signature) == size and pow(int.from_bytes(signature), exponent, modulus).to_bytes(size) == padded


class JwtFilter:
    """`users`: name -> whether it is a bot. `key_urls`: `publicKeyUrls`. `own` is OpenMetadata's own key set."""

    def __init__(self, own, users):
        self.own, self.users, self.key_urls, self.kept = own, users, [], {}

    def authenticate(self, authorization):
        """The user of a request, with the claims of its token, or Refused."""
        if authorization is None or not authorization.startswith("Bearer "):
            raise Refused(401, "Not Authorized! Token not present")
        token = authorization[7:]
        try:
            header, claims = (json.loads(decoded(part)) for part in token.split(".")[:2])
            signature = decoded(token.split(".")[2])
        except (ValueError, IndexError):
            raise Refused(401, "Invalid token") from None
        # Without leeway; a token that has none never expires.
        if claims.get("exp") is not None and claims["exp"] < time.time():
            raise Refused(401, "Expired token!")
        key = self.key(header.get("kid"))
        if header.get("alg") != "RS256" or not is_signed(key, token.rpartition(".")[0].encode(), signature):
            raise Refused(401, "Invalid token")
        # Names are compared without case. The address is cut at the `@`.
        claims = {name.lower(): value for name, value in claims.items()}
        principal = next((claims[name] for name in PRINCIPAL_CLAIMS if isinstance(claims.get(name), str)), None)
        if principal is None:
            raise Refused(401, "Invalid JWT token, none of the following claims are present [email, preferred_username, sub]")
        user = principal.split("@")[0].lower()
        if claims.get("isbot") is True or claims.get("tokentype") == "PERSONAL_ACCESS":
            raise Refused(401, "Not Authorized! Invalid Token")
        if "sessionid" in claims:
            raise Refused(401, "Not Authorized! No such session")
        if user not in self.users:
            raise Refused(404, f"user instance for {user} not found")
        return user, claims

    def key(self, kid):
        """Its own key first, then that of the first URL that has the `kid`."""
        for key in self.own["keys"]:
            if key["kid"] == kid:
                return key
        if kid not in self.kept:
            found = [key for url in self.key_urls for key in fetched(url) if key["kid"] == kid]
            if not found:
                raise Refused(401, "Invalid token")
            if len(self.kept) == KEPT_KEYS:
                self.kept.clear()
            self.kept[kid] = found[0]
        return self.kept[kid]


def fetched(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)["keys"]


class Store:
    """Entities by collection and fully qualified name."""

    def __init__(self):
        self.entities = {collection: {} for collection in PARENTS}

    def put(self, collection, asked):
        parent = PARENTS[collection]
        name = asked["name"] if parent is None else f"{asked[parent[0]]}.{asked['name']}"
        entity = {**asked, "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "fullyQualifiedName": name, "version": 0.1}
        if parent is None:
            entity.setdefault("serviceType", "SQLite")
        while parent is not None:
            member, collection_above = parent
            above = self.entities[collection_above].get(name.rpartition(".")[0])
            if above is None:
                raise Refused(404, f"{TYPES[collection_above]} instance for {name.rpartition('.')[0]} not found")
            same = {part: above[part] for part in ("id", "name", "fullyQualifiedName")}
            entity[member] = {"type": TYPES[collection_above], **same}
            name, parent = above["fullyQualifiedName"], PARENTS[collection_above]
        self.entities[collection][entity["fullyQualifiedName"]] = entity
        return entity

    def get(self, collection, name):
        found = self.entities[collection].get(name)
        if found is None:
            raise Refused(404, f"{TYPES[collection]} instance for {name} not found")
        return found


class OpenMetadata(Model):
    """Bulk requests are what the ingestion framework sends."""

    public = ("/api/v1/system/version",)

    def __init__(self, own, users):
        super().__init__()
        self.filter, self.store = JwtFilter(own, users), Store()

    def authenticate(self, authorization):
        return self.filter.authenticate(authorization)

    def serve(self, method, path, body):
        if path == "/api/v1/system/version":
            return {"version": "2.0.7", "revision": "x", "timestamp": 1}
        if path.startswith("/api/v1/services/testConnectionDefinitions/name/"):
            return CONNECTION_TEST
        found = re.fullmatch(r"/api/v1/(?:services/)?(\w+)(/bulk)?(?:/name/(.+))?", path)
        if not found or found[1] not in PARENTS:
            raise Refused(404, "HTTP 404 Not Found")
        collection, bulk, name = found.groups()
        if method == "GET" and name:
            return self.store.get(collection, urllib.parse.unquote(name))
        if method == "PUT" and bulk:
            done = [{"request": self.store.put(collection, it)["fullyQualifiedName"], "status": 200} for it in body]
            return {
                "status": "success", "numberOfRowsProcessed": len(done), "numberOfRowsPassed": len(done),
                "numberOfRowsFailed": 0, "successRequest": done,
            }
        if method == "PUT":
            return self.store.put(collection, body)
        return {"data": [], "paging": {"total": 0}}
