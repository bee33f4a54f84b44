"""The built program, its files and what can be read of it from outside."""

import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.request

CONFIG = """
listen: [127.0.0.1:0]
workers: 2
backend: generic
health: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
{tls}
upstream: {{url: "http://127.0.0.1:{backend}", responseTimeout: 4s, idleTimeout: 4s, keepAlive: 5s}}
authentication:
  leeway: 1s
  issuers:
    - {{name: ec, issuer: "https://ec.example", audiences: [soak], publicKeyUrls: ["http://127.0.0.1:{keys}/ec"]}}
    - {{name: rsa, issuer: "https://rsa.example", audiences: [soak], publicKeyUrls: ["http://127.0.0.1:{keys}/rsa"]}}
  jwks: {{refreshInterval: {refresh}, unknownKeyCooldown: 1s, timeout: 3s, maxWait: 2s}}
  revocations: {{file: {revocations}, store: {{url: "redis://127.0.0.1:{store}"}}}}
  # Filled before the first measurement, so that memory can be compared.
  tokenCache: {{maxBytes: 256KiB}}
authorization:
  public: ["* /public/**"]
  rules:
    - {{name: admins, match: {{paths: [/admin/**]}}, require: {{anyRole: [Admin]}}}}
    - {{name: variant, match: {{paths: [/variant]}}, action: {variant}}}
"""

DEADLINE = 10


class Program:
    def __init__(self, metagate, root, is_tls, settings, clock):
        self.metagate, self.root, self.is_tls, self.settings = metagate, root, is_tls, settings
        self.config, self.errors, self.audit = root / "metagate.yaml", root / "stderr", root / "stdout"
        self.write(variant="allow")
        library, file = clock
        env = {"LD_PRELOAD": library, "SOAK_CLOCK": file}
        with self.errors.open("wb") as stderr, self.audit.open("wb") as stdout:
            self.process = subprocess.Popen(
                [metagate, "run", "--config", self.config], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env,
            )
        self.port, self.health, self.admin = (self.listener(name) for name in ("proxy", "health", "admin"))

    def write(self, variant):
        tls = f"tls: {{certFile: {self.root}/tls.crt, keyFile: {self.root}/tls.key}}" if self.is_tls else ""
        text = CONFIG.format(tls=tls, variant=variant, refresh="5s", **self.settings)
        replace(self.config, text)

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def logs(self):
        for line in self.errors.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def listener(self, name):
        began = time.monotonic()
        while time.monotonic() - began < DEADLINE and self.process.poll() is None:
            for line in self.logs():
                if line.get("message") == "listening" and line.get("listener") == name:
                    return int(line["address"].rsplit(":", 1)[1])
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise SystemExit(f"metagate does not listen ({self.process.poll()}):\n{self.errors.read_text(errors='replace')}{self.audit.read_text()}")

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=5) as response:
            return response.read().decode()

    def memory(self):
        """Resident bytes of the process's own, and those of files that are mapped: parts of the program that ran once stay there
        until the system needs their place."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return tuple(int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) << 10 for name in ("RssAnon", "RssFile"))

    def descriptors(self):
        """What is open, with the number of each: a file, or the server or port at the other end of a connection."""
        process, peers = pathlib.Path(f"/proc/{self.process.pid}"), {}
        servers = {port: name for name, port in self.settings.items()}
        for name in ("tcp", "tcp6"):
            for line in (process / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                port = int(fields[2].rpartition(":")[2], 16)
                peers[f"socket:[{fields[9]}]"] = f"{servers.get(port, port)} (state {fields[3]})"
        found = collections.Counter()
        for descriptor in (process / "fd").iterdir():
            # It may be closed by now.
            with contextlib.suppress(FileNotFoundError):
                link = os.readlink(descriptor)
                found[peers.get(link) or re.sub(r"\d+", "N", link)] += 1
        return found

    def records(self):
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def close(self):
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def replace(path, text):
    """Replaces a file's content at once."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)
