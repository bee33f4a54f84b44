"""metagate as docs/exchange.md configures it, in front of a model of a backend."""

import http.client
import json
import pathlib
import subprocess
import tempfile
import time

from proxy import Proxy, free_port
from tokens import SIGNING_KEY
from workloads import AUDIENCE, CLUSTER, PROVIDER

MINT_ISSUER = "https://metagate.example/backend"
# The shortest that is allowed: it is renewed after half of it.
LIFETIME = 60
SUBJECT = "system:serviceaccount:metadata:ingestion"
DEADLINE = 20


class Gateway(Proxy):
    """`cluster` and `provider` issue the workloads' tokens; `target` is the user of the backend."""

    def __init__(self, metagate, kind, model, cluster, provider, target):
        self.metagate, self.kind, self.model, self.backend = metagate, kind, model, None
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-real-")
        self.root = pathlib.Path(self.directory.name)
        self.errors, self.audit, self.read = self.root / "stderr", self.root / "stdout", 0
        self.config, self.port = self.root / "metagate.yaml", free_port()
        self.cluster, self.provider, self.target = cluster, provider, target
        (self.root / "revoked.yaml").write_text("[]\n")
        self.key_files = [self.root / "1.pem"]
        self.run("mint", "init", self.key_files[0])
        self.write()
        self.start()
        self.health, self.admin = self.listener("health"), self.listener("admin")

    def issuers(self):
        pod = {"apiServer": self.cluster.url, "tokenFile": str(self.cluster.pod_file), "caFile": str(self.cluster.ca_file)}
        yield {"name": "cluster", "audiences": [AUDIENCE], "maxLifetime": "24h", "kubernetes": pod}
        yield {"name": "provider", "issuer": PROVIDER, "audiences": [AUDIENCE], "publicKeyUrls": [self.provider.keys_url]}

    def entries(self):
        sources = {
            "ingestion": {"issuer": "cluster", "subjects": [SUBJECT]},
            "airflow": {"issuer": "provider", "subjects": [self.provider.client], "claims": {"cid": [self.provider.client]}},
        }
        target = {"user": self.target}
        if self.kind == "openmetadata":
            target["email"] = f"{self.target}@open-metadata.org"
        for name, source in sources.items():
            yield {"name": name, "from": source, "as": target, "lifetime": f"{LIFETIME}s"}

    def write(self):
        mint = {"issuer": MINT_ISSUER}
        if self.kind == "openmetadata":
            mint["keyFiles"] = [str(file) for file in self.key_files]
        else:
            mint["datahub"] = {"signingKey": SIGNING_KEY}
        nowhere = "127.0.0.1:0"
        # JSON is YAML.
        self.config.write_text(json.dumps({
            "listen": f"127.0.0.1:{self.port}", "workers": 1, "backend": self.kind,
            "health": {"listen": nowhere}, "admin": {"listen": nowhere},
            "upstream": {"url": f"http://127.0.0.1:{self.model.port}"},
            "authentication": {"issuers": list(self.issuers()), "revocations": {"file": str(self.root / "revoked.yaml")}},
            "mint": mint, "exchange": list(self.entries()),
        }, indent=1))

    def run(self, *arguments, text=""):
        command = [self.metagate, *map(str, arguments)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, env={}, timeout=60)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, port, method, path, fields):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def reload(self):
        self.write()
        status, text = self.ask(self.admin, "POST", "/reload", {"X-Metagate": "1"})
        if status != 200:
            raise SystemExit(f"the configuration is not loaded: {text}")

    def revoke(self, token):
        """Returns once it is in force."""
        self.run("revoke", "--config", self.config, "--token-file", "-", text=token)
        deadline = time.monotonic() + DEADLINE
        # A path that is public in no preset.
        refused = lambda: self.ask(self.port, "GET", "/api/v1/revoked", {"Authorization": f"Bearer {token}"})[1]
        while "Token has been revoked" not in refused():
            if time.monotonic() > deadline:
                raise SystemExit("the token is not refused after it was revoked")
            time.sleep(0.1)

    # The three steps of `metagate mint rotate`.

    def publish_next_key(self):
        self.run("mint", "rotate", "--config", self.config)
        self.key_files.append(self.root / "2.pem")
        self.reload()

    def sign_with_next_key(self):
        self.key_files.reverse()
        self.reload()

    def forget_old_key(self):
        self.key_files.pop()
        self.reload()

    def faults(self, tokens):
        """What must not happen whatever a job does: an exit, a panic, a printed token."""
        printed = self.errors.read_text(errors="replace") + self.audit.read_text(errors="replace")
        faults = [] if self.process.poll() is None else [f"metagate ended with {self.process.returncode}"]
        faults += ["metagate panicked"] if "panicked" in printed else []
        # The signature is what makes it a token.
        return faults + [f"metagate printed token {at}" for at, token in enumerate(tokens) if token.rpartition(".")[2] in printed]
