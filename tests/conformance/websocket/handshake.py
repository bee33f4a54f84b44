"""The handshake (RFC 6455 section 4) and attempts to smuggle requests past it."""

import threading

from harness.cases import expect
from http1.wire import Client, Ended

from .cases import SUITE
from .tunnel import *

case = SUITE.case

ASK = b"GET PATH HTTP/1.1\r\nFIELDSConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@case("6455 4.2.2", "carries key and accept as they are")
def _(stage):
    with Tunnel(stage) as tunnel:
        expect(tunnel.request.value("sec-websocket-key") == tunnel.key, "the key")
        expect(dict(tunnel.fields)["sec-websocket-accept"] == accept(tunnel.key), "the accept")


@case("6455 4.1", "sends its own Upgrade and Connection to the backend, once")
def _(stage):
    with Tunnel(stage) as tunnel:
        got = [tunnel.request.values(name) for name in ("connection", "upgrade", "sec-websocket-version", "host")]
        expect([len(values) for values in got] == [1] * 4, str(got))
        expect((got[0][0].lower(), got[1][0].lower(), got[2][0]) == ("upgrade", "websocket", "13"), str(got))


@case("6455 4.2.2", "answers with Upgrade and Connection, once")
def _(stage):
    with Tunnel(stage) as tunnel:
        got = [[value.lower() for name, value in tunnel.fields if name == wanted] for wanted in ("upgrade", "connection")]
        expect(got == [["websocket"], ["upgrade"]], str(got))
        expect(not {"content-length", "transfer-encoding"} & {name for name, _ in tunnel.fields}, str(tunnel.fields))


@case("6455 1.9", "carries subprotocols")
def _(stage):
    with Tunnel(stage, [("Sec-WebSocket-Protocol", "a, b")], [("Sec-WebSocket-Protocol", "b")]) as tunnel:
        expect(tunnel.request.value("sec-websocket-protocol") == "a, b", "the offer")
        expect(dict(tunnel.fields)["sec-websocket-protocol"] == "b", "the choice")


@case("6455 9.1", "carries extensions")
def _(stage):
    offer, choice = "permessage-deflate; client_max_window_bits, x", "permessage-deflate; server_no_context_takeover"
    with Tunnel(stage, [("Sec-WebSocket-Extensions", offer)], [("Sec-WebSocket-Extensions", choice)]) as tunnel:
        expect(tunnel.request.value("sec-websocket-extensions") == offer, "the offer")
        expect(dict(tunnel.fields)["sec-websocket-extensions"] == choice, "the choice")


@case("6455 4.1", "carries what a client sends right behind its handshake")
def _(stage):
    early = frame(TEXT, b"early", masked=True)
    with Tunnel(stage, early=early) as tunnel:
        expect(tunnel.stream.read(len(early)) == early, "the early frame")
        tunnel.both(b"and what follows")


@case("6455 4.2.2", "carries what the backend sends right behind its 101")
def _(stage):
    with Client(stage) as client:
        early = frame(TEXT, b"early")
        over = threading.Event()

        def script(exchange):
            exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + early)
            over.wait(5)

        stage.backend.script(client.path, script)
        client.send(ASK + b"\r\n")
        expect(client.head().status == 101, "101")
        got = client.stream.read(len(early))
        over.set()
        expect(got == early, f"the early frame, not {got}")


@case("6455 4.2.1", "a valid token is needed for a tunnel")
def _(stage):
    with Client(stage) as client:
        client.send(ASK.replace(b"FIELDS", b"Host: a\r\n") + b"\r\n")
        expect(client.response().status == 401, "401")
        expect(not client.arrived(), "nothing at the backend")


def refuses(section, what, response, status):
    """The backend declines: its response is forwarded, and what follows is HTTP and authorized."""

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            stage.backend.script(client.path, lambda it: it.send(response))
            # An attacker treats it as a tunnel and sends a request through it.
            client.send(ASK + b"\r\nGET PATH/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            expect(client.response().status == status, str(status))
            try:
                got = client.response().status
                expect(got == 401, f"401 for what follows, not {got}")
            except Ended:
                pass
            expect(not client.arrived(client.path + "/smuggled"), "nothing unauthorized at the backend")


refuses("6455 4.2.2", "426 for a wrong version is a response and not a tunnel", b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n", 426)
refuses("6455 4.2.2", "403 is a response and not a tunnel", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403)
refuses("6455 4.2.2", "200 is a response and not a tunnel", b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", 200)
refuses("9110 7.8", "101 to another protocol is not a tunnel", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502)
refuses("9110 7.8", "101 without a protocol is not a tunnel", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502)


def ignored(section, what, request):
    """The proxy requests no tunnel from the backend, whatever the client sends. A 101 does not open one either."""

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            client.send(request)
            try:
                status = client.response().status
            except Ended:
                status = 400
            got = client.arrived()
            expect(status in (200, 400), f"200 or 400, not {status}")
            expect(not got or not got[0].values("upgrade"), f"no Upgrade at the backend: {got}")


ignored("9110 7.8", "h2c", ASK.replace(b"websocket", b"h2c") + b"\r\n")
ignored("9110 7.8", "a list with h2c", ASK.replace(b"websocket", b"h2c, websocket") + b"\r\n")
ignored("9110 7.8", "a list that ends with h2c", ASK.replace(b"websocket", b"websocket, h2c") + b"\r\n")
ignored("9110 7.8", "two Upgrade fields", ASK + b"Upgrade: h2c\r\n\r\n")
ignored("6455 4.1", "POST", ASK.replace(b"GET", b"POST") + b"Content-Length: 0\r\n\r\n")
ignored("6455 4.1", "GET with a body", ASK + b"Content-Length: 2\r\n\r\nhi")
ignored("6455 4.1", "HTTP/1.0", ASK.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
ignored("9110 7.8", "Upgrade that Connection does not name", ASK.replace(b"Connection: Upgrade", b"Connection: keep-alive") + b"\r\n")
