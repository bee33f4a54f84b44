"""Faults, at random from a seed. Each begins, lasts for some time, and ends."""

import asyncio
import contextlib
import subprocess

from clients import ABUSES, Abuse
from program import replace
from truth import GRACE, Key

# The longest fault, in seconds.
LONGEST = 6


class Faults:
    def __init__(self, world, rng):
        self.world, self.random, self.counts = world, rng, {}

    async def run(self, stopping):
        """Begins faults until it is told to stop. One target has one fault at a time."""
        busy, running = set(), set()
        kinds = {
            "backend": self.backend, "keys": self.key_server, "store": self.store, "reload": self.reload, "rotate": self.rotate,
            "certificate": self.certificate, "revoke": self.revoke, "abuse": self.abuse, "clock": self.clock,
        }

        async def one(name):
            busy.add(name)
            try:
                what = await kinds[name]()
                self.counts[what] = self.counts.get(what, 0) + 1
            finally:
                busy.discard(name)

        while not stopping.is_set():
            free = sorted(set(kinds) - busy) + ["abuse"] * 2
            task = asyncio.create_task(one(self.random.choice(free)))
            running.add(task)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self.random.uniform(0.1, 1.5))
            running = {task for task in running if not (task.done() and task.result() is None)}
        await asyncio.gather(*running)

    async def failing(self, server, periods, modes):
        mode = self.random.choice(modes)
        periods.begin()
        await server.set_mode(mode)
        await asyncio.sleep(self.random.uniform(0.5, LONGEST))
        await server.set_mode("good")
        periods.end()
        return mode

    async def backend(self):
        modes = ("closed", "slow", "hanging", "silent", "garbage", "cut")
        return "backend " + await self.failing(self.world.backend, self.world.truth.backend, modes)

    async def key_server(self):
        modes = ("closed", "slow", "hanging", "garbage", "empty", "failing")
        return "keys " + await self.failing(self.world.key_server, self.world.truth.key_server, modes)

    async def store(self):
        return "store " + await self.failing(self.world.relay, self.world.truth.store, ("closed", "silent"))

    async def clock(self):
        truth = self.world.truth
        truth.step_clock(self.random.choice((-1, 1)) * self.random.randint(5, 300))
        await asyncio.sleep(self.random.uniform(1, LONGEST))
        truth.step_clock(0)
        return "clock step"

    async def reload(self):
        """Changes a rule, or offers a configuration with a mistake, which must change nothing."""
        truth, programs = self.world.truth, self.world.programs
        is_denied = not truth.variant_is_denied
        variant = "maybe" if self.random.random() < 0.3 else "deny" if is_denied else "allow"
        if variant != "maybe":
            truth.variant_is_changing()
        for program in programs:
            program.write(variant=variant)
            program.hang_up()
        if variant != "maybe":
            truth.variant_is(is_denied)
        await asyncio.sleep(GRACE + self.random.uniform(0, LONGEST))
        return "reload with a mistake" if variant == "maybe" else "reload"

    async def rotate(self):
        """A key is published, signs, and the one before it is withdrawn."""
        truth, source = self.world.truth, self.random.choice(("ec", "rsa"))
        old = truth.signing[source]
        name, number = old.kid.rsplit("-", 1)
        new = Key(f"{name}-{int(number) + 1}", old.algorithm)
        truth.keys[source].append(new)
        await asyncio.sleep(self.random.uniform(0, LONGEST))
        truth.signing[source] = new
        await asyncio.sleep(self.random.uniform(0, LONGEST))
        truth.retire(source, old)
        await asyncio.sleep(2 * GRACE)
        return "key rotation"

    async def certificate(self):
        for program in self.world.programs:
            if program.is_tls:
                make_certificate(program.root)
        await asyncio.sleep(self.random.uniform(1, LONGEST))
        return "certificate rotation"

    async def revoke(self):
        world = self.world
        genuine = [token for token in world.mix.pool if token.claims["jti"] not in world.truth.revoked]
        token = self.random.choice(genuine)
        source = self.random.choice(("file", "store"))
        jti = token.claims["jti"]
        if source == "file":
            world.revoked_in_file.append(jti)
            replace(world.revocations, "".join(f'{{"jti": "{jti}"}}\n' for jti in world.revoked_in_file))
        else:
            await asyncio.to_thread(world.redis.revoke, [f'{{"jti":"{jti}"}}'])
        world.truth.revoke(jti, source)
        return f"revocation in the {source}"

    async def abuse(self):
        name = self.random.choice(ABUSES)
        program = self.random.choice(self.world.programs)
        abuse = Abuse(self.world.truth, program, self.random)
        await asyncio.gather(*(abuse.run(name) for _ in range(self.random.randint(1, 20 if name != "flood" else 3))))
        return name.replace("_", " ")


def make_certificate(directory):
    """A certificate and its key, one file after the other, as most tools replace them."""
    new = directory / "new"
    new.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", new / "tls.key", "-out", new / "tls.crt"],
        check=True, capture_output=True,
    )
    for name in ("tls.crt", "tls.key"):
        (new / name).rename(directory / name)
