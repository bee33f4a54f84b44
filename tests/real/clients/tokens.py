"""Tokens as both backends and an identity provider issue them, of keys that are made for one run."""

import base64
import hashlib
import hmac
import json
import subprocess
import time

SIGNING_KEY = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4"
AUDIENCE = "catalog"
HOUR = 3600


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout


class RsaKey:
    def __init__(self, directory, kid):
        self.path, self.kid = directory / f"{kid}.pem", kid
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.path)

    def jwks(self):
        modulus = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
        key = {"kty": "RSA", "kid": self.kid, "alg": "RS256", "use": "sig", "n": url64(bytes.fromhex(modulus)), "e": "AQAB"}
        return {"keys": [key]}

    def sign(self, data):
        return openssl("dgst", "-sha256", "-sign", self.path, data=data)


class Tokens:
    """The tokens of one backend, by case."""

    def __init__(self, backend, directory):
        self.backend = backend
        self.own, self.provider = RsaKey(directory, "Gb389a-9f76-gdjs-a92j-0242bk94356"), RsaKey(directory, "provider-1")
        self.stranger = RsaKey(directory, "stranger-1")

    def rs256(self, key, claims, kid=None):
        header = {"alg": "RS256", "typ": "JWT", "kid": kid or key.kid}
        signed = ".".join(url64(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{url64(key.sign(signed.encode()))}"

    def hs256(self, claims, secret=SIGNING_KEY):
        signed = ".".join(url64(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
        return f"{signed}.{url64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"

    def backends(self, user="ada", expires=HOUR, wrong=False):
        """A token that the backend issued: OpenMetadata's of a bot, or a personal access token of DataHub."""
        now = int(time.time())
        if self.backend == "openmetadata":
            claims = {
                "iss": "open-metadata.org", "sub": user, "email": f"{user}@open-metadata.org", "roles": [], "isBot": True,
                "tokenType": "BOT", "iat": now - 2 * HOUR, "exp": now + expires,
            }
            return self.rs256(self.stranger if wrong else self.own, claims, self.own.kid)
        claims = {
            "actorType": "USER", "actorId": user, "type": "PERSONAL", "version": "2", "jti": f"jti-{user}-{expires}",
            "sub": user, "exp": now + expires, "iss": "datahub-metadata-service",
        }
        return self.hs256(claims, SIGNING_KEY[::-1] if wrong else SIGNING_KEY)

    def providers(self, audience=AUDIENCE, issuer="https://idp.test", key=None):
        now = int(time.time())
        claims = {"iss": issuer, "sub": "ada", "email": "ada@idp.test", "aud": audience, "iat": now, "exp": now + HOUR}
        return self.rs256(key or self.provider, claims)
