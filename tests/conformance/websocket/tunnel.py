"""Both ends of a WebSocket, with the proxy between them, and the frames (RFC 6455 section 5.2) that go through."""

import base64
import hashlib
import itertools
import os
import re
import socket
import struct
import threading

from harness.cases import expect
from harness.stage import DEADLINE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_paths = itertools.count(1)


def frame(opcode, payload=b"", final=True, reserved=0, masked=False, width=None):
    """`width`: octets of the extended length. None uses the fewest."""
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes([final << 7 | reserved << 4 | opcode, masked << 7 | short])
    head += {0: b"", 2: struct.pack(">H", size & 0xFFFF), 8: struct.pack(">Q", size)}[width]
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(payload, key)


def mask(payload, key):
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


def close(code=None, reason=b"", masked=False):
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason, masked=masked)


def accept(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class Tunnel:
    """A WebSocket from a client over the proxy to a backend; `client` and `server` are its ends."""

    def __init__(self, stage, fields=(), response=(), early=b""):
        self.path = f"/websocket/{next(_paths)}"
        self.opened, self.over = threading.Event(), threading.Event()
        self.response = response
        stage.backend.script(self.path, self.upgrade)
        self.key = base64.b64encode(os.urandom(16)).decode()
        self.client = stage.connect(DEADLINE)
        head = [f"GET {self.path} HTTP/1.1", "Host: gateway.test", f"Authorization: {stage.authorization}",
                "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {self.key}", "Sec-WebSocket-Version: 13"]
        head += [f"{name}: {value}" for name, value in fields]
        self.client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + early)
        self.status, self.fields = self.read_head()
        expect(self.status == 101, f"101, not {self.status}")
        expect(self.opened.wait(DEADLINE), "the backend's end")

    def upgrade(self, exchange):
        self.request, self.server, self.stream = exchange.request, exchange.socket, exchange.stream
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept(exchange.request.value("sec-websocket-key"))), *self.response]
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in fields) + b"\r\n")
        self.server.settimeout(DEADLINE)
        self.opened.set()
        self.over.wait()
        return False

    def read_head(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            octet = self.client.recv(1)
            expect(octet, f"a head, not {head!r}")
            head += octet
        lines = head.decode("latin-1").split("\r\n")
        fields = [tuple(re.split(r":[ \t]*", line, maxsplit=1)) for line in lines[1:-2]]
        return int(lines[0].split(" ")[1]), [(name.lower(), value) for name, value in fields]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.client.close()

    def up(self, *pieces):
        """Sends from the client to the backend, and checks that it arrives unchanged."""
        self.carry(self.client, self.stream.read1, pieces, "client")

    def down(self, *pieces):
        self.carry(self.server, self.client.recv, pieces, "backend")

    def both(self, *pieces):
        self.up(*pieces)
        self.down(*pieces)

    def carry(self, sender, receive, pieces, who):
        wanted = b"".join(pieces)
        writer = threading.Thread(target=write, args=(sender, pieces), daemon=True)
        writer.start()
        got = bytearray()
        while len(got) < len(wanted):
            try:
                piece = receive(min(1 << 16, len(wanted) - len(got)))
            except TimeoutError:
                piece = None
            expect(piece, f"{len(wanted)} octets from the {who}, not {len(got)} and {'silence' if piece is None else 'an end'}")
            got += piece
        writer.join(DEADLINE)
        expect(got == wanted, f"the octets that the {who} sent, not others")

    def ends_up(self):
        """Checks that the backend sees the end of the client."""
        expect(self.stream.read1(1) == b"", "an end at the backend, not an octet")

    def ends_down(self):
        expect(self.client.recv(1) == b"", "an end at the client, not an octet")


def write(sender, pieces):
    for piece in pieces:
        try:
            sender.sendall(piece)
        except OSError:
            return


def odd_cuts(data):
    """The data cut in two at every place if it is short, and in pieces of odd sizes."""
    if len(data) <= 150:
        for at in range(1, len(data)):
            yield [data[:at], data[at:]]
    for size in (1, 3, 7, 1021, 8191, 8193, 65537):
        if size < len(data) <= size * 4000:
            yield [data[at : at + size] for at in range(0, len(data), size)]


def end(sender):
    sender.shutdown(socket.SHUT_WR)
