"""Large files from the kernel's cache straight to the client: sendfile(2), where granian would copy each byte three times.

granian has no such answer, so its connection is taken over for the last one: the answer, which says `Connection: close`,
goes out through a second descriptor of the socket, which is then shut for writing. granian's own answer finds it shut,
and ends the connection. Whatever cannot be sent like that, granian sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from registry.server.answers import FilePart
from registry.server.errors import Headers
from registry.server.registry import finished
from registry.server.request import IDLE_SECONDS, Scope

LARGE_BYTES = 32 << 20  # what a new connection costs is nothing beside it
SENDERS = 16
CONNECTIONS = 512  # looking through more is not worth it
STEP_BYTES = 16 << 20
LOOK_SECONDS = 0.5
INTERNET = (socket.AF_INET, socket.AF_INET6)


class Senders:
    """Threads that send, one answer each. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SENDERS, "sender")
        self._busy = 0
        self._ending = False

    async def send(self, scope: Scope, status: int, headers: Headers, part: FilePart) -> bool:
        """Send the whole answer. False where nothing was sent; otherwise the connection is over, well or not."""
        if self._busy >= SENDERS or self._ending:
            return False
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._send, scope, status, headers, part)
        try:
            return await asyncio.shield(future)
        finally:
            await finished(future)
            self._busy -= 1

    def end(self) -> None:
        """Break off what is being sent. Harmless to repeat."""
        self._ending = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, scope: Scope, status: int, headers: Headers, part: FilePart) -> bool:
        try:
            file = os.open(part.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            connection = _connection(scope.client, scope.server)
            if connection is None:
                return False
            with connection:
                try:
                    head = _head(status, headers)
                    if connection.send(head, socket.MSG_MORE) == len(head):  # there is room: the client waits for it
                        self._copy(file, part, connection)
                finally:
                    connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client is gone
        finally:
            os.close(file)
        return True

    def _copy(self, file: int, part: FilePart, connection: socket.socket) -> None:
        poll, place, idle = select.poll(), part.start, time.monotonic() + IDLE_SECONDS
        poll.register(connection, select.POLLOUT)
        while place < part.end and not self._ending and time.monotonic() < idle:
            try:
                sent = os.sendfile(connection.fileno(), file, place, min(STEP_BYTES, part.end - place))
            except BlockingIOError:
                poll.poll(LOOK_SECONDS * 1000)
                continue
            if not sent:
                return  # the file is shorter than it was
            place += sent
            idle = time.monotonic() + IDLE_SECONDS


def _connection(client: str, server: str) -> socket.socket | None:
    """A second descriptor of this process's connection from `client` to `server` (HOST:PORT; the host may be any)."""
    ends = (*_end(client), _end(server)[1])
    numbers = os.listdir("/proc/self/fd")
    for number in map(int, numbers if len(numbers) <= CONNECTIONS else ()):
        found = _socket(number)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            if found.family in INTERNET and (*found.getpeername()[:2], found.getsockname()[1]) == ends:
                return found
        found.close()
    return None


def _socket(number: int) -> socket.socket | None:
    """A second descriptor of the socket that is open as `number`; None for what is none."""
    try:
        copy = os.dup(number)
    except OSError:
        return None  # closed meanwhile
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None


def _end(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _head(status: int, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "connection: close"]
    lines.append(time.strftime("date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode()
