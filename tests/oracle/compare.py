"""Both opinions on random triples: the model's, and that of a driver with the program's code."""

import base64
import json
import random
import subprocess
from collections import Counter
from dataclasses import dataclass

import model
import worlds

PER_CONFIGURATION = 64


@dataclass
class Triple:
    """A configuration, a token and a request, as plain values that can be printed and made smaller."""

    config: dict
    keys: dict
    revocations: list | None
    request: dict

    def outcome(self):
        settings = model.Settings(self.config, documents(self.keys), self.revocations)
        return decide(settings, self.request)


def documents(keys):
    return {url: json.loads(text) for url, text in keys.items()}


def decide(settings, request):
    return model.decide(settings, request["head"], request["now"], request["source"], request["body"])


class Driver:
    """The other side: a process that reads JSON lines and writes one for each."""

    def __init__(self, command):
        self.process = subprocess.Popen([command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, lines):
        self.process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self.process.stdin.flush()
        answers = []
        for _ in lines:
            answer = self.process.stdout.readline()
            if not answer:
                raise RuntimeError(f"the driver has ended: {self.process.wait()}")
            answers.append(json.loads(answer))
        return answers

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def configuration_line(config, keys, revocations):
    line = {"config": config, "keys": keys}
    if revocations is not None:
        line["revocations"] = json.dumps(revocations)
    return line


def request_line(request):
    return {
        "head": base64.b64encode(request["head"]).decode(),
        "body": base64.b64encode(request["body"]).decode(),
        "source": request["source"],
        "now": request["now"],
    }


class Batch:
    """The triples of one configuration. The same seed and number make the same ones."""

    def __init__(self, seed, number):
        source = random.Random(f"{seed}/{number}")
        self.name = f"{seed}/{number}"
        self.world = worlds.configuration(source)
        self.requests = []
        tokens = [worlds.token_plan(source, self.world) for _ in range(PER_CONFIGURATION // 3)]
        for _ in range(PER_CONFIGURATION):
            token = None if source.random() < 0.06 else source.choice(tokens)
            self.requests.append(worlds.request(source, self.world, token))
        # Clocks go forward; a token that is verified once stays in the cache.
        self.requests.sort(key=lambda request: request["now"])

    def lines(self):
        world = self.world
        return [configuration_line(world.config, world.keys, world.revocations), *map(request_line, self.requests)]

    def triple(self, request):
        return Triple(self.world.config, self.world.keys, self.world.revocations, request)


class Tally:
    """What was seen: agreements, disagreements, and how often each kind of decision occurred."""

    def __init__(self):
        self.agreed = 0
        self.refused_configurations = Counter()
        self.configurations = 0
        self.seen = Counter()
        self.disagreements = []

    def add(self, other):
        self.agreed += other.agreed
        self.configurations += other.configurations
        self.refused_configurations += other.refused_configurations
        self.seen += other.seen
        self.disagreements += other.disagreements


def check(batch, driver, tally):
    """Compares both opinions on every triple of a batch."""
    loaded, *answers = driver.ask(batch.lines())
    tally.configurations += 1
    if "errors" in loaded:
        tally.refused_configurations[loaded["errors"].split("\n")[0][:160]] += 1
        return
    settings = model.Settings(batch.world.config, documents(batch.world.keys), batch.world.revocations)
    for request, seen in zip(batch.requests, answers):
        expected = decide(settings, request)
        if expected.agrees_with(seen):
            tally.agreed += 1
        else:
            tally.disagreements.append((batch.name, batch.triple(request), expected, seen))
        tally.seen[f"{seen['decision']} {seen['reason'] or ''}".strip()] += 1
