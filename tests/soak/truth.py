"""What is true at each moment: the clock, the keys, the revocations, the faults, and so the right responses."""

import base64
import json
import struct
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

# How long a change may take to count: a key, an entry of a list, a setting. Each is sooner when nothing else happens.
GRACE = 8
# authentication.leeway, and the inaccuracy of the moment at which the program reads its clock.
LEEWAY, INACCURATE = 1, 2
FORWARDED = frozenset({200})
BACKEND_FAILED = frozenset({502, 503, 504})


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A signing key. `published` and `retired` are monotonic seconds."""

    def __init__(self, kid, algorithm):
        self.kid, self.algorithm, self.published, self.retired = kid, algorithm, time.monotonic(), None
        # The programs that accepted one of its tokens: then a fault of the key server does not change that.
        self.known_by = []
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        common = {"kid": self.kid, "alg": self.algorithm, "use": "sig"}
        if self.algorithm == "ES256":
            return common | {"kty": "EC", "crv": "P-256", "x": url64(numbers.x.to_bytes(32)), "y": url64(numbers.y.to_bytes(32))}
        return common | {"kty": "RSA", "n": url64(numbers.n.to_bytes(256)), "e": url64(numbers.e.to_bytes(3))}

    def sign(self, data):
        if self.algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


class Periods:
    """Periods in which something holds, in monotonic seconds."""

    def __init__(self):
        self.periods = []

    def begin(self):
        self.periods.append([time.monotonic(), float("inf")])

    def end(self):
        self.periods[-1][1] = time.monotonic()

    def during(self, start, end):
        return any(begun <= end and start <= ended for begun, ended in self.periods)

    def has_pause(self, start, end, seconds):
        """Whether it did not hold for so long without a break between two moments."""
        for begun, ended in self.periods:
            if min(begun, end) - start >= seconds:
                return True
            start = max(start, ended)
        return end - start >= seconds


class Truth:
    def __init__(self, clock_file):
        # The file of clock.c, and its values with the monotonic seconds of their beginning.
        self.clock_file, self.offsets = clock_file, []
        clock_file.touch()
        self.step_clock(0)
        self.keys = {"ec": [Key("ec-0", "ES256")], "rsa": [Key("rsa-0", "RS256")]}
        # The key that signs new tokens.
        self.signing = {name: keys[0] for name, keys in self.keys.items()}
        # jti: (source, monotonic seconds).
        self.revoked = {}
        self.key_server, self.backend, self.store = Periods(), Periods(), Periods()
        # Whether a rule refuses /variant, and the moments of the last change: when it began and when it counts.
        self.variant_is_denied, self.variant_changes, self.variant_since = False, 0.0, 0.0
        self.count = 0

    def step_clock(self, offset):
        # Never truncated: it is mapped.
        with self.clock_file.open("r+b") as file:
            file.write(struct.pack("q", offset))
        self.offsets.append((time.monotonic(), offset))

    def now(self):
        """The wall clock of the program, in seconds."""
        return time.time() + self.offsets[-1][1]

    def clock(self, start, end):
        """The earliest and the latest time that the program's clock can have shown between two moments."""
        wall = time.time() - time.monotonic()
        # A step counts within INACCURATE.
        after = [time for time, _ in self.offsets[1:]] + [float("inf")]
        at = [offset for (begun, offset), ended in zip(self.offsets, after) if begun <= end + INACCURATE and start - INACCURATE <= ended]
        return wall + start + min(at) - INACCURATE, wall + end + max(at) + INACCURATE

    def variant_is_changing(self):
        self.variant_changes = self.variant_since = time.monotonic()

    def variant_is(self, is_denied):
        self.variant_is_denied, self.variant_since = is_denied, time.monotonic()

    def retire(self, source, key):
        self.keys[source].remove(key)
        key.retired = time.monotonic()

    def revoke(self, jti, source):
        self.revoked[jti] = (source, time.monotonic())

    def token(self, source, **claims):
        """A token, and what decides about it."""
        self.count += 1
        key, now = self.signing[source], int(self.now())
        claims = {
            "iss": f"https://{source}.example", "aud": "soak", "sub": f"user-{self.count % 50}", "jti": f"t{self.count}",
            "iat": now - 600, "exp": now + 3600,
        } | claims
        head = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
        signed = ".".join(url64(json.dumps(part).encode()) for part in (head, claims))
        return Token(f"{signed}.{url64(key.sign(signed.encode()))}", key, claims)

    def judge(self, token, program, start, end):
        """Whether a genuine token must be accepted (True), refused (False), or neither is certain (None)."""
        verdicts = [self.judge_time(token, start, end), self.judge_key(token.key, program, start, end), self.judge_revocation(token, start, end)]
        return False if False in verdicts else None if None in verdicts else True

    def judge_time(self, token, start, end):
        earliest, latest = self.clock(start, end)
        expiry, begin = token.claims["exp"] + LEEWAY, token.claims.get("nbf", 0) - LEEWAY
        if earliest > expiry or latest < begin:
            return False
        return True if latest < expiry and earliest > begin else None

    def judge_key(self, key, program, start, end):
        if key.retired is not None and end > key.retired:
            return False if self.key_server.has_pause(key.retired, start, 2 * GRACE) else None
        return True if program in key.known_by or self.key_server.has_pause(key.published, start, 2 * GRACE) else None

    def judge_revocation(self, token, start, end):
        source, at = self.revoked.get(token.claims["jti"], (None, None))
        if source is None or end < at:
            return True
        counts = start > at + GRACE if source == "file" else self.store.has_pause(at, start, GRACE)
        return False if counts else None


class Token:
    def __init__(self, text, key, claims):
        self.text, self.key, self.claims = text, key, claims
