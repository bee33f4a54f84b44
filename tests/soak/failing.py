"""The servers that fail: the backend, the key server, and the way to the store. Each behaves as its `mode` says."""

import asyncio
import collections
import contextlib
import json
import re

SLOW, HANG = 1.5, 30
BODY = b"x" * 3000


class Server:
    """Listens on a port of its own, also again after it was `closed`."""

    def __init__(self):
        self.mode, self.port, self.server, self.open = "good", 0, None, set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def set_mode(self, mode):
        if mode == "closed":
            self.server.close()
            for writer in list(self.open):
                writer.transport.abort()
        elif self.mode == "closed":
            await self.start()
        self.mode = mode

    async def serve(self, reader, writer):
        self.open.add(writer)
        try:
            # At the end of the test the connections that are left are cancelled.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self.connection(reader, writer)
        finally:
            self.open.discard(writer)
            writer.transport.abort()


async def read_head(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.split("\r\n")
    return line.split(" ")[1], {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}


class Backend(Server):
    """Counts what arrives and what it read whole, by X-Request-Id."""

    def __init__(self):
        super().__init__()
        self.arrived, self.executed = collections.Counter(), collections.Counter()
        self.wrong = []

    async def connection(self, reader, writer):
        while True:
            _, fields = await read_head(reader)
            name = fields.get("x-request-id", "")
            self.arrived[name] += 1
            await self.read_body(reader, fields)
            self.executed[name] += 1
            if not await self.respond(writer):
                return

    async def read_body(self, reader, fields):
        if "transfer-encoding" in fields:
            while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
                await reader.readexactly(size + 2)
            await reader.readline()
        elif length := int(fields.get("content-length", 0)):
            await reader.readexactly(length)

    async def respond(self, writer):
        """Returns whether the connection goes on."""
        mode = self.mode
        if mode == "slow":
            await asyncio.sleep(SLOW)
        elif mode == "hanging":
            await asyncio.sleep(HANG)
        elif mode == "silent":
            return False
        elif mode == "garbage":
            writer.write(b"\x00\xff garbage\r\n\r\n")
            await writer.drain()
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        writer.write(BODY[:1000] if mode == "cut" else BODY)
        await writer.drain()
        return mode != "cut"


class KeyServer(Server):
    """Serves /NAME with the keys of the truth."""

    def __init__(self, truth):
        super().__init__()
        self.truth, self.fetches = truth, 0

    async def connection(self, reader, writer):
        path, _ = await read_head(reader)
        self.fetches += 1
        mode = self.mode
        if mode == "slow":
            await asyncio.sleep(SLOW)
        elif mode == "hanging":
            await asyncio.sleep(HANG)
        keys = [key.jwk() for key in self.truth.keys[path.strip("/")]]
        body, status = json.dumps({"keys": keys}).encode(), b"200 OK"
        if mode == "garbage":
            body = body[: len(body) // 2]
        elif mode == "empty":
            body = b'{"keys": []}'
        elif mode == "failing":
            body, status = b"oops", b"500 Internal Server Error"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        # The client closes.
        await reader.read()


class Relay(Server):
    """Passes bytes on to the store. While `silent` it keeps its connections and passes nothing on."""

    def __init__(self, port):
        super().__init__()
        self.target = port

    async def connection(self, reader, writer):
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            passing = [asyncio.create_task(self.copy(*pair)) for pair in ((reader, upstream), (upstream_reader, writer))]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            for task in passing:
                task.cancel()
        finally:
            upstream.transport.abort()

    async def copy(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while self.mode == "silent":
                    await asyncio.sleep(0.05)
                writer.write(data)
                await writer.drain()


def gauges(text):
    """The samples of an exposition."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {re.sub(r"\{\}$", "", name): float(value) for name, value in lines}
