"""Load on a started peer: wrk, h2load, and plain sockets."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import time

import callgrind
from counters import Refused

WRK_CONNECTIONS = 32
LOAD = pathlib.Path(__file__).resolve().parent / "load.lua"
PATIENCE = 30


@dataclasses.dataclass(frozen=True)
class Load:
    """What a load generator counted."""

    requests: int
    # Those whose status was not 2xx.
    not_2xx: int
    # Those without a response.
    errors: int
    seconds: float

    def check(self, status):
        """Raises Refused unless every response had such a status."""
        if not self.requests:
            raise Refused("the load generator got no response")
        if self.errors:
            raise Refused(f"{self.errors} requests got no response")
        wanted = 0 if status == 200 else self.requests
        if self.not_2xx != wanted:
            raise Refused(f"{self.not_2xx} of {self.requests} responses were not 2xx, expected {wanted}")


def wrk(port, seconds, tokens=None, scheme="http"):
    """Loads a peer over HTTP/1.1 with the tokens of a file, each in turn."""
    environment = {**os.environ, **({"TOKENS": str(tokens)} if tokens else {})}
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds}s", "-s", str(LOAD), f"{scheme}://127.0.0.1:{port}/"]
    printed = run(command, environment)
    if not (found := re.search(r"RESULT (\{.*\})", printed)):
        raise Refused(f"wrk failed: {printed.strip()[-200:]}")
    counted = json.loads(found.group(1))
    return Load(counted["requests"], counted["not_2xx"], counted["errors"], counted["microseconds"] / 1e6)


def h2load(port, token, arguments):
    """Loads a peer with h2load; over HTTP/2 unless the arguments say otherwise."""
    command = ["h2load", "-t1", "-H", f"authorization: Bearer {token}", *arguments, f"http://127.0.0.1:{port}{callgrind.TARGET}"]
    return parse_h2load(run(command))


def parse_h2load(printed):
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", printed)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", printed)
    seconds = re.search(r"finished in ([\d.]+)(ms|s)", printed)
    if not statuses or not failed or not seconds:
        raise Refused(f"h2load failed: {printed.strip()[-200:]}")
    good, *others = map(int, statuses.groups())
    # A response with an error status is also counted as failed.
    errors = max(0, int(failed.group(1)) - sum(others))
    unit = 1_000 if seconds.group(2) == "ms" else 1
    return Load(good + sum(others), sum(others), errors, float(seconds.group(1)) / unit)


def run(command, environment=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    except FileNotFoundError:
        raise Refused(f"{command[0]} is not installed") from None
    return done.stdout + done.stderr


def connect(port, request):
    """A connection that has sent a request."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request)
    return connection


def warm_up(port, token, status, requests=200):
    """Sends requests one after another, each of which must get the status."""
    callgrind.send(port, [callgrind.head(token)] * requests, status)


def with_cpu(running, load):
    """What `load` returns, and the processor seconds that the peer used for it."""
    before = running.process.seconds()
    result = load()
    # What is left of the last requests, before the counters are read.
    time.sleep(0.05)
    return result, running.process.seconds() - before
