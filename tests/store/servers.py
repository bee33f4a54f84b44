"""Redis servers and sentinels from Debian's packages, and a client for them."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "src" / "shared_set" / "scripts.rs"
SET = "{metagate:default}:revocations"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)


class Client:
    """One connection (RESP2)."""

    def __init__(self, port):
        self.port = port
        self.reconnect()

    def reconnect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.stream = self.socket.makefile("rb")

    def command(self, *parts):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
        bulk = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(b"*%d\r\n%b" % (len(parts), bulk))
        return self.answer()

    def answer(self):
        line = self.stream.readline()
        assert line.endswith(b"\r\n"), "the connection was closed"
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        assert kind != b"-", rest
        return int(rest) if kind == b":" else rest

    def revoke(self, entries, end="+inf"):
        """As the program does it, with its own script."""
        script = re.search(r'macro_rules! change \{.*?r"(.*?)"', SCRIPTS.read_text(), re.DOTALL).group(1)
        keys = (SET, f"{SET}:revision", f"{SET}:log")
        changes = [part for entry in entries for part in ("+", end, entry)]
        answer = self.command("EVAL", script, 3, *keys, 100_000, 10_000, f"{SET}:changed", os.urandom(8).hex(), *changes)
        assert answer[1] == len(entries), answer


class Server:
    """A server process with its own directory."""

    program, options = "redis-server", ()

    def __init__(self, directory):
        directory.mkdir()
        self.directory, self.port = directory, free_port()
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which(self.program), *self.arguments()],
            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=(self.directory / "log").open("ab"), stderr=subprocess.STDOUT,
        )

        def answers():
            try:
                return Client(self.port).command("PING") == b"PONG"
            except (OSError, AssertionError):
                return False

        wait_until(answers, self.program)
        self.client = Client(self.port)

    def command(self, *parts):
        return self.client.command(*parts)

    def info(self):
        """On a new connection: a failover closes the others."""
        return Client(self.port).command("INFO", "replication")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Redis(Server):
    def __init__(self, directory, master=None):
        self.master = master
        super().__init__(directory)

    def arguments(self):
        replica = ("--replicaof", "127.0.0.1", str(self.master)) if self.master else ()
        return ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory), *replica)

    def revoke(self, entries, end="+inf"):
        self.client.revoke(entries, end)

    def another_client(self):
        return Client(self.port)

    def reconnect(self):
        self.client.reconnect()

    def forget(self):
        (self.directory / "dump.rdb").unlink(missing_ok=True)


class Sentinel(Server):
    def __init__(self, directory, master):
        self.master = master
        super().__init__(directory)

    def arguments(self):
        path = self.directory / "sentinel.conf"
        path.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {self.master} 1\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        )
        return (str(path), "--sentinel")
