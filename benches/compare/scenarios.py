"""What is measured on which peers, and the check that it happened."""

import collections
import dataclasses
import pathlib
import typing

import bulk
import callgrind
import load
import memory
import peers
from counters import SCENARIOS, Refused

H2C = ("-c", "8", "-m", "8")
RATES = (3_000, 6_000)
LATENCY_CONNECTIONS = 30
# Requests of the short and the long run under callgrind.
CALLGRIND_LENGTHS = (200, 1_200)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a measurement needs besides the peer."""

    root: pathlib.Path
    # A token, and the files that wrk reads tokens from: warm, fresh, bad.
    token: str
    tokens: dict
    # Of one measurement, and of one at a fixed rate.
    seconds: int
    latency_seconds: int
    bulk_mib: int
    connections: int
    # The bulk backend's port.
    bulk: int


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One way to load some peers."""

    name: str
    peers: tuple
    # The names of what `measure` returns.
    figures: tuple
    # From a running peer and the inputs to a value for each figure.
    measure: typing.Callable
    # Whether the upstream is the one for large bodies.
    is_bulk: bool = False
    # Rounds, if one is enough.
    rounds: int | None = None


def http1(name, scheme="http"):
    """Processor time of a request over HTTP/1.1."""
    expected = SCENARIOS[name]

    def measure(running, inputs):
        if scheme == "http":
            load.warm_up(running.port, inputs.token, SCENARIOS["warm"].status)
        else:
            load.wrk(running.port, 1, inputs.tokens["warm"], scheme)
        before = running.counters()
        loaded, used = load.with_cpu(
            running, lambda: load.wrk(running.port, inputs.seconds, inputs.tokens.get(name), scheme),
        )
        check(running, before, expected, loaded, load.WRK_CONNECTIONS)
        return {name if scheme == "http" else "tls": used / loaded.requests * 1e6}

    return measure


def check(running, before, expected, loaded, unfinished):
    """Raises Refused unless every request got the status and, by metagate's own counters, the treatment that it should."""
    is_open = running.peer.program in ("nginx", "haproxy") and "jwt" not in running.peer.configuration
    loaded.check(200 if is_open else expected.status)
    if before:
        expected.check(running.counters().since(before), loaded.requests, unfinished)


def http2(running, inputs):
    """Processor time of a request over HTTP/2 without TLS."""
    load.h2load(running.port, inputs.token, [*H2C, "-n", "400"])
    before = running.counters()
    loaded, used = load.with_cpu(
        running, lambda: load.h2load(running.port, inputs.token, [*H2C, "-D", str(inputs.seconds)]),
    )
    check(running, before, SCENARIOS["warm"], loaded, 64)
    return {"http2": used / loaded.requests * 1e6}


def latency(rate):
    """Microseconds from a request to its response at a fixed rate."""

    def measure(running, inputs):
        load.warm_up(running.port, inputs.token, 200)
        log = inputs.root / "h2load.log"
        log.unlink(missing_ok=True)
        arguments = [
            "--h1", "-c", str(LATENCY_CONNECTIONS), "-D", str(inputs.latency_seconds),
            "--rps", str(rate // LATENCY_CONNECTIONS), "--log-file", str(log),
        ]
        before = running.counters()
        loaded = load.h2load(running.port, inputs.token, arguments)
        check(running, before, SCENARIOS["warm"], loaded, LATENCY_CONNECTIONS)
        return percentiles(log.read_text(), rate, inputs.latency_seconds)

    return measure


def percentiles(log, rate, seconds):
    """The 50th and 99th percentile, from h2load's log. Raises Refused if the rate was not reached."""
    times = sorted(int(line.split()[2]) for line in log.splitlines())
    if len(times) < 0.9 * rate * seconds:
        raise Refused(f"{len(times) / seconds:.0f} requests a second, not {rate}")
    return {f"p{it} at {rate}": times[len(times) * it // 100] for it in (50, 99)}


def transfer(direction):
    """Processor time of a MiB of one large body."""

    def measure(running, inputs):
        bulk.transfer(running.port, inputs.token, direction, 1)
        before = running.counters()
        _, used = load.with_cpu(running, lambda: bulk.transfer(running.port, inputs.token, direction, inputs.bulk_mib))
        if before:
            SCENARIOS["warm"].check(running.counters().since(before), 1)
        return {direction: used / inputs.bulk_mib * 1e6}

    return measure


def workers(running, inputs):
    """Requests a second, and processor time of a request, of two workers and of one."""
    load.warm_up(running.port, inputs.token, 200)
    before = running.counters()
    loaded, used = load.with_cpu(running, lambda: load.wrk(running.port, inputs.seconds, inputs.tokens["warm"]))
    check(running, before, SCENARIOS["warm"], loaded, load.WRK_CONNECTIONS)
    return {"requests of workers": loaded.requests / loaded.seconds, "cpu of workers": used / loaded.requests * 1e6}


NGINX, HAPROXY, JWT, ENVOY, METAGATE = peers.nginx(), peers.haproxy(), peers.haproxy_jwt(), peers.envoy(), peers.metagate()
UNBUFFERED = peers.nginx("nginx, unbuffered", location="proxy_buffering off; proxy_request_buffering off;")
UNREAD = peers.nginx(location="proxy_max_temp_file_size 0;")


def groups(certificate):
    """Scenarios whose peers are started alternately, for each round."""
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    https = http1("warm", "https")
    own_tls = f"tls: {{certFile: {certificate}, keyFile: {certificate}}}"
    return [
        [
            Scenario("warm", (NGINX, HAPROXY, ENVOY, METAGATE), ("warm",), http1("warm")),
            Scenario("fresh", (JWT, METAGATE), ("fresh",), http1("fresh")),
            Scenario("bad", (JWT, METAGATE), ("bad",), http1("bad")),
            Scenario("missing", (JWT, METAGATE), ("missing",), http1("missing")),
        ],
        [Scenario("http2", (peers.nginx(listen="http2"), METAGATE), ("http2",), http2)],
        [Scenario("tls", (peers.nginx(listen="ssl", server=tls), peers.metagate(more=own_tls)), ("tls",), https)],
        [
            Scenario(f"latency-{rate}", (NGINX, METAGATE), (f"p50 at {rate}", f"p99 at {rate}"), latency(rate)) for rate in RATES
        ],
        [
            Scenario(it, (UNBUFFERED, HAPROXY, METAGATE), (it,), transfer(it), is_bulk=True) for it in ("download", "upload")
        ],
        [Scenario("idle", (NGINX, HAPROXY, METAGATE), ("idle", "after"), memory.idle, rounds=1)],
        [Scenario("unread", (UNREAD, HAPROXY, METAGATE), ("unread",), memory.unread, is_bulk=True, rounds=1)],
        [
            Scenario(
                "workers", (peers.metagate("1 worker"), peers.metagate("2 workers", workers=2)),
                ("requests of workers", "cpu of workers"), workers,
            ),
        ],
    ]


def run_group(stage, scenarios, inputs, rounds, figures):
    """Measures the scenarios of a group. The peers take turns, and every other round in the opposite order."""
    of_peer = collections.defaultdict(list)
    for scenario in scenarios:
        for peer in scenario.peers:
            of_peer[peer].append(scenario)
    for number in range(min(it.rounds or rounds for it in scenarios)):
        for peer in list(of_peer)[::-1 if number % 2 else 1]:
            visit(stage, peer, of_peer[peer], inputs, figures)


def visit(stage, peer, scenarios, inputs, figures):
    """One round of one peer."""
    try:
        running = stage.start(peer, inputs.bulk if scenarios[0].is_bulk else None)
    except Refused as why:
        for scenario in scenarios:
            for figure in scenario.figures:
                figures.refuse(figure, peer.name, why)
        return
    try:
        for scenario in scenarios:
            attempt(running, scenario, inputs, figures)
    finally:
        running.process.stop()


def attempt(running, scenario, inputs, figures):
    try:
        for figure, value in scenario.measure(running, inputs).items():
            figures.add(figure, running.peer.name, value)
    except (Refused, OSError) as why:
        for figure in scenario.figures:
            figures.refuse(figure, running.peer.name, why)


def instructions(stage, inputs, figures):
    """User instructions of a warm request under callgrind, of metagate and of nginx."""
    upstream = callgrind.Upstream(stage.key)
    warm = callgrind.head(inputs.token)
    for peer in (NGINX, METAGATE):
        try:
            runs = [
                callgrind.whole_run(
                    peer, stage.program(peer.program), upstream.port, SCENARIOS["warm"], [warm] * 80, [warm] * it,
                ) for it in CALLGRIND_LENGTHS
            ]
            cost = callgrind.per_request(*runs, CALLGRIND_LENGTHS[1] - CALLGRIND_LENGTHS[0])
            figures.add("instructions", peer.name, cost.instructions)
        except (Refused, OSError) as why:
            figures.refuse("instructions", peer.name, why)
