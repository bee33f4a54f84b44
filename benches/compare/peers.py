"""The proxies that are compared, and how each is started."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import shutil
import string
import subprocess
import time

import counters
from machine import Process, free_port, most_connections
from signing import ISSUER

CONFIGURATIONS = pathlib.Path(__file__).resolve().parent / "configurations"
# The response of the upstream, about as long as that of a small entity.
TABLE = {"name": "dim_address", "description": "One row for each address. " * 28}
BODY = json.dumps({"data": [TABLE], "paging": {"total": 1}})


@dataclasses.dataclass(frozen=True)
class Peer:
    """A proxy in one configuration."""

    # As in the table; unique within a scenario.
    name: str
    program: str
    configuration: str
    # What the configuration needs besides what every one does.
    values: dict = dataclasses.field(default_factory=dict, hash=False)
    # How many cores it is pinned to.
    cores: int = 1


def nginx(name="nginx", listen="", server="", location=""):
    return Peer(name, "nginx", "nginx.conf", {"LISTEN": listen, "SERVER": server, "LOCATION": location})


def haproxy(name="HAProxy", bind=""):
    return Peer(name, "haproxy", "haproxy.cfg", {"BIND": bind})


def haproxy_jwt(bind=""):
    return Peer("HAProxy jwt_verify", "haproxy", "haproxy-jwt.cfg", {"BIND": bind})


def envoy():
    return Peer("Envoy, token cache", "envoy", "envoy.yaml")


def metagate(name="metagate", more="", workers=1, failures="off"):
    return Peer(name, "metagate", "metagate.yaml", {"MORE": more, "WORKERS": workers, "FAILURES": failures}, cores=workers)


def prepare(root, peer, program, upstream, keys):
    """Writes a peer's configuration. Returns its command, its port, and metagate's port for metrics."""
    port, health = free_port(), free_port() if peer.program == "metagate" else None
    path = write(
        root, peer.configuration, PORT=port, HEALTH=health, UPSTREAM=upstream, KEYS_PORT=keys,
        CONNECTIONS=most_connections(), **peer.values,
    )
    arguments = {
        "nginx": ["-p", str(root), "-c", str(path)],
        "haproxy": ["-f", str(path)],
        "envoy": ["-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"],
        "metagate": ["run", "--config", str(path)],
    }
    return [program, *arguments[peer.program]], port, health


def write(root, name, **values):
    """Fills in a configuration."""
    # As root, nginx's worker would be another user, which may not enter this directory.
    values |= {"ROOT": root, "USER": "user root root;" if os.geteuid() == 0 else "", "ISSUER": ISSUER}
    path = root / name
    path.write_text(string.Template((CONFIGURATIONS / name).read_text()).substitute(values))
    return path


@dataclasses.dataclass
class Running:
    """A started peer."""

    peer: Peer
    process: Process
    port: int
    # metagate's port for probes and metrics.
    health: int | None

    def counters(self):
        """metagate's counters, once it has counted what a load generator left unfinished; None of other peers."""
        if not self.health:
            return None
        last = counters.read(self.health)
        while True:
            time.sleep(0.05)
            if (now := counters.read(self.health)) == last:
                return now
            last = now


def envoy_program():
    """Envoy's own binary in PyPI's package."""
    found = importlib.util.find_spec("envoy")
    program = pathlib.Path(found.origin).parent / "_bin" / "envoy" if found and found.origin else None
    return str(program) if program and program.exists() else shutil.which("envoy")


class Stage:
    """Starts peers in front of the one upstream."""

    def __init__(self, root, program, cores, key):
        self.root, self.cores, self.key = root, cores, key
        self.programs = {
            "nginx": shutil.which("nginx"), "haproxy": shutil.which("haproxy"), "envoy": envoy_program(), "metagate": program,
        }
        self.upstream = free_port()
        path = write(root, "upstream.conf", PORT=self.upstream, BODY=BODY, KEYS=key.key_set())
        command = [self.program("nginx"), "-p", str(root), "-c", str(path)]
        self.process = Process(command, cores.others, root / "upstream.err")
        self.process.wait_for(self.upstream)

    def program(self, name):
        if not self.programs[name]:
            raise counters.Refused(f"{name} is not installed")
        return self.programs[name]

    def start(self, peer, upstream=None):
        """Starts a peer and waits until it listens."""
        program = self.program(peer.program)
        command, port, health = prepare(self.root, peer, program, upstream or self.upstream, self.upstream)
        cores = (self.cores.peers + self.cores.others)[:peer.cores]
        process = Process(command, cores, self.root / f"{peer.program}.err", self.root / f"{peer.program}.out")
        process.wait_for(port)
        return Running(peer, process, port, health)

    def versions(self):
        """The version of every peer, and of the load generators."""
        commands = {
            "nginx": ["nginx", "-v"], "HAProxy": ["haproxy", "-v"], "Envoy": [self.programs["envoy"] or "envoy", "--version"],
            "wrk": ["wrk", "-v"], "h2load": ["h2load", "--version"], "valgrind": ["valgrind", "--version"],
            "metagate": [self.programs["metagate"], "--version"],
        }
        return {name: _version(command) for name, command in commands.items()}

    def stop(self):
        self.process.stop()


def _version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError:
        return "not installed"
    found = re.search(r"\d+\.\d+\.\d+[\w.+~-]*", done.stdout + done.stderr)
    return found.group() if found else "unknown"
