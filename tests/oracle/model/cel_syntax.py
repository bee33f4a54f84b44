"""The grammar of CEL (cel-spec, doc/langdef.md, Syntax), as far as rules need it: from a text to a tree of tuples."""

import re

TOKENS = re.compile(
    r"""\s*(?:(?P<double>\d+\.\d+(?:[eE][+-]?\d+)?)|(?P<int>0x[0-9a-fA-F]+|\d+)(?P<unsigned>u?)"""
    r"""|(?P<raw>r?)(?P<quote>["'])(?P<text>(?:(?!(?P=quote))(?:\\.|[^\\]))*)(?P=quote)"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<mark>&&|\|\||[=!<>]=|[-+*/%!<>?:.,\[\](){}]))"""
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
RELATIONS = {"==", "!=", "<", "<=", ">", ">=", "in"}
MACROS = {"all", "exists", "exists_one", "map", "filter"}


def tokens(text):
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = TOKENS.match(text, position)
        if not match:
            raise SyntaxError(text[position:])
        position = match.end()
        if match["double"]:
            found.append(("literal", float(match["double"])))
        elif match["int"]:
            found.append(("literal", int(match["int"], 0)))
        elif match["quote"]:
            value = match["text"]
            if not match["raw"]:
                value = re.sub(r"\\(.)", lambda escape: ESCAPES[escape[1]], value)
            found.append(("literal", value))
        elif match["name"] in ("true", "false", "null"):
            found.append(("literal", {"true": True, "false": False, "null": None}[match["name"]]))
        elif match["name"] == "in":
            found.append(("mark", "in"))
        else:
            found.append(("name", match["name"]) if match["name"] else ("mark", match["mark"]))
    return found + [("end", None)]


class Parser:
    """One method for each level of the grammar."""

    def __init__(self, text):
        self.tokens = tokens(text)
        self.position = 0

    def next_is(self, *marks):
        kind, value = self.tokens[self.position]
        return kind == "mark" and value in marks

    def take(self):
        self.position += 1
        return self.tokens[self.position - 1]

    def accept(self, *marks):
        return self.take()[1] if self.next_is(*marks) else None

    def expect(self, mark):
        if not self.accept(mark):
            raise SyntaxError(f"{mark} is missing before {self.tokens[self.position]}")

    def expression(self):
        condition = self.disjunction()
        if not self.accept("?"):
            return condition
        then = self.disjunction()
        self.expect(":")
        return ("choice", condition, then, self.expression())

    def disjunction(self):
        left = self.conjunction()
        while self.accept("||"):
            left = ("or", left, self.conjunction())
        return left

    def conjunction(self):
        left = self.relation()
        while self.accept("&&"):
            left = ("and", left, self.relation())
        return left

    def relation(self):
        left = self.addition()
        while self.next_is(*RELATIONS):
            left = ("relation", self.take()[1], left, self.addition())
        return left

    def addition(self):
        left = self.multiplication()
        while self.next_is("+", "-"):
            left = ("arithmetic", self.take()[1], left, self.multiplication())
        return left

    def multiplication(self):
        left = self.unary()
        while self.next_is("*", "/", "%"):
            left = ("arithmetic", self.take()[1], left, self.unary())
        return left

    def unary(self):
        if self.accept("!"):
            return ("not", self.unary())
        if self.accept("-"):
            return ("negative", self.unary())
        return self.member()

    def member(self):
        value = self.primary()
        while True:
            if self.accept("."):
                name = self.take()[1]
                if not self.accept("("):
                    value = ("select", value, name)
                elif name in MACROS:
                    value = ("macro", name, value, *self.arguments(")"))
                else:
                    value = ("call", name, [value, *self.arguments(")")])
            elif self.accept("["):
                value = ("index", value, self.expression())
                self.expect("]")
            else:
                return value

    def arguments(self, end):
        found = []
        while not self.accept(end):
            found.append(self.expression())
            if not self.next_is(end):
                self.expect(",")
        return found

    def primary(self):
        if self.accept("("):
            value = self.expression()
            self.expect(")")
            return value
        if self.accept("["):
            return ("list", self.arguments("]"))
        kind, value = self.take()
        if kind == "literal":
            return ("literal", value)
        if kind != "name":
            raise SyntaxError(str(value))
        if not self.accept("("):
            return ("variable", value)
        arguments = self.arguments(")")
        if value == "has":
            return ("has", arguments[0][1], arguments[0][2])
        return ("call", value, arguments)


def parse(text):
    parser = Parser(text)
    tree = parser.expression()
    if parser.take()[0] != "end":
        raise SyntaxError(text)
    return tree
