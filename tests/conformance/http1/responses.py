"""Responses of a backend, and how the proxy handles them (RFC 9112 sections 6 and 8; RFC 9110 sections 6, 8 and 15)."""

from harness.cases import expect

from .tables import case
from .wire import Client, Ended


def receives(section, what, response, holds, method="GET", version="1.1", closes=None, more=b""):
    """The backend responds with these bytes and closes. `holds` must be true of what the client receives."""

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            stage.backend.script(client.path, lambda it: it.read_body() and None or it.send(response))
            client.send(f"{method} PATH HTTP/{version}\r\nFIELDS".encode() + more + b"\r\n")
            try:
                got = client.response(method)
            except Ended:
                raise AssertionError("a response, not an end") from None
            expect(holds(got), f"another response: {got}")
            if closes is False:
                client.goes_on()
            elif closes:
                expect(client.ended(), "an end")


def plain(body=b"hi", status=200):
    return lambda it: (it.status, it.body) == (status, body)


def bad(section, what, response):
    """An invalid response: 502."""
    receives(section, f"answers 502 to {what}", response, lambda it: it.status == 502, closes=False)


def breaks(section, what, response):
    """A valid head with an invalid body: the client must see that the response is incomplete."""

    @case(section, f"lets the client see {what}")
    def _(stage):
        with Client(stage) as client:
            stage.backend.script(client.path, lambda it: it.send(response))
            client.send(b"GET PATH HTTP/1.1\r\nFIELDS\r\n")
            try:
                got = client.response()
            except (Ended, AssertionError, ValueError):
                return
            expect(got.status == 502, f"a response that breaks off or 502, not {got}")


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

# RFC 9112 section 6.3: where a response ends.

receives("9112 6.3", "carries a response with its length", OK + b"Content-Length: 2\r\n\r\nhi", lambda it: plain()(it) and it.value("content-length") == "2", closes=False)
receives("9112 6.3", "carries a response in chunks", CHUNKED + b"1\r\nh\r\n1;a=b\r\ni\r\n0\r\n\r\n", plain(), closes=False)
receives("9112 6.3", "carries a response that ends with its connection", OK + b"\r\nhi", plain(), closes=False)
receives("9112 6.1", "sends no chunks to HTTP/1.0", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", lambda it: plain()(it) and not it.values("transfer-encoding"), version="1.0", closes=True)
receives("9112 6.3", "reads a response of HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", plain(), closes=False)
receives("9112 2.3", "forwards a response of HTTP/1.0 with its own version", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", lambda it: it.version == "1.1", closes=False)
receives("9112 2.2", "ignores what comes after a response", OK + b"Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", plain(), closes=False)
for status in (b"204 No Content", b"304 Not Modified"):
    number = int(status[:3])
    receives("9112 6.3", f"reads no body after {number}", b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\nevil", plain(b"", number), closes=False)
receives("9110 8.6", "sends no Content-Length with 204", b"HTTP/1.1 204 No Content\r\n\r\n", lambda it: it.status == 204 and not it.values("content-length") and not it.values("transfer-encoding"))
receives("9110 8.6", "invents no Content-Length for 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", lambda it: it.status == 304 and it.value("content-length") in (None, "5"), closes=False)
receives("9110 9.3.2", "keeps the Content-Length of a response to HEAD", OK + b"Content-Length: 5\r\n\r\n", lambda it: it.value("content-length") == "5", method="HEAD", closes=False)
receives("9110 9.3.2", "sends no body with a response to HEAD, also in chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n", lambda it: it.status == 200, method="HEAD", closes=False)
receives("9112 4", "accepts a response without a reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", plain())
receives("9110 15", "carries a status it does not know", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi", plain(status=299), closes=False)
receives("9110 15.5.2", "carries the backend's 401 and its challenge", b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="b"\r\nContent-Length: 0\r\n\r\n', lambda it: (it.status, it.value("www-authenticate")) == (401, 'Bearer realm="b"'), closes=False)

# Fields.

receives("9110 7.6.1", "forwards no connection-specific field of a response", OK + b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Own: 2\r\nContent-Length: 2\r\n\r\nhi",
         lambda it: (it.values("x-hop"), it.values("keep-alive"), it.value("x-own")) == ([], [], "2"), closes=False)
receives("9110 5.3", "keeps repeated fields of a response apart", OK + b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nhi", lambda it: it.values("set-cookie") == ["a=b", "c=d"])
receives("9110 6.6.1", "adds Date where there is none", OK + b"Content-Length: 2\r\n\r\nhi", lambda it: len(it.values("date")) == 1)
receives("9110 6.6.1", "keeps the backend's Date", OK + b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nhi", lambda it: it.values("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"])
receives("9110 7.7", "keeps Content-Encoding and the octets under it", OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", lambda it: it.value("content-encoding") == "gzip" and it.body == b"hi")
receives("9110 14", "carries 206 with its range", b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nhi", lambda it: (it.status, it.value("content-range"), it.body) == (206, "bytes 0-1/9", b"hi"))
receives("9110 6.5", "carries announced trailers to a client that takes them", OK + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
         lambda it: (it.body, it.trailers) == (b"hi", [("x-sum", "7")]), more=b"TE: trailers\r\nConnection: TE\r\n", closes=False)
receives("9110 6.5.1", "keeps trailers from a client that does not take them", OK + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", lambda it: it.body == b"hi" and not it.values("x-sum"), closes=False)

# Responses that no proxy may forward.

bad("9112 4", "an invalid status line", b"HELLO\r\n\r\n")
bad("9112 4", "a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")
bad("9112 4", "a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")
bad("9112 5.1", "an invalid field", OK + b"X A: b\r\nContent-Length: 0\r\n\r\n")
bad("9110 5.5", "NUL in a field value", OK + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n")
bad("9112 6.3", "two Content-Lengths that differ", OK + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\nhi!!")
bad("9112 6.3", "a Content-Length that is not a number", OK + b"Content-Length: two\r\n\r\nhi")
bad("9112 6.3", "a Content-Length with a sign", OK + b"Content-Length: +2\r\n\r\nhi")
bad("9112 8", "a head that breaks off", OK + b"Content-Le")
bad("9112 8", "an end without a response", b"")
bad("9110 15.2", "an end after an interim response", b"HTTP/1.1 103 Early Hints\r\n\r\n")
bad("9110 15.2.2", "101 that was not requested", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
breaks("9112 6.1", "a response with Transfer-Encoding and Content-Length as chunks alone, or not at all", OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
breaks("9112 8", "that a response is shorter than its length", OK + b"Content-Length: 10\r\n\r\nhi")
breaks("9112 8", "that chunks break off", CHUNKED + b"a\r\nhi")
breaks("9112 8", "that the last chunk is missing", CHUNKED + b"2\r\nhi\r\n")
breaks("9112 7.1", "an invalid chunk size", CHUNKED + b"2\r\nhi\r\nxyz\r\n")
breaks("9112 7.1", "a chunk size that overflows", CHUNKED + b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n")
breaks("9112 7.1", "a chunk without its end", CHUNKED + b"2\r\nhi0\r\n\r\n")
