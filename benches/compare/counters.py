"""metagate's own counters, and what they must show for a scenario to have happened."""

import dataclasses
import re
import urllib.request

SAMPLE = re.compile(r'^(\w+?)(?:\{(.*)\})? ([^ ]+)$', re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Refused(Exception):
    """A figure must not be shown. The text says why."""


@dataclasses.dataclass(frozen=True)
class Counters:
    """Numbers of requests and of look-ups in the token cache."""

    hits: int = 0
    misses: int = 0
    # "allow", or the reason of a refusal or failure, to the number of requests.
    outcomes: dict = dataclasses.field(default_factory=dict)

    def since(self, earlier):
        names = self.outcomes.keys() | earlier.outcomes.keys()
        outcomes = {it: self.outcomes.get(it, 0) - earlier.outcomes.get(it, 0) for it in names}
        return Counters(
            self.hits - earlier.hits, self.misses - earlier.misses, {it: count for it, count in outcomes.items() if count}
        )


def parse(text):
    """Reads the counters from the text of /metrics."""
    cache, outcomes = {}, {}
    for name, labels, value in SAMPLE.findall(text):
        labels = dict(LABEL.findall(labels))
        if name == "metagate_token_cache_total":
            cache[labels["result"]] = int(float(value))
        elif name == "metagate_requests_total":
            outcome = labels["reason"] or labels["decision"]
            outcomes[outcome] = outcomes.get(outcome, 0) + int(float(value))
    return Counters(cache.get("hit", 0), cache.get("miss", 0), outcomes)


def read(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        return parse(response.read().decode())


@dataclasses.dataclass(frozen=True)
class Expected:
    """What every request of a scenario must be counted as."""

    outcome: str
    # "hit", "miss" (a verified token is inserted), or None.
    cache: str | None
    status: int

    def check(self, counted, requests, unfinished=0):
        """Raises Refused unless the requests were counted as expected.

        A load generator that stops drops the requests that it has not got a response to: at most `unfinished`.
        """
        if not requests:
            raise Refused("the load generator got no response")
        if others := {it: count for it, count in counted.outcomes.items() if it != self.outcome}:
            raise Refused(f"requests ended otherwise than as {self.outcome}: {others}")
        self._compare(f"requests counted as {self.outcome}", counted.outcomes.get(self.outcome, 0), requests, unfinished)
        for result, count in (("hit", counted.hits), ("miss", counted.misses)):
            wanted = requests if result == self.cache else 0
            self._compare(f"cache look-ups counted as {result}", count, wanted, unfinished if wanted else 0)

    @staticmethod
    def _compare(what, count, wanted, unfinished):
        if not wanted <= count <= wanted + unfinished:
            raise Refused(f"{count} {what}, not {wanted}" + (f" to {wanted + unfinished}" if unfinished else ""))


SCENARIOS = {
    "warm": Expected("allow", "hit", 200),
    "fresh": Expected("allow", "miss", 200),
    "bad": Expected("invalid_signature", None, 401),
    # A bad signature from a network that has used up limits.failures.
    "limited": Expected("rate_limited", None, 429),
    "missing": Expected("missing_token", None, 401),
}
