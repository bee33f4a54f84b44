"""Good traffic and probes, each in its own process, from addresses that no attacker uses."""

import contextlib
import dataclasses
import multiprocessing
import signal
import socket
import ssl
import statistics
import threading
import time

from criteria import GOOD_RATE, PROBE_MS, PROBE_TRIES

GOOD_ADDRESS = "127.0.0.2"
# Behind another proxy, all connections come from it, and this is the good client's own address.
NAMED = "192.0.2.1"
# The kubelet and Prometheus.
PROBE_ADDRESS = "127.0.0.3"
# The admin listener is on loopback, so all its clients have that address, also attackers.
ADMIN_ADDRESS = "127.0.0.1"
PATIENCE = 5
# Certificate verification is not tested here.
ANY_CERTIFICATE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ANY_CERTIFICATE.check_hostname, ANY_CERTIFICATE.verify_mode = False, ssl.CERT_NONE
WORKERS = 8
# Workers that make a connection for each request.
FRESH = 2
PROBE_EVERY = 0.1
# A kubelet's default timeoutSeconds.
PROBE_PATIENCE = 1


@dataclasses.dataclass
class Sample:
    at: float
    milliseconds: float
    what: str
    # The fault, or an empty string.
    fault: str


class Recorder:
    """A process that records samples until it is stopped."""

    def __init__(self, work, *arguments):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(work, theirs, arguments), daemon=True)
        self.process.start()
        theirs.close()

    @staticmethod
    def run(work, pipe, arguments):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop, samples = threading.Event(), []
        threads = work(stop, samples, *arguments)
        with contextlib.suppress(EOFError):
            pipe.recv()
        stop.set()
        for thread in threads:
            thread.join()
        pipe.send(samples)

    def stop(self):
        self.pipe.send(None)
        samples = self.pipe.recv()
        self.process.join()
        return samples


def start(work, *arguments):
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def good(stop, samples, port, token, is_tls, way):
    """Paced requests with a valid token. A late one is timed from when it was due."""
    started = time.monotonic()
    return [start(good_worker, stop, samples, port, token, is_tls, way, number, started) for number in range(WORKERS)]


def good_worker(stop, samples, port, token, is_tls, way, number, started):
    connection, due = None, started + number / GOOD_RATE
    for count in range(1 << 30):
        if stop.wait(max(0, due - time.monotonic())):
            return
        body = b"{}" * 512 if count % 10 == 9 else b""
        try:
            if connection is None or number < FRESH:
                connection = connect(port, GOOD_ADDRESS, PATIENCE, is_tls, proxy_header(NAMED) if way == "proxy-protocol" else b"")
            named = NAMED if way in ("trusted-proxy", "forward-auth") else None
            fault = exchange(connection, request(port, "/api/v1/tables", token, body, named))
        except OSError as error:
            fault = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        samples.append(Sample(due, (now - due) * 1000, "good", fault))
        if fault or number < FRESH:
            if connection:
                connection.close()
            connection = None
        # Requests that became due while another one waited are sent at once, but not after a failure.
        due = max(due, now) if fault else due
        due += WORKERS / GOOD_RATE


def probes(stop, samples, health, admin, tries=PROBE_TRIES):
    """Sends each probe on a new connection, as the kubelet does."""
    targets = [(health, PROBE_ADDRESS, path) for path in ("/livez", "/readyz", "/metrics")]
    targets.append((admin, ADMIN_ADDRESS, "/status"))
    return [start(probe_worker, stop, samples, *target, tries) for target in targets]


def probe_worker(stop, samples, port, address, path, tries):
    while not stop.wait(PROBE_EVERY):
        at, best = time.monotonic(), None
        for _ in range(tries):
            tried = probe(port, address, path)
            best = min(best, tried) if best else tried
            if tried[1] or tried[0] <= PROBE_MS:
                best = tried
                break
        samples.append(Sample(at, best[0], path, best[1]))


def probe(port, address, path):
    """Milliseconds, and the fault."""
    began = time.monotonic()
    try:
        with connect(port, address, PROBE_PATIENCE) as connection:
            fault = exchange(connection, request(port, path))
    except OSError as error:
        fault = f"{type(error).__name__}: {error}"
    return (time.monotonic() - began) * 1000, fault


def proxy_header(address):
    """The PROXY protocol's line for a client."""
    return f"PROXY TCP4 {address} 192.0.2.200 50000 443\r\n".encode()


def connect(port, address, timeout, is_tls=False, begins=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout, source_address=(address, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(begins)
    return ANY_CERTIFICATE.wrap_socket(connection) if is_tls else connection


def request(port, path, token=None, body=b"", named=None):
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"X-Forwarded-For: {named}"] if named else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def exchange(connection, asked):
    """Sends a request. Returns the fault of the response, or an empty string."""
    connection.sendall(asked)
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            return "closed before an answer"
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    lengths = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
    if not lengths:
        return f"no length: {lines[0]}"
    left = int(lengths[0]) - len(body)
    while left > 0:
        piece = connection.recv(65536)
        if not piece:
            return "closed within an answer"
        left -= len(piece)
    return "" if " 200" in lines[0] else lines[0]


def percentiles(samples):
    """The 50th and the 99th, in milliseconds."""
    times = sorted(sample.milliseconds for sample in samples)
    if len(times) < 2:
        return (times * 2 or [0.0, 0.0])[:2]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]
