"""Attacks by a peer that does not read: a client that ignores a response, a backend that ignores an upload."""

import asyncio

from http2.wire import (
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, literals,
    settings, u32,
)

from attackers import attack

FULL_WINDOW = (1 << 31) - 1
# While the backend reads nothing, the proxy reads nothing from the client either, so it notices a disconnect only at
# the idle timeout.
IDLE = "8s"


@attack("unread-answers-h1", "1,000 clients (400 in the quick form) that do not read an endless answer of a public route", recovers=True)
async def unread_answers_h1(attacker):
    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, b"GET /public/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        attacker.counts["asked"] += 1
        await attacker.head(own)
        await attacker.ended(own)

    await attacker.swarm(400 if attacker.target.is_quick else 1000, client)


@attack("unread-answers-h2", "20 connections of 100 streams with open windows that read no endless answer of a public route")
async def unread_answers_h2(attacker):
    async def client(_):
        own = await attacker.connect()
        head = [(":method", "GET"), (":scheme", "http"), (":path", "/public/endless"), (":authority", "a")]
        streams = [frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, literals(head)) for n in range(100)]
        opening = PREFACE + settings((INITIAL_WINDOW_SIZE, FULL_WINDOW)) + frame(WINDOW_UPDATE, 0, 0, u32(FULL_WINDOW - 65535))
        await attacker.send(own, opening + b"".join(streams))
        attacker.counts["asked"] += 100
        await attacker.ended(own)

    await attacker.swarm(20, client)


async def upload(attacker, count, path, authorization):
    """Uploads that continue as long as the proxy accepts data."""

    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: 1000000000\r\n\r\n" % (path, authorization))
        attacker.counts["asked"] += 1
        while True:
            await attacker.send(own, b"x" * 65536)

    await attacker.swarm(count, client)


@attack("unread-uploads", "600 uploads (300 in the quick form), half of them with a token, to a backend that does not read", idle=IDLE)
async def unread_uploads(attacker):
    count = 150 if attacker.target.is_quick else 300
    authorization = f"Authorization: Bearer {attacker.target.token}\r\n".encode()
    await asyncio.gather(upload(attacker, count, b"/unread", authorization), upload(attacker, count, b"/public/unread", b""))


@attack("unread-uploads-h2", "20 connections of 100 uploads that fill every window, on a public route, to a backend that does not read", idle=IDLE)
async def unread_uploads_h2(attacker):
    async def client(_):
        own = await attacker.connect()
        head = literals([(":method", "POST"), (":scheme", "http"), (":path", "/public/unread"), (":authority", "a")])
        streams = range(1, 200, 2)
        await attacker.send(own, PREFACE + settings() + b"".join(frame(HEADERS, END_HEADERS, stream, head) for stream in streams))
        attacker.counts["asked"] += 100
        windows = Windows()
        while True:
            data = windows.fill(streams)
            if data:
                await attacker.send(own, data)
            windows.learn(await attacker.receive(own))

    await attacker.swarm(20, client)


class Windows:
    """The flow-control windows of the connection and each stream (RFC 9113 section 6.9)."""

    def __init__(self):
        self.initial, self.connection, self.streams, self.got = 65535, 65535, {}, b""

    def learn(self, data):
        self.got += data
        while len(self.got) >= 9 and len(self.got) >= (length := 9 + int.from_bytes(self.got[:3])):
            kind, flags, stream = self.got[3], self.got[4], int.from_bytes(self.got[5:9])
            payload, self.got = self.got[9:length], self.got[length:]
            if kind == WINDOW_UPDATE and stream == 0:
                self.connection += int.from_bytes(payload)
            elif kind == WINDOW_UPDATE:
                self.streams[stream] = self.streams.get(stream, 0) + int.from_bytes(payload)
            elif kind == SETTINGS and not flags:
                for at in range(0, len(payload), 6):
                    if int.from_bytes(payload[at : at + 2]) == INITIAL_WINDOW_SIZE:
                        self.initial = int.from_bytes(payload[at + 2 : at + 6])
            elif kind == RST_STREAM:
                self.streams[stream] = -FULL_WINDOW

    def fill(self, streams):
        """DATA that fits the open windows, one frame per stream in turn."""
        frames = []
        for stream in streams:
            size = min(16384, self.connection, self.initial + self.streams.get(stream, 0))
            if size > 0:
                self.streams[stream] = self.streams.get(stream, 0) - size
                self.connection -= size
                frames.append(frame(DATA, 0, stream, b"x" * size))
        return b"".join(frames)
