"""The states of streams, DATA, HEADERS, PRIORITY, RST_STREAM, flow control and CONTINUATION (RFC 9113 sections 5 and 6)."""

import threading

from harness.cases import expect

from .connection import SUITE
from .wire import *

case = SUITE.case


def reset(stream=1, code=CANCEL):
    return frame(RST_STREAM, 0, stream, u32(code))


def window(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, u32(increment))


def post(c, stream=1):
    return c.request(stream, 0, c.head("POST"))


# RFC 9113 section 5.1: frames that are not allowed in a state, and the errors for them.

for what, bytes_ in {
    "DATA": frame(DATA, END_STREAM, 1, b"x"),
    "RST_STREAM": reset(),
    "WINDOW_UPDATE": window(1, 100),
    "CONTINUATION": frame(CONTINUATION, END_HEADERS, 1, b""),
}.items():

    @case("9113 5.1", f"idle: refuses {what}")
    def _(stage, bytes_=bytes_):
        with Connection(stage) as c:
            c.send(bytes_)
            c.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "idle: takes PRIORITY")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PRIORITY, 0, 7, u32(0) + b"\x10"))
        c.goes_on()


def slow(stage, path):
    """A response that ends when the test says so."""
    gate = threading.Event()

    def script(exchange):
        exchange.read_body()
        gate.wait(5)
        exchange.respond()
        return True

    stage.backend.script(path, script)
    return gate


for what, bytes_ in {"DATA": frame(DATA, END_STREAM, 1, b"x"), "HEADERS": None}.items():

    @case("9113 5.1", f"half-closed (remote): refuses {what}")
    def _(stage, bytes_=bytes_):
        with Connection(stage) as c:
            gate = slow(stage, c.path)
            c.send(c.request(), bytes_ or c.request())
            c.stream_error(STREAM_CLOSED)
            gate.set()


@case("9113 5.1", "half-closed (remote): refuses CONTINUATION")
def _(stage):
    with Connection(stage) as c:
        gate = slow(stage, c.path)
        c.send(c.request(), frame(CONTINUATION, END_HEADERS, 1, b""))
        c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)
        gate.set()


@case("9113 5.1", "half-closed (remote): takes WINDOW_UPDATE, PRIORITY and RST_STREAM")
def _(stage):
    with Connection(stage) as c:
        gate = slow(stage, c.path)
        c.send(c.request(), window(1, 100), frame(PRIORITY, 0, 1, u32(0) + b"\x10"), reset())
        c.ping()
        gate.set()
        c.goes_on()


for what, bytes_ in {"DATA": frame(DATA, END_STREAM, 1, b"x"), "HEADERS": None}.items():

    @case("9113 5.1", f"closed by RST_STREAM: refuses or ignores {what}")
    def _(stage, bytes_=bytes_):
        with Connection(stage) as c:
            c.send(post(c), reset(), bytes_ or c.request())
            # Section 5.1 wants STREAM_CLOSED, section 5.1.1 PROTOCOL_ERROR for an old number; what crosses a reset may be ignored.
            c.send(frame(PING, payload=b"metagate"))
            wrong = c.find(lambda it: it.kind in (GOAWAY, RST_STREAM, PING))
            expect(wrong is not None, f"STREAM_CLOSED or no error, not an end after {c.told()}")
            expect(wrong.kind == PING or wrong.code in (STREAM_CLOSED, PROTOCOL_ERROR), f"STREAM_CLOSED or no error, not {wrong}")
            c.nothing_upstream()


@case("9113 5.1", "closed by RST_STREAM: refuses CONTINUATION")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), reset(), frame(CONTINUATION, END_HEADERS, 1, b""))
        c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


for what, bytes_ in {"DATA": frame(DATA, END_STREAM, 1, b"x"), "HEADERS": None}.items():

    @case("9113 5.1", f"closed by END_STREAM: refuses {what}")
    def _(stage, bytes_=bytes_):
        with Connection(stage) as c:
            c.send(c.request())
            c.responds()
            c.send(bytes_ or c.request())
            # A new request with an old number is PROTOCOL_ERROR by section 5.1.1.
            c.stream_error(*((STREAM_CLOSED,) if bytes_ else (STREAM_CLOSED, PROTOCOL_ERROR)))


@case("9113 5.1", "closed by END_STREAM: refuses CONTINUATION")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request())
        c.responds()
        c.send(frame(CONTINUATION, END_HEADERS, 1, b""))
        c.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "closed by END_STREAM: takes PRIORITY, WINDOW_UPDATE and RST_STREAM")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request())
        c.responds()
        c.send(frame(PRIORITY, 0, 1, u32(0) + b"\x10"), window(1, 10), reset())
        c.goes_on()


@case("9113 5.1.1", "refuses an even stream number")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(2))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 5.1.1", "refuses a stream number lower than an earlier one")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(5))
        c.responds(stream=5)
        c.send(c.request(3))
        c.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


@case("9113 5.1.1", "accepts stream numbers with gaps, up to the last one")
def _(stage):
    with Connection(stage) as c:
        for stream in (1, 9, 1001, 0x7FFFFFFF):
            c.send(c.request(stream))
            c.responds(stream=stream)


@case("9113 5.1.2", "refuses more streams at once than it allows")
def _(stage):
    with Connection(stage) as c:
        most = c.peer.get(MAX_CONCURRENT_STREAMS)
        expect(most is not None, "SETTINGS_MAX_CONCURRENT_STREAMS")
        c.send(*(post(c, 1 + 2 * number) for number in range(most + 1)))
        c.stream_error(REFUSED_STREAM, PROTOCOL_ERROR, stream=1 + 2 * most)


@case("9113 5.1.2", "serves a new stream when another has ended")
def _(stage):
    with Connection(stage) as c:
        most = c.peer[MAX_CONCURRENT_STREAMS]
        c.send(*(post(c, 1 + 2 * number) for number in range(most)))
        c.ping()
        c.send(reset(1))
        c.goes_on(1 + 2 * most)


@case("9113 5.3.1", "does not break on a stream that depends on itself")
def _(stage):
    # RFC 9113 deprecates priorities: RFC 7540's error is allowed, and so is ignoring it.
    with Connection(stage) as c:
        c.send(frame(PRIORITY, 0, 3, u32(3) + b"\x10"), frame(PING, payload=b"metagate"))
        wrong = c.find(lambda it: it.kind in (GOAWAY, RST_STREAM, PING))
        expect(wrong and (wrong.kind == PING or wrong.code == PROTOCOL_ERROR), f"PROTOCOL_ERROR or no error, not {wrong}")


# RFC 9113 section 6.1 and 6.2.


@case("9113 6.1", "refuses DATA on stream 0")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(DATA, 0, 0, b"x"))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.1", "removes padding")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), frame(DATA, PADDED | END_STREAM, 1, b"\x05hi" + b"\0" * 5))
        c.responds()
        expect(stage.backend.wait(c.path).body == b"hi", "the body without padding")


@case("9113 6.1", "accepts DATA that is padding alone, and empty DATA")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), frame(DATA, PADDED, 1, b"\xff" + b"\0" * 255), frame(DATA, 0, 1), frame(DATA, END_STREAM, 1, b"hi"))
        c.responds()
        expect(stage.backend.wait(c.path).body == b"hi", "the body")


for payload in (b"\x03hi", b"\x02x", b""):

    @case("9113 6.1", f"refuses padding that does not fit into DATA of {len(payload)} octets")
    def _(stage, payload=payload):
        with Connection(stage) as c:
            c.send(post(c), frame(DATA, PADDED | END_STREAM, 1, payload))
            # An empty frame has no pad length at all: section 4.2 wants FRAME_SIZE_ERROR.
            c.connection_error(*((PROTOCOL_ERROR,) if payload else (PROTOCOL_ERROR, FRAME_SIZE_ERROR)))
            c.nothing_upstream()


@case("9113 6.2", "refuses HEADERS on stream 0")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(0))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.2", "accepts HEADERS with padding and priority")
def _(stage):
    with Connection(stage) as c:
        payload = b"\x08" + u32(0) + b"\xff" + literals(c.head()) + b"\0" * 8
        c.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITISED, 1, payload))
        c.responds()


@case("9113 6.2", "refuses padding that does not fit into HEADERS")
def _(stage):
    with Connection(stage) as c:
        block = literals(c.head())
        c.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes([min(255, len(block) + 1)]) + block[:100]))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.3", "refuses PRIORITY on stream 0")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PRIORITY, 0, 0, u32(1) + b"\x10"))
        c.connection_error(PROTOCOL_ERROR)


for length in (4, 6):

    @case("9113 6.3", f"refuses PRIORITY of {length} octets")
    def _(stage, length=length):
        with Connection(stage) as c:
            c.send(frame(PRIORITY, 0, 1, b"\0" * length))
            c.stream_error(FRAME_SIZE_ERROR)


@case("9113 6.4", "refuses RST_STREAM on stream 0")
def _(stage):
    with Connection(stage) as c:
        c.send(reset(0))
        c.connection_error(PROTOCOL_ERROR)


for length in (3, 5):

    @case("9113 6.4", f"refuses RST_STREAM of {length} octets")
    def _(stage, length=length):
        with Connection(stage) as c:
            c.send(post(c), frame(RST_STREAM, 0, 1, b"\0" * length))
            c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.4", "breaks off the backend's request when its stream is reset")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), frame(DATA, 0, 1, b"half"))
        stage.backend.wait(c.path, lambda it: True)
        c.send(reset())
        c.goes_on()
        expect(not any(it.complete and it.method == "POST" for it in stage.backend.to(c.path)), "no complete request at the backend")


@case("9113 6.6", "refuses PUSH_PROMISE from a client")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + literals(c.head())))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 7", "accepts an unknown error code in RST_STREAM")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), reset(1, 0xFF00FF00))
        c.goes_on()


@case("9113 7", "accepts an unknown error code in GOAWAY")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(), frame(GOAWAY, 0, 0, u32(0) + u32(0xFF00FF00)))
        c.drain()
        expect(not any(it.kind == GOAWAY and it.code != NO_ERROR for it in c.arrived), f"no error, not {c.told()}")
