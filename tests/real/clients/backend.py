"""A model of both backends: the responses that the clients wait for, and the faults that a test asks for.

It serves the paths that the clients of this directory call, OpenMetadata's key set, and nothing else of them.
"""

import http.server
import json
import socket
import threading
import time

TABLE = {
    "id": "11111111-1111-4111-8111-111111111111", "name": "orders", "fullyQualifiedName": "shop.sales.public.orders",
    "columns": [{"name": "id", "dataType": "INT"}],
}
ASPECT = {
    "aspect": {
        "com.linkedin.dataset.DatasetProperties": {"description": "orders"},
        "com.linkedin.metadata.key.CorpUserKey": {"username": "ada"},
    },
    "version": 0,
}
GOOD = {
    "GET /api/v1/system/version": {"version": "2.0.7", "revision": "x", "timestamp": 1},
    "GET /api/v1/tables": {"data": [TABLE], "paging": {"total": 1}},
    "PUT /api/v1/tables": TABLE,
    "GET /config": {
        "noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.7.0"}}, "datahub": {"serverType": "quickstart"},
        "models": {}, "patchCapable": True, "statefulIngestionCapable": True, "retention": "true",
    },
    "POST /aspects": {"value": "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"},
    "GET /aspects": ASPECT,
    "POST /api/graphql": {"data": {"me": {"corpUser": {"urn": "urn:li:corpuser:ada", "username": "ada", "exists": True}}}},
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.connections.append(self.connection)

    def respond(self):
        body, framing = self.body()
        path = self.path.split("?")[0]
        if self.path.endswith("/config/jwks"):
            return self.send(200, self.server.keys)
        fields = [[name, value] for name, value in self.headers.items()]
        self.server.seen.append({
            "method": self.command, "path": self.path, "version": self.request_version, "headers": fields,
            "framing": framing, "body_len": len(body), "body_head": body[:200].decode(),
        })
        if self.server.delay:
            time.sleep(self.server.delay)
        if self.server.fault:
            return self.send(*self.server.fault)
        wanted = "/aspects" if path.startswith("/aspects/") else path
        good = GOOD.get(f"{self.command} {wanted}")
        return self.send(200 if good else 404, good or {"code": 404, "message": "not found"})

    do_GET = do_POST = do_PUT = do_DELETE = respond

    def body(self):
        """Reads it, and returns it with its framing."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            text = self.headers.get("Content-Length")
            return self.rfile.read(int(text or 0)), "none" if text is None else "content-length"
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body, "chunked"

    def send(self, status, value, fields=()):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *fields):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_):
        """A connection that ended in the middle is what some tests are about."""


class Backend:
    """One port, through restarts. `keys` is the key set that it publishes, as OpenMetadata does."""

    def __init__(self, keys):
        self.keys, self.port, self.seen = keys, 0, []
        self.start()

    def start(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.keys, self.server.seen, self.server.connections = self.keys, self.seen, []
        self.port = self.server.server_port
        self.heal()
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def fail(self, status, value, fields=()):
        self.server.fault = (status, value, fields)

    def slow(self, seconds):
        self.server.delay = seconds

    def heal(self):
        self.server.fault, self.server.delay = None, 0

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.server.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def restart(self):
        self.close()
        self.start()
