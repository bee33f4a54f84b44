"""Requests and responses over HTTP/2 (RFC 9113 section 8), translated to HTTP/1.1 and back."""

from harness.cases import expect

from .connection import SUITE
from .wire import *

case = SUITE.case


def is_malformed(section, what, fields, frames=None, flags=END_STREAM):
    """`fields` makes a head of the valid one; `frames` follow it."""

    @case(section, f"refuses {what}")
    def _(stage):
        with Connection(stage) as c:
            c.send(c.request(1, flags, fields(c)), *(frames(c) if frames else ()))
            c.malformed()


def and_(*more):
    return lambda c: c.head() + list(more)


def first(*more):
    return lambda c: [*more, *c.head()]


def but(**other):
    """The valid head with other pseudo-fields; None leaves one out."""

    def fields(c):
        head = [(name, other.get(name[1:], value) if name[0] == ":" else value) for name, value in c.head()]
        return [(name, value) for name, value in head if value is not None]

    return fields


# Section 8.2: fields.

is_malformed("9113 8.2.1", "an upper-case letter in a field name", and_(("X-Upper", "x")))
for name in ("x y", "x\r", "x\n", "x\0", "x:y", "x\x7f", "x\xff", ""):
    is_malformed("9113 8.2.1", f"{name!r} as a field name", and_((name, "x")))
for value in ("a\0b", "a\rb", "a\nb", "a\r\nhost: b", " a", "a ", "\ta", "a\t"):
    is_malformed("9113 8.2.1", f"{value!r} as a field value", and_(("x-value", value)))
for name, value in (("connection", "close"), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"), ("transfer-encoding", "chunked"), ("upgrade", "websocket")):
    is_malformed("9113 8.2.2", f"the connection-specific field {name}", and_((name, value)))
is_malformed("9113 8.2.2", "TE with anything but trailers", and_(("te", "trailers, deflate")))


@case("9113 8.2.2", "accepts TE with trailers")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head() + [("te", "trailers")]))
        c.responds()


@case("9113 8.2.3", "joins Cookie fields with a semicolon for HTTP/1.1")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head() + [("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]))
        c.responds()
        got = stage.backend.wait(c.path).values("cookie")
        expect(got == ["a=b; c=d; e=f"], f"one field, not {got}")


# Section 8.3: pseudo-fields.

is_malformed("9113 8.3", "an unknown pseudo-field", first((":unknown", "x")))
is_malformed("9113 8.3", "a pseudo-field of responses", first((":status", "200")))
is_malformed("9113 8.3", "a pseudo-field after a regular one", lambda c: c.head(drop=(":path",)) + [(":path", c.path)])
for name in (":method", ":scheme", ":path", ":authority"):
    is_malformed("9113 8.3", f"{name} twice", lambda c, name=name: [(name, dict(c.head())[name]), *c.head()])
for name in ("method", "scheme", "path"):
    is_malformed("9113 8.3.1", f"a request without :{name}", but(**{name: None}))
is_malformed("9113 8.3.1", "an empty :path", but(path=""))
is_malformed("9113 8.3.1", ":path without a slash", but(path="http2/x"))
is_malformed("9113 8.3.1", "an absolute URI as :path", but(path="http://gateway.test/"))
is_malformed("9113 8.3.1", ":path of * with GET", but(path="*"))
is_malformed("9113 8.3.1", "a line end in :path", but(path="/ HTTP/1.1\r\nHost: b\r\n\r\n"))
is_malformed("9113 8.3.1", "a blank in :path", but(path="/a b"))
is_malformed("9113 8.3.1", "a blank in :method", but(method="GET /x"))
is_malformed("9113 8.3.1", "an empty :method", but(method=""))
is_malformed("9113 8.3.1", "a line end in :authority", but(authority="a\r\nx: y"))
is_malformed("9113 8.3.1", "userinfo in :authority", but(authority="ada@gateway.test"))
is_malformed("9113 8.3.1", "Host that is not :authority", and_(("host", "other.test")))
is_malformed("9113 8.3.1", "Host twice", lambda c: c.head(drop=(":authority",)) + [("host", "a"), ("host", "a")])
is_malformed("9113 8.3.1", "neither :authority nor Host", but(authority=None))
is_malformed("9113 8.3.1", "an invalid scheme", but(scheme="ht tp"))


@case("9113 8.3.1", "accepts Host in place of :authority, and names it to the backend once")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head(drop=(":authority",)) + [("host", "gateway.test")]))
        c.responds()
        got = stage.backend.wait(c.path).values("host")
        expect(len(got) == 1, f"one Host, not {got}")


@case("9113 8.3.1", "accepts Host that is the same as :authority")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head() + [("host", "gateway.test")]))
        c.responds()


@case("9113 8.3.1", "carries :method, :path and query to the backend as they are")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(fields=c.head("PUT", c.path + "?a=%2F&b=c%20d")))
        c.responds()
        got = stage.backend.wait(c.path).line
        expect(got == f"PUT {c.path}?a=%2F&b=c%20d HTTP/1.1", got)


# Section 8.1: framing of messages, and content-length (section 8.1.1).


def body(*pieces, ended=True):
    return lambda c: [frame(DATA, END_STREAM if ended and number == len(pieces) else 0, 1, piece) for number, piece in enumerate(pieces, 1)]


def length(value):
    return lambda c: c.head("POST", None, ("content-length", value))


is_malformed("9113 8.1.1", "a body shorter than its content-length", length("5"), body(b"x"), 0)
is_malformed("9113 8.1.1", "a body longer than its content-length", length("1"), body(b"xx"), 0)
is_malformed("9113 8.1.1", "a body in pieces longer than its content-length", length("3"), body(b"xx", b"xx"), 0)
is_malformed("9113 8.1.1", "no body where content-length is not 0", length("5"))
is_malformed("9113 8.1.1", "two content-lengths that differ", lambda c: c.head("POST", None, ("content-length", "2"), ("content-length", "3")), body(b"xx"), 0)
for value in ("+2", "2, 3", "0x2", "-2", "two", ""):
    is_malformed("9113 8.1.1", f"{value!r} as content-length", length(value), body(b"xx"), 0)


@case("9113 8.1", "carries a body without content-length")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(1, 0, c.head("POST")), frame(DATA, 0, 1, b"one"), frame(DATA, END_STREAM, 1, b"two"))
        c.responds()
        expect(stage.backend.wait(c.path).body == b"onetwo", "the body")


@case("9113 8.1", "carries content-length with its body")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(1, 0, length("2")(c)), frame(DATA, END_STREAM, 1, b"hi"))
        c.responds()
        got = stage.backend.wait(c.path)
        expect((got.body, got.value("content-length")) == (b"hi", "2"), f"hi with its length, not {got}")


@case("9113 8.1", "accepts trailers, and lets none of them become a field of the request")
def _(stage):
    with Connection(stage) as c:
        trailers = literals([("x-trailer", "y"), ("authorization", "Bearer z")])
        c.send(c.request(1, 0, c.head("POST")), frame(DATA, 0, 1, b"hi"), frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers))
        c.responds()
        got = stage.backend.wait(c.path)
        expect(got.body == b"hi" and not got.values("x-trailer"), f"the body and no field, not {got}")


def trailers(*fields, flags=END_STREAM):
    return lambda c: [frame(DATA, 0, 1, b"hi"), frame(HEADERS, END_HEADERS | flags, 1, literals(fields))]


is_malformed("9113 8.1", "trailers that do not end the stream", lambda c: c.head("POST"), trailers(("x", "y"), flags=0), 0)
is_malformed("9113 8.1", "trailers with a pseudo-field", lambda c: c.head("POST"), trailers((":method", "GET")), 0)
is_malformed("9113 8.1", "trailers with an upper-case name", lambda c: c.head("POST"), trailers(("X", "y")), 0)


@case("9113 8.1", "a second HEADERS without END_STREAM is not a second request")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(1, 0, c.head("POST")), c.request(1, 0, c.head(path=c.path + "/second")))
        c.malformed()
        expect(not stage.backend.to(c.path + "/second"), "no second request")


# Responses.


def receives(stage, script, **options):
    c = Connection(stage)
    with c:
        stage.backend.script(c.path, script)
        c.send(c.request(fields=c.head(**options)))
        return c.response()


@case("9113 8.2.2", "leaves connection-specific fields of a response out, and those that Connection names")
def _(stage):
    fields = [("Connection", "keep-alive, X-Hop"), ("Keep-Alive", "timeout=5"), ("X-Hop", "1"), ("X-Own", "2"), ("Proxy-Connection", "x")]
    got = dict(receives(stage, lambda it: it.respond(fields=fields) or True).fields)
    wrong = {"connection", "keep-alive", "x-hop", "proxy-connection", "transfer-encoding"} & set(got)
    expect(not wrong and got.get("x-own") == "2", f"x-own alone, not {got}")


@case("9113 8.2.1", "writes names of a response's fields in lower case")
def _(stage):
    names = [name for name, _ in receives(stage, lambda it: it.respond(fields=[("X-OWN-Name", "V")]) or True).fields]
    expect("x-own-name" in names and all(name == name.lower() for name in names), str(names))


@case("9113 8.1", "carries a response in chunks, and its trailers")
def _(stage):
    chunks = b"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"
    got = receives(stage, lambda it: it.send(chunks) or True)
    expect((got.body, dict(got.trailers)) == (b"hi", {"x-sum": "7"}), str(got))


@case("9113 8.1", "resets the stream of a response that breaks off")
def _(stage):
    with Connection(stage) as c:
        stage.backend.script(c.path, lambda it: it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
        c.send(c.request())
        c.stream_error(INTERNAL_ERROR, CANCEL, PROTOCOL_ERROR)
        expect(not any(it.flags & END_STREAM for it in c.arrived if it.kind in (DATA, HEADERS)), "no proper end")


for status in ("204 No Content", "304 Not Modified"):

    @case("9113 8.1", f"answers {status[:3]} with END_STREAM and no body")
    def _(stage, status=status):
        got = receives(stage, lambda it: it.send(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()) or True)
        expect((got.status, got.body, dict(got.fields)["etag"]) == (int(status[:3]), b"", "x"), str(got))


@case("9113 8.1", "answers HEAD without a body and with its content-length")
def _(stage):
    got = receives(stage, lambda it: it.respond(body=b"four") or True, method="HEAD")
    expect((got.status, got.body, dict(got.fields)["content-length"]) == (200, b"", "4"), str(got))


@case("9113 8.1", "does not take an interim response for the final one")
def _(stage):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    got = receives(stage, lambda it: it.send(early) or True)
    expect((got.status, got.body) == (200, b"ok"), str(got))


@case("9113 8.7", "answers a request before its body has ended, and stops it with NO_ERROR")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(1, 0, c.head("POST", None, drop=("authorization",))), frame(DATA, 0, 1, b"some"))
        expect(c.response().status == 401, "401")
        reset = c.find(lambda it: it.kind in (RST_STREAM, GOAWAY))
        expect(reset and reset.code == NO_ERROR, f"RST_STREAM with NO_ERROR, not {reset}")
        c.goes_on()


@case("9113 8.5", "refuses CONNECT without harm")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(1, 0, [(":method", "CONNECT"), (":authority", "a:443"), ("authorization", stage.authorization)]))
        wrong = c.find(lambda it: it.stream == 1 or it.kind == GOAWAY)
        status = int(dict(c.fields(wrong))[":status"]) if wrong.kind == HEADERS else 400
        expect(status >= 400, f"a refusal, not {status}")
        c.goes_on()


is_malformed("9113 8.5", "CONNECT with :path and :scheme", but(method="CONNECT"))
is_malformed("8441 4", "extended CONNECT, which SETTINGS do not offer", lambda c: [(":protocol", "websocket"), *but(method="CONNECT")(c)], flags=0)
is_malformed("8441 4", ":protocol with another method", first((":protocol", "websocket")))
