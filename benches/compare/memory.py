"""Memory that a peer keeps for connections."""

import socket

import bulk
import load
from callgrind import head, read_response
from counters import Refused
from machine import MIB

UNREAD_CONNECTIONS = 100


def idle(running, inputs):
    """KiB of an idle connection that has had one response, and MiB that are left once all are closed."""
    load.warm_up(running.port, inputs.token, 200)
    before, request, connections = running.process.settled_memory(), head(inputs.token), []
    try:
        for _ in range(inputs.connections):
            connections.append(load.connect(running.port, request))
            if (status := read_response(connections[-1])) != 200:
                raise Refused(f"connection {len(connections)} got {status}")
        held = running.process.settled_memory()
        check_open(running, connections)
    finally:
        for it in connections:
            it.close()
    after = running.process.settled_memory()
    return {"idle": (held - before) / 1_024 / inputs.connections, "after": (after - before) / MIB}


def check_open(running, connections):
    """Raises Refused if the peer has closed connections in the meantime."""
    closed = 0
    for it in connections:
        it.setblocking(False)
        try:
            closed += it.recv(1) == b""
        except BlockingIOError:
            pass
    if closed:
        raise Refused(f"{closed} of {len(connections)} connections were closed")


def unread(running, inputs):
    """KiB for a response of 64 MiB that the client does not read."""
    bulk.transfer(running.port, inputs.token, "download", 1)
    before, connections = running.process.settled_memory(), []
    try:
        for _ in range(UNREAD_CONNECTIONS):
            connection = load.connect(running.port, bulk.request(inputs.token, bulk.UNREAD_MIB))
            connections.append(connection)
            status = connection.recv(12, socket.MSG_WAITALL)
            if not status.endswith(b" 200"):
                raise Refused(f"connection {len(connections)} got {status!r}")
        held = running.process.settled_memory()
    finally:
        for it in connections:
            it.close()
    return {"unread": (held - before) / 1_024 / UNREAD_CONNECTIONS}
