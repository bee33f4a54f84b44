"""A fixed RSA key and RS256 tokens of a fixed length, with the standard library only.

The key comes from a fixed seed, so that every run verifies the same signatures. It protects nothing.
"""

import base64
import hashlib
import json
import math
import random
import time

ISSUER, KEY_ID = "open-metadata.org", "bench"
SEED = 20_260
LIFETIME = 86_400
SMALL_PRIMES = [it for it in range(3, 2_000) if all(it % other for other in range(2, math.isqrt(it) + 1))]
# EMSA-PKCS1-v1_5 (RFC 8017, 9.2): the DigestInfo of SHA-256.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def is_prime(number, draw):
    """Miller-Rabin with 40 bases."""
    if any(number % it == 0 for it in SMALL_PRIMES):
        return False
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    for _ in range(40):
        power = pow(draw.randrange(2, number - 1), (number - 1) >> twos, number)
        if power in (1, number - 1):
            continue
        if not any((power := power * power % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True


def prime(draw):
    """A prime of 1,024 bits whose product with another one has 2,048 bits."""
    while True:
        candidate = draw.getrandbits(1_024) | 3 << 1_022 | 1
        if candidate % 65_537 != 1 and is_prime(candidate, draw):
            return candidate


def unsigned(number, now):
    """The signing input of a token; its length is the same for every number below a million."""
    header = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
    bot = f"ingestion-bot-{number:06d}"
    claims = {
        "iss": ISSUER, "sub": bot, "roles": ["IngestionBotRole"], "email": f"{bot}@open-metadata.org", "isBot": True,
        "tokenType": "BOT", "iat": now - 10, "exp": now + LIFETIME, "jti": f"id-{number:06d}",
    }
    return ".".join(url64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


def spoiled(token):
    """The token with another character in the middle of its signature.

    The signature stays canonical base64url of the right length and, because its first octets are unchanged, below the
    modulus: it is refused only after the RSA operation.
    """
    signed, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "B" if signature[middle] == "A" else "A"
    return f"{signed}.{signature[:middle]}{other}{signature[middle + 1:]}"


class Key:
    """An RSA key pair of 2,048 bits. Each number has one token."""

    def __init__(self):
        self.now = int(time.time())
        draw = random.Random(SEED)
        self.p, self.q, self.e = prime(draw), prime(draw), 65_537
        self.n = self.p * self.q
        self.d = pow(self.e, -1, (self.p - 1) * (self.q - 1))
        self.dp, self.dq, self.inverse = self.d % (self.p - 1), self.d % (self.q - 1), pow(self.q, -1, self.p)

    def key_set(self):
        """The public key as a JSON Web Key Set."""
        number = lambda it: url64(it.to_bytes((it.bit_length() + 7) // 8, "big"))
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": number(self.n), "e": number(self.e)}
        return json.dumps({"keys": [key]})

    def token(self, number):
        signed = unsigned(number, self.now)
        digest = DIGEST_INFO + hashlib.sha256(signed.encode()).digest()
        padded = int.from_bytes(b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest, "big")
        one, other = pow(padded, self.dp, self.p), pow(padded, self.dq, self.q)
        signature = other + self.q * ((one - other) * self.inverse % self.p)
        return f"{signed}.{url64(signature.to_bytes(256, 'big'))}"
