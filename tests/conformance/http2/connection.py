"""Starting, frames, connection errors and the control frames of HTTP/2 (RFC 9113 sections 3 to 6)."""

from harness.cases import Suite, expect

from .wire import *

SUITE = Suite("http2")
case = SUITE.case


@case("9113 3.4", "answers the preface with SETTINGS first, and acknowledges ours")
def _(stage):
    with Connection(stage) as c:
        ack = c.find(lambda it: it.kind == SETTINGS)
        expect(ack and ack.flags == ACK and not ack.payload, f"an acknowledgement, not {ack}")


@case("9113 3.4", "accepts frames that come with the preface in one piece")
def _(stage):
    with Connection(stage, quiet=True) as c:
        c.send(PREFACE, settings(), c.request())
        c.responds()


@case("9113 3.4", "accepts preface and frames byte by byte")
def _(stage):
    with Connection(stage, quiet=True) as c:
        for byte in PREFACE + settings() + c.request():
            c.send(bytes([byte]))
        c.responds()


for wrong in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\r"):

    @case("9113 3.4", f"ends a connection with the invalid preface {wrong!r}")
    def _(stage, wrong=wrong):
        with Connection(stage, quiet=True) as c:
            c.send(wrong, settings(), c.request())
            # GOAWAY may be left out (section 3.4), and what is not HTTP/2 may be answered as HTTP/1.1.
            response = b""
            while data := c.socket.recv(1 << 16):
                response += data
            expect(b" 200" not in response, f"no successful response: {response[:80]!r}")
            c.nothing_upstream()


@case("9113 3.4", "requires SETTINGS as the client's first frame")
def _(stage):
    with Connection(stage, quiet=True) as c:
        c.send(PREFACE, c.request())
        c.connection_error(PROTOCOL_ERROR)


@case("9113 3.4", "refuses an acknowledgement as the client's first frame")
def _(stage):
    with Connection(stage, quiet=True) as c:
        c.send(PREFACE, frame(SETTINGS, ACK), c.request())
        c.connection_error(PROTOCOL_ERROR)


@case("9113 4.1", "ignores frames of an unknown type")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(0xFE, 0xFF, 0, b"unknown"), frame(0xFE, 0, 1, b""), c.request())
        c.responds()


@case("9113 4.1", "ignores flags that a type does not have")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PING, 0xFE, 0, b"flags..."))
        pong = c.find(lambda it: it.kind == PING)
        expect(pong and pong.flags == ACK, f"a response to PING, not {pong}")


@case("9113 4.1", "ignores the reserved bit of the stream's number")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PING, 0, 0x80000000, b"reserved"))
        pong = c.find(lambda it: it.kind == PING)
        expect(pong and pong.payload == b"reserved", f"a response to PING, not {pong}")


@case("9113 4.2", "accepts DATA of 2^14 octets")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head("POST"), flags=0), frame(DATA, END_STREAM, 1, b"x" * 16384))
        c.responds()
        expect(len(c.stage.backend.wait(c.path).body) == 16384, "all of it at the backend")


@case("9113 4.2", "refuses DATA larger than SETTINGS_MAX_FRAME_SIZE")
def _(stage):
    with Connection(stage) as c:
        size = c.peer.get(MAX_FRAME_SIZE, 16384) + 1
        c.send(c.request(fields=c.head("POST"), flags=0), frame(DATA, END_STREAM, 1, b"x" * size))
        c.stream_error(FRAME_SIZE_ERROR)
        c.nothing_upstream()


@case("9113 4.2", "refuses HEADERS larger than SETTINGS_MAX_FRAME_SIZE as a connection error")
def _(stage):
    with Connection(stage) as c:
        size = c.peer.get(MAX_FRAME_SIZE, 16384) + 1
        block = literals(c.head())
        c.send(c.request(block=block + literal("x", "y" * (size - len(block)))))
        c.connection_error(FRAME_SIZE_ERROR)
        c.nothing_upstream()


@case("9113 4.3", "refuses a field block that cannot be decoded as a connection error")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(block=b"\x00\xff\xff\xff\xff\xff"))
        c.connection_error(COMPRESSION_ERROR)


@case("9113 4.3", "decodes the block of a stream that it refuses, so that the next one can be read")
def _(stage):
    with Connection(stage) as c:
        # The refused request puts a field into the dynamic table that the valid one refers to.
        indexed = b"\x40" + text("x-kept") + text("over")
        c.send(c.request(block=literals(c.head() + [("connection", "close")]) + indexed))
        c.malformed()
        c.send(c.request(103, block=literals(c.head(path=c.path + "/next")) + b"\xbe"))
        c.responds(stream=103)
        expect(c.stage.backend.wait(c.path + "/next").value("x-kept") == "over", "the field")


for what, between in {
    "PRIORITY on the same stream": lambda c: frame(PRIORITY, 0, 1, u32(0) + b"\x10"),
    "PRIORITY on another stream": lambda c: frame(PRIORITY, 0, 3, u32(0) + b"\x10"),
    "HEADERS on another stream": lambda c: c.request(3),
    "DATA": lambda c: frame(DATA, 0, 1, b"x"),
    "PING": lambda c: frame(PING, 0, 0, b"metagate"),
    "SETTINGS": lambda c: settings(),
    "an unknown frame": lambda c: frame(0xFE, 0, 1, b"x"),
    "CONTINUATION of another stream": lambda c: frame(CONTINUATION, END_HEADERS, 3, b""),
}.items():

    @case("9113 4.3", f"refuses {what} within a field block")
    def _(stage, between=between):
        with Connection(stage) as c:
            block = literals(c.head())
            c.send(frame(HEADERS, END_STREAM, 1, block[:9]), between(c), frame(CONTINUATION, END_HEADERS, 1, block[9:]))
            c.connection_error(PROTOCOL_ERROR)
            c.nothing_upstream()


@case("9113 5.4.1", "sends GOAWAY before it closes")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PING, 0, 1, b"metagate"))
        goaway = c.find(lambda it: it.kind == GOAWAY)
        expect(goaway is not None, f"GOAWAY, not {c.told()}")
        c.ends()


@case("9113 5.4.1", "names the last stream that it has served in GOAWAY")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(5))
        c.responds(stream=5)
        c.send(frame(PING, 0, 1, b"metagate"))
        goaway = c.find(lambda it: it.kind == GOAWAY)
        last = int.from_bytes(goaway.payload[:4]) & 0x7FFFFFFF
        expect(last == 5, f"5, not {last}")


@case("9113 5.4.2", "goes on after a stream error")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(flags=0, fields=c.head("POST")), frame(WINDOW_UPDATE, 0, 1, u32(0x7FFFFFFF)))
        c.stream_error(FLOW_CONTROL_ERROR)
        c.goes_on()


@case("9113 5.5", "ignores unknown SETTINGS and unknown frames on open streams")
def _(stage):
    with Connection(stage, (0xFFFF, 1), (0x2A2A, 0xFFFFFFFF)) as c:
        c.send(c.request(fields=c.head("POST"), flags=0), frame(0x42, 0, 1, b"x" * 100), frame(DATA, END_STREAM, 1, b"hi"))
        c.responds()
        expect(c.stage.backend.wait(c.path).body == b"hi", "the body")


@case("9113 6.5", "refuses SETTINGS on a stream")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(SETTINGS, 0, 1))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.5", "refuses SETTINGS of five octets")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(SETTINGS, 0, 0, b"\0" * 5))
        c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.5", "refuses an acknowledgement with a payload")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(SETTINGS, ACK, 0, b"\0" * 6))
        c.connection_error(FRAME_SIZE_ERROR)


for name, value, code, what in (
    (ENABLE_PUSH, 2, PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH of 2"),
    (INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1"),
    (MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE below 2^14"),
    (MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE above 2^24-1"),
):

    @case("9113 6.5.2", f"refuses {what}")
    def _(stage, name=name, value=value, code=code):
        with Connection(stage) as c:
            c.send(settings((name, value)))
            c.connection_error(code)


@case("9113 6.5.2", "sends fields that fit into a dynamic table of 0 octets")
def _(stage):
    with Connection(stage, (HEADER_TABLE_SIZE, 0)) as c:
        c.decoder.max_allowed_table_size = 0
        c.decoder.header_table_size = 0
        for stream in (1, 3):
            c.send(c.request(stream))
            c.responds(stream=stream)


@case("9113 6.5.3", "applies the last of repeated settings")
def _(stage):
    stage.backend.script("/http2/window", lambda it: it.respond(body=b"x" * 100) or True)
    with Connection(stage, (INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) as c:
        c.send(c.request(fields=c.head(path="/http2/window")))
        data = c.find(lambda it: it.kind == DATA)
        expect(data and len(data.payload) == 1, f"one octet, not {data}")


@case("9113 6.5.3", "acknowledges each SETTINGS")
def _(stage):
    with Connection(stage) as c:
        c.send(settings((INITIAL_WINDOW_SIZE, 1000)), settings())
        for _ in range(3):
            ack = c.find(lambda it: it.kind == SETTINGS)
            expect(ack and ack.flags == ACK, f"an acknowledgement, not {ack}")


@case("9113 6.7", "answers PING with its payload")
def _(stage):
    with Connection(stage) as c:
        c.ping()


@case("9113 6.7", "does not answer the answer to a PING")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PING, ACK, 0, b"unasked."))
        c.ping()
        expect(not any(it.payload == b"unasked." for it in c.arrived), "no response")


@case("9113 6.7", "refuses PING on a stream")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PING, 0, 1, b"metagate"))
        c.connection_error(PROTOCOL_ERROR)


for length in (0, 7, 9):

    @case("9113 6.7", f"refuses PING of {length} octets")
    def _(stage, length=length):
        with Connection(stage) as c:
            c.send(frame(PING, 0, 0, b"x" * length))
            c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.8", "refuses GOAWAY on a stream")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(GOAWAY, 0, 1, u32(0) + u32(0)))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.8", "refuses GOAWAY of seven octets")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(GOAWAY, 0, 0, b"\0" * 7))
        c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.8", "finishes what runs after the client's GOAWAY")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head("POST"), flags=0), frame(GOAWAY, 0, 0, u32(0) + u32(0)), frame(DATA, END_STREAM, 1, b"hi"))
        c.responds()
