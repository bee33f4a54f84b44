"""Proof that the run can fail: each of these errors, planted into the model, must be seen."""

import contextlib
import sys

import compare
from model import cel, claims, graphql, head, keys, paths, rules, token
from model.outcome import Refused

decide = sys.modules["model.decide"]  # `model.decide` is its function

ENOUGH = 1200  # configurations


def later(function, change):
    """The function with another result."""
    return lambda *arguments: change(function(*arguments), *arguments)


def nothing(*_):
    return None


class SmallLeeway:
    """An issuer entry whose leeway is one second less."""

    def __init__(self, issuer):
        self.issuer = issuer

    def __getattr__(self, name):
        return self.issuer.leeway - 1 if name == "leeway" else getattr(self.issuer, name)


def without_requirement(key):
    meets = rules.Judge.meets

    def changed(self, rule):
        kept = rule.require
        if kept and key in kept:
            rule.require = {name: value for name, value in kept.items() if name != key}
        try:
            return meets(self, rule)
        finally:
            rule.require = kept

    return (rules.Judge, "meets", changed)


def without_match(key):
    applies = rules.Judge.applies

    def changed(self, rule, reading):
        kept = getattr(rule, key)
        setattr(rule, key, None)
        try:
            return applies(self, rule, reading)
        finally:
            setattr(rule, key, kept)

    return (rules.Judge, "applies", changed)


def mutants():
    """(what is wrong, (where, name, replacement))"""
    check_times, candidates, check_audience = claims.check_times, keys.candidates, claims.check_audience
    yield "leeway is a second less", (claims, "check_times", lambda c, issuer, k, now: check_times(c, SmallLeeway(issuer), k, now))
    yield "exp is good for one second more", (claims, "check_times", lambda c, i, k, now: check_times(c, i, k, now - 1))
    yield "no audience is checked", (claims, "check_audience", lambda c, i: check_audience(c, _Unbound(i)))
    yield "no lifetime is checked", (claims, "check_lifetime", nothing)
    yield "no domain is checked", (claims, "check_domain", nothing)
    yield "no kind of token is refused", (claims, "check_kind", nothing)
    yield "every claim of a bot counts", (claims, "is_own_token", lambda *_: True)
    yield "nothing is revoked", (claims, "is_revoked", lambda *_: False)
    yield "the first role only", (claims, "roles_of", later(claims.roles_of, lambda roles, *_: roles[:1]))
    yield "only the first scope", (claims, "scopes_of", later(claims.scopes_of, lambda scopes, *_: scopes[:1]))
    yield "typ is not checked", (token, "check_type", nothing)
    yield "requireHeader is not checked", (token, "check_header", nothing)
    yield "duplicate members are accepted", (token, "unique", dict)
    yield "base64url may have any trailing bits", (token, "octets", lax_octets)
    yield "names in another case are accepted", (token, "has_twins", lambda _: False)
    yield "every signature is good", (keys.Key, "check", lambda *_: True)
    yield "keys are not selected by kid", (keys, "candidates", lambda issuer, kid, alg: candidates(issuer, None, alg))
    yield "a key's alg does not bind", (keys.Key, "algorithms", all_of_family)
    yield "parameters are kept in paths", (paths, "cut", lambda path: path)
    yield "paths are not decoded", (paths, "decoded", lambda path: path)
    yield "empty segments are kept", (paths, "merged", lambda path: path)
    yield "the slash at the end is kept", (paths, "without_last_slash", lambda path: path)
    yield "dot segments are accepted", (paths, "has_dot_segment", lambda path: False)
    yield "a path that is not plain opens", (paths, "is_plain", lambda path: True)
    yield "HEAD is not GET", (rules, "takes", lambda methods, method: methods is None or method in methods)
    yield "look-alikes of framing are accepted", (head, "letters", lambda name: name)
    yield "Connection may name anything", (head, "check_connection", nothing)
    yield "impersonation is not checked", (decide, "check_impersonation", nothing)
    yield "administrators of DataHub may act", (decide, "check_actor", nothing)
    yield "a query is read without +", (rules.Judge, "decode_query", without_plus)
    yield "only the first value of a parameter", (rules.Judge, "combinations", later(rules.Judge.combinations, lambda all_, *_: all_[:1]))
    yield "an error in when is false", (cel, "holds", lax_holds)
    yield "texts are equal to numbers", (cel, "equal", lambda left, right: str(left) == str(right))
    yield "fragments are not followed", (graphql, "fields_of", flat_fields)
    yield "numbers are no claims of rules", (rules, "has_claim", lambda c, path, wanted: claims.lookup(c, path) in wanted)
    for key in ("anyRole", "allRoles", "anyScope", "allScopes", "tokenType", "principals", "issuers", "audiences", "claims", "sourceIps"):
        yield f"require.{key} is not checked", without_requirement(key)
    for key in ("methods", "paths", "hosts", "issuers", "query", "graphql"):
        yield f"match.{key} is not checked", without_match(key)


class _Unbound(SmallLeeway):
    def __getattr__(self, name):
        return [] if name == "audiences" else getattr(self.issuer, name)


def lax_octets(part, padded):
    import base64
    import binascii

    try:
        return base64.urlsafe_b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        raise Refused("malformed_token") from None


def all_of_family(key):
    kept, key.alg = key.alg, None
    try:
        return ALGORITHMS(key)
    finally:
        key.alg = kept


def without_plus(judge):
    kept, judge.request.query = judge.request.query, (judge.request.query or b"").replace(b"+", b"%2B")
    try:
        return DECODE(judge)
    finally:
        judge.request.query = kept


def lax_holds(text, variables):
    try:
        return HOLDS(text, variables)
    except cel.Failed:
        return False


def flat_fields(selections, *_):
    return [each.name.value for each in selections.selections if isinstance(each, graphql.ast.FieldNode)]


ALGORITHMS, DECODE, HOLDS = keys.Key.algorithms, rules.Judge.decode_query, cel.holds


@contextlib.contextmanager
def planted(place):
    owner, name, replacement = place
    kept = getattr(owner, name)
    setattr(owner, name, replacement)
    keys.verified.clear()
    try:
        yield
    finally:
        setattr(owner, name, kept)
        keys.verified.clear()


def disagreements(batch, answers):
    settings = compare.model.Settings(batch.world.config, compare.documents(batch.world.keys), batch.world.revocations)
    for request, seen in zip(batch.requests, answers):
        if not compare.decide(settings, request).agrees_with(seen):
            yield request


def run(driver_path, seed):
    driver = compare.Driver(driver_path)
    batches = []
    for number in range(ENOUGH):
        batch = compare.Batch(seed, number)
        loaded, *answers = driver.ask(batch.lines())
        if "errors" not in loaded:
            batches.append((batch, answers))
    driver.close()
    if any(True for batch, answers in batches for _ in disagreements(batch, answers)):
        print("there are disagreements without a planted error: run without --self-test first")
        return 1
    unseen = []
    for count, (what, place) in enumerate(mutants(), 1):
        with planted(place):
            found = (at for at, (batch, answers) in enumerate(batches) for _ in disagreements(batch, answers))
            first = next(found, None)
        if first is None:
            unseen.append(what)
        print(f"{'not seen' if first is None else f'seen under configuration {first + 1}':32} {what}")
    print(f"{count - len(unseen)} of {count} planted errors were seen")
    return 1 if unseen else 0
