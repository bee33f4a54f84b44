"""Flow control and CONTINUATION (RFC 9113 sections 5.2, 6.9 and 6.10)."""

import threading

from harness.cases import Failure, expect

from .streams import post, window
from .wire import *
from .connection import SUITE

case = SUITE.case
LARGEST = (1 << 31) - 1


def large(stage, path, size=100_000):
    stage.backend.script(path, lambda exchange: exchange.respond(body=b"x" * size) or True)


def arrived_data(c, count, stream=1):
    """Reads this many octets of DATA and checks that no more arrive."""
    while sum(len(it.payload) for it in c.arrived if it.kind == DATA and it.stream == stream) < count:
        arrived = c.next()
        expect(arrived and arrived.kind not in (GOAWAY, RST_STREAM), f"DATA, not {arrived}")
    c.ping()
    got = sum(len(it.payload) for it in c.arrived if it.kind == DATA and it.stream == stream)
    expect(got == count, f"{count} octets and no more, not {got}")


@case("9113 6.9.1", "sends no DATA into a stream's window of 0")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 0)) as c:
        large(stage, c.path)
        c.send(c.request())
        c.find(lambda it: it.kind == HEADERS)
        arrived_data(c, 0)


@case("9113 6.9.1", "sends as much as a stream's window takes, and continues after WINDOW_UPDATE")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 3)) as c:
        large(stage, c.path, 10)
        c.send(c.request())
        arrived_data(c, 3)
        c.send(window(1, 4))
        arrived_data(c, 7)
        c.send(window(1, 100))
        end = c.find(lambda it: it.kind == DATA and it.flags & END_STREAM)
        expect(end is not None, "the end of the response")


@case("9113 6.9.1", "sends as much as the connection's window takes, over all streams")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, LARGEST)) as c:
        large(stage, c.path)
        c.send(c.request())
        arrived_data(c, 65535)
        # Fields are not flow-controlled: another request is answered, but its body waits.
        c.send(c.request(3))
        c.find(lambda it: it.kind == HEADERS and it.stream == 3)
        c.send(window(0, 1 << 20))
        ended = set()
        while len(ended) < 2:
            data = c.find(lambda it: it.kind == DATA and it.flags & END_STREAM)
            expect(data is not None, f"two ends, not {ended}")
            ended.add(data.stream)


@case("9113 6.9.2", "a window that SETTINGS make negative takes nothing until it is positive again")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 10)) as c:
        large(stage, c.path, 100)
        c.send(c.request())
        arrived_data(c, 10)
        c.send(settings((INITIAL_WINDOW_SIZE, 4)), window(1, 6))
        arrived_data(c, 10)
        c.send(window(1, 1))
        arrived_data(c, 11)


@case("9113 6.9.2", "SETTINGS open the window of a stream that waits")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 0)) as c:
        large(stage, c.path, 100)
        c.send(c.request())
        c.find(lambda it: it.kind == HEADERS)
        c.send(settings((INITIAL_WINDOW_SIZE, 1)))
        arrived_data(c, 1)


@case("9113 6.9.2", "SETTINGS do not change the connection's window")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 1 << 20)) as c:
        large(stage, c.path, 200_000)
        c.send(c.request())
        arrived_data(c, 65535)


@case("9113 6.9.2", "refuses SETTINGS that take a stream's window above 2^31-1")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 100)) as c:
        large(stage, c.path)
        c.send(c.request(), window(1, LARGEST - 100))
        c.ping()
        c.send(settings((INITIAL_WINDOW_SIZE, LARGEST)))
        c.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.9", "refuses WINDOW_UPDATE of 0 on the connection")
def _(stage):
    with Connection(stage) as c:
        c.send(window(0, 0))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.9", "refuses WINDOW_UPDATE of 0 on a stream")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), window(1, 0))
        c.stream_error(PROTOCOL_ERROR)


for length in (3, 5):

    @case("9113 6.9", f"refuses WINDOW_UPDATE of {length} octets")
    def _(stage, length=length):
        with Connection(stage) as c:
            c.send(frame(WINDOW_UPDATE, 0, 0, b"\1" * length))
            c.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.9", "ignores the reserved bit of an increment")
def _(stage):
    with Connection(stage, (INITIAL_WINDOW_SIZE, 0)) as c:
        large(stage, c.path, 100)
        c.send(c.request(), frame(WINDOW_UPDATE, 0, 1, u32(1 << 31 | 5)))
        arrived_data(c, 5)


@case("9113 6.9.1", "refuses a connection's window above 2^31-1")
def _(stage):
    with Connection(stage) as c:
        c.send(window(0, LARGEST), window(0, LARGEST))
        c.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.9.1", "refuses a stream's window above 2^31-1")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), window(1, LARGEST), window(1, LARGEST))
        c.stream_error(FLOW_CONTROL_ERROR)


def stalled(stage, path):
    """A backend that reads no body until it is released."""
    gate = threading.Event()

    def script(exchange):
        gate.wait(5)
        exchange.read_body()
        exchange.respond()
        return True

    stage.backend.script(path, script)
    return gate


@case("9113 6.9.1", "refuses more DATA than its own stream window takes")
def _(stage):
    with Connection(stage) as c:
        gate = stalled(stage, c.path)
        room = c.peer.get(INITIAL_WINDOW_SIZE, 65535)
        c.send(post(c))
        c.send(*(frame(DATA, 0, 1, b"x" * 16384) for _ in range(room // 16384 + 2)))
        # The proxy may have returned window for forwarded data, so this sends more until it refuses.
        try:
            for _ in range(200):
                c.send(*(frame(DATA, 0, 1, b"x" * 16384) for _ in range(room // 16384 + 2)))
            c.stream_error(FLOW_CONTROL_ERROR)
        finally:
            gate.set()


@case("9113 5.2", "a request whose body is stalled does not hold up another one")
def _(stage):
    with Connection(stage) as c:
        gate = stalled(stage, c.path)
        room = c.peer.get(INITIAL_WINDOW_SIZE, 65535)
        c.send(post(c), *(frame(DATA, 0, 1, b"x" * min(16384, room - at)) for at in range(0, min(room, 65535), 16384)))
        try:
            c.send(c.request(3, fields=c.head(path=c.path + "/other")))
            c.responds(stream=3)
        finally:
            gate.set()


@case("9113 5.2", "carries a body many times its windows, both ways")
def _(stage):
    body = bytes(range(256)) * 4096
    path = "/http2/echo"
    stage.backend.script(path, lambda exchange: exchange.respond(body=exchange.read_body()) or True)
    with Connection(stage) as c:
        # A thread writes as the windows open; the response is read here.
        opened, state = threading.Condition(), {0: 65535, 1: c.peer.get(INITIAL_WINDOW_SIZE, 65535)}

        def write():
            at = 0
            while at < len(body):
                with opened:
                    if not opened.wait_for(lambda: min(state.values()) > 0, 5):
                        return
                    size = min(16384, *state.values(), len(body) - at)
                    for key in state:
                        state[key] -= size
                c.send(frame(DATA, END_STREAM if at + size == len(body) else 0, 1, body[at : at + size]))
                at += size

        c.send(c.request(1, 0, c.head("POST", path)))
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        got = b""
        while True:
            it = c.next()
            if it is None or it.kind in (RST_STREAM, GOAWAY):
                raise Failure(f"the body, not {it} after {len(got)} octets")
            if it.kind == WINDOW_UPDATE:
                with opened:
                    state[it.stream] = state.get(it.stream, 0) + int.from_bytes(it.payload)
                    opened.notify()
            if it.kind == DATA:
                got += it.payload
                if it.payload:
                    c.send(window(0, len(it.payload)), *([] if it.flags & END_STREAM else [window(1, len(it.payload))]))
                if it.flags & END_STREAM:
                    break
        expect(got == body, f"the same {len(body)} octets, not {len(got)}")


# RFC 9113 section 6.10.


def send_cut(c, block, size):
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    frames = [frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:-1]]
    c.send(frame(HEADERS, END_STREAM, 1, pieces[0]), *frames, frame(CONTINUATION, END_HEADERS, 1, pieces[-1]))


@case("9113 6.10", "accepts fields in several CONTINUATION frames, cut anywhere")
def _(stage):
    with Connection(stage) as c:
        block = literals(c.head() + [("x-long", "y" * 300)])
        send_cut(c, block, len(block) // 4 + 1)
        c.responds()
        expect(stage.backend.wait(c.path).value("x-long") == "y" * 300, "the field")


@case("9113 6.10", "accepts fields in more CONTINUATION frames than they need")
def _(stage):
    with Connection(stage) as c:
        send_cut(c, literals(c.head()), 20)
        c.responds()


@case("9113 6.10", "accepts empty HEADERS and CONTINUATION")
def _(stage):
    with Connection(stage) as c:
        block = literals(c.head())
        empty = frame(CONTINUATION, 0, 1)
        c.send(frame(HEADERS, END_STREAM, 1), empty, frame(CONTINUATION, 0, 1, block), frame(CONTINUATION, END_HEADERS, 1))
        c.responds()


@case("9113 6.10", "refuses CONTINUATION on stream 0")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(HEADERS, END_STREAM, 1, literals(c.head())), frame(CONTINUATION, END_HEADERS, 0))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "refuses CONTINUATION after END_HEADERS")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), frame(CONTINUATION, END_HEADERS, 1, literal("x", "y")))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "refuses CONTINUATION after CONTINUATION with END_HEADERS")
def _(stage):
    with Connection(stage) as c:
        block, more = literals(c.head("POST")), frame(CONTINUATION, END_HEADERS, 1)
        c.send(frame(HEADERS, 0, 1, block), more, more)
        c.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "refuses CONTINUATION after DATA")
def _(stage):
    with Connection(stage) as c:
        c.send(post(c), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, literal("x", "y")))
        c.connection_error(PROTOCOL_ERROR)


@case("9113 10.5", "ends a field block that never ends")
def _(stage):
    with Connection(stage) as c:
        c.send(frame(HEADERS, END_STREAM, 1, literals(c.head())))
        for _ in range(1000):
            c.send(*(frame(CONTINUATION, 0, 1, literal("x", "y" * 100)) for _ in range(20)))
        c.ends()
        c.nothing_upstream()
