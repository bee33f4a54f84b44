"""The criteria during an attack, and the durations of each form of the suite."""

import dataclasses

MIB = 1 << 20

# The memory limit of the manifests in deploy/kubernetes. Here it limits the address space, which is stricter than a
# container's limit, because reserved memory counts, too.
ADDRESS_SPACE = 256 * MIB

# Requests per second of the good client. Far below the capacity of the proxy on two cores, so that every failure and
# delay comes from the attack.
GOOD_RATE = 200

# The 99th percentile of the good client may triple. Its calm value is about 2 ms, and the proxy, the backend, the
# attackers and the good client share two cores here: the kernel's scheduler alone accounts for delays of 10 to 20 ms
# when all of them are runnable. A starved client waits for hundreds of milliseconds. What the attack adds to the
# latency of a client that connects to the backend directly is not caused by the proxy and is allowed on top, twice:
# the direct client waits for one process to be scheduled, a proxied request for two.
P99_FACTOR = 3
P99_FLOOR_MS = 25
DIRECT_FACTOR = 2

# An attack that only exceeds time limits is repeated: other load on this machine is not caused by the attack and
# rarely occurs three times in a row.
ATTEMPTS = 3

# The time that a kubelet's probe may take. A slower probe is repeated, up to PROBE_TRIES times, and the fastest
# counts: a single delay comes from the scheduler, three in a row from the proxy. A failed probe counts at once.
PROBE_MS = 100
PROBE_TRIES = 3

# Memory after the attack, compared with before: pages that the allocator keeps for the next burst.
# Measured: 2 to 13 MiB, in proportion to the peak; a second attack adds nothing to it.
LEFTOVER = 8 * MIB
# How long memory may take to be released.
RECOVERY_SECONDS = 15


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of warm-up, of good traffic before the attack, of the attack, and of good traffic after it."""

    warm: float
    calm: float
    attack: float
    after: float


QUICK = Times(warm=0.3, calm=0.7, attack=2.0, after=0.3)
FULL = Times(warm=1.0, calm=4.0, attack=20.0, after=2.0)
