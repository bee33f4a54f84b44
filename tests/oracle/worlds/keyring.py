"""Keys of tests, derived from a fixed text: the same in every run, and not secret."""

import base64
import functools
import hashlib
import random

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CURVES = {
    "P-256": (ec.SECP256R1(), "ES256", 32, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    "P-384": (ec.SECP384R1(), "ES384", 48, None),
    "P-521": (ec.SECP521R1(), "ES512", 66, None),
}
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
SECRETS = ["a-secret-of-the-oracle-tests-number-1", "another-secret-of-oracle-tests-number-2"]


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def prime(source, bits):
    while True:
        candidate = source.getrandbits(bits) | 1 | 3 << (bits - 2)
        if candidate % 65537 != 1 and all(candidate % small for small in range(3, 2000, 2)):
            if all(pow(source.randrange(2, candidate), candidate - 1, candidate) == 1 for _ in range(4)):
                return candidate


class SigningKey:
    """A private key with its public JWK (without `kid`), and the algorithms that it can make signatures of."""

    def __init__(self, name, private, jwk, algorithms):
        self.name = name
        self.private = private
        self.jwk = jwk
        self.algorithms = algorithms

    def pem(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def sign(self, alg, signed, malleated=False):
        if alg in ("EdDSA", "Ed25519"):
            return self.private.sign(signed)
        if alg.startswith("ES"):
            scheme = ec.ECDSA(HASHES[alg[2:]](), deterministic_signing=True)
            r, s = utils.decode_dss_signature(self.private.sign(signed, scheme))
            _, _, size, order = CURVES[self.jwk["crv"]]
            if malleated and order:
                s = order - s
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        digest = HASHES[alg[2:]]()
        if alg.startswith("PS"):
            scheme = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
            return self.private.sign(signed, scheme, digest)
        return self.private.sign(signed, padding.PKCS1v15(), digest)


def shared_signature(secret, signed):
    mac = hmac.HMAC(secret.encode(), hashes.SHA256())
    mac.update(signed)
    return mac.finalize()


def rsa_key(name, bits):
    source = random.Random(f"metagate oracle {name}")
    p, q = prime(source, bits // 2), prime(source, bits // 2)
    n, e = p * q, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    jwk = {"kty": "RSA", "n": number(n), "e": number(e)}
    kinds = ("RS", "PS") if bits >= 2048 else ("RS",)
    algorithms = [kind + size for kind in kinds for size in HASHES]
    return SigningKey(name, numbers.private_key(), jwk, algorithms)


def ec_key(name, crv):
    curve, alg, size, _ = CURVES[crv]
    private = ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") >> 1, curve)
    point = private.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": crv, "x": number(point.x, size), "y": number(point.y, size)}
    return SigningKey(name, private, jwk, [alg])


def ed_key(name):
    private = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return SigningKey(name, private, {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}, ["EdDSA", "Ed25519"])


@functools.cache
def keyring():
    keys = [rsa_key("rsa-a", 2048), rsa_key("rsa-b", 2048), rsa_key("rsa-short", 1024)]
    keys += [ec_key("ec-a", "P-256"), ec_key("ec-b", "P-256"), ec_key("ec-c", "P-384"), ec_key("ec-d", "P-521")]
    keys += [ed_key("ed-a"), ed_key("ed-b")]
    return {key.name: key for key in keys}
