"""Attackers: raw sockets in separate processes, counted, and stopped when their time is over."""

import asyncio
import collections
import contextlib
import dataclasses
import multiprocessing
import os
import re
import select
import signal
import socket
import struct

# A real attacker has its own machine. Here it must not starve the good client, so its niceness is this much higher. A
# negative value, if permitted, keeps other work on this machine out of the measurement.
NICER, OWN_NICENESS = 10, -10
# Seconds for all clients of an attack to connect and send something. Then the time of the attack begins.
SETUP_SECONDS = 8
# Small kernel buffers: unread data must not hide in the kernel, and sent data must not keep it busy. The kernel
# searches and collapses a full queue of megabytes with every packet, which slows everything on this machine.
RECEIVE_BUFFER = 4096
SEND_BUFFER = 64 << 10
CONNECTS_AT_ONCE = 64
# Seconds until a disconnected client reconnects.
COMES_AGAIN = 0.2


@dataclasses.dataclass
class Target:
    """What an attacker knows about its target."""

    port: int
    health: int
    admin: int
    token: str
    # Counters of the backend, see backend.py.
    backend: object
    seconds: float
    is_quick: bool


@dataclasses.dataclass
class Attack:
    name: str
    text: str
    # Called with an Attacker.
    run: object
    processes: int = 1
    backend: str = "generic"
    rules: str = ""
    limits: str = ""
    # Whether the quick form waits until memory is released.
    recovers: bool = False
    # upstream.idleTimeout: how long a request may stall.
    idle: str = "300s"
    is_tls: bool = False
    # The limits on connections to the backend, at once and in total, including those of the good client.
    most_upstream: int | None = None
    all_upstream: int | None = None
    # How the clients reach the proxy, see proxy.py.
    way: str = "direct"
    # Whether the proxy must close each attacking connection itself.
    must_be_ended: bool = False


ATTACKS = []


def attack(name, text, **options):
    def add(run):
        ATTACKS.append(Attack(name, text, run, **options))
        return run

    return add


class Ended(Exception):
    """The proxy closed or refused the connection."""


class Attacker:
    """Counts: connections, asked, answered, refused (429, 503, a reset stream, no connection), closed (by the proxy), and
    harmed: what other clients lost, where an attack has some of its own."""

    def __init__(self, target, counts):
        self.target, self.counts = target, counts
        self.connecting = asyncio.Semaphore(CONNECTS_AT_ONCE)
        self.sockets = []
        # The number of clients to start, and the sockets that have sent something or ended.
        self.expected, self.begun = 0, set()

    async def swarm(self, count, client):
        """Runs this many clients at once. If the proxy ends one, the others go on."""

        async def one(number):
            with contextlib.suppress(Ended):
                await client(number)

        self.expected += count
        await asyncio.gather(*(one(number) for number in range(count)))

    async def connect(self, port=None, address="127.0.0.1", small=True):
        own = socket.socket()
        own.setblocking(False)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.sockets.append(own)
        async with self.connecting:
            try:
                own.bind((address, 0))
                await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", port or self.target.port))
            except OSError:
                self.counts["refused"] += 1
                self.begun.add(own)
                raise Ended from None
        self.counts["connections"] += 1
        return own

    async def send(self, own, data):
        try:
            await asyncio.get_running_loop().sock_sendall(own, data)
        except OSError:
            self.counts["closed"] += 1
            raise Ended from None
        finally:
            self.begun.add(own)

    async def receive(self, own, size=65536):
        try:
            data = await asyncio.get_running_loop().sock_recv(own, size)
        except OSError:
            data = b""
        if not data:
            self.counts["closed"] += 1
            raise Ended
        return data

    async def head(self, own):
        """The status of an HTTP/1.1 response, counted. Reads no further than necessary."""
        got = b""
        while b"\r\n\r\n" not in got:
            got += await self.receive(own, 4096)
        status = int(got.split(b" ", 2)[1])
        self.count(status)
        return status, got

    async def response(self, own):
        """The status of a response, read to its end."""
        status, got = await self.head(own)
        head, _, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        left = int(length[1]) - len(body) if length else 0
        while left > 0:
            left -= len(await self.receive(own, left))
        return status

    def count(self, status):
        self.counts["refused" if status in (429, 503) else "answered"] += 1

    def persistent(self, client):
        """A client that reconnects when the proxy has closed its connection, so that it keeps competing for a slot."""

        async def again(number):
            while True:
                with contextlib.suppress(Ended):
                    await client(number)
                await asyncio.sleep(COMES_AGAIN)

        return again

    async def until_closed(self, own):
        """Reads until the proxy ends the connection."""
        while True:
            await self.receive(own)

    async def ended(self, own):
        """Waits until the proxy has closed a connection that is not read."""
        poll = select.poll()
        poll.register(own, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        while not poll.poll(0):
            await asyncio.sleep(COMES_AGAIN)
        self.counts["closed"] += 1
        raise Ended

    def reset(self, own):
        """Closes it with a reset, so that no ports stay in TIME_WAIT."""
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        own.close()


def prefer_this_process():
    with contextlib.suppress(OSError):
        os.nice(OWN_NICENESS)


class Attackers:
    """The processes of one attack."""

    def __init__(self, chosen, target):
        self.processes = []
        for _ in range(chosen.processes):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.Process(target=run, args=(chosen, target, theirs), daemon=True)
            process.start()
            theirs.close()
            self.processes.append((process, ours))

    def wait(self, timeout):
        """Waits for all processes and returns their counts. Those that exceed the timeout are killed."""
        counts = collections.Counter()
        for process, pipe in self.processes:
            if pipe.poll(timeout):
                with contextlib.suppress(EOFError):
                    counts.update(pipe.recv())
            process.join(timeout)
            if process.is_alive():
                counts["broken"] += 1
                process.kill()
                process.join()
            counts["broken"] += process.exitcode != 0
        return counts

    def running(self):
        return any(process.is_alive() for process, _ in self.processes)


def run(chosen, target, pipe):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICER)
    counts = collections.Counter()
    asyncio.run(bounded(chosen, target, counts))
    pipe.send(counts)


async def bounded(chosen, target, counts):
    """Runs the attack for its full time, and keeps its connections until then."""
    attacker = Attacker(target, counts)
    running = asyncio.create_task(chosen.run(attacker))
    for _ in range(SETUP_SECONDS * 20):
        await asyncio.sleep(0.05)
        if attacker.expected <= len(attacker.begun):
            break
    await asyncio.sleep(target.seconds)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError, Ended):
        await running
    for own in attacker.sockets:
        own.close()
