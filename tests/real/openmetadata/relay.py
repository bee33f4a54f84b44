"""Stands between metagate and the server, and keeps the bytes that metagate sends, so that the minted tokens can be read."""

import contextlib
import re
import socket
import threading

AUTHORIZATION = re.compile(rb"\r\nauthorization: Bearer ([^\r]*)\r\n", re.IGNORECASE)


class Relay:
    def __init__(self, port):
        self.target, self.sent, self.lock = port, b"", threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        # It ends when the listener is closed.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
            back.start()
            self.copy(client, server, self.keep)
            back.join()

    @staticmethod
    def copy(source, destination, keep=lambda _: None):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                keep(data)
                destination.sendall(data)
        with contextlib.suppress(OSError):
            destination.shutdown(socket.SHUT_WR)

    def keep(self, data):
        with self.lock:
            self.sent += data

    def take(self):
        """What metagate has sent since the last call, and the tokens in it."""
        with self.lock:
            sent, self.sent = self.sent, b""
        return sent, [token.decode() for token in AUTHORIZATION.findall(sent)]

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
