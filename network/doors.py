"""Published ports where no firewall rule can lead them: a small program takes what arrives and hands it on to the container.

It lives in the container's sandbox, on listening sockets that were opened outside, among the processes that end with the
container's keeper. The container sees its own address as the one that calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from network.model import Endpoint

Door = tuple[int, str, int, str]  # a socket's descriptor, where it leads to: address, port, protocol

_MOST = 1024  # conversations at a time
_PIECE = 1 << 18
_QUEUE = 128
_UDP_SECONDS = 60.0
_DATAGRAM = 1 << 16


def doors_of(held: Iterable[int], endpoints: Iterable[Endpoint]) -> tuple[Door, ...]:
    """Where what comes to the sockets behind `held` is to go, for the ports that the endpoints have published."""
    places = {_place(fd): fd for fd in held}
    found = []
    for endpoint in endpoints:
        for port in endpoint.ports:
            fd = places.get((port.host_address, port.host_port, port.protocol))
            address = next((one for one in endpoint.plain if (":" in one) == (":" in port.host_address)), "")
            if fd is not None and address:
                found.append((fd, address, port.container_port, port.protocol))
    return tuple(found)


def _place(fd: int) -> tuple[str, int, str]:
    sock = socket.socket(fileno=fd)
    try:
        address, port = sock.getsockname()[:2]
        return address, port, "udp" if sock.type == socket.SOCK_DGRAM else "tcp"
    finally:
        sock.detach()


def open_doors(doors: Iterable[Door], sandbox: int) -> int:
    """Start the program that hands on what comes to `doors`, in the network namespace `sandbox`; its pid."""
    given = [(os.dup(fd), address, port, protocol) for fd, address, port, protocol in doors]
    inherited = [os.dup(sandbox), *(one[0] for one in given)]
    for fd in inherited:
        os.set_inheritable(fd, True)
    top = str(Path(__file__).parent.parent)
    program = f"import sys; sys.path[:0] = [{top!r}]; from network.doors import main; main({inherited[0]}, {json.dumps(given)!r})"
    silent = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        return os.posix_spawn(
            sys.executable, [sys.executable, "-S", "-E", "-c", program], {}, file_actions=silent, setsigmask=[]
        )
    finally:
        for fd in inherited:
            os.close(fd)


def main(sandbox: int, doors: str) -> None:
    """Hand on until somebody ends us."""
    import resource

    from core import syscalls

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # each conversation takes six descriptors
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    given = json.loads(doors)
    syscalls.setns(sandbox, syscalls.CLONE_NEWNET)
    kept = {fd for fd, *_ in given}
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
    os.chdir("/")
    threads = [
        threading.Thread(target=_udp if protocol == "udp" else _tcp, args=(socket.socket(fileno=fd), (address, port)))
        for fd, address, port, protocol in given
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _tcp(listening: socket.socket, target: tuple[str, int]) -> None:
    listening.listen(_QUEUE)
    room = threading.BoundedSemaphore(_MOST)
    while True:
        try:
            caller, _ = listening.accept()
        except OSError:  # who called has left already, or there are no descriptors: some will be free again
            time.sleep(0.01)
            continue
        room.acquire()
        threading.Thread(target=_converse, args=(caller, target, room), daemon=True).start()


def _converse(caller: socket.socket, target: tuple[str, int], room: threading.BoundedSemaphore) -> None:
    try:
        with caller, socket.create_connection(target) as inside:
            for sock in (caller, inside):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pour, args=(inside, caller), daemon=True)
            back.start()
            _pour(caller, inside)
            back.join()
    except OSError:
        pass
    finally:
        room.release()


def _pour(source: socket.socket, target: socket.socket) -> None:
    """Move bytes until `source` ends, then let `target` know; nothing is copied through this process."""
    try:
        with _pipe() as (read, write):
            while size := os.splice(source.fileno(), write, _PIECE):
                while size:
                    size -= os.splice(read, target.fileno(), size)
    except OSError:
        with contextlib.suppress(OSError):  # the other half must not go on for ever
            source.shutdown(socket.SHUT_RDWR)
    finally:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


class _Callers:
    """Who has sent something to a UDP port, each with a socket of its own inside, so that the answers find back. `_known` has
    those first who have been still for longest: where there are too many it is they who are forgotten."""

    def __init__(self, listening: socket.socket, target: tuple[str, int]) -> None:
        self._listening, self._target = listening, target
        self._known: dict[Any, tuple[socket.socket, float]] = {}
        self._by_socket: dict[int, Any] = {}
        self.poll = select.epoll()
        self.poll.register(listening, select.EPOLLIN)

    def hear(self, fd: int) -> None:
        """Hand on what has come to `fd`. Raises OSError."""
        if fd != self._listening.fileno():
            if caller := self._by_socket.get(fd):
                self._listening.sendto(self._known[caller][0].recv(_DATAGRAM, socket.MSG_DONTWAIT), caller)
            return
        data, caller = self._listening.recvfrom(_DATAGRAM)
        if caller not in self._known and len(self._known) >= _MOST:
            self._forget(next(iter(self._known)))
        sock = self._known.pop(caller)[0] if caller in self._known else self._meet(caller)
        self._known[caller] = sock, time.monotonic()
        sock.send(data)

    def _meet(self, caller: Any) -> socket.socket:
        sock = socket.socket(self._listening.family, socket.SOCK_DGRAM)
        sock.connect(self._target)
        self._by_socket[sock.fileno()] = caller
        self.poll.register(sock, select.EPOLLIN)
        return sock

    def forget(self) -> None:
        """Those who have been still for a while."""
        before = time.monotonic() - _UDP_SECONDS
        for caller in [one for one, (_, last) in self._known.items() if last < before]:
            self._forget(caller)

    def _forget(self, caller: Any) -> None:
        sock, _ = self._known.pop(caller)
        del self._by_socket[sock.fileno()]
        sock.close()


def _udp(listening: socket.socket, target: tuple[str, int]) -> None:
    callers = _Callers(listening, target)
    while True:
        for fd, _ in callers.poll.poll(_UDP_SECONDS / 2):
            with contextlib.suppress(OSError):  # nobody listens there yet
                callers.hear(fd)
        callers.forget()
