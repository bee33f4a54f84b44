"""A relay with small buffers, which makes loopback behave more like a network.

Loopback buffers megabytes before a write blocks, so a client has sent its whole body before the proxy closes, and
reads a response that it would have lost over a network. The relay forwards data as it arrives, and a reset as a reset.
"""

import asyncio
import contextlib
import multiprocessing
import socket
import struct

BUFFER = 16 << 10


class Relay:
    def __init__(self, port):
        self.upstream = port
        listener = small(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        listener.setblocking(False)
        self.listener, self.port = listener, listener.getsockname()[1]
        self.process = multiprocessing.Process(target=self.run, daemon=True)
        self.process.start()
        listener.close()

    def run(self):
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(self.accept())

    async def accept(self):
        loop, tasks = asyncio.get_running_loop(), set()
        while True:
            client, _ = await loop.sock_accept(self.listener)
            task = asyncio.create_task(self.serve(client))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def serve(self, client):
        loop, proxy = asyncio.get_running_loop(), small(socket.socket())
        for own in (client, proxy):
            own.setblocking(False)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pumps = []
        try:
            await loop.sock_connect(proxy, ("127.0.0.1", self.upstream))
            pumps = [asyncio.create_task(pump(client, proxy)), asyncio.create_task(pump(proxy, client))]
            await asyncio.gather(*pumps)
        except OSError:
            for own in (client, proxy):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            client.close()
            proxy.close()

    def close(self):
        self.process.terminate()
        self.process.join()


def small(own):
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return own


async def pump(source, sink):
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, BUFFER):
        await loop.sock_sendall(sink, data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
