"""HTTP/2 to the backend (`upstream.protocol: http2`): what the proxy sends, and how it handles invalid responses."""

import contextlib
import time

from harness.cases import Failure, Suite, expect
from harness.stage import Stage
from http1.wire import Client, Ended

from .backend import Http2Backend
from .wire import *

SUITE = Suite("backend2")
case = SUITE.case
GET = b"GET PATH HTTP/1.1\r\nFIELDS\r\n"


class Backwards:
    """One stage for all cases; it begins with the first and ends with the program."""

    stage = None

    @classmethod
    def of(cls, metagate):
        if cls.stage is None:
            cls.backend = Http2Backend()
            cls.stage = Stage(metagate, port=cls.backend.port, protocol="http2")
            cls.stage.backend = cls.backend
        return cls.stage

    @classmethod
    def close(cls):
        if cls.stage is None:
            return []
        faults = cls.stage.faults()
        cls.stage.backend = None
        cls.stage.close()
        return faults


@contextlib.contextmanager
def asked(stage, script=None, request=GET, settings_=None):
    """A client that has sent its request, and a backend with this script."""
    own = Backwards.of(stage.metagate)
    if settings_ is not None:
        own.backend.renew(*settings_)
    with Client(own) as client:
        if script:
            own.backend.script(client.path, script)
        client.send(request)
        yield client, own.backend


def good(client, body=b"ok", method="GET"):
    try:
        response = client.response(method)
    except Ended:
        raise Failure("a response, not an end") from None
    expect((response.status, response.body) == (200, body), f"200 and {body!r}, not {response}")
    return response


def serves(client):
    """The next request is served, on this connection or another."""
    with Client(client.stage) as other:
        other.send(GET)
        good(other)


def bad(section, what, frames):
    """A response that breaks the rules: 502 or a response that breaks off, and nobody else is affected.

    `frames` takes the connection and the stream.
    """

    @case(section, f"answers 502 to {what}, or breaks off")
    def _(stage):
        with asked(stage, lambda it: it.connection.send(frames(it.connection, it.stream))) as (client, _backend):
            try:
                response = client.response()
                expect(response.status == 502, f"502, not {response}")
            except (Ended, ValueError):
                pass
            except Failure as fault:
                expect("breaks off" in str(fault) or "its end" in str(fault), str(fault))
            serves(client)


def head(*fields, flags=END_STREAM):
    """HEADERS alone, with :status 200 before these."""
    return lambda c, stream: c.head(stream, (":status", "200"), *fields, flags=flags)


def bare(*fields, flags=END_STREAM):
    return lambda c, stream: c.head(stream, *fields, flags=flags)


def then(first, *frames):
    """`first`, then frames given by kind, flags and payload on the same stream."""
    return lambda c, stream: first(c, stream) + b"".join(frame(kind, flags, stream, payload) for kind, flags, payload in frames)


# What the proxy sends.


@case("9113 3.4", "begins with its preface and SETTINGS that allow no push")
def _(stage):
    with asked(stage) as (client, backend):
        good(client)
        c = backend.connections[-1]
        expect(c.arrived[0].kind == SETTINGS and c.peer.get(ENABLE_PUSH) == 0, f"ENABLE_PUSH of 0 first, not {c.peer}")


@case("9113 8.3.1", "sends each pseudo-field once and first, and no Host that differs")
def _(stage):
    with asked(stage, request=b"GET PATH?a=b HTTP/1.1\r\nFIELDS\r\n") as (client, backend):
        good(client)
        names = [name for name, _ in backend.to(client.path + "?a=b")[0].fields]
        pseudo = [name for name in names if name.startswith(":")]
        expect(sorted(pseudo) == [":authority", ":method", ":path", ":scheme"] and names[:4] == pseudo, str(names))
        expect("host" not in names, "no Host beside :authority")


@case("9113 8.2.2", "sends no connection-specific field, names in lower case, and TE with trailers at most")
def _(stage):
    fields = b"Connection: keep-alive, X-Hop\r\nKeep-Alive: x\r\nX-Hop: 1\r\nTE: gzip, trailers\r\nX-OWN: 2\r\nProxy-Connection: y\r\n"
    with asked(stage, request=GET[:-2] + fields + b"\r\n") as (client, backend):
        good(client)
        got = dict(backend.to(client.path)[0].fields)
        wrong = {"connection", "keep-alive", "x-hop", "proxy-connection", "transfer-encoding", "upgrade"} & set(got)
        expect(not wrong and got.get("te", "trailers") == "trailers" and got["x-own"] == "2", str(got))
        expect(all(name == name.lower() for name in got), str(got))


for framing, what in ((b"Content-Length: 2\r\n\r\nhi", "a length"), (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "chunks")):

    @case("9113 8.1", f"sends a body with {what} as DATA")
    def _(stage, framing=framing):
        with asked(stage, request=b"POST PATH HTTP/1.1\r\nFIELDS" + framing) as (client, backend):
            good(client)
            request = backend.to(client.path)[0]
            expect(request.body == b"hi" and not request.value("transfer-encoding"), str(request.fields))


@case("9113 5.1.1", "numbers its streams odd and rising")
def _(stage):
    with asked(stage, settings_=()) as (client, backend):
        good(client)
        for _ in range(5):
            serves(client)
        numbers = list(backend.connections[-1].requests)
        expect(numbers == sorted(numbers) and all(number % 2 for number in numbers), str(numbers))


@case("9113 5.1.2", "opens no more streams than the backend allows")
def _(stage):
    own = Backwards.of(stage.metagate)
    own.backend.renew((MAX_CONCURRENT_STREAMS, 2))
    with asked(stage) as (first, _backend):
        good(first)
    most = []

    def script(request):
        most.append(request.beside)
        # Long enough for a third one to arrive, if it was sent.
        time.sleep(0.02)
        request.answered = True
        request.connection.send(request.connection.head(request.stream, (":status", "200"), flags=END_STREAM))

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(own)) for _ in range(8)]
        for client in clients:
            own.backend.script(client.path, script)
            client.send(GET)
        for client in clients:
            good(client, b"")
    expect(max(most) == 2, f"two at once, not {max(most)}")
    own.backend.renew()


@case("9113 6.9", "sends no more than the backend's windows take")
def _(stage):
    def script(request):
        c, stream = request.connection, request.stream
        c.wait(lambda _: len(request.body) >= 10)
        c.send(frame(PING, payload=b"windowed"))
        c.wait(lambda it: any(a.kind == PING and a.flags for a in it.arrived))
        seen.append(len(request.body))
        c.send(frame(WINDOW_UPDATE, 0, stream, u32(1000)))
        c.wait(lambda _: request.complete)
        c.send(c.head(stream, (":status", "200")), frame(DATA, END_STREAM, stream, b"%d" % len(request.body)))

    seen = []
    request = b"POST PATH HTTP/1.1\r\nFIELDSContent-Length: 500\r\n\r\n" + b"x" * 500
    own = Backwards.of(stage.metagate)
    own.backend.renew((INITIAL_WINDOW_SIZE, 10))
    with asked(stage) as (client, _backend):
        good(client)
    with asked(stage, script, request) as (client, _backend):
        good(client, b"500")
        expect(seen == [10], f"ten octets into a window of ten, not {seen}")
    own.backend.renew()


# Valid responses.


def accepts(section, what, frames, holds, method="GET"):
    @case(section, what)
    def _(stage):
        request = GET.replace(b"GET", method.encode(), 1)
        with asked(stage, lambda it: it.connection.send(frames(it.connection, it.stream)), request) as (client, _backend):
            try:
                response = client.response(method)
            except Ended:
                raise Failure("a response, not an end") from None
            expect(holds(response), f"another response: {response}")
            client.goes_on()


BODY = (DATA, END_STREAM, b"hi")
accepts("9113 8.1", "carries a response of DATA", then(head(flags=0), BODY), lambda it: it.body == b"hi")
accepts("9113 8.1", "carries a response with its length", then(head(("content-length", "2"), flags=0), BODY), lambda it: (it.body, it.value("content-length")) == (b"hi", "2"))
accepts("9113 8.1", "carries a response without a body", head(), lambda it: (it.status, it.body) == (200, b""))
accepts("9113 8.1", "carries 204", bare((":status", "204")), lambda it: it.status == 204)
accepts("9113 8.1", "carries a response to HEAD with its length", head(("content-length", "9")), lambda it: it.value("content-length") == "9", "HEAD")
accepts("9113 6.1", "removes padding", then(head(flags=0), (DATA, PADDED | END_STREAM, b"\x03hi\0\0\0")), lambda it: it.body == b"hi")
accepts("9113 8.1", "goes on after interim responses", lambda c, s: bare((":status", "103"), ("link", "</x>"), flags=0)(c, s) + then(head(flags=0), BODY)(c, s), lambda it: it.body == b"hi")
accepts("9113 8.1", "accepts trailers", lambda c, s: then(head(flags=0), (DATA, 0, b"hi"))(c, s) + bare(("x-sum", "7"))(c, s), lambda it: it.body == b"hi")
accepts("9113 5.5", "ignores unknown frames", lambda c, s: frame(0xFE, 0, s, b"x") + frame(0xFE, 0, 0, b"x") + then(head(flags=0), (0xFD, 0, b"y"), BODY)(c, s), lambda it: it.body == b"hi")
accepts("9113 6.10", "accepts a head in CONTINUATION", lambda c, s: frame(HEADERS, 0, s, literal(":status", "200")) + frame(CONTINUATION, END_HEADERS, s, literal("x", "y")) + frame(DATA, END_STREAM, s, b"hi"), lambda it: it.value("x") == "y")

# Responses that break the rules (section 8.1.1).

bad("9113 8.3.2", "a response without :status", bare(("x", "y")))
bad("9113 8.3.2", ":status that is not a number", bare((":status", "abc")))
bad("9113 8.3.2", ":status of two digits", bare((":status", "20")))
bad("9113 8.3", ":status twice", head((":status", "404")))
bad("9113 8.3", ":status after a field", bare(("x", "y"), (":status", "200")))
bad("9113 8.3", "a pseudo-field of requests", bare((":status", "200"), (":path", "/")))
bad("9113 8.3", "an unknown pseudo-field", bare((":status", "200"), (":x", "/")))
for name, value in (("X-Upper", "x"), ("x y", "z"), ("x", "a\r\nset-cookie: b"), ("x", "a\0b"), ("x\r\ny", "z"), ("", "x")):
    bad("9113 8.2.1", f"the field {name!r} with {value!r}", head((name, value)))
for name, value in (("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "foo"), ("keep-alive", "x")):
    bad("9113 8.2.2", f"the connection-specific field {name}", head((name, value)))
bad("9113 8.1.1", "a body shorter than its length", then(head(("content-length", "5"), flags=0), BODY))
bad("9113 8.1.1", "a body longer than its length", then(head(("content-length", "1"), flags=0), BODY))
bad("9113 8.1.1", "101, which HTTP/2 does not have", bare((":status", "101")))

# Connections that break the rules, and ends.

bad("9113 4.3", "a head that cannot be decoded", lambda c, s: frame(HEADERS, END_HEADERS | END_STREAM, s, b"\x80"))
bad("9113 4.2", "a frame that is too large", lambda c, s: head(flags=0)(c, s) + frame(DATA, END_STREAM, s, b"x" * (1 << 21)))
bad("9113 5.1", "HEADERS on a stream that is not open", lambda c, s: head()(c, s + 1000))
bad("9113 6.1", "DATA before HEADERS", lambda c, s: frame(DATA, END_STREAM, s, b"x"))
bad("9113 6.1", "DATA on stream 0", lambda c, s: frame(DATA, 0, 0, b"x"))
bad("9113 8.4", "PUSH_PROMISE, which SETTINGS forbid", lambda c, s: frame(PUSH_PROMISE, END_HEADERS, s, u32(2) + literals([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")])))
bad("9113 6.5", "SETTINGS on a stream", lambda c, s: frame(SETTINGS, 0, s))
bad("9113 6.9", "WINDOW_UPDATE of 0", lambda c, s: frame(WINDOW_UPDATE, 0, 0, u32(0)))
bad("9113 6.4", "RST_STREAM", lambda c, s: frame(RST_STREAM, 0, s, u32(INTERNAL_ERROR)))
bad("9113 6.4", "RST_STREAM within a body", then(head(flags=0), (DATA, 0, b"half"), (RST_STREAM, 0, u32(CANCEL))))
bad("9113 6.8", "GOAWAY with an error within a body", lambda c, s: then(head(flags=0), (DATA, 0, b"half"))(c, s) + frame(GOAWAY, 0, 0, u32(0) + u32(PROTOCOL_ERROR)))


def again(section, what, refuse):
    """The backend says that it has not processed the request, which is retried and succeeds."""

    @case(section, what)
    def _(stage):
        tries = []

        def script(request):
            tries.append(request)
            c = request.connection
            if len(tries) == 1:
                c.send(refuse(request.stream))
            else:
                c.send(c.head(request.stream, (":status", "200")), frame(DATA, END_STREAM, request.stream, b"ok"))

        with asked(stage, script) as (client, _backend):
            good(client)
            expect(len(tries) == 2, f"two tries, not {len(tries)}")


again("9113 8.7", "retries a request after REFUSED_STREAM", lambda s: frame(RST_STREAM, 0, s, u32(REFUSED_STREAM)))
again("9113 6.8", "retries a request that GOAWAY says was not processed", lambda s: frame(GOAWAY, 0, 0, u32(s - 2 if s > 2 else 0) + u32(NO_ERROR)))


@case("9113 6.8", "finishes what runs after GOAWAY without an error, and opens nothing more there")
def _(stage):
    def script(request):
        c, stream = request.connection, request.stream
        c.send(frame(GOAWAY, 0, 0, u32(stream) + u32(NO_ERROR)), c.head(stream, (":status", "200")), frame(DATA, END_STREAM, stream, b"ok"))

    with asked(stage, script, settings_=()) as (client, backend):
        good(client)
        old = backend.connections[-1]
        serves(client)
        expect(len(old.requests) == 1 and backend.connections[-1] is not old, "another connection")
