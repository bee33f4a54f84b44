"""Attacks that make the proxy compute."""

import json
import os

from attackers import attack
from proxy import GRAPHQL_RULE, url64

OPERATIONS = 63


def many_fragments():
    """Under 64 KiB: many operations over one fragment that spreads many others."""
    names = [f"a{number:x}" for number in range(2050)]
    fragments = "".join(f"fragment {name} on Q{{x}}" for name in names)
    return operations() + f"fragment F on Q{{{''.join(f'...{name} ' for name in names)}}}" + fragments


def many_fields():
    return operations() + f"fragment F on Q{{{'a ' * 15_000}}}"


def operations():
    return "".join(f"query o{number:x}{{...F}}" for number in range(OPERATIONS))


def graphql_request(token, query):
    body = json.dumps({"query": query, "operationName": "o1"}, separators=(",", ":")).encode()
    assert len(body) < 64 << 10, len(body)
    head = f"POST /graphql HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(attacker, query):
    """One request after the other, with a valid token."""
    request = graphql_request(attacker.target.token, query)

    async def client(_):
        own = await attacker.connect(small=False)
        while True:
            await attacker.send(own, request)
            attacker.counts["asked"] += 1
            await attacker.response(own)

    await attacker.swarm(1, attacker.persistent(client))


@attack("graphql-fragments", f"{OPERATIONS} operations over a fragment that spreads 2,050 others, in 60 KB", rules=GRAPHQL_RULE)
async def graphql_fragments(attacker):
    await ask(attacker, many_fragments())


@attack("graphql-fields", f"{OPERATIONS} operations over a fragment of 15,000 fields, in 32 KB", rules=GRAPHQL_RULE)
async def graphql_fields(attacker):
    await ask(attacker, many_fields())


@attack(
    "bad-signatures", "tokens with bad signatures, each a new one, as fast as 8 connections can, with limits.failures off",
    limits="failures: {rate: off}",
)
@attack("limited-signatures", "the same with limits.failures as it is by default: after the first 100, 429")
async def bad_signatures(attacker):
    header, payload, _ = attacker.target.token.split(".")

    async def client(_):
        own = await attacker.connect(small=False)
        while True:
            bad = url64(os.urandom(256)).decode()
            await attacker.send(own, f"GET /api HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {header}.{payload}.{bad}\r\n\r\n".encode())
            attacker.counts["asked"] += 1
            await attacker.response(own)

    await attacker.swarm(8, attacker.persistent(client))
