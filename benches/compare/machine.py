"""This machine: its cores, free ports, processes pinned to a core, and what they use."""

import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from counters import Refused

TICKS = os.sysconf("SC_CLK_TCK")
DEADLINE = 30
MIB = 1 << 20
# One core for each of two workers, one for the load generator and one for the upstream.
CORES_FOR_WORKERS = 4


class Cores:
    """The peers under test have the first core, or the first two of at least four. Everything else has the others."""

    def __init__(self):
        found = sorted(os.sched_getaffinity(0))
        if len(found) < 2:
            raise SystemExit("two cores are needed: one for the peer under test, one for the upstream and the load")
        self.count, of_peers = len(found), 2 if len(found) >= CORES_FOR_WORKERS else 1
        self.peers, self.others = found[:of_peers], found[of_peers:]

    def leave_the_peers_theirs(self):
        """This process and the processes that it starts no longer use the peers' cores."""
        os.sched_setaffinity(0, self.others)


def raise_open_files(wanted):
    """Raises the limit on open files of this process and its children as far as allowed, at most to what is wanted."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return
        except (ValueError, OSError):
            pass


def most_connections():
    """How many connections a proxy can have: it needs two files for each."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 600) // 2


def install(programs):
    """Installs missing programs; `programs` has the Debian package of each."""
    packages = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if not packages:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *command], check=True, env=environment, stdout=subprocess.DEVNULL)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def describe(cores):
    """Cores, processor and kernel, as lines of text."""
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{cores} cores, {cpu.group(1) if cpu else platform.machine()}, {memory:.0f} GiB of memory",
        f"{platform.system()} {platform.release()}",
    )


class Process:
    """A process, pinned to some cores, and all of its children."""

    def __init__(self, command, cores, log, output=None):
        self.log = log
        with log.open("wb") as errors, open(output or os.devnull, "wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def wait_for(self, port, seconds=DEADLINE):
        """Waits until it listens."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        lines = self.log.read_text(errors="replace").strip().splitlines() or [f"nothing listens on port {port}"]
        why = next((it for it in lines if "error" in it.lower()), lines[-1])
        raise Refused(f"did not start: {why[-300:]}")

    def _pids(self):
        pids = [self.process.pid]
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, task.read_text().split())
        return pids

    def seconds(self):
        """Processor time, in user and in system mode."""
        ticks = 0
        for pid in self._pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def memory(self):
        """Resident bytes."""
        status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", it).group(1)) for it in status) << 10

    def settled_memory(self, patience=12):
        """Resident bytes once they have stopped changing, or after `patience` seconds."""
        deadline, last, since = time.monotonic() + patience, self.memory(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < 2:
            time.sleep(0.2)
            now = self.memory()
            if abs(now - last) > MIB // 4:
                last, since = now, time.monotonic()
        return self.memory()

    def stop(self, patience=None):
        """Ends it: at once, or with so many seconds to end itself."""
        for signum in ([] if patience is None else [signal.SIGTERM]) + [signal.SIGKILL]:
            try:
                os.killpg(self.process.pid, signum)
                self.process.wait(patience)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.process.wait()
