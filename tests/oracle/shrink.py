"""Makes a disagreement smaller: removes parts of the configuration and of the request while it persists."""

import copy
from dataclasses import replace

import compare


def has_keys(config):
    """Whether every entry has keys that need no discovery, which the driver does not do."""
    entries = config.get("authentication", {}).get("issuers", [])
    kinds = {"publicKeys", "publicKeyUrls", "sharedSecret"}
    return all(kinds & entry.keys() for entry in entries)


def disagrees(triple, driver):
    if not has_keys(triple.config):
        return False
    try:
        expected = triple.outcome()
    except Exception:  # noqa: BLE001 - a smaller configuration may make no sense
        return False
    loaded, seen = driver.ask([
        compare.configuration_line(triple.config, triple.keys, triple.revocations), compare.request_line(triple.request),
    ])
    return "errors" not in loaded and not expected.agrees_with(seen)


def without(value, path):
    """A copy of a nested value without the member at `path`."""
    smaller = copy.deepcopy(value)
    inner = smaller
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return smaller


def parts(value, path=()):
    """The paths of all members, outer ones first."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield (*path, key)
    for key in keys:
        yield from parts(value[key], (*path, key))


def smaller_requests(request):
    lines = request["head"].split(b"\r\n")
    for at in range(1, len(lines) - 2):
        yield {**request, "head": b"\r\n".join(lines[:at] + lines[at + 1 :])}
    target = lines[0].split(b" ")
    if len(target) == 3 and b"?" in target[1]:
        line = b" ".join([target[0], target[1].partition(b"?")[0], target[2]])
        yield {**request, "head": b"\r\n".join([line, *lines[1:]])}
    if request["body"]:
        yield {**request, "body": b""}


def smaller(triple):
    for path in parts(triple.config):
        if path != ("upstream",):
            yield replace(triple, config=without(triple.config, path))
    for request in smaller_requests(triple.request):
        yield replace(triple, request=request)
    if triple.revocations:
        for at in range(len(triple.revocations)):
            yield replace(triple, revocations=without(triple.revocations, (at,)))


def smallest(triple, driver):
    if not disagrees(triple, driver):
        # It needs the requests before it: a token that was verified earlier.
        return triple
    while True:
        better = next((each for each in smaller(triple) if disagrees(each, driver)), None)
        if better is None:
            return triple
        triple = better
