"""What must hold while one client attacks, and how long each form of the suite takes."""

import dataclasses

MIB = 1 << 20

# The memory limit of the manifests in deploy/kubernetes. Here it limits the address space, which is stricter
# than a container's limit: memory that the allocator has only reserved counts too.
ADDRESS_SPACE = 256 * MIB

# Requests a second of the good client. Far below what the proxy can do on two cores, so that every failure and
# every delay is the attack's doing.
GOOD_RATE = 200

# The 99th percentile of the good client may triple. Its calm value is about 2 ms, and the proxy, the backend, the
# attackers and the good client share two cores here: the kernel's scheduler alone accounts for delays of 10 to
# 20 ms when all of them are runnable. A client that is starved waits for hundreds of milliseconds. What the attack adds
# to the requests of a client that asks the backend directly is not the proxy's doing, and comes on top.
P99_FACTOR = 3
P99_FLOOR_MS = 25

# An attack of which only times are over their bounds is tried again: what else this machine does is not the attack's
# doing, and does not come at the same moment twice.
ATTEMPTS = 2

# What a kubelet's probe may take. A probe that is answered later is tried again, PROBE_TRIES times in all, and the
# best try counts: a single delay is the scheduler's, three in a row are the proxy's. One that fails counts at once.
PROBE_MS = 100
PROBE_TRIES = 3

# Memory after the attack, compared with before: pages that the allocator keeps for the next burst.
# Measured: 2 to 13 MiB, in proportion to the peak; a second attack adds nothing to it.
LEFTOVER = 8 * MIB
# How long memory may take to come back.
RECOVERY_SECONDS = 15


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds until caches and connections are there, without an attack, with it, and of good traffic after it."""

    warm: float
    calm: float
    attack: float
    after: float


QUICK = Times(warm=0.4, calm=0.8, attack=2.5, after=0.3)
FULL = Times(warm=1.0, calm=4.0, attack=20.0, after=2.0)
