"""Tunnels carry every octet unchanged in both directions: the groups of RFC 6455 section 5 to 7 and RFC 7692."""

import random
import socket
import struct
import threading

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from harness.cases import Suite, expect

from .tunnel import *

SUITE = Suite("websocket")
case = SUITE.case


def carried(section, what, make):
    """`make` takes whether to mask, and gives frames; they go whole, and cut at odd places, both ways."""

    @case(section, what)
    def _(stage):
        with Tunnel(stage) as tunnel:
            for direction, masked in ((tunnel.up, True), (tunnel.down, False)):
                data = make(masked)
                direction(data)
                for pieces in odd_cuts(data):
                    direction(*pieces)


def framed(*arguments, **options):
    return lambda masked: frame(*arguments, masked=masked, **options)


def several(*frames):
    return lambda masked: b"".join(make(masked) for make in frames)


# Framing.

for size in (0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65535, 65536, 65537):
    carried("6455 5.2", f"a text message of {size} octets", framed(TEXT, b"*" * size))
    carried("6455 5.2", f"a binary message of {size} octets", framed(BINARY, bytes(range(256)) * (size // 256) + bytes(range(size % 256))))
for size, width in ((5, 2), (5, 8), (300, 8)):
    carried("6455 5.2", f"a length of {size} in {width} octets, which are not the fewest", framed(BINARY, b"x" * size, width=width))
carried("6455 5.3", "a frame that is masked where it must not be, or not where it must", lambda masked: frame(TEXT, b"masked?", masked=not masked))
carried("6455 5.2", "a head with the largest length, and what follows it", lambda masked: bytes([0x82, 127 | masked << 7]) + b"\x7f" + b"\xff" * 7 + b"some payload")
carried("6455 5.2", "a length with its highest bit, and what follows it", lambda masked: bytes([0x82, 127 | masked << 7]) + b"\xff" * 8 + b"some payload")

# Pings and pongs.

for size in (0, 1, 125):
    carried("6455 5.5.2", f"a ping of {size} octets", framed(PING, b"p" * size))
    carried("6455 5.5.3", f"a pong of {size} octets that was not requested", framed(PONG, b"p" * size))
carried("6455 5.5.2", "ten pings", several(*(framed(PING, b"%d" % number) for number in range(10))))
carried("6455 5.5", "a ping that is too long", framed(PING, b"p" * 126))
carried("6455 5.5", "a ping in fragments", several(framed(PING, b"p", final=False), framed(CONTINUATION, b"q")))
carried("6455 5.5.2", "a ping with octets that are not text", framed(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))

# Reserved bits and opcodes: for the endpoints to check, not for the proxy.

for reserved in range(1, 8):
    carried("6455 5.2", f"the reserved bits {reserved:03b} in data", framed(TEXT, b"text", reserved=reserved))
    carried("6455 5.2", f"the reserved bits {reserved:03b} in a ping", framed(PING, b"ping", reserved=reserved))
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    carried("6455 5.2", f"the reserved opcode {opcode}", several(framed(TEXT, b"before"), framed(opcode, b"reserved"), framed(TEXT, b"after")))

# Fragments.

carried("6455 5.4", "a message in two fragments", several(framed(TEXT, b"one", final=False), framed(CONTINUATION, b"two")))
carried("6455 5.4", "a message in a hundred fragments", several(framed(BINARY, b"0", final=False), *[framed(CONTINUATION, b"x" * n, final=False) for n in range(99)], framed(CONTINUATION, b"!")))
carried("6455 5.4", "empty fragments", several(framed(TEXT, b"", final=False), framed(CONTINUATION, b"", final=False), framed(CONTINUATION, b"")))
carried("6455 5.4", "a ping between fragments", several(framed(TEXT, b"one", final=False), framed(PING, b"ping"), framed(CONTINUATION, b"two")))
carried("6455 5.4", "a continuation of nothing", several(framed(CONTINUATION, b"what"), framed(TEXT, b"text")))
carried("6455 5.4", "a new message within another", several(framed(TEXT, b"one", final=False), framed(TEXT, b"two"), framed(CONTINUATION, b"three")))

# Text, good and bad.

for what, octets in {
    "of every length of code point": "aé€𝄞".encode(),
    "with a code point of the highest plane": "\U0010ffff".encode(),
    "with NUL": b"a\0b",
    "with a surrogate": b"\xed\xa0\x80",
    "with an overlong form": b"\xc0\xaf",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "that ends within a code point": b"abc\xe2\x82",
    "with a lone continuation": b"\x80\xbf",
    "with octets that are never there": b"\xfe\xff",
}.items():
    carried("6455 8.1", f"text {what}", framed(TEXT, octets))
    carried("6455 8.1", f"text {what}, in fragments of one octet", several(framed(TEXT, octets[:1], final=False), *[framed(CONTINUATION, octets[n : n + 1], final=False) for n in range(1, len(octets))], framed(CONTINUATION)))

# Close.


def closes(section, what, make, response=None):
    """A close from either side, its response, then the ends of both connections."""
    for who in ("client", "backend"):

        @case(section, f"{what}, from the {who}")
        def _(stage, who=who):
            with Tunnel(stage) as tunnel:
                first, second = (tunnel.up, tunnel.down) if who == "client" else (tunnel.down, tunnel.up)
                first(make(who == "client"))
                second((response or make)(who != "client"))
                # The server ends the connection first (section 7.1.1).
                end(tunnel.server)
                tunnel.ends_down()
                end(tunnel.client)
                tunnel.ends_up()


closes("6455 5.5.1", "a close without a code", lambda masked: close(masked=masked))
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
    closes("6455 7.4", f"the code {code}", lambda masked, code=code: close(code, b"reason", masked))
for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
    closes("6455 7.4", f"the code {code}, which may not be sent", lambda masked, code=code: close(code, b"", masked))
closes("6455 5.5.1", "a close with a reason of 123 octets", lambda masked: close(1000, b"r" * 123, masked))
closes("6455 5.5.1", "a close with a reason that is too long", lambda masked: close(1000, b"r" * 124, masked))
closes("6455 5.5.1", "a close of one octet", lambda masked: frame(CLOSE, b"\x03", masked=masked))
closes("6455 5.5.1", "a close with a reason that is not text", lambda masked: close(1000, b"\xce\xba\xe1\xbd\xed\xa0\x80", masked))
closes("6455 5.5.1", "data and a second close after a close", lambda masked: close(1000, b"", masked) + frame(TEXT, b"late", masked=masked) + close(1001, b"", masked))


@case("6455 7.1.1", "an end of the client alone: the backend may say the rest")
def _(stage):
    with Tunnel(stage) as tunnel:
        end(tunnel.client)
        tunnel.ends_up()
        tunnel.down(frame(BINARY, b"x" * 300_000), close(1000))
        end(tunnel.server)
        tunnel.ends_down()


@case("6455 7.1.1", "an end of the backend alone: the client may say the rest")
def _(stage):
    with Tunnel(stage) as tunnel:
        end(tunnel.server)
        tunnel.ends_down()
        tunnel.up(frame(BINARY, b"x" * 300_000, masked=True), close(1000, masked=True))
        end(tunnel.client)
        tunnel.ends_up()


@case("6455 7.1.7", "a client that breaks off: the backend sees an end")
def _(stage):
    with Tunnel(stage) as tunnel:
        tunnel.up(frame(TEXT, b"half", masked=True)[:3])
        tunnel.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tunnel.client.close()
        try:
            expect(tunnel.stream.read1(1) == b"", "an end at the backend")
        except ConnectionError:
            pass


# Large messages, and many small ones.

for mebibytes in (1, 4, 16):

    @case("6455 5.4", f"a message of {mebibytes} MiB, both ways")
    def _(stage, size=mebibytes << 20):
        with Tunnel(stage) as tunnel:
            payload = random.Random(size).randbytes(size)
            tunnel.up(frame(BINARY, payload, masked=True))
            tunnel.down(frame(BINARY, payload))


for size in (64, 4096, 1 << 20):

    @case("6455 5.4", f"4 MiB in fragments of {size} octets, both ways")
    def _(stage, size=size):
        with Tunnel(stage) as tunnel:
            count = min((4 << 20) // size, 4096)
            parts = [frame(BINARY if not n else CONTINUATION, b"x" * size, n == count - 1, masked=True) for n in range(count)]
            tunnel.up(*parts)
            tunnel.down(*parts)


@case("6455 5.4", "ten thousand messages both ways at once")
def _(stage):
    with Tunnel(stage) as tunnel:
        small = [frame(TEXT, b"%d" % number) for number in range(10_000)]
        thrown = []

        def up():
            try:
                tunnel.up(*small)
            except AssertionError as fault:
                thrown.append(fault)

        other = threading.Thread(target=up)
        other.start()
        tunnel.down(*small)
        other.join()
        expect(not thrown, str(thrown))


@case("6455 5.4", "a thousand echoes, one after the other")
def _(stage):
    with Tunnel(stage) as tunnel:
        for number in range(1000):
            tunnel.up(frame(TEXT, b"%d" % number, masked=True))
            tunnel.down(frame(TEXT, b"%d" % number))


@case("6455 5.4", "a backend that does not read holds the client up, and nothing is lost")
def _(stage):
    with Tunnel(stage) as tunnel:
        # More than the kernel buffers for four sockets.
        data = random.Random(1).randbytes(1 << 20) * 64
        writer = threading.Thread(target=write, args=(tunnel.client, [data]), daemon=True)
        writer.start()
        writer.join(0.5)
        expect(writer.is_alive(), "back-pressure: 64 MiB are not held on the way")
        # The other direction is not blocked.
        tunnel.down(frame(TEXT, b"meanwhile"))
        got = bytearray()
        while len(got) < len(data) and (piece := tunnel.stream.read1(1 << 16)):
            got += piece
        expect(got == data, "the same octets")


# Permessage-deflate (RFC 7692): the ends agree on it, and it passes.


def engines(tunnel, **options):
    """wsproto at both ends, after the handshake has been replayed to them."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    offer = client.send(Request(host="gateway.test", target="/", extensions=[PerMessageDeflate(**options)]))
    server.receive_data(offer)
    next(iter(server.events()))
    client.receive_data(server.send(AcceptConnection(extensions=[PerMessageDeflate(**options)])))
    next(iter(client.events()))
    return client, server


for what, options in {
    "as it is": {},
    "without context on either side": {"client_no_context_takeover": True, "server_no_context_takeover": True},
    "with small windows": {"client_max_window_bits": 9, "server_max_window_bits": 9},
}.items():

    @case("7692 7", f"compressed messages, {what}")
    def _(stage, options=options):
        with Tunnel(stage) as tunnel:
            client, server = engines(tunnel, **options)
            for message in ("", "a", "hello " * 5000, random.Random(7).randbytes(100_000), b"\0" * (1 << 20)):
                event = TextMessage if isinstance(message, str) else BytesMessage
                for sender, receiver, carry in ((client, server, tunnel.up), (server, client, tunnel.down)):
                    data = sender.send(event(data=message))
                    expect(data[0] & 0x40, "a compressed frame")
                    carry(data)
                    for pieces in odd_cuts(data):
                        carry(*pieces)
                    receiver.receive_data(data)
                    got = [it.data for it in receiver.events()]
                    expect(type(message)().join(got) == message, "the same message")
