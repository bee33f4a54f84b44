"""Key sets (RFC 7517), which key may verify a token, and signatures (RFC 7515, 7518, 8037, 9864)."""

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from .outcome import Refused

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"P-256": (ec.SECP256R1, "ES256", 32), "P-384": (ec.SECP384R1, "ES384", 48), "P-521": (ec.SECP521R1, "ES512", 66)}
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
verified = {}


def media_type(text):
    """A `typ` as it is compared: a media type without case and without `application/`."""
    text = text.lower()
    return text.removeprefix("application/")


def number(text):
    """An unsigned integer of a JWK. OpenMetadata writes it with padding and leading zeros."""
    text = text.rstrip("=").replace("+", "-").replace("/", "_")
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


class Key:
    """A public key that may verify tokens, with what its JWK says about its use."""

    def __init__(self, public, kid=None, alg=None, serves_any_kid=False, openmetadata=False):
        self.public = public
        self.kid = kid
        self.alg = alg
        self.serves_any_kid = serves_any_kid
        self.openmetadata = openmetadata

    def algorithms(self):
        """The algorithms of its family and curve, narrowed by its own `alg`."""
        if isinstance(self.public, rsa.RSAPublicKey):
            family = {f"{kind}{bits}" for kind in ("RS", "PS") for bits in HASHES}
        elif isinstance(self.public, ed25519.Ed25519PublicKey):
            family = {"EdDSA"}
        else:
            family = {name for curve, name, _ in CURVES.values() if curve.name == self.public.curve.name}
        if self.alg is None:
            return family
        pkcs1 = {"RS256", "RS384", "RS512"}
        if self.openmetadata and self.alg in pkcs1:
            return family & pkcs1
        return family & {canonical(self.alg)}

    def verifies(self, alg, signed, signature):
        """Whether this key made `signature` over the signing input. A million tokens are too many to do it twice."""
        memo = (id(self), alg, signed, signature)
        if memo not in verified:
            if len(verified) > 20000:
                verified.clear()
            # The key is kept with the result, so that its id is not another key's later.
            verified[memo] = (self, self.check(alg, signed, signature))
        return verified[memo][1]

    def check(self, alg, signed, signature):
        try:
            if alg == "EdDSA":
                self.public.verify(signature, signed)
            elif alg.startswith("ES"):
                size = next(size for _, name, size in CURVES.values() if name == alg)
                if len(signature) != 2 * size:
                    return False
                r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
                if r == 0 or s == 0:
                    return False
                self.public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(HASHES[alg[2:]]()))
            else:
                digest = HASHES[alg[2:]]()
                scheme = padding.PKCS1v15()
                if alg.startswith("PS"):
                    scheme = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
                self.public.verify(signature, signed, scheme, digest)
            return True
        except InvalidSignature:
            return False


def canonical(alg):
    """RFC 9864: Ed25519 is the fully specified name of what EdDSA means here."""
    return "EdDSA" if alg == "Ed25519" else alg


def parse_jwk(jwk, openmetadata):
    """A usable key, or None."""
    jwk = {name: value for name, value in jwk.items() if value is not None}
    if any(name in jwk for name in PRIVATE):
        return None
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    kind = jwk.get("kty")
    if kind == "RSA":
        public = rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()
        if public.key_size < 2048:
            return None
    elif kind == "EC" and jwk.get("crv") in CURVES:
        curve = CURVES[jwk["crv"]][0]()
        public = ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), curve).public_key()
    elif kind == "OKP" and jwk.get("crv") == "Ed25519":
        raw = jwk["x"] + "=" * (-len(jwk["x"]) % 4)
        public = ed25519.Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(raw))
    else:
        return None
    kid = jwk.get("kid")
    key = Key(public, kid, jwk.get("alg"), openmetadata=openmetadata)
    return key if key.algorithms() else None


def parse_set(value, openmetadata):
    """The usable keys of a JWK Set, a single JWK, or PEM."""
    if isinstance(value, str):
        block = "-----END PUBLIC KEY-----"
        parts = [each + block for each in value.split(block) if each.strip()]
        return [Key(serialization.load_pem_public_key(each.strip().encode()), serves_any_kid=True) for each in parts]
    found = [parse_jwk(jwk, openmetadata) for jwk in value.get("keys", [value])]
    found = [key for key in found if key is not None]
    return [key for key in found if not any(conflict(key, other) for other in found)]


def conflict(key, other):
    """Two keys of a set that a token cannot tell apart (RFC 7517 section 4.5). Neither is used."""
    same_name = key.kid is not None and key.kid == other.kid
    return same_name and bool(key.algorithms() & other.algorithms()) and count([key, other]) == 2


def count(keys):
    """How many different keys these are."""
    return len({key.public.public_bytes(*DER) for key in keys})


def candidates(issuer, kid, alg):
    """The keys of an entry that may verify a token with this `kid` (or None) and `alg`."""
    if not issuer.keys:
        raise Refused("keys_unavailable")
    # The backend's own first, so that a copy of one elsewhere does not hide whose it is.
    fitting = sorted((key for key in issuer.keys if alg in key.algorithms()), key=lambda key: not key.openmetadata)
    if kid is None:
        # The same key twice is one key.
        if count(fitting) != 1:
            raise Refused("unknown_key")
        return fitting
    named = [key for key in issuer.keys if key.kid == kid]
    if named:
        able = [key for key in fitting if key in named]
        if not able:
            raise Refused("algorithm_not_allowed")
        return able
    # PEM serves every kid. A JWK without a kid does as long as no other key of the entry fits the token's alg.
    pem = [key for key in fitting if key.serves_any_kid]
    if pem:
        return pem
    if fitting and all(key.kid is None for key in fitting) and count(fitting) == 1:
        return fitting
    raise Refused("unknown_key")


def verify(issuer, token):
    """Returns the key that verified the token (None: the shared secret)."""
    alg = canonical(token.alg)
    if issuer.secret is not None:
        expected = hmac.new(issuer.secret.encode(), token.signed, hashlib.sha256).digest()
        if not hmac.compare_digest(expected, token.signature):
            raise Refused("invalid_signature" if token.kid is None else "unknown_key")
        return None
    for key in token.keys:
        if key.verifies(alg, token.signed, token.signature):
            return key
    # If the token names a key, and those that were tried have no name, its key is not among them.
    is_unnamed = token.kid is not None and all(key.kid is None for key in token.keys)
    raise Refused("unknown_key" if is_unnamed else "invalid_signature")
