"""Redis or Valkey servers and sentinels, and a client for them."""

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

    def __init__(self, port, user=None, password=None, tls=None):
        self.port, self.tls = port, tls
        self.credentials = [it for it in (user, password) if it]
        self.reconnect()

    def reconnect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        if self.tls:
            self.socket = self.tls.wrap_socket(self.socket, server_hostname="localhost")
        self.stream = self.socket.makefile("rb")
        if self.credentials:
            self.command("AUTH", *self.credentials)

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

    # Set once, by `run`.
    program = "redis-server"

    def __init__(self, directory, port=None, user=None, password=None, tls=None):
        directory.mkdir()
        self.directory, self.port = directory, port or free_port()
        self.user, self.password, self.tls = user, password, tls
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which(self.program), *self.arguments()],
            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=(self.directory / "log").open("ab"), stderr=subprocess.STDOUT,
        )

        def answers():
            try:
                return self.another_client().command("PING") == b"PONG"
            except (OSError, AssertionError):
                return False

        try:
            wait_until(lambda: answers() or self.process.poll() is not None, self.program)
            assert self.process.poll() is None, (self.directory / "log").read_text()
        except BaseException:
            # Nothing else would end it.
            self.kill()
            raise
        self.client = self.another_client()

    def another_client(self):
        return Client(self.port, self.user, self.password, self.tls)

    def command(self, *parts):
        return self.client.command(*parts)

    def info(self):
        """On a new connection, because a failover closes the others. Nothing if it closes this one, too."""
        try:
            return self.another_client().command("INFO", "replication")
        except (OSError, AssertionError):
            return b""

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Redis(Server):
    """A Redis or Valkey server; both take these options. `more` are further ones."""

    def __init__(self, directory, master=None, more=(), **access):
        self.master, self.more = master, more
        super().__init__(directory, **access)

    def arguments(self):
        replica = ("--replicaof", "127.0.0.1", str(self.master)) if self.master else ()
        password = ("--requirepass", self.password, "--masterauth", self.password) if self.password and not self.user else ()
        ports = ("--port", "0", "--tls-port", str(self.port)) if self.tls else ("--port", str(self.port))
        return (*ports, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory), *replica, *password, *self.more)

    def revoke(self, entries, end="+inf"):
        self.client.revoke(entries, end)

    def reconnect(self):
        self.client.reconnect()

    def forget(self):
        (self.directory / "dump.rdb").unlink(missing_ok=True)


class Sentinel(Server):
    """Has a password of its own, as its master has."""

    def __init__(self, directory, master, password):
        self.master = master
        super().__init__(directory, password=password)

    def arguments(self):
        path = self.directory / "sentinel.conf"
        path.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\n"
            f"sentinel monitor main 127.0.0.1 {self.master.port} 1\nsentinel auth-pass main {self.master.password}\n"
            "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        )
        return (str(path), "--sentinel")
