"""Attacks over WebSockets."""

import asyncio

from attackers import Ended, attack
from traffic import GOOD_ADDRESS

# Seconds that the other client's WebSocket may take to open, and to return a message.
PATIENCE = 3


def handshake(path, token=None):
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: a\r\n{authorization}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


@attack(
    "tunnels", "1,200 WebSockets without a token that never send or never read, while others open and use theirs", recovers=True,
)
async def tunnels(attacker):
    async def client(number):
        own = await attacker.connect()
        await attacker.send(own, handshake("/public/flood" if number % 2 else "/public/tunnel"))
        attacker.counts["asked"] += 1
        await attacker.head(own)
        await attacker.ended(own)

    async def talk(own):
        await attacker.send(own, b"\x81\x85\0\0\0\0hello")
        got = b""
        while len(got) < 11:
            got += await attacker.receive(own)

    async def opened():
        own = await attacker.connect(address=GOOD_ADDRESS, small=False)
        await attacker.send(own, handshake("/tunnel", attacker.target.token))
        status, _ = await attacker.head(own)
        if status != 101:
            raise Ended
        await talk(own)
        return own

    async def other(number):
        """Half of them keep one WebSocket, the others open one after the other."""
        own = None
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    own = own if own and number % 2 else await opened()
                    await talk(own)
            except (Ended, TimeoutError):
                attacker.counts["harmed"] += 1
                own = None
            await asyncio.sleep(0.2)

    await asyncio.gather(attacker.swarm(4, other), attacker.swarm(1200, attacker.persistent(client)))
