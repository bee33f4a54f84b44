"""A WebSocket echo server: wsproto on plain threads."""

import contextlib
import socket
import threading

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, RejectConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError


class EchoServer:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def close(self):
        self.listener.close()


def serve(connection):
    websocket = WSConnection(ConnectionType.SERVER)
    message = []
    with contextlib.suppress(OSError, LocalProtocolError), connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(1 << 16):
            try:
                websocket.receive_data(data)
                for event in websocket.events():
                    connection.sendall(handle(websocket, event, message))
                    if isinstance(event, (CloseConnection, RejectConnection)):
                        end(connection)
                        return
            except RemoteProtocolError as fault:
                if fault.event_hint is not None:
                    connection.sendall(websocket.send(fault.event_hint))
                end(connection)
                return


def end(connection):
    """Lets the other side close first, so that nothing in transit is lost."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(2)
    while connection.recv(1 << 16):
        pass


def handle(websocket, event, message):
    if isinstance(event, Request):
        return websocket.send(AcceptConnection(extensions=[PerMessageDeflate()]))
    if isinstance(event, (Ping,)):
        return websocket.send(event.response())
    if isinstance(event, CloseConnection):
        # 1005 is for an end without a code and may not be sent (RFC 6455 section 7.4.1).
        code = None if event.code == CloseReason.NO_STATUS_RCVD else event.code
        return websocket.send(CloseConnection(code=code, reason=event.reason if code else None))
    if isinstance(event, (TextMessage, BytesMessage)):
        message.append(event.data)
        if event.message_finished:
            whole = (b"" if isinstance(event, BytesMessage) else "").join(message)
            message.clear()
            return websocket.send(type(event)(data=whole))
    return b""


if __name__ == "__main__":
    server = EchoServer()
    print(server.port, flush=True)
    threading.Event().wait()
