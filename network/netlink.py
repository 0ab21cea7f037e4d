"""rtnetlink(7) as far as networks need it: one socket, requests that are answered or refused.

A request costs some fifty microseconds; the `ip` program would have to be started for each.
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that alone would take longer to load than a container to join
import errno
import os
import struct
from collections.abc import Iterator

from core.closing import Closing

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR, NEWROUTE, DELROUTE = 20, 21, 22, 24, 25
REQUEST, ACK, EXCL, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER = 1 << 16


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute, padded: a text gets its NUL, a number is 32 bits."""
    raw = (
        value.encode() + b"\0"
        if isinstance(value, str)
        else struct.pack("=I", value)
        if isinstance(value, int)
        else value
    )
    return _ATTRIBUTE.pack(4 + len(raw), kind) + raw + b"\0" * (-len(raw) % 4)


def attributes(raw: bytes) -> dict[int, bytes]:
    """The attributes in `raw`, by kind."""
    found: dict[int, bytes] = {}
    while len(raw) >= 4:
        length, kind = _ATTRIBUTE.unpack_from(raw)
        if length < 4:
            break
        found[kind & 0x3FFF] = raw[4:length]
        raw = raw[length + (-length % 4) :]
    return found


class Netlink(Closing):
    """A socket to the kernel's network part, in the network namespace that this thread was in when it was made; `family`: to
    another part than that of links and routes, see netlink(7)."""

    def __init__(self, family: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        self._sequence = 0

    def request(self, kind: int, payload: bytes, flags: int = 0) -> None:
        """Ask, and wait for the kernel's word. Raises OSError with what it refused with."""
        for _ in self._exchange(kind, payload, flags | ACK):
            pass

    def ask(self, kind: int, payload: bytes, flags: int = 0) -> list[bytes]:
        """Ask, and return the bodies of the answers."""
        return list(self._exchange(kind, payload, flags if flags & DUMP else flags | ACK))

    def _exchange(self, kind: int, payload: bytes, flags: int) -> Iterator[bytes]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags | REQUEST, self._sequence, 0) + payload)
        while True:
            data = self._socket.recv(_BUFFER)
            while data:
                length, answer, _, sequence, _ = _HEADER.unpack_from(data)
                body, data = data[_HEADER.size : length], data[length + (-length % 4) :]
                if sequence != self._sequence:
                    continue
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                if answer == _DONE:
                    return
                yield body

    def close(self) -> None:
        """Harmless to repeat."""
        self._socket.close()


def is_missing(error: OSError) -> bool:
    """Whether the kernel says that there is no such thing."""
    return error.errno in (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
