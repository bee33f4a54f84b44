"""Files of tokens, one a line, and a certificate. Signing this many needs the package `cryptography`."""

import concurrent.futures
import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import signing

BAD = 5_000
# A number that no fresh token has.
WARM = 999_999


def private_key(key):
    public = rsa.RSAPublicNumbers(key.e, key.n)
    return rsa.RSAPrivateNumbers(key.p, key.q, key.d, key.dp, key.dq, key.inverse, public).private_key()


def signed(key, numbers):
    """Tokens with these numbers."""
    private = private_key(key)
    for number in numbers:
        text = signing.unsigned(number, key.now)
        yield f"{text}.{signing.url64(private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def write_fresh(key, path, numbers):
    path.write_text("".join(f"{it}\n" for it in signed(key, numbers)))


def write(root, key, count):
    """Writes the files that scenarios read tokens from; `count` fresh ones. Returns one token and the files."""
    parts = os.cpu_count()
    paths = [root / f"fresh-{part}" for part in range(parts)]
    with concurrent.futures.ProcessPoolExecutor(parts) as pool:
        list(pool.map(write_fresh, [key] * parts, paths, [range(part, count, parts) for part in range(parts)]))
    fresh = [line for path in paths for line in path.read_text().splitlines()]
    token = next(signed(key, [WARM]))
    files = {"warm": [token], "fresh": fresh, "bad": [signing.spoiled(it) for it in fresh[:BAD]]}
    for name, lines in files.items():
        (root / name).write_text("\n".join(lines) + "\n")
    (root / "key.pem").write_bytes(private_key(key).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo,
    ))
    (root / "keys.json").write_text(key.key_set())
    return token, {name: root / name for name in files}


def write_certificate(path):
    """A self-signed certificate with its P-256 key, in one file."""
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    ))
