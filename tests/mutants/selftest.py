"""Tests of what tries mutants together: what is written, and that a test program's end is judged as cargo-mutants judges it."""

import concurrent.futures
import dataclasses
import pathlib
import shutil
import stat
import tempfile
import unittest
import unittest.mock

import combined
import switches

# A test harness with three tests and these mutants: 1 fails a test, 2 does not end, 3 ends the process, 4 is reached and not
# noticed, 5 is reached by no test.
PROGRAM = """#!/bin/bash
case "$*" in
*--list*) printf '%s: test\\n' quick slow other; exit ;;
esac
reach() {
    if [ -n "${MUTANT_REACHED:-}" ]; then echo "$1" >>"$MUTANT_REACHED"; false; else [ "${MUTANT:-}" = "$1" ]; fi
}
for name in "$@"; do
    case "$name" in
    quick) if reach 1; then exit 101; fi; if reach 4; then :; fi ;;
    slow) if reach 2; then while :; do :; done; fi ;;
    other) if reach 3; then kill -SEGV $$; fi ;;
    esac
done
"""

# A package of which some mutants cannot be built together, or not at all.
PACKAGE = {
    "Cargo.toml": '[package]\nname = "small"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n',
    "Cargo.lock": 'version = 4\n\n[[package]]\nname = "small"\nversion = "0.0.0"\n',
    "src/lib.rs": """\
mod inner;
pub const LIMIT: u8 = inner::limit(12);
#[test]
fn some() {
    assert!(inner::larger(2, 1) && !inner::larger(1, 2));
    assert_eq!((inner::limit(12), LIMIT, inner::names().count()), (9, 9, 2));
    inner::plain();
}
""",
    "src/inner.rs": """\
pub fn larger(a: u8, b: u8) -> bool { a > b }
pub const fn limit(a: u8) -> u8 { if a > 9 { 9 } else { a } }
pub fn names() -> impl Iterator<Item = u8> { [1, 2].into_iter() }
pub struct Plain;
pub fn plain() -> Plain { Plain }
""",
}


def change(text, was, becomes, genre, number=1, function=None):
    start = text.index(was)
    return switches.Change(number, genre, start, start + len(was), becomes, function)


def switched(text, *changes):
    octets = switches.Switched(switches.Source(text.encode()), changes).octets.decode()
    return octets.replace("crate::mutant", "on")


class Written(unittest.TestCase):
    def test_a_body_is_replaced_by_its_first_statement(self):
        text = "fn f() -> u8 { g(); 3 }"
        self.assertEqual(
            switched(text, change(text, "g(); 3", "0", "FnValue"), change(text, "g(); 3", "1", "FnValue", 2)),
            "fn f() -> u8 { if on(1) { return 0; } if on(2) { return 1; } g(); 3 }",
        )

    def test_an_operator_is_read_anew_with_all_that_it_may_bind(self):
        text = "fn f() { x(a + b - c == d); }"
        self.assertEqual(
            switched(text, change(text, "-", "/", "BinaryOperator")),
            "fn f() { x((if on(1) { a + b /  c == d } else { a + b - c == d })); }",
        )

    def test_what_is_within_a_mutant_is_switched_where_it_is_not(self):
        text = "fn f() { !(a && b) }"
        self.assertEqual(
            switched(text, change(text, "!", "", "UnaryOperator"), change(text, "&&", "||", "BinaryOperator", 2)),
            "fn f() { (if on(1) {  (a && b) } else { !((if on(2) { a ||  b } else { a && b })) }) }",
        )

    def test_a_body_comes_before_the_expression_that_it_begins_with(self):
        text = "fn f() { a += 1 }"
        self.assertEqual(
            switched(text, change(text, "+=", "-=", "BinaryOperator"), change(text, "a += 1", "()", "FnValue", 2)),
            "fn f() { if on(2) { return (); } (if on(1) { a -=  1 } else { a += 1 }) }",
        )

    def test_arms_and_guards_and_fields(self):
        text = "fn f() { match x { A(y) if y => S { a: 1, ..z }, B => t, _ => u } }"
        self.assertEqual(
            switched(
                text,
                guard(text, "true", 1),
                guard(text, "false", 2),
                change(text, "B => t", "", "MatchArm", 3),
                change(text, "a: 1,", "", "StructField", 4),
            ),
            "fn f() { match x { A(y) if (on(1) || !on(2) && (y)) => (if on(4) { S {   ..z } } else { S { a: 1, ..z } }), "
            "B if !on(3) => t, _ => u } }",
        )

    def test_functions_that_are_switched_are_not_constant(self):
        text = "const fn f() -> bool { a == b }\nconst fn g() -> bool { c == d }\nconst H: bool = e != h;"
        source = switches.Source(text.encode())
        own = change(text, "==", "!=", "BinaryOperator")
        self.assertEqual(
            switched(text, own), text.replace("const fn f", " fn f").replace("a == b", "(if on(1) { a !=  b } else { a == b })")
        )
        self.assertEqual(source.constant_function(own)[2], "f")
        self.assertIsNone(source.anchor(change(text, "!=", "==", "BinaryOperator")))

    def test_a_body_or_an_arm_whose_type_or_match_needs_it_has_no_switch(self):
        text = "fn f() -> impl Sized { match x { A => 1, _ if y => 2, B => 3 } }"
        source = switches.Source(text.encode())
        self.assertIsNone(source.anchor(change(text, "A => 1", "", "MatchArm")))
        body = change(text, "match x", "0", "FnValue")
        self.assertIsNone(source.anchor(dataclasses.replace(body, returned="-> impl Sized")))
        self.assertIsNotNone(source.anchor(body))

    def test_parts_of_a_chain_of_let_have_no_switch(self):
        text = "fn f() { if a && let Some(b) = c && b > 1 { d } }"
        source = switches.Source(text.encode())
        self.assertIsNone(source.anchor(change(text, "&&", "||", "BinaryOperator")))
        self.assertEqual(
            switched(text, change(text, ">", "<", "BinaryOperator")),
            "fn f() { if a && let Some(b) = c && (if on(1) { b <  1 } else { b > 1 }) { d } }",
        )

    def test_an_error_is_the_fault_of_the_smallest_place_around_it(self):
        text = "fn f() { !(a && b) } const X: u8 = 1;"
        changes = [change(text, "!", "", "UnaryOperator"), change(text, "&&", "||", "BinaryOperator", 2)]
        found = switches.Switched(switches.Source(text.encode()), changes)
        at = lambda part: found.at_fault(found.octets.index(part), found.octets.index(part) + len(part))
        self.assertEqual([at(b"a ||  b"), at(b"a && b)"), at(b"!((if")], [[2], [1], [1]])
        self.assertEqual([sorted(set(at(b"f()"))), at(b"const X")], [[1, 2], []])

    def test_columns_are_characters(self):
        source = switches.Source("fn f() {\n  x(\"äöü\", a == b)\n}\n".encode())
        entry = {"function": None, "genre": "BinaryOperator", "replacement": "!=",
                 "span": {"start": {"line": 2, "column": 14}, "end": {"line": 2, "column": 16}}}
        found = source.change(1, entry)
        self.assertEqual(source.octets[found.start : found.end], b"==")

    def test_a_mutant_alone_is_as_cargo_mutants_writes_it(self):
        text = "fn f() { a == b } fn g() { c == d }"
        changes = [switches.Change(number, "BinaryOperator", at, at + 2, "!=", function)
                   for number, at, function in ((1, 11, (0, 17)), (2, 29, (18, 35)))]
        octets, places = switches.Source(text.encode()).mutated(changes)
        self.assertEqual(octets, b"fn f() { a !=  b } fn g() { c !=  d }")
        self.assertEqual([octets[begin:end] for begin, end in places.values()], [b"fn f() { a !=  b }", b"fn g() { c !=  d }"])


def guard(text, becomes, number):
    start = text.index("if y") + 3
    return switches.Change(number, "MatchArmGuard", start, start + 1, becomes, None)


class Judged(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.program = pathlib.Path(self.folder.name) / "program"

    def of_program(self, text):
        self.program.write_text(text)
        self.program.chmod(stat.S_IRWXU)
        return combined.Tests(str(self.program), self.folder.name)

    def test_a_mutant_is_caught_if_a_test_fails_or_does_not_end_or_ends_the_process(self):
        with unittest.mock.patch.object(combined, "LEAST", 0), concurrent.futures.ThreadPoolExecutor(2) as workers:
            tests = self.of_program(PROGRAM)
            tests.note(workers)
            self.assertEqual(tests.of, {1: ["quick"], 4: ["quick"], 2: ["slow"], 3: ["other"]})
            self.assertEqual([tests.catches(number) for number in range(1, 6)], [True, True, True, False, False])

    def test_tests_must_pass_without_a_mutant(self):
        tests = self.of_program(PROGRAM.replace("other)", "other) exit 101;"))
        with concurrent.futures.ThreadPoolExecutor(1) as workers, self.assertRaises(combined.Unswitched):
            tests.note(workers)

    def test_what_waits_is_ended(self):
        tests = self.of_program(PROGRAM)
        self.program.write_text("#!/bin/bash\nexec sleep 600\n")
        with unittest.mock.patch.object(combined, "WALL", 0):
            self.assertIsNone(tests.run([], {}, 0).status)

    def test_functions_that_constants_call_are_named(self):
        for text in ("cannot call non-const function `a::f` in constants", "cannot call non-const method `S::<'_>::f` in statics",
                     "cannot call non-const associated function `request::S::f` in constant functions"):
            self.assertEqual(combined.called({"message": text}), "f")
        self.assertIsNone(combined.called({"message": "mismatched types"}))


class Built(unittest.TestCase):
    def test_what_cannot_be_built_together_is_built_alone(self):
        text = PACKAGE["src/inner.rs"].splitlines()
        entries = [
            self.entry(text, 1, "a > b", "true", "FnValue", "-> bool"),
            self.entry(text, 1, ">", ">=", "BinaryOperator", after="{"),
            # A constant calls it.
            self.entry(text, 2, ">", "<", "BinaryOperator", after="{"),
            self.entry(text, 3, "[1, 2].into_iter()", "::std::iter::empty()", "FnValue", "-> impl Iterator<Item = u8>"),
            self.entry(text, 5, "Plain", "Default::default()", "FnValue", "-> Plain", after="{"),
        ]
        with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(1) as workers:
            folder = pathlib.Path(name)
            for file, content in PACKAGE.items():
                (folder / file).parent.mkdir(exist_ok=True)
                (folder / file).write_text(content)
            (folder / "tests/mutants").mkdir(parents=True)
            shutil.copy(pathlib.Path(__file__).with_name("compiler"), folder / "tests/mutants/compiler")
            tree = combined.Tree(folder, folder / "target", entries)
            program, out = tree.combine(lambda _: None)
            self.assertEqual(out, {2, 3, 4})
            tests = combined.Tests(program, folder)
            tests.note(workers)
            self.assertEqual([tests.catches(number) for number in (0, 1)], [True, False])
            self.assertEqual(tree.unviable(out, lambda _: None), {4})
            self.assertEqual((folder / "src/inner.rs").read_text(), PACKAGE["src/inner.rs"])

    def entry(self, text, line, was, becomes, genre, returned="", after=""):
        """What cargo-mutants lists."""
        column = text[line - 1].index(was, text[line - 1].index(after) + 1 if after else 0) + 1
        place = lambda column: {"line": line, "column": column}
        function = {"return_type": returned, "span": {"start": place(1), "end": place(len(text[line - 1]) + 1)}}
        span = {"start": place(column), "end": place(column + len(was))}
        return {"file": "src/inner.rs", "function": function, "genre": genre, "span": span, "replacement": becomes}


def run():
    cases = Written, Judged, Built
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, cases))
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
