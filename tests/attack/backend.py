"""A backend in separate processes, which counts connections and requests in shared memory.

The path selects the behaviour: `/public/endless` gets an endless response, `/public/hang` and the OpenMetadata login
get none, and the bodies of `/public/unread` and `/unread` are never read. `/tunnel` and `/public/tunnel` switch to a
WebSocket that returns every byte, `/public/flood` to one that sends without end. All other requests are read and get 200.
"""

import asyncio
import collections
import contextlib
import ctypes
import multiprocessing
import os
import re
import socket

PIECE = b"x" * 65536
HANG = (b"/public/hang", b"/api/v1/users/login")
ATTACKED = re.compile(rb"[A-Z]+ (?:/public/|/unread|/api/v1/users/login)")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
TUNNELS = (b"/tunnel", b"/public/tunnel")
# Small kernel buffers per connection, so that unread data fills them soon.
KERNEL_BUFFER = 64 << 10
# An attacker's backend must not starve the good client either, see attackers.py.
NICER = 10


class Counters(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("open", "most", "connections", "requests")]


class Counted:
    """The counts of all processes."""

    def __init__(self):
        self.parts = []

    def part(self):
        self.parts.append(multiprocessing.Value(Counters, lock=False))
        return self.parts[-1]

    def __getattr__(self, name):
        return sum(getattr(part, name) for part in self.parts)


class Backend:
    """Connections whose first request is an attack's are served by a process of their own: how long one Python process
    takes for hundreds of them is not asked here, and the good client must not wait for it."""

    def __init__(self):
        self.counters, self.pipes, self.processes = Counted(), [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
        self.port = self.listener.getsockname()[1]
        for nicer in (0, NICER):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.start(serve, theirs, self.counters.part(), nicer)
            theirs.close()
            self.pipes.append(ours)
        self.start(sort, self.listener, *self.pipes)
        for own in (self.listener, *self.pipes):
            own.close()

    def start(self, work, *arguments):
        process = multiprocessing.Process(target=run, args=(work, arguments), daemon=True)
        process.start()
        self.processes.append(process)

    def close(self):
        for process in self.processes:
            process.terminate()
            process.join()


def run(work, arguments):
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work(*arguments))


class Passing:
    """Passes connections to another process. Few fit into the pipe while that process is busy, and the connections for
    the other process must not wait for that."""

    def __init__(self, pipe):
        self.loop, self.pipe, self.waiting = asyncio.get_running_loop(), pipe, collections.deque()
        pipe.setblocking(False)

    def add(self, own):
        self.waiting.append(own)
        if len(self.waiting) == 1:
            self.loop.add_writer(self.pipe, self.send)

    def send(self):
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                socket.send_fds(self.pipe, [b"x"], [self.waiting[0].fileno()])
                self.waiting.popleft().close()
            self.loop.remove_writer(self.pipe)


async def sort(listener, *pipes):
    """Passes each connection to the process that serves its first request."""
    loop = asyncio.get_running_loop()
    good, attacked = map(Passing, pipes)
    listener.setblocking(False)

    def sort_one(own):
        try:
            head = own.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            head = b""
        loop.remove_reader(own)
        if head:
            (attacked if ATTACKED.match(head.split(b"\r\n", 1)[0]) else good).add(own)
        else:
            own.close()

    while True:
        own, _ = await loop.sock_accept(listener)
        own.setblocking(False)
        loop.add_reader(own, sort_one, own)


async def serve(pipe, counters, nicer):
    os.nice(nicer)
    loop = asyncio.get_running_loop()
    connections = set()

    def receive():
        _, descriptors, _, _ = socket.recv_fds(pipe, 1, 1)
        for descriptor in descriptors:
            made = loop.connect_accepted_socket(lambda: Connection(counters), socket.socket(fileno=descriptor))
            task = loop.create_task(made)
            connections.add(task)
            task.add_done_callback(connections.discard)

    loop.add_reader(pipe, receive)
    await loop.create_future()


class Connection(asyncio.Protocol):
    """Serves one request after the other. The proxy sends no second one before the first response."""

    def __init__(self, counters):
        self.counters = counters
        self.head, self.body, self.is_chunked = b"", 0, False
        self.is_endless = self.is_paused = self.is_tunnel = False

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=len(PIECE))
        # Buffering an endless response in the kernel would cost this machine time that is not the proxy's.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        self.counters.connections += 1
        self.counters.open += 1
        self.counters.most = max(self.counters.most, self.counters.open)

    def connection_lost(self, _):
        self.counters.open -= 1
        self.is_endless = False

    def data_received(self, data):
        if self.is_tunnel:
            self.transport.write(data)
            return
        if self.body or self.is_chunked:
            self.body_received(data)
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if end:
            self.head = b""
            self.head_received(head, rest)

    def head_received(self, head, rest):
        self.counters.requests += 1
        path = head.split(b" ", 2)[1].split(b"?")[0]
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        self.body = int(length[1]) if length else 0
        self.is_chunked = b"\r\ntransfer-encoding:" in head.lower()
        if path.endswith(b"/unread"):
            self.transport.pause_reading()
        elif path in HANG:
            self.body, self.is_chunked = 1 << 62, False
        elif path in TUNNELS:
            self.transport.write(SWITCH)
            self.is_tunnel = True
        elif path in (b"/public/endless", b"/public/flood"):
            self.transport.write(ENDLESS if path.endswith(b"endless") else SWITCH)
            self.is_endless, self.is_paused = True, False
            self.write()
        elif self.body or self.is_chunked:
            self.body_received(rest)
        else:
            self.transport.write(ANSWER)

    def body_received(self, data):
        if self.is_chunked:
            ended = data.endswith(b"0\r\n\r\n")
        else:
            self.body -= len(data)
            ended = self.body <= 0
        if ended:
            self.body, self.is_chunked = 0, False
            self.transport.write(ANSWER)

    def pause_writing(self):
        self.is_paused = True

    def resume_writing(self):
        self.is_paused = False
        # Deferred, because a write that fails within this call would confuse the transport.
        asyncio.get_running_loop().call_soon(self.write)

    def write(self):
        while self.is_endless and not self.is_paused and not self.transport.is_closing():
            self.transport.write(PIECE)
