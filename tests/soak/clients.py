"""Clients: some behave well and know which response is right, others do not behave."""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import socket
import ssl
import struct
import time

import httpx

from truth import BACKEND_FAILED, FORWARDED, GRACE, Key

RATE = 20
GOOD_ADDRESS, BAD_ADDRESS = "127.0.0.2", "127.0.0.9"
UNVERIFIED_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED_TLS.check_hostname, UNVERIFIED_TLS.verify_mode = False, ssl.CERT_NONE
UNKNOWN = {name: Key(f"{name}-0", algorithm) for name, algorithm in (("ec", "ES256"), ("rsa", "RS256"))}


@dataclasses.dataclass
class Sent:
    """A request with its response."""

    name: str
    kind: str
    method: str
    program: object
    # None if nothing about it depends on a token.
    token: object
    start: float
    end: float = 0.0
    # The status, or the error.
    outcome: object = None


def expired(truth, source):
    return truth.token(source, exp=int(truth.now()) - random.randint(600, 6000))


def early(truth, source):
    return truth.token(source, nbf=int(truth.now()) + random.randint(600, 6000))


def forged(truth, source):
    """Signed by another key of the same name."""
    genuine = truth.signing[source]
    truth.signing[source] = UNKNOWN[source]
    UNKNOWN[source].kid = genuine.kid
    try:
        return truth.token(source)
    finally:
        truth.signing[source] = genuine


def unsigned(truth, source):
    token = truth.token(source)
    token.text = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + token.text.split(".")[1] + "."
    return token


# Tokens that are wrong at every moment, whatever fails. Each gets 401, or 503 while it cannot be judged.
BAD = {
    "expired": expired,
    "early": early,
    "forged": forged,
    "unsigned": unsigned,
    "audience": lambda truth, source: truth.token(source, aud="other"),
    "issuer": lambda truth, source: truth.token(source, iss="https://other.example"),
    "truncated": lambda truth, source: cut(truth.token(source)),
}


def cut(token):
    token.text = token.text[:-20]
    return token


class Mix:
    """Chooses requests. Tokens are used many times, as real clients do."""

    def __init__(self, truth, seed):
        self.truth, self.random, self.pool, self.count = truth, random.Random(seed), [], 0
        # Wrong decisions, and the requests that may reach the backend.
        self.wrong, self.may_arrive, self.outcomes = [], set(), collections.Counter()
        # Of the requests with genuine tokens: how many had to be accepted (True), refused, or might be either.
        self.verdicts = collections.Counter()

    def genuine(self, program):
        """A token of the pool. One that is certainly refused, whether revoked, expired or of a retired key, stays for a few requests."""
        pool = self.pool
        if len(pool) < 150 or self.random.random() < 0.05:
            claims = {"exp": int(self.truth.now()) + self.random.randint(5, 60)} if self.random.random() < 0.3 else {}
            pool.append(self.truth.token(self.random.choice(("ec", "rsa")), **claims))
        if len(pool) > 300:
            del pool[self.random.randrange(100)]
        at, now = self.random.randrange(len(pool)), time.monotonic()
        token = pool[at]
        if self.truth.judge(token, program, now, now) is False and self.random.random() < 0.3:
            del pool[at]
        return token

    def next(self, program):
        """A request that is not sent yet: its record, path and fields."""
        self.count += 1
        name, dice = f"soak-{self.count}", self.random.random()
        method = self.random.choice(("GET", "GET", "POST", "PUT"))
        token, path = None, "/api/v1/tables"
        if dice < 0.05:
            kind = "none"
        elif dice < 0.10:
            kind, path = "public", "/public/page"
        elif dice < 0.25:
            kind = self.random.choice(list(BAD))
            token = BAD[kind](self.truth, self.random.choice(("ec", "rsa")))
        else:
            kind, path = self.random.choice((("good", path), ("good", path), ("good", path), ("admin", "/admin/x"), ("variant", "/variant")))
            token = self.genuine(program)
        fields = {"X-Request-Id": name} | ({"Authorization": f"Bearer {token.text}"} if token else {})
        return Sent(name, kind, method, program, token, time.monotonic()), path, fields


    def judge(self, sent):
        """Right after the response, because what is right changes."""
        statuses, may_arrive = allowed(sent, self.truth)
        self.outcomes[sent.kind, str(sent.outcome).split(":")[0]] += 1
        if sent.kind == "good":
            self.verdicts[self.truth.judge(sent.token, sent.program, sent.start, sent.end)] += 1
        if may_arrive:
            self.may_arrive.add(sent.name)
        if sent.outcome == 200 and sent.token and sent.program not in sent.token.key.known_by:
            sent.token.key.known_by.append(sent.program)
        # A response that was cut off at the backend is cut off at the client, and one whose token is revoked ends, too.
        was_cut = isinstance(sent.outcome, str) and may_arrive and (
            self.truth.backend.during(sent.start - 5, sent.end) or sent.token and sent.token.claims["jti"] in self.truth.revoked
        )
        if sent.outcome not in statuses and not was_cut:
            self.wrong.append(f"{sent.name}: {sent.kind} {sent.method}: {sent.outcome}, not {sorted(statuses)} ({sent.end - sent.start:.1f} s)")


def allowed(sent, truth):
    """The statuses that are right for a request, and whether it may have reached the backend."""
    good = FORWARDED | (BACKEND_FAILED if truth.backend.during(sent.start - 5, sent.end) else set())
    if sent.kind == "none":
        return {401}, False
    if sent.kind == "public":
        return good, True
    if sent.kind in BAD:
        return {401, 503}, False
    accepted = truth.judge(sent.token, sent.program, sent.start, sent.end)
    statuses, forwarded = right_of(sent, truth, good)
    if accepted is True:
        return statuses, forwarded
    return ({401, 503} | (statuses if accepted is None else set())), forwarded and accepted is None


def right_of(sent, truth, good):
    """The statuses for an accepted token."""
    if sent.kind == "admin":
        return {403}, False
    if sent.kind == "variant":
        if sent.start < truth.variant_since + GRACE and sent.end > truth.variant_changes:
            return good | {403}, True
        return ({403}, False) if truth.variant_is_denied else (good, True)
    return good, True


async def well_behaved(mix, program, sent, is_http2, stopping):
    """One client with its own connections, as a real library keeps them."""
    scheme = "https" if program.is_tls else "http"
    transport = httpx.AsyncHTTPTransport(
        http2=is_http2, verify=UNVERIFIED_TLS, local_address=GOOD_ADDRESS, limits=httpx.Limits(max_connections=4, keepalive_expiry=5),
    )
    async with httpx.AsyncClient(transport=transport, timeout=20) as client:
        while not stopping.is_set():
            await asyncio.sleep(mix.random.expovariate(RATE))
            request, path, fields = mix.next(program)
            sent.append(request)
            body = b"{}" * mix.random.choice((1, 100, 5000)) if request.method != "GET" else None
            try:
                response = await client.request(request.method, f"{scheme}://127.0.0.1:{program.port}{path}", headers=fields, content=body)
                request.outcome = response.status_code
            except httpx.HTTPError as error:
                request.outcome = f"{type(error).__name__}: {error}"
            request.end = time.monotonic()
            mix.judge(request)


class Abuse:
    """Clients that stall, leave and flood. Their requests have names, too: each has at most one audit record."""

    # Of all of them, so that no two requests have the same name.
    numbers = itertools.count(1)

    def __init__(self, truth, program, rng):
        self.truth, self.program, self.random = truth, program, rng

    def head(self, token, method="GET", more=""):
        authorization = f"Authorization: Bearer {token.text}\r\n" if token else ""
        name = f"abuse-{method}-{next(self.numbers)}"
        return f"{method} /api/v1/tables HTTP/1.1\r\nHost: a\r\nX-Request-Id: {name}\r\n{authorization}{more}\r\n".encode()

    async def connect(self):
        tls = UNVERIFIED_TLS if self.program.is_tls else None
        return await asyncio.open_connection("127.0.0.1", self.program.port, local_addr=(BAD_ADDRESS, 0), ssl=tls)

    async def run(self, name):
        with contextlib.suppress(OSError, EOFError, ssl.SSLError):
            await getattr(self, name)()

    async def stall_in_head(self):
        _, writer = await self.connect()
        writer.write(self.head(None)[:-3])
        await asyncio.sleep(self.random.uniform(0.5, 4))
        writer.transport.abort()

    async def stall_in_body(self):
        _, writer = await self.connect()
        writer.write(self.head(self.truth.token("ec"), "POST", "Content-Length: 1000\r\n") + b"x" * 10)
        await asyncio.sleep(self.random.uniform(0.5, 4))
        writer.transport.abort()

    async def reset(self):
        """Resets the connection right after a request, or within its response."""
        _, writer = await self.connect()
        writer.write(self.head(self.truth.token("ec"), "POST", "Content-Length: 2\r\n") + b"{}")
        await asyncio.sleep(self.random.choice((0, 0.001, 0.01)))
        # None once the gateway has closed a TLS connection.
        if raw := writer.get_extra_info("socket"):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def never_read(self):
        _, writer = await self.connect()
        writer.transport.pause_reading()
        token = self.truth.token("ec")
        for _ in range(50):
            writer.write(self.head(token))
        await asyncio.sleep(self.random.uniform(0.5, 4))
        writer.transport.abort()

    async def flood(self):
        """Forged tokens, as fast as one connection allows, for a second."""
        reader, writer = await self.connect()
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            writer.write(self.head(forged(self.truth, "ec")))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.transport.abort()

    async def garbage(self):
        _, writer = await self.connect()
        writer.write(self.random.randbytes(200))
        await asyncio.sleep(0.2)
        writer.transport.abort()


ABUSES = ("stall_in_head", "stall_in_body", "reset", "never_read", "flood", "garbage")
