"""metagate in front of the server, configured as OpenMetadata's documents configure OpenMetadata."""

import contextlib
import http.client
import json
import subprocess
import time

from server import stop

DEADLINE = 20


class Proxy:
    """One metagate, configured by environment variables, or by a file and those."""

    def __init__(self, program, root, name, upstream, settings, config=None):
        self.name = name
        self.errors, self.output = root / f"{name}.stderr", root / f"{name}.stdout"
        environment = {
            "METAGATE_LISTEN": "127.0.0.1:0", "METAGATE_HEALTH__LISTEN": "127.0.0.1:0", "METAGATE_ADMIN__LISTEN": "127.0.0.1:0",
            "METAGATE_WORKERS": "1", "METAGATE_UPSTREAM__URL": upstream, **settings,
        }
        self.program, self.environment, self.file = program, environment, root / f"{name}.yaml"
        command = [program, "run"]
        if config is not None:
            self.file.write_text(config)
            command += ["--config", self.file]
        with self.errors.open("wb") as stderr, self.output.open("wb") as stdout:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment,
            )
        self.seen = 0
        self.port, self.health = self.listener("proxy"), self.listener("health")

    def listener(self, name):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.errors.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("message") == "listening" and entry.get("listener") == name:
                        return int(entry["address"].rsplit(":", 1)[1])
            time.sleep(0.02)
        raise SystemExit(f"metagate does not listen:\n{self.errors.read_text(errors='replace')}")

    def reload(self, config):
        """Puts another configuration into force, and says whether that succeeded."""
        self.file.write_text(config)
        connection = http.client.HTTPConnection("127.0.0.1", self.listener("admin"), timeout=DEADLINE)
        try:
            connection.request("POST", "/reload", headers={"X-Metagate": "1"})
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def command(self, *arguments, config=None):
        """Runs another command of metagate with the same environment, and this configuration or another one."""
        file = self.file
        if config is not None:
            file = self.file.with_suffix(".other.yaml")
            file.write_text(config)
        return subprocess.run(
            [self.program, *arguments, "--config", file], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self.environment, timeout=60,
        )

    def status(self, probe):
        """The status of a probe."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=DEADLINE)
        try:
            connection.request("GET", probe)
            return connection.getresponse().status
        finally:
            connection.close()

    def becomes_ready(self):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.status("/readyz") == 200:
                return True
            time.sleep(0.02)
        return False

    def audit(self):
        """The audit record of the one request that was made since the last call."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            lines = self.output.read_text(errors="replace").splitlines(keepends=True)
            if len(lines) > self.seen and lines[self.seen].endswith("\n"):
                self.seen += 1
                return json.loads(lines[self.seen - 1])
            time.sleep(0.005)
        raise SystemExit("metagate wrote no audit record")

    def skip_audit(self, count):
        """Passes over the records of so many requests."""
        for _ in range(count):
            self.audit()

    def printed(self):
        return self.errors.read_text(errors="replace") + self.output.read_text(errors="replace")

    def close(self):
        stop(self.process)
