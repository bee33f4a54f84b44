"""Requests through metagate and straight to the server, and what of them is recorded: no secret, nothing that changes."""

import http.client
import json
import re
import time

from keys import contents

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]*\.[\w-]*")
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
# Milliseconds since 1970, as OpenMetadata writes times.
MILLISECONDS = 1_000_000_000_000
# A password is only ever one that this test chose; its value says nothing.
SECRETS = {"password", "refreshToken"}
# What differs between two starts or builds of one version.
CHANGING = {"revision", "sid"}
SESSION = re.compile(r'"sid":"[^"]*"')
# Of the connection, or of the moment.
PASSING_FIELDS = {"date", "content-length", "transfer-encoding", "connection", "keep-alive", "x-request-id", "expires"}


# The server's own response, if it is the one that came through metagate.
SAME = "same"


class Exchange:
    """One response."""

    def __init__(self, status, fields, content):
        self.status, self.fields, self.content = status, fields, content

    @property
    def document(self):
        try:
            return json.loads(self.content)
        except ValueError:
            return self.content.decode(errors="replace")

    @property
    def text(self):
        """The message that a client shows."""
        document = self.document
        if isinstance(document, dict):
            return document.get("message") or document.get("responseMessage") or ""
        return document

    def recorded(self):
        fields = {name.lower(): shorten(value) for name, value in self.fields if name.lower() not in PASSING_FIELDS}
        return {"status": self.status, "fields": dict(sorted(fields.items())), "body": shape(self.document)}


def shorten(text):
    """Without what differs between two runs, or must not be kept."""
    text = SESSION.sub('"sid":"<sid>"', text)
    return ADDRESS.sub("<address>", UUID.sub("<uuid>", TOKEN.sub("<token>", text)))


def shape(value, name=""):
    """A JSON value as it is recorded: the same for two runs, and short."""
    if name in SECRETS and isinstance(value, str):
        return "<masked>" if value and not value.strip("*") else "<secret>"
    if name in CHANGING:
        return f"<{name}>"
    if name == "n" and isinstance(value, str):
        # OpenMetadata's modulus begins with a sign byte, and some versions pad it.
        return "<modulus" + (", signed" if value.startswith("A") else "") + (", padded>" if value.endswith("=") else ">")
    if isinstance(value, dict):
        return {member: shape(inner, member) for member, inner in sorted(value.items())}
    if isinstance(value, list):
        shapes = sorted((shape(inner, name) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
        return shapes if len(shapes) < 3 else [shapes[0], "<more>"]
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, int) and value > MILLISECONDS:
        return "<time>"
    return value


def send(port, method, path, fields=(), body=None):
    """One request on a connection of its own. The path goes out as it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        for name, value in fields:
            connection.putheader(name, value)
        if content is not None:
            if not any(name.lower() == "content-type" for name, _ in fields):
                connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        response = connection.getresponse()
        # What follows 101 is another protocol.
        content = b"" if response.status == 101 else response.read()
        return Exchange(response.status, response.getheaders(), content)
    finally:
        connection.close()


class Tokens:
    """The tokens of this run by name, and what the trace says of each: its header and claims, with times in seconds from now."""

    def __init__(self, kids):
        # kid -> the name of its key in the trace.
        self.kids, self.texts, self.described = kids, {}, []

    def add(self, name, text, key=None):
        """Keeps a token. `key` names what signed it, if its kid does not tell."""
        self.texts[name] = text
        header, claims = contents(text)
        minutes = lambda value: round((value - time.time()) / 60) * 60
        times = {claim: minutes(claims[claim]) for claim in ("exp", "iat", "nbf") if isinstance(claims.get(claim), int)}
        claims = {member: times.get(member, shape(value)) for member, value in claims.items()}
        if "kid" in header:
            header["kid"] = self.kids.get(header["kid"], header["kid"])
        self.described.append({"token": name, "key": key or header["kid"], "header": header, "claims": claims})
        return text


class Recorder:
    """Sends the requests of the checks, and keeps what is compared with the trace."""

    def __init__(self, proxy, server_port, tokens):
        self.proxy, self.server_port, self.tokens = proxy, server_port, tokens
        self.check, self.exchanges, self.observed = "", [], []

    def authorization(self, token):
        if token is None:
            return []
        return [("Authorization", f"Bearer {self.tokens.texts[token]}")]

    def call(self, step, method, path, token=None, body=None, fields=(), directly=None, proxy=None, is_down=False):
        """Sends one request through metagate, and straight to the server where that changes nothing.

        `token` is a name; `<token NAME>` in a field's value is replaced by that token. `directly` is by default true for
        requests that only read. `is_down`: the server, or a key server, was down, so that nothing can be replayed. Gives the
        exchange with metagate.
        """
        through, entry, sent = self.through(proxy or self.proxy, step, method, path, token, body, fields)
        del entry["record"]
        if is_down:
            entry["down"] = True
        elif directly if directly is not None else method in ("GET", "HEAD"):
            self.compare(entry, send(self.server_port, method, path, sent, body))
        self.exchanges.append(entry)
        return through

    def observe(self, step, method, path, token=None, body=None, fields=(), directly=False, proxy=None):
        """Sends a request that is printed, and is not in the trace: metagate replaces its token, so that it cannot be replayed.

        Gives its entry, with the whole audit record.
        """
        _, entry, sent = self.through(proxy or self.proxy, step, method, path, token, body, fields)
        if directly:
            self.compare(entry, send(self.server_port, method, path, sent, body))
        self.observed.append(entry)
        return entry

    @staticmethod
    def compare(entry, alone):
        entry["server"] = alone.recorded()
        if entry["server"] == entry["metagate"]:
            entry["server"] = SAME

    def through(self, proxy, step, method, path, token, body, fields):
        """Sends one request through metagate. Gives the response, its entry, and the fields that were sent."""
        texts = [(name, re.sub(r"<token ([^>]*)>", lambda found: self.tokens.texts[found[1]], value)) for name, value in fields]
        sent = [*self.authorization(token), *texts]
        through = send(proxy.port, method, path, sent, body)
        audit = proxy.audit()
        entry = {
            "check": self.check, "step": step, "gateway": proxy.name,
            "request": {"method": method, "path": shorten(path), "token": token, "fields": [list(field) for field in fields]},
            "decision": audit["decision"], "reason": audit.get("reason"),
            "principal": audit.get("principal"), "class": audit.get("token_class"),
            "metagate": through.recorded(), "record": audit,
        }
        if body is not None:
            entry["request"]["body"] = body.decode() if isinstance(body, bytes) else shape(body)
        return through, entry, sent
