"""Connections (RFC 9112 section 9), what a proxy does to fields (RFC 9110 section 7), and Expect (section 10.1.1)."""

import threading

from harness.cases import expect

from .tables import case, either, passes, refused
from .wire import Client, Ended

GET = b"GET PATH HTTP/1.1\r\nFIELDS"


# Section 9.3: persistent connections and pipelining.


@case("9112 9.3", "keeps a connection open by itself")
def _(stage):
    with Client(stage) as client:
        for number in range(20):
            client.send(b"GET PATH/%d HTTP/1.1\r\nFIELDS\r\n" % number)
            expect(client.response().status == 200, "200")


passes("9112 9.6", "closes after Connection: close", GET + b"Connection: close\r\n\r\n", closes=True)
passes("9112 9.6", "reads close among other options, in any case", GET + b"Connection: x-a, CLOSE\r\n\r\n", closes=True)
passes("9112 9.6", "answers nothing after a request with close", GET + b"Connection: close\r\n\r\nGET PATH/after HTTP/1.1\r\nFIELDS\r\n", closes=True)
passes("9112 9.3", "closes after HTTP/1.0 without keep-alive", b"GET PATH HTTP/1.0\r\nFIELDS\r\n", closes=True)


@case("9112 9.6", "says that it closes")
def _(stage):
    with Client(stage) as client:
        client.send(GET + b"Connection: close\r\n\r\n")
        response = client.response()
        expect("close" in (response.value("connection") or "").lower(), f"Connection: close, not {response.fields}")


@case("9112 9.3.2", "answers a pipeline in order")
def _(stage):
    with Client(stage) as client:
        gate = threading.Event()
        slow, fast = client.path + "/0", client.path + "/1"
        stage.backend.script(slow, lambda it: gate.wait(0.3) or it.respond(body=b"slow") or True)
        stage.backend.script(fast, lambda it: it.respond(body=b"fast") or True)
        client.send(b"GET PATH/0 HTTP/1.1\r\nFIELDS\r\nGET PATH/1 HTTP/1.1\r\nFIELDS\r\n")
        got = [client.response().body, client.response().body]
        expect(got == [b"slow", b"fast"], str(got))


@case("9112 9.3.2", "authorizes each request of a pipeline independently")
def _(stage):
    with Client(stage) as client:
        good = b"POST PATH/%d HTTP/1.1\r\nFIELDSContent-Length: 2\r\n\r\nhi"
        client.send(good % 0 + b"GET PATH/1 HTTP/1.1\r\nHost: a\r\n\r\n" + good % 2)
        got = [client.response().status for _ in range(3)]
        expect(got == [200, 401, 200], str(got))
        expect(not client.arrived(client.path + "/1"), "the second one at no backend")


@case("9112 9.3.2", "answers the valid requests before a malformed one, then closes")
def _(stage):
    with Client(stage) as client:
        client.send(GET + b"\r\nGARBAGE\r\n\r\nGET PATH/smuggled HTTP/1.1\r\nFIELDS\r\n")
        expect(client.response().status == 200, "200")
        try:
            expect(client.response().status == 400, "400")
        except Ended:
            pass
        expect(client.ended() and not client.arrived(client.path + "/smuggled"), "an end")


@case("9112 9.6", "a client that closes for writing gets its response, or an end at once")
def _(stage):
    with Client(stage) as client:
        client.send(GET + b"\r\n")
        client.socket.shutdown(1)
        try:
            expect(client.response().status == 200, "200")
        except Ended:
            return
        expect(client.ended(), "an end")


@case("9110 2.5", "answers HTTP/1.0 with its own version")
def _(stage):
    with Client(stage) as client:
        client.send(b"GET PATH HTTP/1.0\r\nFIELDS\r\n")
        version = client.response().version
        expect(version == "1.1", f"HTTP/1.1, not HTTP/{version}")


# RFC 9110 section 7.6: hop-by-hop fields.

passes("9110 7.6.1", "forwards no connection-specific field", GET + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: foo\r\n\r\n",
       lambda it: not {"keep-alive", "proxy-connection", "upgrade"} & {name for name, _ in it.fields} and "keep-alive: timeout" not in str(it.fields))
passes("9110 7.6.1", "forwards no field that Connection names", GET + b"X-Hop: 1\r\nX-Own: 2\r\nConnection: x-hop\r\nConnection: x-other\r\nX-Other: 3\r\n\r\n",
       lambda it: (it.values("x-hop"), it.values("x-other"), it.value("x-own")) == ([], [], "2"))
either("9110 7.6.1", "Connection that names Host or Authorization takes neither away, or is refused", GET + b"Connection: Host, Content-Length\r\n\r\n", lambda it: len(it.values("host")) == 1)
passes("9110 10.1.4", "sends its own TE", GET + b"TE: gzip, trailers;q=0.5\r\nConnection: TE\r\n\r\n", lambda it: it.value("te") in (None, "trailers"))
passes("9110 7.6.3", "adds itself to Via", GET + b"Via: 1.1 other\r\n\r\n", lambda it: len(",".join(it.values("via")).split(",")) == 2)


@case("9110 7.6.2", "answers OPTIONS with Max-Forwards: 0 itself")
def _(stage):
    with Client(stage) as client:
        client.send(b"OPTIONS PATH HTTP/1.1\r\nFIELDSMax-Forwards: 0\r\n\r\n")
        client.response()
        expect(not client.arrived(), "nothing at the backend")


passes("9110 7.6.2", "ignores Max-Forwards with GET", GET + b"Max-Forwards: 0\r\n\r\n")

# Section 7.8: Upgrade.

passes("9110 7.8", "ignores an upgrade to h2c, and forwards none", GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
       lambda it: not it.values("upgrade") and not it.values("http2-settings"))
passes("9110 7.8", "ignores an upgrade to a protocol it does not know", GET + b"Connection: Upgrade\r\nUpgrade: foo/2\r\n\r\n", lambda it: not it.values("upgrade"))
passes("9110 7.8", "ignores Upgrade in HTTP/1.0", b"GET PATH HTTP/1.0\r\nFIELDSConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", lambda it: not it.values("upgrade"), closes=True)
passes("9110 7.8", "ignores Upgrade that Connection does not name", GET + b"Upgrade: websocket\r\n\r\n", lambda it: not it.values("upgrade"))

# Section 10.1.1: Expect.

EXPECT = b"POST PATH HTTP/1.1\r\nFIELDSContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"


@case("9110 10.1.1", "answers 100 to a client that waits for it, then the final response")
def _(stage):
    with Client(stage) as client:
        client.send(EXPECT)
        expect(client.head().status == 100, "100")
        client.send(b"hi")
        expect(client.response().status == 200, "200")
        expect(stage.backend.wait(client.path).body == b"hi", "the body")
        client.goes_on()


passes("9110 10.1.1", "accepts a body that does not wait for 100", EXPECT + b"hi", lambda it: it.body == b"hi")
passes("9110 10.1.1", "accepts Expect without a body", GET + b"Expect: 100-continue\r\n\r\n")
passes("9110 10.1.1", "sends no 100 to HTTP/1.0", b"POST PATH HTTP/1.0\r\nFIELDSExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", lambda it: it.body == b"hi", closes=True)
either("9110 10.1.1", "another expectation is answered 417, or ignored", GET + b"Expect: tea\r\n\r\n", statuses=(417, 400))


@case("9110 10.1.1", "refuses with a final response and without 100")
def _(stage):
    with Client(stage) as client:
        client.send(b"POST PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        expect(client.head().status == 401, "401")


@case("9110 10.1.1", "the body of a refused request with Expect is not a request")
def _(stage):
    with Client(stage) as client:
        body = client.fill(b"GET PATH/smuggled HTTP/1.1\r\nFIELDS\r\n")
        client.send(b"POST PATH HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        expect(client.head().status == 401, "401")
        # Section 10.1.1: the client may send the body anyway, or go on with the next request; a
        # server that cannot tell closes. What it may not do is to serve both.
        client.send(body)
        try:
            client.response()
        except (Ended, AssertionError):
            pass
        expect(not client.arrived(client.path + "/smuggled"), "no request out of the body")


# Section 15.2: interim responses, and what else a backend may say before it has read everything.


@case("9110 15.2", "forwards the final response after interim ones")
def _(stage):
    with Client(stage) as client:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3
        stage.backend.script(client.path, lambda it: it.send(early) or it.respond() or True)
        client.send(GET + b"\r\n")
        expect(client.response().status == 200, "200")
        client.goes_on()


@case("9112 9.5", "forwards an early response, and the rest of the request's body does no harm")
def _(stage):
    with Client(stage) as client:
        stage.backend.script(client.path, lambda it: it.respond("413 Content Too Large", [("Connection", "close")]) and False)
        client.send(b"POST PATH HTTP/1.1\r\nFIELDSContent-Length: 400000\r\n\r\n" + b"x" * 1000)
        expect(client.response().status == 413, "413")


refused("9112 9.6", "TLS on a port without it", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32)
