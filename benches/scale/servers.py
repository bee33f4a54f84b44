"""The key server and the backend that all processes share."""

import http.server
import threading


class Counting(http.server.ThreadingHTTPServer):
    """Returns one body to everybody, and counts requests and connections."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.requests, self.connections, self.lock = body, 0, 0, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, requests=0, connections=0):
        with self.lock:
            self.requests += requests
            self.connections += connections


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.count(connections=1)

    def do_GET(self):
        self.server.count(requests=1)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass
