"""What both models of a backend have in common: a listener, whose every request is authenticated and remembered."""

import base64
import json
import threading
import time

from backend import Handler, Server


class Refused(Exception):
    """The status and the text of the backend's response."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Requests(Handler):
    def respond(self):
        body, _ = self.body()
        self.send(*self.server.model.handle(self.command, self.path, self.headers, json.loads(body) if body else None))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond


class Model:
    """`public` are paths without authentication; `authenticate` gives user and claims, and `serve` the response's value."""

    public = ()

    def __init__(self):
        # Every request: method, target, head, token, user, claims and status.
        self.seen = []
        # Seconds that a write takes, and what happens just before the n-th write is answered.
        self.pace, self.events, self.writes = 0, {}, 0
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Requests)
        self.server.model, self.server.connections = self, []
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle(self, method, target, headers, body):
        path = target.split("?")[0]
        authorization = headers.get("Authorization")
        seen = {"method": method, "target": target, "head": str(headers), "token": (authorization or "").rpartition(" ")[2]}
        try:
            if path not in self.public:
                seen["user"], seen["claims"] = self.authenticate(authorization)
            status, value = 200, self.serve(method, path, body)
        except Refused as refused:
            status, value = refused.status, {"code": refused.status, "message": str(refused)}
        self.seen.append(seen | {"status": status})
        if method in ("POST", "PUT") and status == 200:
            self.written()
        return status, value

    def written(self):
        time.sleep(self.pace)
        with self.lock:
            self.writes += 1
            event = self.events.pop(self.writes, None)
        if event:
            event()

    def begin(self, pace, events):
        self.seen, self.writes, self.pace, self.events = [], 0, pace, events

    def close(self):
        self.server.shutdown()
        self.server.server_close()
