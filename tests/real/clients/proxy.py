"""The built program in front of the model of a backend, on a port that it keeps through restarts."""

import json
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from harness.stage import Stage

from backend import Backend
from tokens import SIGNING_KEY, Tokens

CONFIG = """
listen: 127.0.0.1:{port}
workers: 1
backend: {backend}
health: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{upstream}", responseTimeout: 2s}}
limits: {{targetBytes: 32KiB}}
authentication:
  revocations: {{file: {root}/revoked.yaml}}
  jwks: {{maxWait: 1s}}
  issuers:
    - {own}
    - {{name: idp, issuer: "https://idp.test", audiences: [catalog], publicKeyUrls: ["file://{root}/provider.json"]}}
    # Nothing listens there.
    {issuers}
    - {{name: down, issuer: "https://down.test", audiences: [catalog], publicKeyUrls: ["http://127.0.0.1:9/keys"], optional: true}}
authorization:
  rules:
    - {{name: readers-do-not-write, match: {{methods: [POST, PUT]}}, when: 'claims.sub != "reader"'}}
{more}
"""
OWN = {
    "openmetadata": '{{name: openmetadata, issuer: open-metadata.org, publicKeyUrls: ["http://127.0.0.1:{upstream}/api/v1/system/config/jwks"]}}',
    "datahub-gms": "{{name: datahub, issuer: datahub-metadata-service, sharedSecret: {secret}}}",
    "generic": "{{name: datahub, issuer: datahub-metadata-service, sharedSecret: {secret}}}",
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Proxy(Stage):
    def __init__(self, metagate, backend, upstream=None, more="", issuers="", port=None):
        self.metagate, self.kind = metagate, backend
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-real-")
        self.root = pathlib.Path(self.directory.name)
        self.errors, self.audit, self.read = self.root / "stderr", self.root / "stdout", 0
        self.tokens = Tokens(backend, self.root)
        self.backend = Backend(self.tokens.own.jwks()) if upstream is None else None
        (self.root / "provider.json").write_text(json.dumps(self.tokens.provider.jwks()))
        self.port, upstream = port or free_port(), upstream or self.backend.port
        self.config = self.root / "metagate.yaml"
        own = OWN[backend].format(upstream=upstream, secret=SIGNING_KEY)
        self.config.write_text(CONFIG.format(
            port=self.port, backend=backend, upstream=upstream, root=self.root, own=own, more=more, issuers=issuers,
        ))
        self.token = self.tokens.backends()
        self.revoked = self.tokens.backends("mallory")
        (self.root / "revoked.yaml").write_text("[]\n")
        command = [metagate, "revoke", "--config", self.config, "--token-file", "-"]
        subprocess.run(command, input=self.revoked.encode(), check=True, capture_output=True, env={})
        self.start()

    def start(self):
        # Each process has its own diagnostics, in which Stage finds its listeners.
        with self.errors.open("wb") as stderr, self.audit.open("ab") as stdout:
            self.process = subprocess.Popen(
                [self.metagate, "run", "--config", self.config], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env={},
            )
        self.listener("proxy")

    def restart(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        if code:
            raise SystemExit(f"metagate exited with {code} after SIGTERM")
        self.start()

    def records(self, wait=3):
        """The audit records since the last call. The last one is written right after the client has its response."""
        deadline, found = time.monotonic() + wait, []
        while not found and time.monotonic() < deadline:
            time.sleep(0.05)
            found = self.audit.read_text().splitlines()[self.read:]
        # Those of requests that the client did not wait for.
        time.sleep(0.05)
        found = self.audit.read_text().splitlines()[self.read:]
        self.read += len(found)
        return [json.loads(line) for line in found]
