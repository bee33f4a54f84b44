"""A sample over the wire: the built program must decide as the driver does."""

import http.server
import json
import queue
import random
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import compare
import worlds.requests
import worlds.tokens
from model import keys as model_keys

COMPARED = ("decision", "reason", "status", "principal", "token_class", "rule")


class Backend(http.server.BaseHTTPRequestHandler):
    """The backend, and the server of key sets: a document if the path names one, else 200 without content."""

    protocol_version = "HTTP/1.1"
    documents = {}

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = self.documents.get(self.path, "").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """The built program under one configuration."""

    def __init__(self, command, config, revocations, directory):
        self.port, self.health = free_port(), free_port()
        file = Path(directory, "metagate.yaml")
        config = {
            **config,
            "listen": f"127.0.0.1:{self.port}",
            "health": {"listen": f"127.0.0.1:{self.health}"},
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "workers": 1,
        }
        if revocations is not None:
            listed = Path(directory, "revocations.yaml")
            listed.write_text(json.dumps(revocations))
            config["authentication"]["revocations"] = {"file": str(listed)}
        file.write_text(json.dumps(config))
        self.log = Path(directory, "log").open("wb")
        arguments = [command, "run", "--config", str(file)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=self.log, env={"PATH": ""})
        self.records = queue.Queue()
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        for line in self.process.stdout:
            record = json.loads(line)
            if record.get("event") == "request":
                self.records.put(record)

    def is_ready(self):
        """Waits until it has keys. False if it never does."""
        for _ in range(100):
            if self.process.poll() is not None:
                return False
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=5):
                    return True
            except OSError:
                time.sleep(0.05)  # The one thing that can only be waited for.
        return False

    def decide(self, request):
        """The audit record of a request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request["head"] + request["body"])
            assert connection.recv(65536), "no response"
        return self.records.get(timeout=20)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


def adapted(world, server):
    """A configuration whose key URLs lead to this process."""
    text = json.dumps(world.config)
    keys = {}
    for number, (url, document) in enumerate(world.keys.items()):
        path = f"/{number}/{url.split('/', 3)[3]}"
        Backend.documents[path] = document
        keys[f"http://127.0.0.1:{server}{path}"] = document
        text = text.replace(url, f"http://127.0.0.1:{server}{path}")
    config = json.loads(text)
    config["upstream"] = {"url": f"http://127.0.0.1:{server}"}
    config.setdefault("limits", {})["failures"] = {"rate": "off"}
    config["authentication"]["jwks"] = {"maxWait": "50ms"}
    return config, keys


def is_complete(request):
    """Whether the head states the body that follows; another one would be waited for."""
    head = request["head"].lower()
    lengths = re.findall(rb"content-length:[ \t]*([^\r\n]*)", head)
    stated = lengths in ([], [str(len(request["body"])).encode()])
    return stated and b"transfer-encoding" not in head and b"expect:" not in head and bool(lengths or not request["body"])


def is_fetchable(world):
    """A source without a usable key is one that cannot be fetched, which the driver does not know."""
    return all(model_keys.parse_set(json.loads(document), False) for document in world.keys.values())


def compare_batch(batch, driver, program_path, server):
    """(compared, differences)"""
    config, keys = adapted(batch.world, server)
    line = compare.configuration_line(config, keys, batch.world.revocations)
    if "errors" in driver.ask([line])[0]:
        return 0, []
    compared, differences = 0, []
    with tempfile.TemporaryDirectory() as directory:
        program = Program(program_path, config, batch.world.revocations, directory)
        try:
            if not program.is_ready():
                return 0, []
            for request in filter(is_complete, batch.requests):
                request = {**request, "source": "127.0.0.1"}
                before = int(time.time())
                record = program.decide(request)
                times = {before, int(time.time())}
                lines = [compare.request_line({**request, "now": now}) for now in times]
                expected = [{name: each.get(name) for name in COMPARED} for each in driver.ask(lines)]
                seen = {name: record.get(name) for name in COMPARED}
                if expected[0]["reason"] is None or expected[0]["decision"] == "would_deny":
                    expected = [{**each, "status": 200} for each in expected]
                # The audit record has no principal of DataHub's own services.
                compared += 1
                if seen not in expected:
                    differences.append((batch.name, request, expected[0], seen))
        finally:
            program.end()
    return compared, differences


def run(driver_path, program_path, seed, count):
    now = int(time.time())
    worlds.tokens.NOW = worlds.requests.NOW = now
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    driver = compare.Driver(driver_path)
    compared, differences, number = 0, [], 0
    order = random.Random(seed)
    while compared < count:
        batch = compare.Batch(seed, number)
        number += 1
        if not is_fetchable(batch.world):
            continue
        batch.requests = order.sample(batch.requests, 24)
        more, found = compare_batch(batch, driver, program_path, server.server_address[1])
        compared += more
        differences += found
    driver.close()
    server.shutdown()
    for name, request, expected, seen in differences[:10]:
        print(f"\ndifference {name}: {request['head']}\n  driver  {expected}\n  program {seen}")
    print(f"{compared} requests over the wire: {compared - len(differences)} as the driver decides")
    return 1 if differences else 0
