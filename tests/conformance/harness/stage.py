"""The built program between a client and a backend, all on free loopback ports."""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import socket
import subprocess
import tempfile
import time

from .backend import Backend

DEADLINE = 10
# How long a connection may be silent before silence counts as the outcome of a case.
PATIENCE = 3
SECRET = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4"

CONFIG = """
listen: 127.0.0.1:0
workers: 1
backend: generic
health: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{port}", protocol: {protocol}}}
authentication:
  issuers:
    - name: conformance
      issuer: conformance
      sharedSecret: {secret}
authorization:
  public: ["* /public/**"]
"""


def token():
    url64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    now = int(time.time())
    claims = {"iss": "conformance", "sub": "ada", "iat": now, "exp": now + 3600}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = b".".join(url64(json.dumps(part).encode()) for part in parts)
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + url64(mac)).decode()


class Stage:
    """One proxy, its backend, and a valid token."""

    def __init__(self, metagate, port=None, protocol="http1"):
        self.metagate = metagate
        self.backend = Backend() if port is None else None
        self.token = token()
        self.authorization = f"Bearer {self.token}"
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-conformance-")
        root = pathlib.Path(self.directory.name)
        self.errors = root / "stderr"
        config = root / "metagate.yaml"
        upstream = self.backend.port if port is None else port
        config.write_text(CONFIG.format(port=upstream, secret=SECRET, protocol=protocol))
        with self.errors.open("wb") as stderr, (root / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                [metagate, "run", "--config", config],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={},
            )
        self.port = self.listener("proxy")

    def logs(self):
        for line in self.errors.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def listener(self, name):
        started = time.monotonic()
        while time.monotonic() - started < DEADLINE and self.process.poll() is None:
            for line in self.logs():
                if line.get("message") == "listening" and line.get("listener") == name:
                    return int(line["address"].rsplit(":", 1)[1])
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise SystemExit(f"metagate does not listen:\n{self.errors.read_text(errors='replace')}")

    def connect(self, timeout=PATIENCE):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def faults(self):
        """Faults whatever the cases did: an exit, a panic, a printed token."""
        printed = self.errors.read_text(errors="replace")
        printed += (self.errors.parent / "stdout").read_text(errors="replace")
        faults = [] if self.process.poll() is None else [f"it ended with {self.process.returncode}"]
        faults += [word for word in ("panicked", self.token) if word in printed]
        return faults

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.backend:
            self.backend.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
