"""Instructions and allocations of one request, counted by callgrind in the release build.

A program runs twice under callgrind and is sent different numbers of requests. The difference of the two counts,
divided by that of the requests, has no part of the start. Counts, unlike times, do not depend on what else the machine
does.
"""

import dataclasses
import os
import pathlib
import re
import socket
import socketserver
import tempfile
import threading

import counters
import machine
import peers
from counters import Refused

CONNECTIONS = 8
DEADLINE = 60
TARGET = "/api/v1/tables"
# callgrind follows one process.
SINGLE_PROCESS = {"nginx": ["-g", "master_process off;"]}
# As nginx sends it.
RESPONSE = (
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\nConnection: keep-alive\r\n\r\n{}"
)
# Every function of the allocator, and those of them that return memory. Calls between them are not counted.
ALLOCATOR = re.compile(r"_?mi_|(__libc_)?(malloc|calloc|realloc|aligned_alloc|posix_memalign|memalign|free)\b")
RETURNING = "malloc|calloc|zalloc|realloc|rezalloc|aligned_alloc|posix_memalign|memalign"
ALLOCATES = re.compile(rf"(_?mi_|__libc_)?(heap_|theap_)?({RETURNING})")
# The first random number of a process waits for entropy, for as long as the processor's jitter takes.
ENTROPY = re.compile(r"(aws_lc_\w+_)?tree_jitter_initialize")
FUNCTION = re.compile(r"^(c?fn)=\((\d+)\)(?: (.*))?$")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one request, or of a whole run."""

    instructions: float
    # None if the program has no symbols.
    allocations: float | None


def parse(text):
    """The cost of a whole run without that of its first random number, from a file that callgrind wrote."""
    names, caller, callee, allocations, total, is_entropy, entropy = {}, "", "", 0, None, False, 0
    for line in text.splitlines():
        if is_entropy:
            # The line after `calls=` has the cost of the calls.
            entropy += int(line.split()[1])
            is_entropy = False
        elif found := FUNCTION.match(line):
            kind, number, name = found.groups()
            name = names.setdefault(number, name or "")
            caller, callee = (name, callee) if kind == "fn" else (caller, name)
        elif line.startswith("calls="):
            is_entropy = bool(ENTROPY.fullmatch(callee))
            if ALLOCATES.match(callee) and not ALLOCATOR.match(caller):
                allocations += int(line[len("calls="):].split()[0])
        elif line.startswith(("summary:", "totals:")):
            total = int(line.split()[1])
    if total is None:
        raise Refused("callgrind wrote no total")
    has_symbols = any("metagate::" in name for name in names.values())
    if has_symbols and not allocations:
        raise Refused("the program is not seen to allocate: it has another allocator than callgrind.py knows")
    return Cost(total - entropy, allocations if has_symbols else None)


class Upstream(socketserver.ThreadingTCPServer):
    """Serves the key set at /keys, and the same response everywhere else; a request must have no body."""

    daemon_threads, request_queue_size = True, 64

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            unread = b""
            while received := self.request.recv(65_536):
                *heads, unread = (unread + received).split(b"\r\n\r\n")
                for head in heads:
                    self.request.sendall(self.server.keys if head.startswith(b"GET /keys ") else self.server.response)

    def __init__(self, key):
        self.keys, self.response = (RESPONSE.format(len(it), it).encode() for it in (key.key_set(), peers.BODY))
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Counted:
    """A started program under callgrind."""

    def __init__(self, command, port, root):
        self.output, errors = root / "callgrind.out", root / "valgrind.err"
        wrapped = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.output}", *command]
        self.process = machine.Process(wrapped, os.sched_getaffinity(0), errors, root / "records")
        self.process.wait_for(port, DEADLINE)

    def stop(self):
        """Ends it, and returns the cost of the whole run."""
        self.process.stop(DEADLINE)
        if not self.output.exists():
            raise Refused("callgrind wrote nothing")
        return parse(self.output.read_text())


def read_response(connection):
    """The status of the next response."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
    while len(body) < length:
        body += _receive(connection)
    return int(head[9:12])


def _receive(connection):
    if not (received := connection.recv(65_536)):
        raise Refused("the connection was closed before the response")
    return received


def send(port, requests, status):
    """Sends each request on one of a few connections in turn, waiting for its response first."""
    connections = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(CONNECTIONS)]
    for it in connections:
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number, request in enumerate(requests):
        connection = connections[number % CONNECTIONS]
        connection.sendall(request)
        if (got := read_response(connection)) != status:
            raise Refused(f"request {number} got {got}, not {status}")
    for it in connections:
        it.close()


def head(token):
    """A request."""
    lines = [f"GET {TARGET} HTTP/1.1", "Host: localhost", *([f"Authorization: Bearer {token}"] if token else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole_run(peer, program, upstream, expected, warm_up, requests, refused=()):
    """The cost of a run of a peer that serves these requests. Those in `refused` come first, and get 401."""
    with tempfile.TemporaryDirectory(prefix="metagate-callgrind-") as directory:
        root = pathlib.Path(directory)
        command, port, health = peers.prepare(root, peer, program, upstream, upstream)
        counted = Counted([*command, *SINGLE_PROCESS.get(peer.program, [])], port, root)
        try:
            send(port, warm_up, 200)
            send(port, refused, 401)
            before = counters.read(health) if health else None
            send(port, requests, expected.status)
            if health:
                expected.check(counters.read(health).since(before), len(requests))
            return counted.stop()
        finally:
            counted.process.stop()


def per_request(short, long, requests):
    """The cost of one request, from two runs that differ by this number of requests."""
    allocations = None
    if short.allocations is not None and long.allocations is not None:
        allocations = (long.allocations - short.allocations) / requests
    return Cost((long.instructions - short.instructions) / requests, allocations)
