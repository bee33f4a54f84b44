"""Attacks by one client behind a proxy that other clients use, too."""

import asyncio
import os

from http2.wire import (
    CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, literals, u32,
)

from attackers import Ended, attack
from proxy import url64
from traffic import proxy_header

from .http2 import Connection

ATTACKER, OTHER = "192.0.2.66", "192.0.2.2"
FORWARDED = b"X-Forwarded-For: %s\r\n" % ATTACKER.encode()
# Seconds that a request of the other client may take.
PATIENCE = 3
# The initial window of a connection and of a stream (RFC 9113 section 6.9.2).
WINDOW = 65535


@attack(
    "proxy-header", "600 connections without a complete PROXY protocol header, 300 named and idle, with limits.connections: 500",
    way="proxy-protocol", limits="connections: 500",
)
async def proxy_header_(attacker):
    async def client(number):
        own = await attacker.connect()
        if number % 3:
            await attacker.send(own, b"PROXY " if number % 2 else b"\r\n\r\n")
        else:
            await attacker.send(own, proxy_header(ATTACKER) + b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
            await attacker.response(own)
        await attacker.until_closed(own)

    await attacker.swarm(900, attacker.persistent(client))


@attack("proxied-downloads", "600 unread endless answers of a public route, while others read theirs", way="trusted-proxy")
async def proxied_downloads(attacker):
    async def other(_):
        own = await attacker.connect(small=False)
        await attacker.send(own, b"GET /public/endless HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s\r\n\r\n" % OTHER.encode())
        try:
            async with asyncio.timeout(PATIENCE):
                status, _ = await attacker.head(own)
            if status != 200:
                raise Ended
            while True:
                async with asyncio.timeout(PATIENCE):
                    await attacker.receive(own)
                await asyncio.sleep(0.1)
        except (Ended, TimeoutError):
            attacker.counts["harmed"] += 1

    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, b"GET /public/endless HTTP/1.1\r\nHost: a\r\n%s\r\n" % FORWARDED)
        attacker.counts["asked"] += 1
        await attacker.head(own)
        await attacker.ended(own)

    await asyncio.gather(attacker.swarm(20, other), attacker.swarm(600, attacker.persistent(client)))


@attack(
    "proxied-slow-bodies", "600 refused requests that send their bodies at one byte a second, with limits.connections: 500",
    way="trusted-proxy", limits="connections: 500",
)
async def proxied_slow_bodies(attacker):
    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, b"POST /api HTTP/1.1\r\nHost: a\r\n%sContent-Length: 1000000\r\n\r\n" % FORWARDED)
        attacker.counts["asked"] += 1
        while True:
            await attacker.send(own, b"x")
            await asyncio.sleep(1)

    await attacker.swarm(600, attacker.persistent(client))


@attack(
    "proxied-signatures", "tokens with bad signatures, each a new one, over 8 connections of the proxy, with limits.failures off",
    way="trusted-proxy", limits="failures: {rate: off}",
)
async def proxied_signatures(attacker):
    header, payload, _ = attacker.target.token.split(".")

    async def client(_):
        own = await attacker.connect(small=False)
        while True:
            token = f"{header}.{payload}.{url64(os.urandom(256)).decode()}".encode()
            await attacker.send(own, b"GET /api HTTP/1.1\r\nHost: a\r\n%sAuthorization: Bearer %s\r\n\r\n" % (FORWARDED, token))
            attacker.counts["asked"] += 1
            await attacker.response(own)

    await attacker.swarm(8, attacker.persistent(client))


class Shared(Connection):
    """An HTTP/2 connection of the proxy, over which it forwards the requests of several clients."""

    def __init__(self, attacker, own):
        super().__init__(attacker, own)
        self.window, self.windows, self.next, self.waiting = WINDOW, {}, 1, {}
        # Frames of several tasks must not mix, and stream numbers must increase.
        self.sending = asyncio.Lock()

    async def send(self, *frames):
        async with self.sending:
            await super().send(*frames)

    async def arrived(self, kind, flags, payload):
        if kind == WINDOW_UPDATE and self.stream == 0:
            self.window += int.from_bytes(payload)
        elif kind == WINDOW_UPDATE:
            self.windows[self.stream] += int.from_bytes(payload)
        elif kind == RST_STREAM and self.waiting.pop(self.stream, None):
            self.attacker.counts["harmed"] += 1
        elif kind in (HEADERS, DATA) and self.stream in self.waiting:
            self.waiting.pop(self.stream).set()
        await super().arrived(kind, flags, payload)

    async def open_stream(self, method, path, address, *fields, ends=True):
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), ("x-forwarded-for", address), *fields]
        async with self.sending:
            stream, self.next = self.next, self.next + 2
            self.windows[stream] = WINDOW
            await super().send(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, literals(head)))
        return stream

    async def upload(self, stream, size, ends):
        """Sends a body as far as the windows permit (RFC 9113 section 5.2)."""
        while size > 0:
            count = min(size, self.window, self.windows[stream], 16384)
            if count <= 0:
                await asyncio.sleep(0.02)
                continue
            self.window, size = self.window - count, size - count
            self.windows[stream] -= count
            await self.send(frame(DATA, END_STREAM if ends and size == 0 else 0, stream, b"x" * count))


@attack(
    "proxied-h2", "on one connection of the proxy, 40 uploads to a backend that does not read, and resets, while others upload",
    way="trusted-proxy", idle="8s",
)
async def proxied_h2(attacker):
    attacker.expected += 1
    shared = await Shared.open(attacker)
    reading = asyncio.create_task(shared.read())

    async def resets():
        while True:
            stream = await shared.open_stream("GET", "/public/hang", ATTACKER)
            await shared.send(frame(RST_STREAM, 0, stream, u32(CANCEL)))
            attacker.counts["asked"] += 1
            await asyncio.sleep(0.004)

    async def stuck_upload():
        stream = await shared.open_stream("POST", "/public/unread", ATTACKER, ends=False)
        attacker.counts["asked"] += 1
        # More than all buffers on the way to the backend take.
        await shared.upload(stream, 2_000_000, False)

    async def others():
        authorization = ("authorization", f"Bearer {attacker.target.token}")
        while True:
            await asyncio.sleep(0.1)
            stream = await shared.open_stream("POST", "/api/v1/tables", OTHER, authorization, ("content-length", "20000"), ends=False)
            answered = shared.waiting[stream] = asyncio.Event()
            try:
                async with asyncio.timeout(PATIENCE):
                    await shared.upload(stream, 20000, True)
                    await answered.wait()
            except TimeoutError:
                attacker.counts["harmed"] += 1

    work = (resets(), others(), *(stuck_upload() for _ in range(40)))
    tasks = [asyncio.create_task(it) for it in work]
    try:
        # Cancelled when the attack is over; ends earlier only if the proxy ends the connection.
        await reading
    except Ended:
        attacker.counts["harmed"] += 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@attack(
    "forward-auth", "questions about endless new clients with 60 KB of fields, and 100 connections that never read the answers",
    way="forward-auth",
)
async def forward_auth(attacker):
    long = b"".join(b"X-Forwarded-%d: %s\r\n" % (number, b"a" * 15000) for number in range(4))
    numbers = iter(range(1 << 32))

    def question():
        number = next(numbers)
        address = b"10.%d.%d.%d" % (number >> 16 & 255, number >> 8 & 255, number & 255)
        return b"GET /api HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %s, %s\r\n" % (b"1.1.1.1, " * 20, address)

    async def asks(_):
        own = await attacker.connect(small=False)
        while True:
            await attacker.send(own, question() + long + b"\r\n")
            attacker.counts["asked"] += 1
            await attacker.response(own)

    async def never_reads(_):
        own = await attacker.connect()
        await attacker.send(own, b"".join(question() + b"\r\n" for _ in range(10)))
        attacker.counts["asked"] += 10
        await attacker.ended(own)

    await asyncio.gather(
        attacker.swarm(4, attacker.persistent(asks)), attacker.swarm(100, attacker.persistent(never_reads)),
    )
