"""Tries many mutants with one build: each has a switch (switches.py), and the tests that reach a switch run with it on.

1. Every mutant is written into a copy of the tree. While it does not compile, those at fault are taken out.
2. Those taken out are compiled as cargo-mutants writes them, as many at a time as there are functions. If the function of one does
   not compile, it is unviable; otherwise it is left to cargo-mutants.
3. Each test runs alone once, and notes the switches that it asks for.
4. For each mutant the tests that reach it run, the quickest first, until one fails, does not end, or takes the process with it.
"""

import bisect
import collections
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import switches

MODULE = """
/// Whether a mutant is switched on; with no number given, the switch is noted.
pub(crate) fn mutant(number: usize) -> bool {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    enum Mode { One(usize), Note(std::fs::File) }
    static MODE: LazyLock<Mode> = LazyLock::new(|| match std::env::var("MUTANT_REACHED") {
        Ok(path) => Mode::Note(std::fs::OpenOptions::new().append(true).open(path).unwrap()),
        Err(_) => Mode::One(std::env::var("MUTANT").map_or(usize::MAX, |it| it.parse().unwrap())),
    });
    static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
    match &*MODE {
        Mode::One(on) => *on == number,
        Mode::Note(file) => {
            if !REACHED[number].swap(true, Ordering::Relaxed) {
                (&*file).write_all(format!("{number}\\n").as_bytes()).unwrap();
            }
            false
        }
    }
}
"""
# KiB, as `tests` has it.
MEMORY = 4_000_000
# Seconds of processor time that tests take at least before they count as endless, and how many times as long as without a mutant.
LEAST, TIMES = 4, 8
# Of a process that waits instead of working.
WALL = 120
# The quickest tests are tried first: as many as take so many seconds together, then more, then the others.
PARTS = [0.2, 2]
# The options of the test harness that stop at the first failure are not stable.
FAIL_FAST = ["-Zunstable-options", "--fail-fast", "--test-threads", "1"]


class Unswitched(Exception):
    """What keeps the build from working and no mutant is at fault of."""


@dataclasses.dataclass
class Outcome:
    """How tests ended: `status` as subprocess has it, None if they did not end; `seconds` of processor time."""

    status: int | None
    seconds: float
    text: str


class Tree:
    """The copy with the switches."""

    def __init__(self, folder, target, entries):
        self.folder, self.target, self.entries = folder, target, entries
        self.sources, self.changes = {}, collections.defaultdict(list)
        for number, entry in enumerate(entries):
            file = entry["file"]
            if file not in self.sources:
                self.sources[file] = switches.Source((folder / file).read_bytes())
            self.changes[file].append(self.sources[file].change(number, entry))
        self.root = (folder / "src/lib.rs").read_bytes()

    def write(self, file, octets):
        """So that an unchanged file is not newer."""
        if (path := self.folder / file).read_bytes() != octets:
            path.write_bytes(octets)

    def restore(self):
        for file, source in self.sources.items():
            self.write(file, source.octets)
        self.write("src/lib.rs", self.root)

    def build(self):
        """The test program, or the errors: file, start, end, text."""
        command = ["cargo", "test", "--locked", "--lib", "--no-default-features", "--no-run", "--message-format=json"]
        wrapper = str(self.folder / "tests/mutants/compiler")
        environment = {**os.environ, "CARGO_TARGET_DIR": str(self.target), "RUSTC_WORKSPACE_WRAPPER": wrapper}
        done = subprocess.run(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        program, errors = None, []
        for message in map(json.loads, done.stdout.splitlines()):
            if message["reason"] == "compiler-message" and message["message"]["level"].startswith("error"):
                errors += [places(message["message"])] if message["message"]["spans"] else []
            elif message["reason"] == "compiler-artifact" and message["executable"]:
                program = message["executable"]
        if done.returncode and not errors:
            raise Unswitched(done.stderr[-2000:])
        return program if not done.returncode else None, errors

    def combine(self, told):
        """The test program with as many mutants as compile together, and the numbers of the others."""
        left = {file: [it for it in changes if self.sources[file].anchor(it)] for file, changes in self.changes.items()}
        module = MODULE.replace("COUNT", str(len(self.entries)))
        while True:
            switched = {file: switches.Switched(source, left[file]) for file, source in self.sources.items()}
            for file, it in switched.items():
                self.write(file, it.octets)
            self.write("src/lib.rs", b"#![allow(warnings, clippy::all)]\n" + self.root + module.encode())
            program, errors = self.build()
            count = sum(map(len, left.values()))
            told(f"{count} of {len(self.entries)} mutants together: {len(errors)} errors")
            if program:
                numbers = {it.number for changes in left.values() for it in changes}
                return program, set(range(len(self.entries))) - numbers
            fault = set()
            for error in errors:
                fault.update(self.in_constant(called(error), left) or fault_of(error, switched))
            left = {file: [it for it in changes if it.number not in fault] for file, changes in left.items()}
            if count == sum(map(len, left.values())):
                raise Unswitched("\n".join(it["text"] for it in errors[:5]))

    def in_constant(self, name, left):
        """The mutants in functions of a name that cannot be other than `const`, since constants call them."""
        functions = ((it, self.sources[file].constant_function(it)) for file, changes in left.items() for it in changes)
        return {it.number for it, function in functions if function and function[2] == name}

    def unviable(self, numbers, told):
        """Which of these do not compile as cargo-mutants writes them. No two of a function are compiled at once."""
        unviable, waiting = set(), [(file, it) for file, changes in self.changes.items() for it in changes if it.number in numbers]
        self.restore()
        while waiting:
            now, later = collections.defaultdict(list), []
            for file, change in waiting:
                start, end = change.function or (change.start, change.end)
                spans = [it.function or (it.start, it.end) for it in now[file]]
                taken = any(start < stop and begin < end for begin, stop in spans)
                later.append((file, change)) if taken else now[file].append(change)
            waiting = later
            while any(now.values()):
                written = {}
                for file, source in self.sources.items():
                    octets, written[file] = source.mutated(now[file])
                    self.write(file, octets)
                program, errors = self.build()
                fault = set()
                for error in errors:
                    for file, start, end in error["places"][:1]:
                        fault.update(number for number, (begin, stop) in written.get(file, {}).items() if begin <= start and end <= stop)
                unviable |= fault
                told(f"{sum(map(len, now.values()))} mutants in functions of their own: {len(fault)} do not compile; {len(waiting)} wait")
                if not fault:
                    break
                now = {file: [it for it in changes if it.number not in fault] for file, changes in now.items()}
        self.restore()
        return unviable


def places(message):
    """Of an error: where it is, the place itself first, then what it mentions."""
    found = []
    for span in sorted(message["spans"], key=lambda it: not it["is_primary"]):
        while span:
            found.append((span["file_name"], span["byte_start"], span["byte_end"]))
            span = span["expansion"] and span["expansion"]["span"]
    return {"places": found, "text": message["rendered"], "message": message["message"]}


def fault_of(error, switched):
    """The mutants that an error is the fault of, by the first place that is in one."""
    found = (switched[file].at_fault(start, end) for file, start, end in error["places"] if file in switched)
    return next((numbers for numbers in found if numbers), [])


def called(error):
    """The function that a constant calls although it is not constant any more."""
    found = re.match(r"cannot call non-const (?:\w+ )?(?:function|method) `(?:.*::)?(\w+)(?:::<.*>)?` in", error["message"])
    return found and found[1]


class Tests:
    """The tests of a program with switches."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        listed = self.run(["--list", "--format", "terse"], {}, 60)
        self.names = sorted(line.removesuffix(": test") for line in listed.text.splitlines() if line.endswith(": test"))
        self.seconds, self.of = {}, collections.defaultdict(list)

    def run(self, arguments, environment, seconds):
        environment = {**os.environ, "RUSTC_BOOTSTRAP": "1", "RUST_BACKTRACE": "0", **environment}
        limited = f'ulimit -v {MEMORY} -t {int(seconds) + 1} -c 0 && exec "$@"'
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(["bash", "-c", limited, "tests", self.program, *arguments], cwd=self.folder, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0)
            status, taken = wait(process, WALL + 10 * seconds)
            output.seek(0)
            return Outcome(status, taken, output.read(1 << 22).decode(errors="replace"))

    def note(self, workers):
        """Runs each test alone, and notes what it reaches. All must pass."""

        def one(name):
            with tempfile.NamedTemporaryFile() as file:
                outcome = self.run([*FAIL_FAST, "--exact", name], {"MUTANT_REACHED": file.name}, 300)
                return name, outcome, map(int, file.read().split())

        for name, outcome, reached in workers.map(one, self.names):
            if outcome.status != 0:
                raise Unswitched(f"{name} fails without a mutant:\n{outcome.text[-2000:]}")
            self.seconds[name] = outcome.seconds
            for number in reached:
                self.of[number].append(name)
        for names in self.of.values():
            names.sort(key=self.seconds.get)

    def catches(self, number):
        """Whether the tests that reach a mutant notice it."""
        names = self.of[number]
        sums = list(itertools.accumulate(map(self.seconds.get, names)))
        ends = [0, *(max(1, bisect.bisect(sums, seconds)) for seconds in PARTS), len(names)]
        for part in (names[start:end] for start, end in itertools.pairwise(ends) if start < end):
            seconds = max(LEAST, TIMES * sum(map(self.seconds.get, part)))
            if self.run([*FAIL_FAST, "--exact", *part], {"MUTANT": str(number)}, seconds).status != 0:
                return True
        return False


def wait(process, seconds):
    """Its status and its seconds of processor time; ends it, and what it started, after so many seconds."""
    until, nap = time.monotonic() + seconds, 0.001
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime
        if time.monotonic() > until:
            os.killpg(process.pid, signal.SIGKILL)
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            return None, usage.ru_utime + usage.ru_stime
        time.sleep(nap)
        nap = min(2 * nap, 0.05)
