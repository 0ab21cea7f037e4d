"""HTTP/1.1 as a benchmark's client needs it: one connection, answers thrown away. `http.client` costs a client as much as a
request costs the server beside it; what is to be measured is the server."""

from __future__ import annotations

import re
import socket
import struct
from typing import TypeVar

BUFFER_BYTES = 1 << 20
HEAD_BYTES = 64 << 10
LIMIT = struct.pack("ll", 300, 0)  # seconds that one read or write may take
T = TypeVar("T", bytes, int)
Body = bytes | bytearray | memoryview
_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding|connection|location): *([^\r\n]*)", re.IGNORECASE)


class Connection:
    """To HOST:PORT; made anew where the server has ended it with its last answer."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._place, self._host = (host, int(port)), address
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: Body | None, headers: dict[str, str]) -> tuple[int, str]:
        """The status and the Location of the answer, whose body is read to its end. Raises OSError."""
        connection = self._socket = self._socket or self._connect()
        fields = {"Host": self._host, **headers}
        if body is not None or method in ("POST", "PUT", "PATCH"):
            fields["Content-Length"] = str(len(body or b""))
        head = "".join(
            [f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"]
        )
        connection.sendall(head.encode(), socket.MSG_MORE if body else 0)
        if body:
            connection.sendall(body)
        return self._answer(connection, method)

    def close(self) -> None:
        """Harmless to repeat."""
        if self._socket:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, LIMIT)
        return connection

    def _answer(self, connection: socket.socket, method: str) -> tuple[int, str]:
        head, rest = self._head(connection)
        status, found = int(head[9:12]), {name.lower(): value for name, value in _FIELD.findall(head)}
        if method != "HEAD" and status not in (204, 304):
            self._skip_body(connection, found, rest)
        if found.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, found.get(b"location", b"").decode()

    def _head(self, connection: socket.socket) -> tuple[bytes, bytes]:
        """The answer's head, and what came of the body with it."""
        came = b""
        while (end := came.find(b"\r\n\r\n")) < 0:
            came += _some(connection.recv(HEAD_BYTES))
        return came[: end + 2], came[end + 4 :]

    def _skip_body(self, connection: socket.socket, found: dict[bytes, bytes], rest: bytes) -> None:
        if b"content-length" in found:
            left = int(found[b"content-length"]) - len(rest)
            while left > 0:
                left -= _some(connection.recv_into(self._buffer, min(left, BUFFER_BYTES)))
        elif found.get(b"transfer-encoding", b"").lower() == b"chunked":
            while not rest.endswith(b"0\r\n\r\n"):  # nobody here has that in the middle of what comes at once
                rest = rest[-5:] + _some(connection.recv(HEAD_BYTES))
        else:
            while connection.recv_into(self._buffer):
                pass


def _some(came: T) -> T:
    if not came:
        raise ConnectionError("the server has ended the connection before the end of its answer")
    return came
