"""Attacks on the probe listeners, whose responses decide whether a pod is restarted."""

import asyncio

from attackers import attack


def pipelined(path, port):
    return b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, port)


@attack("probe-hold", "64 sockets on health and 32 on admin that pipeline requests and never read")
async def probe_hold(attacker):
    async def client(number):
        path, port = place(attacker.target, number)
        own = await attacker.connect(port)
        for _ in range(20):
            await attacker.send(own, pipelined(path, port) * 100)
            attacker.counts["asked"] += 100
            # Lets the listener run: it must be blocked on writing responses, not on reading.
            await asyncio.sleep(0.02)
        await attacker.ended(own)

    await attacker.swarm(96, attacker.persistent(client))


@attack("probe-idle", "200 idle connections, 200 slow heads and 200 slow bodies, on health and on admin")
async def probe_idle(attacker):
    async def client(number):
        path, port = place(attacker.target, number)
        own = await attacker.connect(port)
        if number % 3 == 0:
            await attacker.until_closed(own)
        slow = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Slow: " % (path, port) + b"a" * 1000
        if number % 3 == 1:
            await attacker.send(own, b"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 100000\r\n\r\n" % (path, port))
        for byte in slow:
            await attacker.send(own, bytes([byte]))
            await asyncio.sleep(0.5)

    await attacker.swarm(600, attacker.persistent(client))


def place(target, number):
    """Two thirds on the health listener, the rest on the admin listener."""
    return (b"/status", target.admin) if number % 3 == 2 else (b"/metrics", target.health)
