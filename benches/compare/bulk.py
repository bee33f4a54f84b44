"""Large bodies: a backend that sends and takes them, and a client.

    bulk.py PORT      the backend
    bulk.py PORT TOKEN DIRECTION MIB
"""

import pathlib
import socket
import subprocess
import sys
import threading

from counters import Refused

MIB = 1 << 20
# A response of the backend is this long unless the request says otherwise: more than any buffer on the way.
UNREAD_MIB = 64


def backend(port):
    """Sends as many MiB as the path of a GET says, and reads every other body."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1_024)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection):
    body, buffer = memoryview(bytes(MIB)), bytearray(MIB)
    try:
        while head := read_head(connection):
            head, rest = head
            if head.startswith(b"GET"):
                mib = int(head.split()[1].strip(b"/"))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (mib * MIB))
                for _ in range(mib):
                    connection.sendall(body)
            else:
                discard(connection, content_length(head) - len(rest), buffer)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        pass


def read_head(connection):
    """The next head, and what was read after it; None at the end."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65_536)):
            return None
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def content_length(head):
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def discard(connection, length, buffer):
    while length > 0:
        if not (count := connection.recv_into(buffer, min(length, len(buffer)))):
            raise ConnectionError("the body was cut off")
        length -= count


def request(token, target, method="GET", length=None):
    fields = [f"{method} /{target} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    fields += [f"Content-Length: {length}"] if length is not None else []
    return ("\r\n".join(fields) + "\r\n\r\n").encode()


def client(port, token, direction, mib):
    """Downloads or uploads one body."""
    connection, buffer = socket.create_connection(("127.0.0.1", port)), bytearray(MIB)
    if direction == "download":
        connection.sendall(request(token, mib))
    else:
        connection.sendall(request(token, mib, "PUT", mib * MIB))
        for _ in range(mib):
            connection.sendall(buffer)
    answered = read_head(connection)
    if not answered or b" 200" not in answered[0].split(b"\r\n")[0]:
        raise SystemExit(f"not 200: {answered and answered[0][:100]}")
    discard(connection, content_length(answered[0]) - len(answered[1]), buffer)


def transfer(port, token, direction, mib):
    """Runs the client in a process of its own."""
    command = [sys.executable, "-B", pathlib.Path(__file__), str(port), token, direction, str(mib)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Refused(f"the {direction} failed: {done.stderr.strip()[-200:]}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        backend(int(sys.argv[1]))
    else:
        client(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
