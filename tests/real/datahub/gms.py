"""A model of how DataHub GMS authenticates a bearer token. It is not DataHub: GMS is not on any package registry.

Written from the sources of July 2026 (auth-impl: DataHubTokenAuthenticator, StatefulTokenService, StatelessTokenService;
auth-filter: AuthenticationEnforcementFilter), with their checks in their order. What a database holds is given here: the
users, and the hashes of the tokens of version 2 that exist.
"""

import base64
import hashlib
import hmac
import json
import time

ALGORITHM = {"HS256": hashlib.sha256}
VERSIONS = ("1", "2")
TYPES = ("SESSION", "PERSONAL", "SERVICE_ACCOUNT")
# Always active, whatever the database says.
SYSTEM = "__datahub_system"


class Refused(Exception):
    """The text of GMS' exception; its caller only gets a 401."""


def part(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Gms:
    def __init__(self, signing_key, salt):
        self.signing_key, self.salt = signing_key.encode(), salt.encode()
        # User name -> whether the user is active (has a key aspect, is neither removed nor suspended).
        self.users = {}
        self.stored = set()

    def hash(self, token):
        return base64.b64encode(hashlib.sha256(token.encode() + self.salt).digest()).decode()

    def authenticate(self, authorization):
        """The actor of a request, or Refused."""
        if authorization is None:
            raise Refused("Request is missing 'Authorization' header.")
        # The two spellings that it knows.
        if not authorization.startswith(("Bearer ", "bearer ")):
            raise Refused("Authorization header missing 'Bearer' prefix.")
        token = authorization[7:]
        claims = self.stateless(token)
        # Only tokens of version 2 are looked up: one that is not stored counts as revoked.
        if claims["version"] == "2" and self.hash(token) not in self.stored:
            raise Refused("Failed to validate DataHub token: Token has been revoked")
        return claims["actorId"]

    def stateless(self, token):
        try:
            claims = self.verified(token)
            wanted = [claims.get(name) for name in ("type", "actorId", "actorType")]
            if None in wanted:
                raise Refused("Failed to validate DataHub token: Found malformed or missing 'actor' claim.")
            kind, actor, actor_type = wanted
            if actor != SYSTEM and not self.users.get(actor, False):
                raise Refused("Actor is not active")
            if claims.get("version") not in VERSIONS or kind not in TYPES or actor_type != "USER":
                raise Refused("Failed to validate DataHub token")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Refused("Failed to validate DataHub token") from None
        return claims

    def verified(self, token):
        """The claims, as the JWT library reads them: signature, then times without leeway. No issuer, no audience."""
        signed, _, signature = token.rpartition(".")
        header, payload = (json.loads(part(text)) for text in signed.split("."))
        digest = ALGORITHM.get(header.get("alg"))
        if not digest or not hmac.compare_digest(hmac.new(self.signing_key, signed.encode(), digest).digest(), part(signature)):
            raise Refused("Failed to validate DataHub token")
        if "exp" in payload and time.time() >= payload["exp"]:
            raise Refused("Failed to validate DataHub token. Token has expired.")
        if "nbf" in payload and time.time() < payload["nbf"]:
            raise Refused("Failed to validate DataHub token")
        return payload
