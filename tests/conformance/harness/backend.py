"""A scripted backend that parses requests strictly and records them."""

import contextlib
import dataclasses
import re
import socket
import threading
import time

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
DEADLINE = 5


class Malformed(Exception):
    """Bytes that a compliant server refuses."""


@dataclasses.dataclass
class Request:
    line: str
    # Names in lower case; values without the blanks around them.
    fields: list
    connection: int
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    complete: bool = False

    @property
    def method(self):
        return self.line.split(" ")[0]

    @property
    def target(self):
        return self.line.split(" ")[1]

    def values(self, name):
        return [value for own, value in self.fields if own == name]

    def value(self, name):
        values = self.values(name)
        return values[0] if len(values) == 1 else (None if not values else values)


class Exchange:
    """One request, for the script that responds to it."""

    def __init__(self, backend, connection, stream, request):
        self.backend, self.socket, self.stream, self.request = backend, connection, stream, request
        self.has_body = False

    def read_body(self):
        if not self.has_body:
            read_body(self.stream, self.request)
            self.has_body = True
        return self.request.body

    def send(self, data):
        self.socket.sendall(data)

    def respond(self, status="200 OK", fields=(), body=b"ok"):
        head = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
        if not any(line.lower().startswith("content-length:") for line in head):
            head.append(f"Content-Length: {len(body)}")
        whole = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"
        self.send(whole if self.request.method == "HEAD" else whole + body)


def ok(exchange):
    exchange.read_body()
    exchange.respond()
    return True


class Backend:
    """Requests are found by their path. A path without a script gets 200."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.requests, self.malformed, self.scripts, self.connections = [], [], {}, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def script(self, path, script):
        """`script` is called with an Exchange and returns whether to keep the connection open."""
        self.scripts[path] = script

    def to(self, path):
        """The requests for that path, whatever their query."""
        with self.changed:
            return [request for request in self.requests if request.target.split("?")[0] == path]

    def wait(self, path, holds=lambda request: request.complete):
        """Waits for the request for that path until `holds` is true of it. It may still be in progress."""
        end = time.monotonic() + DEADLINE
        while True:
            found = [request for request in self.to(path) if holds(request)]
            if found or time.monotonic() > end:
                return found[0] if found else None
            with self.changed:
                self.changed.wait(0.05)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                arguments = (connection, self.connections)
                threading.Thread(target=self.serve, args=arguments, daemon=True).start()

    def serve(self, connection, number):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while (request := read_head(stream, number)) and self.exchange(connection, stream, request):
                    pass
            except Malformed as fault:
                with self.changed:
                    self.malformed.append(str(fault))

    def exchange(self, connection, stream, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        script = self.scripts.get(request.target.split("?")[0], ok)
        goes_on = script(Exchange(self, connection, stream, request))
        with self.changed:
            self.changed.notify_all()
        return goes_on and "close" not in str(request.value("connection")).lower()

    def close(self):
        self.listener.close()


def line_of(stream):
    line = stream.readline(1 << 17)
    if not line:
        return None
    if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
        raise Malformed(f"not a line: {line[:80]!r}")
    return line[:-2]


def read_fields(stream):
    fields = []
    while line := line_of(stream):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise Malformed(f"not a field: {line[:80]!r}")
        fields.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
    if line is None:
        raise Malformed("a head or trailers that break off")
    return fields


def read_head(stream, connection):
    line = line_of(stream)
    if line is None:
        return None
    if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.1", line):
        raise Malformed(f"not a request line: {line[:80]!r}")
    request = Request(line.decode("latin-1"), read_fields(stream), connection)
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(request.values("host")) != 1:
        raise Malformed(f"not one Host: {request}")
    if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
        raise Malformed(f"not one framing: {request}")
    if codings and codings != ["chunked"] or lengths and not re.fullmatch("0|[1-9][0-9]*", lengths[0]):
        raise Malformed(f"not a plain framing: {request}")
    return request


def read_body(stream, request):
    if request.values("transfer-encoding"):
        while size := chunk_size(stream):
            request.body += stream.read(size)
            if stream.read(2) != b"\r\n":
                return
        request.trailers = read_fields(stream)
    elif request.value("content-length") is not None:
        length = int(request.value("content-length"))
        while len(request.body) < length and (piece := stream.read1(length - len(request.body))):
            request.body += piece
        if len(request.body) < length:
            return
    request.complete = True


def chunk_size(stream):
    line = line_of(stream)
    if line is None:
        raise OSError("a body that breaks off")
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
        raise Malformed(f"not a plain chunk size: {line[:80]!r}")
    return int(line, 16)
