"""Which rule decides, and how: docs/rules.md and docs/configuration.md (Rules), read sentence by sentence."""

import itertools
import re
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from . import cel, graphql
from .claims import lookup, matching_iss
from .outcome import Refused
from .paths import takes

BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
COMBINATIONS = 16
INTERPRETATIONS = 4096


def glob(pattern, text):
    """`*` stands for any run of characters."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


class Reading:
    """One way to understand a request: a path, a value for each parameter, and a field of an operation."""

    def __init__(self, path, chosen, operation):
        self.path = path
        self.chosen = chosen  # parameters, or None if the query cannot be decoded
        self.operation = operation  # (operation, name, field, all fields), or None


class Judge:
    """A request of an identity, ready to be compared with the rules."""

    def __init__(self, settings, request, identity, source):
        self.settings = settings
        self.request = request
        self.identity = identity
        self.source = ip_address(source)
        self.parameters = self.decode_query()
        self.would = set()
        self.denied_by = set()
        self.allowed_by = set()

    def decode_query(self):
        """The pairs of the query, or None."""
        found = []
        pairs = (self.request.query or b"").split(b"&")
        # Some servers split at `;` too: both readings are there.
        pairs += [part for pair in pairs if b";" in pair for part in pair.split(b";")]
        for pair in pairs:
            if not pair:
                continue
            if BROKEN.search(pair):
                return None
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            try:
                found.append((unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()))
            except UnicodeDecodeError:
                return None
        return found

    def combinations(self):
        """One value for each parameter that rules refer to; each value of a repeated one in turn."""
        if self.parameters is None:
            return [None]
        names = {name for rule in self.settings.rules for name in rule.query or ()}
        choices = []
        for name in sorted(names):
            values = {value for each, value in self.parameters if each == name}
            if values:
                choices.append([(name, value) for value in sorted(values)])
                # Of `a=1;b=2` only some servers read a parameter `b`.
                if b";" in self.request.query:
                    choices[-1].append(None)
        found = [dict(filter(None, each)) for each in itertools.product(*choices)]
        if len(found) > COMBINATIONS:
            raise Refused("insufficient_permissions")
        return found

    def operations(self, body):
        """Each top-level field of each operation separately; [None] if unreadable."""
        try:
            found = graphql.read(self.request, body, self.settings.graphql_octets)
        except (graphql.Unreadable, UnicodeDecodeError):
            return [None]
        return [(kind, name, field, fields) for kind, name, fields in found for field in fields]

    def verdict(self, readings, body):
        """Refused if any reading is refused. The strictest counts."""
        reads_body = any(rule.graphql or "graphql" in (rule.when or "") for rule in self.settings.rules)
        operations = self.operations(body) if reads_body else [None]
        combinations = self.combinations()
        if len(readings) * len(combinations) * len(operations) > INTERPRETATIONS:
            raise Refused("insufficient_permissions")
        for path, chosen, operation in itertools.product(readings, combinations, operations):
            self.judge_reading(Reading(path, chosen, operation))
        if self.denied_by:
            raise Refused("insufficient_permissions", rule=self.denied_by)

    def judge_reading(self, reading):
        for rule in self.settings.rules:
            decision = self.decide_by(rule, reading)
            if decision is None:
                continue
            if rule.reports:
                if decision is False:
                    self.would.add(rule.name)
                continue
            (self.allowed_by if decision else self.denied_by).add(rule.name)
            return
        (self.allowed_by if self.settings.allows_by_default else self.denied_by).add(None)

    def decide_by(self, rule, reading):
        """True: allows. False: refuses. None: the rules after it decide."""
        applies = self.applies(rule, reading)
        if not applies:
            return None
        if applies == "unreadable":
            return False
        if rule.when is None:
            condition = True
        else:
            try:
                condition = cel.holds(rule.when, self.variables(reading))
            except cel.Failed:
                return False
        if rule.action is not None:
            return rule.action == "allow" if condition else None
        return condition and self.meets(rule)

    def applies(self, rule, reading):
        """Whether `match` applies; `unreadable` if that cannot be known, which refuses the request."""
        request, identity = self.request, self.identity
        if not takes(rule.methods, request.method):
            return False
        if rule.paths is not None and not any(each.matches(reading.path) for each in rule.paths):
            return False
        if rule.hosts is not None and request.host not in rule.hosts:
            return False
        if rule.issuers is not None and not self.is_from(rule.issuers):
            return False
        if rule.query is not None:
            if reading.chosen is None:
                return "unreadable"
            for name, wanted in rule.query.items():
                value = reading.chosen.get(name)
                if value is None or not any(glob(each, value) for each in wanted):
                    return False
        if rule.graphql is None:
            return True
        if reading.operation is None:
            return False if rule.graphql.get("unreadable") == "skip" else "unreadable"
        kind, _, field, _ = reading.operation
        if kind not in rule.graphql.get("operations", [kind]):
            return False
        return any(glob(each, field) for each in rule.graphql.get("fields", ["*"]))

    def is_from(self, issuers):
        return any(each in issuers for each in [self.identity.issuer.name, *matching_iss(self.identity)])

    def meets(self, rule):
        """Every key of `require`; for a list, one item is enough."""
        who, require = self.identity, rule.require or {}
        checks = {
            "anyRole": lambda wanted: any(each in who.roles for each in wanted),
            "allRoles": lambda wanted: all(each in who.roles for each in wanted),
            "anyScope": lambda wanted: any(each in who.scopes for each in wanted),
            "allScopes": lambda wanted: all(each in who.scopes for each in wanted),
            "tokenType": lambda wanted: who.token_class in wanted,
            "principals": lambda wanted: any(glob(each, who.principal) for each in wanted),
            "issuers": self.is_from,
            "audiences": lambda wanted: any(each in who.audiences for each in wanted),
            "claims": lambda wanted: all(has_claim(who.claims, path, values) for path, values in wanted.items()),
            "sourceIps": lambda _: any(self.source in each for each in rule.networks),
        }
        return all(checks[key](wanted) for key, wanted in require.items())

    def variables(self, reading):
        """The four variables of `when`."""
        who, request = self.identity, self.request
        query = {}
        for name, value in self.parameters or []:
            query.setdefault(name, []).append(value)
        variables = {
            "claims": cel.value_of(who.claims),
            "request": {
                "method": request.method,
                "path": reading.path.decode("utf-8", "replace"),
                "host": request.host,
                "sourceIp": str(self.source),
                "query": query,
            },
            "token": {
                "class": who.token_class,
                "issuer": who.issuer.name,
                "principal": who.principal,
                "roles": who.roles,
                "scopes": who.scopes,
                "audiences": who.audiences,
            },
            "graphql": {},
        }
        if isinstance(who.claims.get("iss"), str):
            variables["token"]["iss"] = who.claims["iss"]
        if reading.operation:
            kind, name, _, fields = reading.operation
            variables["graphql"] = {"operation": kind, "name": name, "fields": fields}
        return variables


def has_claim(claims, path, wanted):
    """A claim with one of the values; of a list, one item is enough. Numbers and truth values are compared as texts."""
    value = lookup(claims, path)
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool):
            each = "true" if each else "false"
        elif isinstance(each, int):
            each = str(each)
        elif hasattr(each, "as_tuple"):
            each = repr(float(each))
        if isinstance(each, str) and each in wanted:
            return True
    return False
