"""A client that writes raw frames (RFC 9113 section 4) and parses responses strictly."""

import dataclasses
import itertools
import struct
import time

import hpack

from harness.cases import Failure, expect
from harness.stage import PATIENCE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITISED = 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(7)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(7, 12)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def u32(number):
    return struct.pack(">I", number)


def integer(value, prefix, pattern=0):
    """HPACK's integers (RFC 7541 section 5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([pattern | value])
    rest, out = value - limit, [pattern | limit]
    while rest >= 128:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def text(value):
    """A string without Huffman coding (RFC 7541 section 5.2)."""
    value = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(value), 7) + value


def literal(name, value):
    """A field without indexing (RFC 7541 section 6.2.2), byte for byte."""
    return b"\0" + text(name) + text(value)


def literals(fields):
    return b"".join(literal(*field) for field in fields)


@dataclasses.dataclass
class Arrived:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self):
        at = {RST_STREAM: 0, GOAWAY: 4}.get(self.kind)
        return None if at is None else struct.unpack_from(">I", self.payload, at)[0]

    def __str__(self):
        names = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"]
        name = names[self.kind] if self.kind < len(names) else f"frame 0x{self.kind:x}"
        return f"{name}({self.code if self.code is not None else self.flags}) on stream {self.stream}"


@dataclasses.dataclass
class Response:
    status: int
    fields: list
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    interim: list = dataclasses.field(default_factory=list)


_paths = itertools.count(1)


class Connection:
    """Preface and SETTINGS are exchanged unless `quiet`."""

    def __init__(self, stage, *pairs, quiet=False):
        self.stage, self.socket = stage, stage.connect()
        self.decoder, self.encoder = hpack.Decoder(), hpack.Encoder()
        self.arrived, self.peer = [], {}
        self.path = f"/http2/{next(_paths)}"
        if not quiet:
            self.send(PREFACE + settings(*pairs))
            first = self.next()
            expect(first and first.kind == SETTINGS and not first.flags, f"SETTINGS come first (RFC 9113 section 3.4), not {first}")
            self.learn(first)
            self.send(frame(SETTINGS, ACK))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def learn(self, arrived):
        for at in range(0, len(arrived.payload), 6):
            name, value = struct.unpack_from(">HI", arrived.payload, at)
            self.peer[name] = value

    def send(self, *pieces):
        try:
            self.socket.sendall(b"".join(pieces))
        except OSError:
            pass  # The other side has closed the connection. What it sent before is read next.

    def head(self, method="GET", path=None, *more, drop=()):
        """The fields of a valid request."""
        fields = [
            (":method", method), (":scheme", "http"), (":path", path or self.path), (":authority", "gateway.test"),
            ("authorization", self.stage.authorization),
        ]
        return [field for field in fields if field[0] not in drop] + list(more)

    def request(self, stream=1, flags=END_STREAM, fields=None, block=None):
        """HEADERS of a request."""
        block = literals(fields or self.head()) if block is None else block
        return frame(HEADERS, END_HEADERS | flags, stream, block)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except TimeoutError:
                raise Failure(f"silence for {PATIENCE} s, after {self.told()}") from None
            except OSError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def told(self):
        return ", ".join(map(str, self.arrived)) or "nothing"

    def next(self):
        """The next frame, or None at the end of the connection."""
        head = self.exactly(9)
        if head is None:
            return None
        length, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
        payload = self.exactly(length) if length else b""
        if payload is None:
            return None
        arrived = Arrived(kind, flags, stream & 0x7FFFFFFF, payload)
        self.arrived.append(arrived)
        return arrived

    def find(self, wanted):
        while (arrived := self.next()) is not None:
            if wanted(arrived):
                return arrived
        return None

    def drain(self):
        """Everything until the connection ends."""
        self.find(lambda _: False)
        return self.arrived

    def ping(self):
        """Returns when everything sent before has been processed."""
        self.send(frame(PING, payload=b"metagate"))
        pong = self.find(lambda it: it.kind == PING and it.flags == ACK and it.payload == b"metagate" or it.kind == GOAWAY)
        expect(pong and pong.kind == PING, f"the connection goes on, not {self.told()}")

    def response(self, stream=1):
        """The complete response on a stream."""
        response = None
        while True:
            arrived = self.find(lambda it: it.stream == stream or it.kind in (GOAWAY, SETTINGS))
            expect(arrived is not None, f"a response, not an end after {self.told()}")
            if arrived.kind == SETTINGS:
                continue
            expect(arrived.kind in (HEADERS, DATA, WINDOW_UPDATE), f"a response, not {arrived}")
            if arrived.kind == HEADERS:
                fields = self.fields(arrived)
                if response is None or response.status < 200:
                    interim = [] if response is None else [*response.interim, response.status]
                    response = Response(int(dict(fields)[":status"]), fields, interim=interim)
                else:
                    response.trailers = fields
            elif arrived.kind == DATA:
                response.body += unpadded(arrived)
                if arrived.payload:
                    self.send(*(frame(WINDOW_UPDATE, 0, id, u32(len(arrived.payload))) for id in (0, stream)))
            if arrived.kind != WINDOW_UPDATE and arrived.flags & END_STREAM:
                return response

    def fields(self, arrived):
        block, flags = unpadded(arrived), arrived.flags
        while not flags & END_HEADERS:
            more = self.next()
            expect(more and more.kind == CONTINUATION and more.stream == arrived.stream, f"CONTINUATION, not {more}")
            block, flags = block + more.payload, more.flags
        return self.decoder.decode(block)

    # The possible outcomes of a frame.

    def responds(self, status=200, stream=1):
        response = self.response(stream)
        expect(response.status == status, f"{status}, not {response.status}")
        return response

    def connection_error(self, *codes):
        """GOAWAY with one of these codes, and the end (RFC 9113 section 5.4.1)."""
        goaway = self.find(lambda it: it.kind == GOAWAY and it.code != NO_ERROR)
        expect(goaway is not None, f"GOAWAY with {codes}, not an end after {self.told()}")
        expect(goaway.code in codes, f"GOAWAY with {codes}, not {goaway}")
        self.drain()

    def stream_error(self, *codes, stream=1):
        """RST_STREAM with one of these codes (section 5.4.2), or a connection error, which any stream error may be."""
        wrong = self.find(lambda it: it.kind == GOAWAY or it.kind == RST_STREAM and it.stream == stream)
        expect(wrong is not None, f"RST_STREAM with {codes}, not an end after {self.told()}")
        expect(wrong.code in codes, f"RST_STREAM with {codes}, not {wrong}")

    def malformed(self, stream=1):
        """A malformed request (section 8.1.1) is a PROTOCOL_ERROR or 400; nothing goes upstream, other streams continue."""
        wrong = self.find(lambda it: it.kind == GOAWAY or it.stream == stream and it.kind in (RST_STREAM, HEADERS))
        expect(wrong is not None, f"RST_STREAM, not an end after {self.told()}")
        if wrong.kind == HEADERS:
            status = int(dict(self.fields(wrong))[":status"])
            expect(status in (400, 431), f"PROTOCOL_ERROR or 400, not {status}")
        else:
            expect(wrong.code == PROTOCOL_ERROR, f"PROTOCOL_ERROR or 400, not {wrong}")
        self.nothing_upstream()
        if wrong.kind != GOAWAY:
            self.goes_on()

    def nothing_upstream(self):
        whole = [it for it in self.stage.backend.to(self.path) if it.complete]
        expect(not whole, f"nothing reaches the backend, not {whole}")

    def ends(self):
        """The connection ends, with or without GOAWAY."""
        started = time.monotonic()
        self.drain()
        expect(time.monotonic() - started < PATIENCE, "an end")

    def goes_on(self, stream=None):
        """The connection serves another request."""
        self.send(self.request(stream or 101))
        self.responds(stream=stream or 101)


def unpadded(arrived):
    payload = arrived.payload
    if arrived.kind in (DATA, HEADERS) and arrived.flags & PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    if arrived.kind == HEADERS and arrived.flags & PRIORITISED:
        payload = payload[5:]
    return payload
