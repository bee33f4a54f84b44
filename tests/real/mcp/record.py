"""Stands between the client and an MCP server, and keeps what each sends: the trace that a test in Rust replays."""

import contextlib
import io
import json
import re
import socket
import threading

from relay import Relay

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
# Of the moment.
PASSING = {"date"}


class Recorder(Relay):
    def __init__(self, port):
        super().__init__(port)
        # For each connection, in order, the bytes of both directions.
        self.connections = []

    def relay(self, client):
        sent, received = bytearray(), bytearray()
        with self.lock:
            self.connections.append((sent, received))
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            back = threading.Thread(target=self.copy, args=(server, client, received.extend), daemon=True)
            back.start()
            self.copy(client, server, sent.extend)
            back.join()

    def exchanges(self):
        """Requests with their responses, in the order in which the connections began."""
        for sent, received in self.connections:
            requests, responses = io.BytesIO(sent), io.BytesIO(received)
            while request := message(requests):
                response = message(responses)
                yield request, response


def message(stream):
    """Start line, fields, framing, the pieces of the body, and whether it is complete; None at the end."""
    start = stream.readline().decode().strip()
    if not start:
        return None
    fields = []
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        fields.append([name, value.strip()])
    lower = {name.lower(): value for name, value in fields}
    if "chunked" not in lower.get("transfer-encoding", ""):
        length = lower.get("content-length")
        body = stream.read(int(length or 0)).decode()
        return start, fields, "none" if length is None else "content-length", [body] if body else [], True
    pieces = []
    while size := int(stream.readline() or b"-1", 16):
        # The connection ended before the body.
        if size < 0:
            return start, fields, "chunked", pieces, False
        pieces.append(stream.read(size).decode())
        stream.readline()
    stream.readline()
    return start, fields, "chunked", pieces, True


def lines(server, exchanges, replaced):
    """The trace, with the replaced texts and without what differs from run to run."""
    numbers = {}

    def steady(text):
        for old, new in replaced.items():
            text = text.replace(old, new)
        # The same again for the same one.
        number = lambda found: numbers.setdefault(found[0], f"{len(numbers) + 1:032x}")
        return UUID.sub(number, text)

    for (start, fields, framing, body, _), response in exchanges:
        method, path, version = start.split(" ")
        body = "".join(body)
        line = {"client": server, "method": method, "path": path, "version": version, "headers": fields, "framing": framing,
                "body_head": body}
        answer, answer_fields, answer_framing, pieces, complete = response
        kept = [[name, value] for name, value in answer_fields if name.lower() not in PASSING]
        line["response"] = {
            "status": int(answer.split(" ")[1]), "headers": kept, "framing": answer_framing, "pieces": list(map(event, pieces)),
            "complete": complete,
        }
        line = json.loads(steady(json.dumps(line)))
        line["body_len"] = len(line["body_head"].encode())
        fix_length(line["headers"], line["body_len"])
        fix_length(line["response"]["headers"], sum(len(piece.encode()) for piece in line["response"]["pieces"]))
        yield json.dumps(line, ensure_ascii=False) + "\n"


def shortened(value):
    """Without most of the texts and lists that describe the tools."""
    if isinstance(value, dict):
        return {name: shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value[:5]]
    return value if not isinstance(value, str) or len(value) <= 200 else f"{value[:200]}…"


def event(piece):
    """A server-sent event, whose data is shortened."""
    short = lambda found: json.dumps(shortened(json.loads(found[0])), separators=(",", ":"), ensure_ascii=False)
    return re.sub(r"(?<=data: )\{.*\}", short, piece)


def fix_length(fields, length):
    """Texts that were replaced have other lengths."""
    for field in fields:
        if field[0].lower() == "content-length":
            field[1] = str(length)
