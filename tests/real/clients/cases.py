"""What happens to a client's requests, in the order in which it happens.

`results` yields, for each case and operation, what the client showed and what metagate recorded. A case whose requests
must all succeed is only in the results if one did not.
"""

import dataclasses
import itertools
import json
import re
import time

TOKENS = {
    "good token": lambda it: it.token,
    "no token": lambda it: "none",
    "malformed token": lambda it: "not-a-token",
    "expired token": lambda it: it.tokens.backends(expires=-3600),
    "bad signature": lambda it: it.tokens.backends(wrong=True),
    "revoked token": lambda it: it.revoked,
    "unknown key": lambda it: it.tokens.providers(key=it.tokens.stranger),
    "wrong audience": lambda it: it.tokens.providers(audience="other"),
    "unknown issuer": lambda it: it.tokens.providers(issuer="https://unknown.test"),
    "refused by a rule": lambda it: it.tokens.backends("reader"),
    "keys unavailable": lambda it: it.tokens.providers(issuer="https://down.test"),
}
# What the backends answer themselves: OpenMetadata's own bytes, and those of GMS' error page.
OWN = {
    "openmetadata": {
        "the backend refuses the token": (401, {"code": 401, "message": "Not Authorized! The given token does not match the current bot's token!"}, [("WWW-Authenticate", "om-auth")]),
        "the backend refuses the user": (403, {"code": 403, "message": "Principal: CatalogPrincipal{name='ada'} operations [EditAll] not allowed"}, [("WWW-Authenticate", "om-auth")]),
    },
    "datahub-gms": {
        "the backend refuses the token": (401, {"servlet": "x", "message": "Unauthorized to perform this action.", "url": "/aspects", "status": "401"}, []),
        "the backend refuses the user": (403, {"exceptionClass": "com.linkedin.restli.server.RestLiServiceException", "message": "User is unauthorized to modify entity", "status": 403}, []),
    },
}
UNAVAILABLE = {"the backend answers 503": (503, {"code": 503, "message": "Service unavailable"}, [])}
LIMITED = {"the backend answers 429": (429, {"code": 429, "message": "Too many requests"}, [("Retry-After", "1")])}


@dataclasses.dataclass
class Result:
    case: str
    operation: str
    works: bool
    # What the user of the client sees: the same in every run.
    shown: str
    # The requests that reached metagate: `method path`, status, reason, and how many of them in a row.
    requests: list
    seconds: float

    def recorded(self):
        value = dataclasses.asdict(self)
        value["seconds"] = round(self.seconds)
        return value


def steady(text, proxy):
    """Without what differs from run to run."""
    text = text.replace(f"127.0.0.1:{proxy.port}", "metagate").replace(f"localhost:{proxy.port}", "metagate")
    text = re.sub(r"0x[0-9a-f]+|@[0-9a-f]{5,}|\d{4}-\d\d-\d\dT[\d:.]+Z?", "…", text)
    text = re.sub(r"(?<=port=)\d+", "PORT", text)
    return text if len(text) <= 420 else f"{text[:400]}…"


class Stand:
    """One client, running, behind one proxy."""

    def __init__(self, client, proxy, running):
        self.client, self.proxy, self.running = client, proxy, running
        # Cases and operations that are left out.
        self.slow = set()

    def ask(self, case, operation, token):
        if (case, operation) in self.slow:
            return None
        self.proxy.records(wait=0)
        return self.result(case, operation, self.running.ask(operation, token))

    def result(self, case, operation, asked):
        works, shown, seconds = asked
        requests = [(f"{it['method']} {it['path']}", it.get("status"), it.get("reason")) for it in self.proxy.records()]
        # Of long paths the beginning says enough.
        requests = [[line[:80], status, reason, len(list(alike))] for (line, status, reason), alike in itertools.groupby(requests)]
        return Result(case, operation, works, steady(shown, self.proxy), requests, seconds)


def refusals(stand):
    for case, token in TOKENS.items():
        for operation in stand.client.operations:
            # The first request of every client is on a public route, and one of them goes without a token.
            if case != "good token" and operation in ("versions", "connect") and (operation, case) != ("connect", "expired token"):
                continue
            yield stand.ask(case, operation, token(stand.proxy))


def answers(stand, faults):
    """What the backend answers itself."""
    backend, token = stand.proxy.backend, stand.proxy.token
    for case, fault in faults.items():
        backend.fail(*fault)
        for operation in stand.client.operations:
            if operation != "versions":
                yield stand.ask(case, operation, token)
        backend.heal()


def faults(stand):
    backend, token = stand.proxy.backend, stand.proxy.token
    yield from answers(stand, OWN[stand.client.backend] | UNAVAILABLE)
    backend.slow(3)
    yield stand.ask("the backend is too slow", "write", token)
    backend.heal()
    backend.close()
    for operation in stand.client.operations:
        if operation != "versions":
            yield stand.ask("the backend is down", operation, token)
    backend.start()


def survives(stand, idle):
    """What a client must not notice."""
    proxy, token = stand.proxy, stand.proxy.token
    write = lambda case: stand.ask(case, "write", token)
    yield write("after the faults")
    for operation in ("large", *(["target"] if stand.client.name == "acryl-datahub" else [])):
        yield stand.ask("a large request", operation, token)
    proxy.backend.restart()
    yield write("the backend was restarted")
    proxy.restart()
    yield write("metagate was restarted")
    proxy.backend.slow(1.5)
    proxy.records(wait=0)
    stand.running.start("write", token)
    time.sleep(0.7)
    proxy.restart()
    asked = stand.running.finish()
    proxy.backend.heal()
    yield stand.result("metagate is restarted during a request", "write", asked)
    yield write("before the pause")
    time.sleep(idle)
    yield write(f"after a pause of {idle} s")


def limited(stand):
    """After everything else: openmetadata-ingestion sends nothing to that path for the next minute."""
    yield from answers(stand, LIMITED)


def compare(wanted, found):
    """The differences between recorded results and those of this run, in words."""
    key = lambda it: (it["case"], it["operation"])
    before, after = ({key(it): it for it in results} for results in (wanted, found))
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield f"{name}: {'not recorded' if old is None else 'no longer there'}"
            continue
        for field in ("works", "shown", "requests"):
            if old[field] != new[field]:
                yield f"{name}: {field} was {json.dumps(old[field])}, is {json.dumps(new[field])}"
        # Waiting is a client's choice; only its order of magnitude is compared.
        if abs(old["seconds"] - new["seconds"]) > 4 + old["seconds"] / 2:
            yield f"{name}: took {new['seconds']} s, {old['seconds']} s when it was recorded"
