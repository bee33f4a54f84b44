"""A client that writes raw bytes and parses responses strictly (RFC 9112)."""

import dataclasses
import itertools
import re

from harness.backend import TOKEN
from harness.cases import Failure, expect
from harness.stage import PATIENCE


@dataclasses.dataclass
class Response:
    status: int
    # Names in lower case.
    fields: list
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    version: str = "1.1"

    def values(self, name):
        return [value for own, value in self.fields if own == name]

    def value(self, name):
        values = self.values(name)
        return values[0] if values else None


class Ended(Exception):
    """The connection has ended where a response would begin."""


_paths = itertools.count(1)


class Client:
    def __init__(self, stage):
        self.stage, self.socket = stage, stage.connect()
        self.stream = self.socket.makefile("rb")
        self.path = f"/http1/{next(_paths)}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def fill(self, template):
        """PATH is this client's own path, AUTH a field with a valid token, FIELDS Host and that field."""
        auth = f"Authorization: {self.stage.authorization}\r\n".encode()
        return template.replace(b"FIELDS", b"Host: gateway.test\r\n" + auth).replace(b"AUTH", auth).replace(b"PATH", self.path.encode())

    def send(self, template):
        try:
            self.socket.sendall(self.fill(template))
        except OSError:
            pass  # The other side has closed the connection. What it sent before is read next.
        return self

    def line(self):
        line = self.stream.readline(1 << 17)
        if not line:
            raise Ended
        expect(line.endswith(b"\r\n"), f"a line with its end, not {line[:80]!r}")
        return line[:-2]

    def fields(self):
        fields = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            expect(colon and TOKEN.fullmatch(name), f"a field, not {line[:80]!r}")
            fields.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
        return fields

    def head(self):
        """The next head, interim or final."""
        try:
            line = self.line()
            # Only the cases about the version check it.
            match = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)", line)
            expect(match, f"a status line, not {line[:80]!r}")
            return Response(int(match[1]), self.fields(), version=line[5:8].decode())
        except TimeoutError:
            raise Failure(f"a response, not silence for {PATIENCE} s") from None
        except ConnectionError:
            raise Ended from None

    def response(self, method="GET"):
        """The next final response, whole."""
        while (response := self.head()).status < 200 and response.status != 101:
            pass
        lengths, codings = response.values("content-length"), response.values("transfer-encoding")
        expect(len(lengths) + len(codings) <= 1, f"one framing, not {response.fields}")
        if method == "HEAD" or response.status in (101, 204, 304):
            return response
        if codings:
            expect(codings == ["chunked"], str(codings))
            while size := int(self.line(), 16):
                response.body += self.exactly(size + 2)[:-2]
            response.trailers = self.fields()
        elif lengths:
            response.body = self.exactly(int(lengths[0]))
        else:
            response.body = self.stream.read()
        return response

    def exactly(self, count):
        data = self.stream.read(count)
        expect(len(data) == count, f"{count} octets, not {len(data)}: a response that breaks off")
        return data

    def ended(self):
        """Whether the connection ends now, with no further octet."""
        try:
            rest = self.stream.read()
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        expect(not rest, f"no more octets, not {rest[:80]!r}")
        return True

    def goes_on(self):
        """The connection serves another request, whose response comes next."""
        self.send(b"GET PATH/next HTTP/1.1\r\nFIELDS\r\n")
        try:
            response = self.response()
        except Ended:
            raise Failure("the connection goes on, not an end") from None
        expect(response.status == 200, f"200 for the next request, not {response.status}")
        expect(len(self.arrived(self.path + "/next")) == 1, "the next request at the backend, once")

    def arrived(self, path=None):
        return self.stage.backend.to(path or self.path)
