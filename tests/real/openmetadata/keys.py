"""RSA key pairs made by openssl, tokens signed with them, and a server of their key sets."""

import base64
import http.server
import json
import subprocess
import threading
import time


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def contents(token):
    """The header and the claims of a token, unverified."""
    header, payload, _ = token.split(".")
    return decode(header), decode(payload)


class Pair:
    """A new RSA key pair with a `kid`."""

    def __init__(self, directory, kid):
        self.kid = kid
        self.private = directory / f"{kid}.pem"
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.private)

    @classmethod
    def of_file(cls, private, kid):
        """The pair of a key file that is there already."""
        pair = cls.__new__(cls)
        pair.private, pair.kid = private, kid
        return pair

    def write_der(self, directory):
        """The files that OpenMetadata reads: PKCS #8 and SPKI."""
        private, public = directory / "private_key.der", directory / "public_key.der"
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", self.private, "-outform", "DER", "-out", private)
        openssl("pkey", "-in", self.private, "-pubout", "-outform", "DER", "-out", public)
        return private, public

    def jwk(self):
        text = openssl("rsa", "-in", self.private, "-noout", "-modulus").decode()
        modulus = bytes.fromhex(text.strip().removeprefix("Modulus="))
        return {"kty": "RSA", "kid": self.kid, "alg": "RS256", "use": "sig", "n": url64(modulus), "e": "AQAB"}

    def sign(self, claims, **header):
        header = {name: value for name, value in {"alg": "RS256", "typ": "JWT", "kid": self.kid, **header}.items() if value is not None}
        parts = (header, claims)
        signed = ".".join(url64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{url64(openssl('dgst', '-sha256', '-sign', self.private, data=signed.encode()))}"


def lifetime(seconds=3600):
    now = int(time.time())
    return {"iat": now - 5, "exp": now + seconds}


class KeyServer(http.server.ThreadingHTTPServer):
    """Serves the key set of one pair at any path."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.fetches += 1
            content = json.dumps({"keys": [self.server.pair.jwk()]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    def __init__(self, pair):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.pair, self.fetches = pair, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/keys"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
