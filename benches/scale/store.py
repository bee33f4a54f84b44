"""A Redis server that all processes share, and what it was asked."""

import pathlib
import re
import shutil
import socket
import subprocess

from replica import wait_until


class Store:
    """Keeps its data in `directory`, which ends with the measurement."""

    def __init__(self, directory):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", str(directory)],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers)

    @staticmethod
    def is_installed():
        return shutil.which("redis-server") is not None

    def answers(self):
        try:
            self.info("server")
        except OSError:
            return False
        return True

    def info(self, section):
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(f"INFO {section}\r\n".encode())
            reader = connection.makefile("rb")
            return reader.read(int(reader.readline()[1:])).decode()

    def number(self, name, section="stats"):
        return int(re.search(rf"^{name}:(\d+)", self.info(section), re.MULTILINE)[1])

    def work(self):
        """Commands and bytes so far."""
        return self.number("total_commands_processed"), self.number("total_net_output_bytes")

    def end(self):
        self.process.terminate()
        self.process.wait()


def revoke(program, config, number):
    """Adds one entry to the list, as an operator does."""
    subprocess.run(
        [program, "revoke", "--store", "--config", pathlib.Path(config), "--jti", f"made-up-{number}"], env={}, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
