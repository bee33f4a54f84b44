"""One replica of the built program, and tokens for it."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import subprocess
import tempfile
import time

from harness.stage import SECRET, Stage

CONFIG = """
listen: 127.0.0.1:0
workers: 1
health: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{port}"}}
audit: {{include: [error]}}
authentication:
  issuers: [{{name: store, issuer: store, sharedSecret: {secret}}}]
  {cache}
  revocations: {{{revocations}}}
{more}
"""


def token(name):
    url64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    now = int(time.time())
    claims = {"iss": "store", "sub": "ada", "iat": now, "exp": now + 3600, "jti": name}
    signed = b".".join(url64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + url64(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Replica(Stage):
    def __init__(self, metagate, port, revocations, cache=None, more=""):
        self.backend = None
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-store-")
        root = pathlib.Path(self.directory.name)
        self.errors, config = root / "stderr", root / "metagate.yaml"
        cache = f"jwks: {{cacheDir: {cache}}}" if cache else ""
        config.write_text(CONFIG.format(port=port, secret=SECRET, cache=cache, revocations=revocations, more=more))
        self.metagate, self.config = metagate, config
        with self.errors.open("wb") as stderr, (root / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                [metagate, "run", "--config", config],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={},
            )
        self.port, self.health = (self.listener(name) for name in ("proxy", "health"))
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.close()

    def status(self, bearer):
        """The status of a request with this token."""
        while True:
            try:
                self.connection.request("GET", "/", headers={"Authorization": f"Bearer {bearer}"})
                response = self.connection.getresponse()
                response.read()
                return response.status
            except (OSError, http.client.HTTPException):
                # A response that was under way when its token was revoked is cut off.
                self.connection.close()
                if self.process.poll() is not None:
                    raise

    def run(self, *arguments):
        """What a command of the program prints, with this configuration."""
        command = [self.metagate, *arguments, "--config", self.config]
        done = subprocess.run(command, capture_output=True, text=True, env={}, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def is_ready(self):
        return self.ask("/readyz")[0] == 200

    def is_alive(self):
        return self.ask("/livez")[0] == 200

    def metric(self, name):
        lines = (line.rsplit(" ", 1) for line in self.ask("/metrics")[1].splitlines() if line.startswith(name))
        return sum(float(value) for _, value in lines)

    def in_force(self):
        return self.metric('metagate_revocations_in_force{source="store"}')

    def entries(self):
        return self.metric("metagate_revocations{")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
