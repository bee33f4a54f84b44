"""The built program under an address-space limit, with its own RSA key file."""

import base64
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from harness.stage import Stage

from criteria import ADDRESS_SPACE

CONFIG = """
listen: 127.0.0.1:0
# As in the manifests.
workers: 2
backend: {backend}
health: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{upstream}", idleTimeout: {idle}}}
authentication:
  # A bad signature is to be refused at once: how many of them can be verified is what is asked here.
  jwks: {{maxWait: 0s}}
  issuers:
    - name: attack
      issuer: attack
      publicKeyUrls: ["file://{key}"]
authorization:
  public: ["* /public/**"]
  rules: [{rules}]
limits: {{{limits}}}
{tls}
{way}
"""

GRAPHQL_RULE = '{name: no-tokens, match: {paths: [/graphql], graphql: {fields: [createToken]}}, action: deny}'

# How the clients reach the proxy: directly, or through another proxy on this machine that names them.
WAYS = {
    "direct": "",
    "proxy-protocol": "proxyProtocol: require\ntrustedProxies: [127.0.0.0/8]",
    "trusted-proxy": "trustedProxies: [127.0.0.0/8]",
    "forward-auth": 'forwardAuth: {listen: "127.0.0.1:0", target: request}',
}

# Two sockets for each connection of the largest attack, one in the proxy and one to the backend.
OPEN_FILES = 12_000


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Keys:
    """An RSA key pair, and tokens signed with it."""

    def __init__(self, directory):
        self.private, self.public = directory / "private.pem", directory / "public.pem"
        openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.private)
        openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)

    def certificate(self):
        """A self-signed certificate for loopback, with the same key."""
        path = self.private.with_name("certificate.pem")
        if not path.exists():
            names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
            openssl("req", "-x509", "-key", self.private, "-days", "2", "-out", path, *names)
        return path

    def token(self, subject="ada"):
        now = int(time.time())
        claims = {"iss": "attack", "sub": subject, "iat": now, "exp": now + 3600}
        signed = b".".join(url64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.private, data=signed)
        return (signed + b"." + url64(signature)).decode()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def limit_resources():
    """In the child, before the program starts."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def raise_open_files():
    """Raises the limit on open files to the maximum, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < OPEN_FILES:
        sys.exit(f"{OPEN_FILES} open files are needed, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Proxy(Stage):
    """One proxy with its own keys; the backend is a process of its own (backend.py)."""

    def __init__(self, metagate, keys, upstream, backend="generic", rules="", limits="", is_tls=False, idle="300s", way="direct"):
        self.backend, self.token = None, keys.token()
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-attack-")
        root = pathlib.Path(self.directory.name)
        self.errors, config = root / "stderr", root / "metagate.yaml"
        tls = f"tls: {{certFile: {keys.certificate()}, keyFile: {keys.private}}}" if is_tls else ""
        config.write_text(CONFIG.format(
            backend=backend, upstream=upstream, key=keys.public, rules=rules, limits=limits, tls=tls, idle=idle, way=WAYS[way],
        ))
        with self.errors.open("wb") as stderr, (root / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                [metagate, "run", "--config", config],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={}, preexec_fn=limit_resources,
            )
        first = "forward-auth" if way == "forward-auth" else "proxy"
        self.port, self.health, self.admin = (self.listener(name) for name in (first, "health", "admin"))

    def close(self):
        # Draining is not tested here.
        self.process.kill()
        super().close()

    def memory(self):
        """Current and peak resident bytes, or None if the process has exited."""
        try:
            lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if name.startswith("Vm")}
        return (kib["VmRSS"] << 10, kib["VmHWM"] << 10) if "VmRSS" in kib else None

    def last_words(self):
        lines = self.errors.read_text(errors="replace").splitlines()
        return lines[-1][:200] if lines else ""
