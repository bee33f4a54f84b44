"""A backend that speaks HTTP/2 with prior knowledge and sends raw frames."""

import contextlib
import dataclasses
import socket
import threading

import hpack

from .wire import *

DEADLINE = 5


@dataclasses.dataclass
class Request:
    fields: list
    stream: int
    connection: object
    body: bytes = b""
    complete: bool = False
    # Set before the end of its response is sent.
    answered: bool = False
    # How many were open with it, where the proxy has acknowledged the backend's SETTINGS.
    beside: int = 0

    def value(self, name):
        values = [value for own, value in self.fields if own == name]
        return values[0] if len(values) == 1 else values or None


class ServerConnection:
    """Reads frames, and runs the path's script when the head of a request has arrived."""

    def __init__(self, backend, connection):
        self.backend, self.socket = backend, connection
        self.decoder = hpack.Decoder()
        self.requests, self.arrived, self.peer = {}, [], {}
        self.changed = threading.Condition()

    def send(self, *pieces):
        with contextlib.suppress(OSError):
            self.socket.sendall(b"".join(pieces))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def serve(self):
        with contextlib.suppress(OSError, EOFError), self.socket:
            assert self.exactly(len(PREFACE)) == PREFACE
            self.send(settings(*self.backend.settings))
            while True:
                head = self.exactly(9)
                arrived = Arrived(head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, self.exactly(int.from_bytes(head[:3])))
                self.take(arrived)
                with self.changed:
                    self.arrived.append(arrived)
                    self.changed.notify_all()

    def take(self, arrived):
        if arrived.kind == SETTINGS and not arrived.flags:
            for at in range(0, len(arrived.payload), 6):
                self.peer[int.from_bytes(arrived.payload[at : at + 2])] = int.from_bytes(arrived.payload[at + 2 : at + 6])
            self.send(frame(SETTINGS, ACK))
        elif arrived.kind == PING and not arrived.flags:
            self.send(frame(PING, ACK, 0, arrived.payload))
        elif arrived.kind in (HEADERS, DATA):
            self.take_request(arrived)

    def take_request(self, arrived):
        new = arrived.stream not in self.requests
        if arrived.kind == HEADERS and new:
            # The proxy's heads are small, so each fits into one frame.
            fields = self.decoder.decode(unpadded(arrived))
            self.requests[arrived.stream] = Request([tuple(it) for it in fields], arrived.stream, self)
        request = self.requests[arrived.stream]
        request.body += unpadded(arrived) if arrived.kind == DATA else b""
        request.complete |= bool(arrived.flags & END_STREAM)
        if new:
            if any(it.kind == SETTINGS and it.flags for it in self.arrived):
                request.beside = sum(1 for it in self.requests.values() if not it.answered)
            path = request.value(":path")
            with self.backend.changed:
                self.backend.requests.append(request)
            threading.Thread(target=self.backend.scripts.get(path, ok), args=(request,), daemon=True).start()

    def wait(self, holds):
        """Whether this becomes true of the connection."""
        with self.changed:
            return self.changed.wait_for(lambda: holds(self), DEADLINE)

    def head(self, stream, *fields, flags=0):
        """HEADERS with these fields, as literals."""
        return frame(HEADERS, END_HEADERS | flags, stream, literals(fields))


def ok(request):
    c = request.connection
    c.wait(lambda _: request.complete)
    request.answered = True
    c.send(c.head(request.stream, (":status", "200")), frame(DATA, END_STREAM, request.stream, b"ok"))


class Http2Backend:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.requests, self.scripts, self.connections, self.settings = [], {}, [], ()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append(ServerConnection(self, connection))
                threading.Thread(target=self.connections[-1].serve, daemon=True).start()

    def script(self, path, script):
        self.scripts[path] = script

    def to(self, path):
        with self.changed:
            return [request for request in self.requests if request.value(":path") == path]

    def renew(self, *pairs):
        """Closes every connection. The next one begins with these settings."""
        self.settings = pairs
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        self.connections.clear()
