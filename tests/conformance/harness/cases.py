"""Cases: how they are defined, run, counted and compared with the list of known failures."""

import dataclasses
import pathlib
import tomllib
import traceback

FAULTS = ("ours", "hyper", "h2", "by choice")


class Failure(AssertionError):
    """The message says what was expected and what came instead."""


def expect(holds, what):
    if not holds:
        raise Failure(what)


@dataclasses.dataclass(frozen=True)
class Case:
    suite: str
    # The section of the specification, as `9113 6.5.3`.
    section: str
    text: str
    # Called with the stage; raises Failure.
    check: object

    @property
    def name(self):
        return f"{self.suite} {self.section}: {self.text}"


class Suite:
    """The cases of one protocol, in the order of definition."""

    def __init__(self, name):
        self.name = name
        self.cases = []

    def add(self, section, text, check):
        self.cases.append(Case(self.name, section, text, check))

    def case(self, section, text):
        """A decorator that makes a function of the stage a case."""

        def add(check):
            self.add(section, text, check)
            return check

        return add


@dataclasses.dataclass
class Result:
    case: Case
    failure: str | None


def run(case, stage):
    try:
        case.check(stage)
        failure = None
    except Failure as fault:
        failure = str(fault)
    except Exception as fault:  # An unexpected exception is a failure.
        where = traceback.extract_tb(fault.__traceback__)[-1]
        failure = f"{type(fault).__name__}: {fault} ({pathlib.Path(where.filename).name}:{where.lineno})"
    return Result(case, failure)


def known_failures(path):
    """Case name -> its entry: whose fault it is, and why."""
    entries = tomllib.loads(path.read_text())["known"]
    for entry in entries:
        assert entry["fault"] in FAULTS and entry["why"], f"{path}: {entry}"
    known = {name: entry for entry in entries for name in entry["cases"]}
    assert len(known) == sum(len(entry["cases"]) for entry in entries), f"{path}: a case is there twice"
    return known


class Tally:
    """The results of all suites and their deviations from the known failures."""

    def __init__(self, known):
        self.known = known
        self.results = []

    def add(self, result):
        self.results.append(result)

    def unexpected(self):
        """Failures that are not known, and known failures that passed."""
        wrong = []
        for result in self.results:
            name, is_known = result.case.name, result.case.name in self.known
            if result.failure and not is_known:
                wrong.append(f"FAILED {name}\n       {result.failure}")
            elif is_known and not result.failure:
                wrong.append(f"PASSED {name}\n       but is in known.toml as a failure")
        return wrong

    def stale(self, suites):
        """Entries of the list that name no existing case."""
        names = {result.case.name for result in self.results}
        ran = tuple(f"{suite} " for suite in suites)
        return [name for name in self.known if name.startswith(ran) and name not in names]

    def table(self):
        rows = [("suite", "cases", "passed", "known", "failed")]
        suites = list(dict.fromkeys(result.case.suite for result in self.results))
        for suite in suites:
            rows.append(self.row(suite, [r for r in self.results if r.case.suite == suite]))
        rows.append(self.row("all", self.results))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = []
        for row in rows:
            figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            lines.append("  ".join([row[0].ljust(widths[0]), *figures]))
        return "\n".join(lines)

    def row(self, name, results):
        failed = [r for r in results if r.failure]
        known = [r for r in failed if r.case.name in self.known]
        figures = (len(results), len(results) - len(failed), len(known), len(failed) - len(known))
        return (name, *map(str, figures))

    def known_table(self):
        failed = [r.case.name for r in self.results if r.failure and r.case.name in self.known]
        return "\n".join(f"{self.known[name]['fault']:10} {name}" for name in failed)
