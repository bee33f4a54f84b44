"""One process of metagate, as a replica of many."""

import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
TICKS = os.sysconf("SC_CLK_TCK")


class Replica:
    def __init__(self, program, config):
        environment = {f"METAGATE_{name}LISTEN": "127.0.0.1:0" for name in ("", "HEALTH__", "ADMIN__")}
        self.process = subprocess.Popen(
            [program, "run", "--config", config], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        found = {}
        for line in self.process.stderr:
            log = json.loads(line)
            log.update(log.get("fields", {}))
            if log.get("message") == "listening":
                found[log["listener"]] = log["address"]
            if {"proxy", "health"} <= found.keys():
                break
        if not {"proxy", "health"} <= found.keys():
            raise SystemExit("metagate does not start")
        # Otherwise its log fills the pipe, and it waits.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.proxy, self.health = found["proxy"], found["health"]
        self.connection = http.client.HTTPConnection(self.proxy, timeout=30)

    def is_ready(self):
        probe = http.client.HTTPConnection(self.health, timeout=5)
        probe.request("GET", "/readyz")
        return probe.getresponse().status == 200

    def ask(self, token):
        """The status of a request with this token."""
        self.connection.request("GET", "/api/v1/tables", headers={"Authorization": f"Bearer {token}"})
        response = self.connection.getresponse()
        response.read()
        return response.status

    def metrics(self):
        probe = http.client.HTTPConnection(self.health, timeout=5)
        probe.request("GET", "/metrics")
        return SAMPLE.findall(probe.getresponse().read().decode())

    def counter(self, name, label):
        return sum(float(value) for found, labels, value in self.metrics() if found == name and label in labels)

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """Resident bytes, with the program itself: what one more replica takes on a machine of its own."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[1])

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait_until(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("waited in vain")
        time.sleep(0.02)
