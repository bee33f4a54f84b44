"""Tests of what does not need a peer, above all that a figure is refused if its scenario did not happen."""

import base64
import hashlib
import importlib.machinery
import importlib.util
import pathlib
import types
import unittest
import unittest.mock
import xml.etree.ElementTree

import callgrind
import counters
import figures
import load
import peers
import report
import scenarios
import signing
from counters import SCENARIOS, Counters, Refused

METRICS = """\
# TYPE metagate_requests counter
metagate_requests_total{decision="allow",reason="",issuer="bench",rule=""} 900
metagate_requests_total{decision="allow",reason="",issuer="bench",rule="a \\" b"} 100
metagate_requests_total{decision="deny",reason="invalid_signature",issuer="bench",rule=""} 7
# TYPE metagate_token_cache counter
metagate_token_cache_total{result="hit"} 990
metagate_token_cache_total{result="miss"} 10
# EOF
"""
H2LOAD = """\
finished in 1.05s, 11.00 req/s, 55.84KB/s
requests: 11 total, 11 started, 11 done, 9 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 9 2xx, 0 3xx, 2 4xx, 0 5xx
"""
CALLGRIND = """\
events: Ir
fn=(1) metagate::gateway::serve
10 5
cfn=(2) mi_malloc_aligned
calls=3 0
11 30
fn=(2)
20 9
cfn=(3) _mi_malloc_generic
calls=2 0
21 8
fn=(4) OPENSSL_malloc
30 1
cfn=(5) malloc
calls=4 0
31 2
cfn=(6) mi_free
calls=50 0
32 2
fn=(7) aws_lc_0_1_0_get_entropy_source
40 3
cfn=(8) aws_lc_0_1_0_tree_jitter_initialize
calls=1 0
41 400
fn=(8)
42 4
cfn=(9) tree_jitter_initialize_once
calls=1 0
43 396
summary: 1634
"""


def counted(outcome, count, hits=0, misses=0):
    return Counters(hits, misses, {outcome: count})


class Scenarios(unittest.TestCase):
    def test_counters_are_read_from_the_metrics(self):
        read = counters.parse(METRICS)
        self.assertEqual(read, Counters(990, 10, {"allow": 1000, "invalid_signature": 7}))
        later = Counters(1_000, 10, {"allow": 1010, "invalid_signature": 7})
        self.assertEqual(later.since(read), counted("allow", 10, hits=10))

    def test_what_happened_is_accepted(self):
        SCENARIOS["warm"].check(counted("allow", 50, hits=50), 50)
        SCENARIOS["fresh"].check(counted("allow", 50, misses=50), 50)
        SCENARIOS["bad"].check(counted("invalid_signature", 50), 50)
        SCENARIOS["missing"].check(counted("missing_token", 50), 50)
        SCENARIOS["limited"].check(counted("rate_limited", 50), 50)
        # Some responses came after the load generator had stopped.
        SCENARIOS["warm"].check(counted("allow", 53, hits=52), 50, unfinished=3)

    def test_what_did_not_happen_is_refused(self):
        refused = [
            ("fresh", counted("allow", 50, hits=50), "warm tokens as fresh ones"),
            ("fresh", counted("allow", 50, hits=1, misses=49), "one token seen twice"),
            ("fresh", counted("allow", 53, hits=1, misses=52), "one token seen twice, with unfinished requests"),
            ("warm", counted("allow", 50, misses=50), "fresh tokens as warm ones"),
            ("warm", counted("allow", 49, hits=49), "too few requests"),
            ("warm", counted("allow", 54, hits=54), "requests of somebody else"),
            ("bad", counted("malformed_token", 50), "malformed tokens"),
            ("bad", Counters(0, 0, {"invalid_signature": 49, "malformed_token": 1}), "one malformed token"),
            ("bad", counted("allow", 50, hits=50), "good tokens"),
            ("missing", counted("malformed_token", 50), "a token"),
            ("limited", Counters(0, 0, {"rate_limited": 49, "invalid_signature": 1}), "one that was verified"),
        ]
        for name, counts, what in refused:
            with self.subTest(what), self.assertRaises(Refused):
                SCENARIOS[name].check(counts, 50, unfinished=3)
        with self.assertRaises(Refused):
            SCENARIOS["warm"].check(Counters(), 0)

    def test_warm_tokens_as_fresh_ones_get_no_row(self):
        def measured(*counts):
            """The figures of a scenario whose peer counts like this, before and after."""
            got, running = figures.Figures(), unittest.mock.Mock()
            running.peer, running.counters = peers.metagate(), unittest.mock.Mock(side_effect=counts)
            running.process.seconds.side_effect = [1.0, 1.5]
            scenario = scenarios.Scenario("fresh", (running.peer,), ("fresh",), scenarios.http1("fresh"))
            loaded = load.Load(requests=1_000, not_2xx=0, errors=0, seconds=1)
            inputs = types.SimpleNamespace(token="t", seconds=1, tokens={})
            with unittest.mock.patch.object(load, "warm_up"), unittest.mock.patch.object(load, "wrk", return_value=loaded):
                scenarios.attempt(running, scenario, inputs, got)
            return got

        row, start = figures.Row("", "fresh", "metagate", "metagate", "µs"), counted("allow", 200, hits=199, misses=1)
        good = measured(start, counted("allow", 1_200, hits=199, misses=1_001))
        self.assertEqual(good.cell(row).ours, 500)
        warm = measured(start, counted("allow", 1_200, hits=1_199, misses=1))
        self.assertIn("cache look-ups counted as hit", warm.why_not(row)[0])

    def test_statuses_of_the_load_generator(self):
        load.Load(10, 0, 0, 1).check(200)
        load.Load(10, 10, 0, 1).check(401)
        for counts, status in (((0, 0, 0), 200), ((10, 1, 0), 200), ((10, 9, 0), 401), ((10, 0, 1), 200)):
            with self.subTest(counts), self.assertRaises(Refused):
                load.Load(*counts, 1).check(status)
        self.assertEqual(load.parse_h2load(H2LOAD), load.Load(11, 2, 0, 1.05))
        with self.assertRaises(Refused):
            load.parse_h2load("connection refused")

    def test_a_rate_that_was_not_reached_is_refused(self):
        log = "".join(f"0\t200\t{it}\n" for it in range(1, 101))
        self.assertEqual(scenarios.percentiles(log, 100, 1), {"p50 at 100": 51, "p99 at 100": 100})
        with self.assertRaises(Refused):
            scenarios.percentiles(log, 200, 1)


class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = signing.Key()

    def signature(self, token):
        return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")

    def test_the_key_is_always_the_same(self):
        digest = hashlib.sha256(str(self.key.n).encode()).hexdigest()
        self.assertEqual((self.key.n.bit_length(), digest[:16]), (2_048, "9dd101622f6d0d08"))

    def test_tokens_differ_have_one_length_and_verify(self):
        tokens = {self.key.token(it) for it in range(3)}
        self.assertEqual((len(tokens), len({len(it) for it in tokens})), (3, 1))
        for token in tokens:
            opened = pow(int.from_bytes(self.signature(token), "big"), self.key.e, self.key.n).to_bytes(256, "big")
            self.assertTrue(opened.startswith(b"\0\1\xff"))
            self.assertTrue(opened.endswith(hashlib.sha256(token.rpartition(".")[0].encode()).digest()))

    def test_a_spoiled_signature_is_canonical_and_below_the_modulus(self):
        token = self.key.token(1)
        spoiled = signing.spoiled(token)
        self.assertEqual(sum(one != other for one, other in zip(token, spoiled, strict=True)), 1)
        changed = self.signature(spoiled)
        self.assertEqual(signing.url64(changed), spoiled.rpartition(".")[2])
        self.assertLess(int.from_bytes(changed, "big"), self.key.n)


class Counting(unittest.TestCase):
    def test_instructions_and_allocations(self):
        cost = callgrind.parse(CALLGRIND)
        self.assertEqual(cost, callgrind.Cost(1_234, 7))
        self.assertIsNone(callgrind.parse(CALLGRIND.replace("metagate::gateway::serve", "???")).allocations)
        with self.assertRaises(Refused):
            callgrind.parse(CALLGRIND.replace("alloc", "other"))
        longer = callgrind.Cost(11_234, 57)
        self.assertEqual(callgrind.per_request(cost, longer, 100), callgrind.Cost(100, 0.5))
        with self.assertRaises(Refused):
            callgrind.parse("events: Ir\n")

    def test_the_budget_allows_five_percent_and_one_allocation(self):
        path = pathlib.Path(__file__).resolve().parent.parent / "budget"
        loader = importlib.machinery.SourceFileLoader("budget", str(path))
        budget = importlib.util.module_from_spec(importlib.util.spec_from_loader("budget", loader))
        loader.exec_module(budget)
        recorded = {"instructions": {"warm": 1_000}, "allocations": {"warm": 2}}
        over = lambda *cost: [it for _, it in budget.judge({"warm": callgrind.Cost(*cost)}, recorded)]
        self.assertEqual(over(1_050, 3), [False, False])
        self.assertEqual(over(1_051, 2), [True, False])
        self.assertEqual(over(900, 3.1), [False, True])


class Report(unittest.TestCase):
    def setUp(self):
        self.figures = figures.Figures()
        self.row = figures.Row("", "warm", "metagate", "nginx", "µs")

    def add(self, peer, *values):
        for it in values:
            self.figures.add("warm", peer, it)

    def test_a_ratio_is_the_median_of_the_rounds(self):
        self.add("metagate", 20, 60, 22)
        self.add("nginx", 10, 20, 20)
        self.assertEqual(self.figures.cell(self.row), figures.Cell(22, 20, 2, 1.1, 3))

    def test_a_row_without_figures_says_why(self):
        self.add("metagate", 20)
        self.assertEqual(self.figures.why_not(self.row), ("nginx: no value", True))
        self.add("nginx", 10)
        self.assertIsNone(self.figures.why_not(self.row))
        self.figures.refuse("warm", "nginx", "no response")
        self.assertEqual(self.figures.why_not(self.row), ("nginx: no response", True))
        self.figures.skip("warm", "2 cores")
        self.assertEqual(self.figures.why_not(self.row), ("2 cores", False))
        (cells, failed), *_ = report.lines(self.figures, {"warm"})
        self.assertEqual((cells[1], failed), ("not measured: 2 cores", False))

    def test_every_figure_of_a_scenario_has_a_row(self):
        shown = {it.figure for it in report.rows()}
        measured = {figure for group in scenarios.groups("") for it in group for figure in it.figures}
        self.assertLessEqual(measured, shown)

    def test_pictures_are_well_formed(self):
        root = xml.etree.ElementTree.fromstring(report.svg("rules", [(1, 1.0), (100, 1.2), (10_000, 3.7)]))
        self.assertEqual(len(root.findall("{http://www.w3.org/2000/svg}circle")), 3)


if __name__ == "__main__":
    unittest.main()
