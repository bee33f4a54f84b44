"""The head of a request over HTTP/1.1, read strictly: RFC 9112 sections 2 to 6, RFC 9110 section 5."""

import re
from ipaddress import IPv6Address

from .outcome import Refused
from .settings import METHODS

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
TARGET = re.compile(rb"[\x21-\x7e]+")
REG_NAME = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+;=]{1,255}")
FRAMING = {"transferencoding", "contentlength", "host", "connection"}
EXACT = {"transfer-encoding", "content-length", "host", "connection"}


class Request:
    def __init__(self, method, path, query, fields, host):
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.host = host

    def values(self, name):
        return [value for each, value in self.fields if each == name]


def letters(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


def host_of(value):
    """The host without port and without one dot at its end, in lower case (RFC 3986 section 3.2.2)."""
    if value.startswith(b"["):
        address, closed, port = value[1:].partition(b"]")
        try:
            IPv6Address(address.decode("ascii"))
        except ValueError:
            raise Refused("bad_target") from None
        if not closed or not re.fullmatch(rb"(:[0-9]*)?", port):
            raise Refused("bad_target")
        return f"[{address.decode()}]".lower()
    name, _, port = value.partition(b":")
    # Stricter than RFC 3986 (docs/edge-cases.md): no escapes, no comma.
    if not REG_NAME.fullmatch(name) or not re.fullmatch(rb"[0-9]*", port):
        raise Refused("bad_target")
    name = name.decode().lower().removesuffix(".")
    if not name or any(not label for label in name.split(".")):
        raise Refused("bad_target")
    return name


def port_of(value, scheme):
    """The port, or that of the scheme (RFC 9110 section 4.2)."""
    port = re.search(rb":([0-9]*)$", value)
    return int(port[1]) if port and port[1] else {b"http": 80, b"https": 443}[scheme]


def read_line(line):
    method, *rest = line.split(b" ")
    if len(rest) != 2 or not TOKEN.fullmatch(method):
        raise Refused("bad_target", "target_too_long", "head_too_large")
    if rest[1] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refused("bad_target", "target_too_long", "head_too_large")
    return method.decode(), rest[0], rest[1]


def read_field(line):
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
        raise Refused("bad_target")
    return name.decode().lower(), value


def check_framing(fields, version):
    def of(wanted):
        return [value for name, value in fields if name == wanted]

    for name, _ in fields:
        if letters(name) in FRAMING and name not in EXACT:
            raise Refused("bad_target")
    lengths, codings = of("content-length"), of("transfer-encoding")
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,18}", each) for each in lengths):
        raise Refused("bad_target")
    if codings and (lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or version == b"HTTP/1.0"):
        raise Refused("bad_target")


def check_connection(request):
    """`Connection` names no field that is not about the connection."""
    for value in request.values("connection"):
        for option in value.decode("latin-1").lower().split(","):
            option = option.strip(" \t")
            if option in ("authorization", "cookie", "host") or option.startswith(("content-", "x-forwarded-")):
                raise Refused("bad_target")


def split_target(target):
    """(authority or None, path, query or None)"""
    if not TARGET.fullmatch(target) or b"#" in target:
        raise Refused("bad_target")
    authority = None
    if not target.startswith(b"/"):
        absolute = re.fullmatch(rb"(?i:https?)://([^/?]*)(.*)", target)
        if not absolute:
            raise Refused("bad_target")
        authority, target = absolute.groups()
        if b"@" in authority:
            raise Refused("bad_target")
        if not target.startswith(b"/"):
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    if any(octet in b"\\<>`" for octet in path):
        raise Refused("bad_target")
    return authority, path, query if mark else None


def read(head, settings):
    """Reads a whole head, with the empty line at its end. Several faults at once: any of their reasons is right."""
    reasons = set()
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, version = read_line(lines[0])
    if len(head) > settings.head_octets or len(lines) - 1 > settings.field_count:
        reasons.add("head_too_large")
    if len(target) > settings.target_octets:
        reasons.add("target_too_long")
    if method not in METHODS:
        reasons.add("method_not_allowed")
    request = None
    try:
        fields = [read_field(line) for line in lines[1:]]
        check_framing(fields, version)
        authority, path, query = split_target(target)
        hosts = [host_of(value) for name, value in fields if name == "host"]
        if len(hosts) != 1:
            raise Refused("bad_target")
        if authority is not None:
            field = next(value for name, value in fields if name == "host")
            scheme = target.partition(b":")[0].lower()
            if host_of(authority) != hosts[0] or port_of(authority, scheme) != port_of(field, scheme):
                raise Refused("bad_target")
        request = Request(method, path, query, fields, hosts[0])
    except Refused as refused:
        reasons |= refused.reasons
    if reasons:
        raise Refused(*reasons)
    return request
