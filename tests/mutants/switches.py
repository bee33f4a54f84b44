"""Writes many mutants into one source, each behind a switch that is set when the tests run.

The text of a mutant is cargo-mutants' own: what it would write at the place, within the smallest expression that keeps the meaning
of the text around it. `a && b == c` with two mutants becomes

    (if crate::mutant(1) { a || b == c } else if crate::mutant(2) { a && b != c } else { a && b == c })

A function that is replaced returns the replacement in its first statement; an arm that is deleted has a guard; a guard that is
replaced is one side of a condition. What cannot be written so is for the caller to build by itself: constants, parts of a chain of
`let`, functions whose type is that of their body.
"""

import bisect
import dataclasses
import functools

import tree_sitter
import tree_sitter_rust

LANGUAGE = tree_sitter.Language(tree_sitter_rust.language())
# What the compiler evaluates: a switch would be of no use there.
CONSTANT = {"const_item", "static_item", "const_block", "enum_variant", "array_type", "const_parameter", "type_arguments"}
WHOLE, ELSE = "whole", "else"
# Of the form that a switch has in the program.
SWITCH = "crate::mutant({})"


@dataclasses.dataclass(frozen=True)
class Change:
    """A mutant of one file: `text` replaces the octets from `start` to `end`."""

    number: int
    genre: str
    start: int
    end: int
    text: str
    # The function around it: octets, or nothing; and what it returns.
    function: tuple | None
    returned: str = ""


@dataclasses.dataclass
class Anchor:
    """What is written where its mutants are."""

    kind: str
    start: int
    end: int
    changes: list
    inner: list = dataclasses.field(default_factory=list)

    def order(self):
        return self.start, self.kind not in ("body", "arm"), -self.end, self.kind != "guard"


class Source:
    """A file and where its mutants can be switched."""

    def __init__(self, octets):
        self.octets = octets
        self.lines = [0, *(at + 1 for at, octet in enumerate(octets) if octet == 10)]
        self.tree = tree_sitter.Parser(LANGUAGE).parse(octets)
        self.anchor = functools.cache(self.anchor)
        self.constant_function = functools.cache(self.constant_function)

    def offset(self, place):
        """Of a line and a column, both from 1; columns are characters."""
        line = self.lines[place["line"] - 1]
        text = self.octets[line : line + 4 * place["column"]].decode(errors="ignore")
        return line + len(text[: place["column"] - 1].encode())

    def change(self, number, entry):
        """Of what cargo-mutants lists."""
        span = lambda it: (self.offset(it["start"]), self.offset(it["end"]))
        around = entry["function"] or {"span": None, "return_type": ""}
        function = around["span"] and span(around["span"])
        return Change(number, entry["genre"], *span(entry["span"]), entry["replacement"], function, around["return_type"])

    def anchor(self, change):
        """Where the mutant can be switched, or None. Anchors of one place are equal but for their changes."""
        node = self.node(change)
        around = [node, *ancestors(node)]
        inside = next((at for at, it in enumerate(around) if it.type == "function_item" and it.start_byte < change.start), len(around))
        if any(it.type in CONSTANT for it in around[:inside]) or inside == len(around):
            return None
        match change.genre:
            case "FnValue" if "impl " in change.returned:
                # Its type would have to be that of the body.
                return None
            case "FnValue":
                return Anchor("body", change.start, change.start, [change])
            case "MatchArm":
                arm = next(it for it in around if it.type == "match_arm")
                others = (it.child_by_field_name("pattern") for it in arm.parent.children if it.type == "match_arm")
                if all(it.text != b"_" for it in others):
                    return None
                end = arm.child_by_field_name("pattern").end_byte
                return Anchor("arm", end, end, [change])
            case "MatchArmGuard":
                return Anchor("guard", change.start, change.end, [change])
            case "StructField":
                whole = next(it for it in around if it.type == "struct_expression")
            case "UnaryOperator":
                whole = next(it for it in around if it.type == "unary_expression")
            case "BinaryOperator":
                whole = around[1]
                if whole.type not in ("binary_expression", "compound_assignment_expr"):
                    return None
                # Another operator may bind otherwise: the text is read anew from where no operator is around it.
                while whole.parent.type == "binary_expression":
                    whole = whole.parent
            case _:
                return None
        return Anchor("expression", whole.start_byte, whole.end_byte, [change])

    def constant_function(self, change):
        """Where the word `const` of the function around it is, and the function's name; None if it has none."""
        functions = [it for it in ancestors(self.node(change)) if it.type == "function_item"]
        words = [word for function in functions[:1] for it in function.children if it.type == "function_modifiers" for word in it.children]
        name = functions and functions[0].child_by_field_name("name").text.decode()
        return next(((it.start_byte, it.end_byte, name) for it in words if it.type == "const"), None)

    def node(self, change):
        return self.tree.root_node.descendant_for_byte_range(change.start, max(change.start, change.end - 1))

    def mutated(self, changes):
        """The text with all of `changes`, none within another, as cargo-mutants writes each; and the place of the function of each."""
        written, at, places = b"", 0, {}
        for change in sorted(changes, key=lambda it: it.start):
            start, end = change.function or (change.start, change.end)
            written += self.octets[at:start]
            begin = len(written)
            written += self.octets[start : change.start] + change.text.encode() + b" " + self.octets[change.end : end]
            places[change.number] = begin, len(written)
            at = end
        return written + self.octets[at:], places


def ancestors(node):
    while node := node.parent:
        yield node


def nested(anchors):
    """Puts anchors of one place together, and those within another into it."""
    merged = {}
    for anchor in anchors:
        merged.setdefault((anchor.kind, anchor.start, anchor.end), Anchor(anchor.kind, anchor.start, anchor.end, [])).changes.extend(anchor.changes)
    outermost, open_ones = [], []
    for anchor in sorted(merged.values(), key=Anchor.order):
        while open_ones and open_ones[-1].end <= anchor.start:
            open_ones.pop()
        (open_ones[-1].inner if open_ones else outermost).append(anchor)
        if anchor.end > anchor.start:
            open_ones.append(anchor)
    return outermost


class Switched:
    """A text with switches, and which mutants an error in it is the fault of."""

    def __init__(self, source, changes):
        self.source, self.written, self.length, self.regions = source, [], 0, []
        self.removed = sorted({it[:2] for change in changes if (it := source.constant_function(change))})
        self.put(0, len(source.octets), nested([source.anchor(change) for change in changes]))
        self.octets = b"".join(self.written)

    def write(self, octets):
        self.written.append(octets)
        self.length += len(octets)

    def original(self, start, end):
        """The source from `start` to `end`, in which functions that are switched are not `const`."""
        for begin, stop in self.removed[bisect.bisect_left(self.removed, (start, 0)) :]:
            if begin >= end:
                break
            self.write(self.source.octets[start:begin])
            start = stop
        self.write(self.source.octets[start:end])

    def put(self, start, end, anchors):
        for anchor in anchors:
            self.original(start, anchor.start)
            begin = self.length
            self.put_anchor(anchor)
            self.regions.append((begin, self.length, [it.number for it in anchor.changes]))
            start = anchor.end
        self.original(start, end)

    def put_anchor(self, anchor):
        switch = lambda change: SWITCH.format(change.number).encode()
        match anchor.kind:
            case "body":
                for change in anchor.changes:
                    self.put_mutant(change, b"if " + switch(change) + b" { return ", change.text.encode(), b"; } ")
            case "arm":
                self.write(b" if " + b" && ".join(b"!" + switch(it) for it in anchor.changes))
            case "guard":
                on = [switch(it) for it in anchor.changes if it.text == "true"]
                off = [b"!" + switch(it) for it in anchor.changes if it.text != "true"]
                self.write(b"(" + b"".join(it + b" || " for it in on) + b"".join(it + b" && " for it in off) + b"(")
                self.put(anchor.start, anchor.end, anchor.inner)
                self.write(b"))")
            case _:
                self.write(b"(")
                for change in anchor.changes:
                    octets = self.source.octets
                    text = octets[anchor.start : change.start] + change.text.encode() + b" " + octets[change.end : anchor.end]
                    self.put_mutant(change, b"if " + switch(change) + b" { ", text, b" } else ")
                self.write(b"{ ")
                self.put(anchor.start, anchor.end, anchor.inner)
                self.write(b" })")

    def put_mutant(self, change, before, text, after):
        begin = self.length
        self.write(before + text + after)
        self.regions.append((begin, self.length, [change.number]))

    def at_fault(self, start, end):
        """The mutants of the smallest place that has the octets from `start` to `end`, or else all of the function around them."""
        around = [(stop - begin, numbers) for begin, stop, numbers in self.regions if begin <= start and end <= stop]
        if around:
            return min(around)[1]
        node = tree_sitter.Parser(LANGUAGE).parse(self.octets).root_node.descendant_for_byte_range(start, end)
        function = next((it for it in [node, *ancestors(node)] if it.type == "function_item"), None)
        inside = [numbers for begin, stop, numbers in self.regions if function and function.start_byte <= begin and stop <= function.end_byte]
        return [number for numbers in inside for number in numbers]
