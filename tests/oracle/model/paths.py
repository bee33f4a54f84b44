"""Which paths are refused, in how many ways a path can be read, and patterns of paths.

RFC 3986 sections 2.1, 3.3 and 5.2.4; docs/configuration.md (Routes, Rules), docs/decisions.md 7 and 17.
"""

import re

from .outcome import Refused

BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
# A character in more octets than it needs (RFC 3629 section 3), which lenient decoders read all the same.
OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")


def decoded(path):
    return ENCODED.sub(lambda found: bytes([int(found[1], 16)]), path)


def cut(path):
    """Without the `;parameters` of each segment."""
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


def merged(path):
    """Without empty segments, but with a slash at the end if there was one."""
    kept = b"/" + b"/".join(segment for segment in path.split(b"/") if segment)
    return kept + b"/" if path.endswith(b"/") and kept != b"/" else kept


def without_last_slash(path):
    return path[:-1] if path.endswith(b"/") and path != b"/" else path


def spellings(path):
    """Raw, with parameters cut, percent-decoded, and both in either order."""
    found = {path, cut(path), decoded(path), decoded(cut(path)), cut(decoded(path)), cut(decoded(cut(path)))}
    return found


def by_count(path):
    """Readings of Jersey, which drops as many characters of the raw path as the mapping of its servlet has. The mapping is
    a prefix of the path as the container reads it, of at most four segments."""
    if b";" not in path:
        return set()
    found = set()
    for clean in {cut(path), decoded(cut(path))}:
        ends = [at for at, octet in enumerate(clean) if octet == ord("/") and at] + [len(clean)]
        for end in ends[:4]:
            if end < len(path):
                found.add(clean[:end] + b"/" + merged(b"/" + cut(path[end + 1 :]))[1:])
    return found


def has_dot_segment(path):
    """With a slash or a backslash between segments."""
    return any(cut(segment) in (b".", b"..") for segment in path.replace(b"\\", b"/").split(b"/"))


def readings(path):
    """Every reading of a raw path. Refuses a path that no two servers can be trusted to read alike."""
    if BROKEN.search(path):
        raise Refused("bad_target")
    found, counted = spellings(path), by_count(path)
    twice = decoded(decoded(path))
    for reading in found | counted | {twice}:
        if any(octet < 0x20 or octet == 0x7F for octet in reading) or has_dot_segment(reading):
            raise Refused("bad_target")
        if OVERLONG.search(reading):
            raise Refused("bad_target")
    if decoded(path) != twice and (b"\\" in twice or b"#" in twice):
        raise Refused("bad_target")
    found |= {as_latin1(each) for each in found}
    found |= {merged(each) for each in found}
    return counted | found | {without_last_slash(each) for each in found}


def as_latin1(path):
    """Jetty 9 reads octets that are not UTF-8 as ISO-8859-1."""
    try:
        path.decode("utf-8")
        return path
    except UnicodeDecodeError:
        return path.decode("latin-1").encode("utf-8")


def is_plain(path):
    """No `;`, no `%` and no empty segment; a slash at the end is another question."""
    return b";" not in path and b"%" not in path and b"//" not in path


class Pattern:
    """`*` is one segment, `**` the rest of the path: everything at and below what is before it."""

    def __init__(self, text):
        self.text = text
        segments = text.encode().split(b"/")[1:]
        self.rest = segments[-1] == b"**"
        self.segments = segments[:-1] if self.rest else segments

    def matches(self, path):
        segments = path.split(b"/")[1:]
        if len(segments) < len(self.segments):
            return False
        if not self.rest and len(segments) != len(self.segments):
            return False
        return all(wanted in (b"*", found) and (found or not wanted) for wanted, found in zip(self.segments, segments))


class Route:
    """`METHOD[,METHOD] /path`, or `/path` for every method."""

    def __init__(self, text):
        methods, _, path = text.rpartition(" ")
        self.methods = set(methods.split(",")) if methods else None
        self.pattern = Pattern(path)

    def matches(self, method, path):
        return takes(self.methods, method) and self.pattern.matches(path)


def takes(methods, method):
    """Whether a list of methods has one. HEAD is GET without the content (RFC 9110 section 9.3.2)."""
    return methods is None or method in methods or (method == "HEAD" and "GET" in methods)


def route_kind(settings, method, path):
    """public, optional or protected."""

    def of(reading):
        if any(row.matches(method, reading) for row in settings.optional):
            return "optional"
        if any(row.matches(method, reading) for row in settings.public):
            return "public"
        return "protected"

    if not is_plain(path):
        return "protected"
    kinds = {of(path), of(without_last_slash(path))}
    return kinds.pop() if len(kinds) == 1 else "protected"
