"""How the cost of a request grows with the size of the configuration. The work of a request stays the same."""

import dataclasses
import time
import typing

import load
import peers
import scenarios
from counters import SCENARIOS
from machine import MIB

# The revocation file is looked at every two seconds.
IDLE_SECONDS = 4
# A file is read once more when five seconds have passed since it was first seen.
SETTLE_SECONDS = 9


@dataclasses.dataclass(frozen=True)
class Curve:
    """What grows: its name, its sizes, and the configuration of a size."""

    name: str
    sizes: tuple
    # From a directory and a size to the lines at the end of metagate.yaml.
    configuration: typing.Callable
    # Whether the processor time without requests is measured, too.
    is_idle_measured: bool = False


def rules(_, size):
    match = lambda it: f'{{methods: [GET], paths: ["/api/v1/thing{it:05d}/**"]}}'
    lines = (f"    - {{name: r{it}, match: {match(it)}, action: deny}}" for it in range(size))
    return "\n".join(["authorization:", "  rules:", *lines])


def routes(_, size):
    lines = (f'    - "GET /public/thing{it:05d}/**"' for it in range(size))
    return "\n".join(["authorization:", "  public:", *lines])


def revocations(root, size):
    path = root / f"revocations-{size}.yaml"
    # Short entries: a million of them are 16 MB.
    path.write_text("".join(f'{{"jti":"{it:05x}"}}\n' for it in range(size)))
    return f"  revocations: {{file: {path}}}"


CURVES = (
    Curve("rules", (1, 100, 1_000, 10_000), rules),
    Curve("routes", (1, 100, 1_000, 10_000), routes),
    Curve("revocations", (1, 1_000, 100_000, 1_000_000), revocations, is_idle_measured=True),
)


def size_name(curve, size):
    """Of the peer with this configuration."""
    return f"{size:,} {curve.name if size > 1 else curve.name.removesuffix('s')}"


def measure(curve):
    def of(running, inputs):
        if curve.is_idle_measured:
            time.sleep(SETTLE_SECONDS)
        load.warm_up(running.port, inputs.token, 200)
        before = running.counters()
        loaded, used = load.with_cpu(running, lambda: load.wrk(running.port, inputs.seconds, inputs.tokens["warm"]))
        scenarios.check(running, before, SCENARIOS["warm"], loaded, load.WRK_CONNECTIONS)
        figures = {f"{curve.name} cpu": used / loaded.requests * 1e6}
        if curve.is_idle_measured:
            started, used = time.monotonic(), running.process.seconds()
            time.sleep(IDLE_SECONDS)
            figures[f"{curve.name} idle"] = (running.process.seconds() - used) / (time.monotonic() - started) * 1_000
        return figures | {f"{curve.name} memory": running.process.memory() / MIB}

    return of


def rounds(is_quick):
    return 2 if is_quick else 3


def group(root, curve, is_quick):
    """The scenario of a curve: each size is a peer. A quick run has the ends only."""
    sizes = (curve.sizes[0], curve.sizes[-1]) if is_quick else curve.sizes
    variants = tuple(peers.metagate(size_name(curve, it), more=curve.configuration(root, it)) for it in sizes)
    measured = ("cpu", "memory", "idle") if curve.is_idle_measured else ("cpu", "memory")
    figures = tuple(f"{curve.name} {it}" for it in measured)
    return [scenarios.Scenario(curve.name, variants, figures, measure(curve), rounds=rounds(is_quick))]
