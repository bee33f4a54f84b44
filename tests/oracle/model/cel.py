"""Evaluation of CEL (cel-spec, doc/langdef.md, Evaluation), as far as rules need it."""

import functools
import re

from . import cel_syntax

parsed = functools.lru_cache(maxsize=4096)(cel_syntax.parse)


class Unsigned(int):
    """A whole number that is no int, because it is 2^63 or more."""


class Failed(Exception):
    """An error of CEL: no such member, no such overload, and so on."""


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def kind(value):
    """The type for equality: numbers are one kind, bool is another."""
    if is_number(value):
        return "number"
    return type(value).__name__


def equal(left, right):
    """Values of different types are not equal; numbers are compared by value."""
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return left == right


def contains(container, value):
    if isinstance(container, list):
        return any(equal(each, value) for each in container)
    if isinstance(container, dict):
        return isinstance(value, str) and value in container
    raise Failed("in")


def compare(mark, left, right):
    if mark == "==":
        return equal(left, right)
    if mark == "!=":
        return not equal(left, right)
    if mark == "in":
        return contains(right, left)
    if kind(left) != kind(right) or not (is_number(left) or isinstance(left, (str, bool))):
        raise Failed(mark)
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[mark]


def calculate(mark, left, right):
    if mark == "+" and type(left) is type(right) and isinstance(left, (str, list)):
        return left + right
    if not is_number(left) or type(left) is not type(right):
        raise Failed(mark)
    if mark in "/%" and isinstance(left, int):
        if right == 0:
            raise Failed("divided by zero")
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        value = quotient if mark == "/" else left - quotient * right
    else:
        value = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__}[mark](right)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Failed("overflow")
    return type(left)(value)


def text_function(name, arguments):
    if not all(isinstance(each, str) for each in arguments):
        raise Failed(name)
    text, *rest = arguments
    lower = str.maketrans({chr(c): chr(c + 32) for c in range(65, 91)})
    upper = str.maketrans({chr(c): chr(c - 32) for c in range(97, 123)})
    return {
        "contains": lambda: rest[0] in text,
        "startsWith": lambda: text.startswith(rest[0]),
        "endsWith": lambda: text.endswith(rest[0]),
        "matches": lambda: re.search(rest[0], text) is not None,
        "split": lambda: text.split(rest[0]),
        "indexOf": lambda: text.find(rest[0]),
        "trim": lambda: text.strip(),
        "lowerAscii": lambda: text.translate(lower),
        "upperAscii": lambda: text.translate(upper),
    }[name]()


def call(name, arguments):
    if name == "size":
        if not isinstance(arguments[0], (str, list, dict)):
            raise Failed(name)
        return len(arguments[0])
    if name == "string":
        value = arguments[0]
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (str, int)):
            return str(value)
        if isinstance(value, float):
            return format(value, "g")
        raise Failed(name)
    if name == "int":
        value = arguments[0]
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise Failed(name)
        try:
            whole = int(value)
        except ValueError:
            raise Failed(name) from None
        if not -(2**63) <= whole < 2**63:
            raise Failed("overflow")
        return whole
    return text_function(name, arguments)


def truth(value):
    if not isinstance(value, bool):
        raise Failed("not a bool")
    return value


def logical(operands, absorbing):
    """`&&` (absorbing False) and `||` (absorbing True): an error counts only if no operand decides."""
    failure = None
    for operand in operands:
        try:
            if truth(operand()) is absorbing:
                return absorbing
        except Failed as failed:
            failure = failed
    if failure:
        raise failure
    return not absorbing


def macro(name, variables, operand, variable, *rest):
    items = evaluate(operand, variables)
    if not isinstance(items, (list, dict)):
        raise Failed(name)
    name_of_item = variable[1]

    def on(body, item):
        return evaluate(body, {**variables, name_of_item: item})

    if name in ("all", "exists"):
        return logical([functools.partial(on, rest[0], item) for item in items], name == "exists")
    if name == "exists_one":
        return sum(truth(on(rest[0], item)) for item in items) == 1
    if name == "filter":
        return [item for item in items if truth(on(rest[0], item))]
    return [on(rest[0], item) for item in items]


def member(value, key):
    if isinstance(value, dict) and isinstance(key, str) and key in value:
        return value[key]
    if isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(value):
        return value[key]
    raise Failed(f"no such member: {key}")


def evaluate(tree, variables):
    operation, *parts = tree
    if operation == "literal":
        return parts[0]
    if operation == "variable":
        return member(variables, parts[0])
    if operation == "list":
        return [evaluate(each, variables) for each in parts[0]]
    if operation == "select":
        value = evaluate(parts[0], variables)
        if not isinstance(value, dict):
            raise Failed("no members")
        return member(value, parts[1])
    if operation == "index":
        return member(evaluate(parts[0], variables), evaluate(parts[1], variables))
    if operation == "has":
        value = evaluate(parts[0], variables)
        if not isinstance(value, dict):
            raise Failed("no members")
        return parts[1] in value
    if operation in ("and", "or"):
        return logical([functools.partial(evaluate, each, variables) for each in parts], operation == "or")
    if operation == "not":
        return not truth(evaluate(parts[0], variables))
    if operation == "negative":
        value = evaluate(parts[0], variables)
        if isinstance(value, Unsigned):
            raise Failed("negative")
        return calculate("-", 0.0 if isinstance(value, float) else 0, value)
    if operation == "choice":
        return evaluate(parts[1 if truth(evaluate(parts[0], variables)) else 2], variables)
    if operation == "macro":
        return macro(parts[0], variables, *parts[1:])
    if operation == "call":
        return call(parts[0], [evaluate(each, variables) for each in parts[1]])
    mark, left, right = parts
    apply = compare if operation == "relation" else calculate
    return apply(mark, evaluate(left, variables), evaluate(right, variables))


def value_of(json):
    """A claim as a value of CEL: a whole number is an int, another one a double."""
    if isinstance(json, dict):
        return {key: value_of(value) for key, value in json.items()}
    if isinstance(json, list):
        return [value_of(value) for value in json]
    if isinstance(json, bool) or not is_number(json):
        return float(json) if hasattr(json, "as_tuple") else json
    if -(2**63) <= json < 2**63:
        return json
    return Unsigned(json) if 0 <= json < 2**64 else float(json)


def holds(text, variables):
    """Whether an expression is true. Raises Failed for an error, and for a value that is no bool."""
    return truth(evaluate(parsed(text), variables))
