"""The time until a revocation counts, and the criteria."""

import time

from replica import token

# The contract: everywhere within a second.
LIMIT = 1.0
# After the store is back: the longest pause between attempts to connect, with its jitter, and the limit.
BACK = 1.25 + LIMIT

# What was violated.
failures = []


def report(what, seconds, limit):
    seconds = sorted(seconds)
    verdict = "ok" if seconds[-1] <= limit else "TOO LATE"
    if verdict != "ok":
        failures.append(what)
    p50 = seconds[len(seconds) // 2]
    print(f"{what:<58} {len(seconds):>4} samples  p50 {p50 * 1000:7.1f} ms  max {seconds[-1] * 1000:7.1f} ms  {verdict}", flush=True)


def check(what, good):
    print(f"{what:<58} {'ok' if good else 'WRONG'}", flush=True)
    if not good:
        failures.append(what)


def until_refused(replicas, name):
    """The time from now to the last replica's first refusal."""
    began, bearer = time.monotonic(), token(name)
    for replica in replicas:
        while replica.status(bearer) != 401:
            assert time.monotonic() - began < 30, f"{name} is not revoked"
            time.sleep(0.001)
    return time.monotonic() - began


def until_revoked_everywhere(redis, replicas, name):
    """The same from the server's answer to the revocation of this token."""
    bearer = token(name)
    assert all(replica.status(bearer) == 200 for replica in replicas), name
    redis.revoke([f'{{"jti":"{name}"}}'])
    return until_refused(replicas, name)


def samples(redis, replicas, name, count, pause):
    times = []
    for number in range(count):
        times.append(until_revoked_everywhere(redis, replicas, f"{name}-{number}"))
        time.sleep(pause)
    return times


def refuses_everywhere(replicas, name):
    return all(replica.status(token(name)) == 401 for replica in replicas)
