"""The program that hands published ports on, by itself: both ends are this process's."""

from __future__ import annotations

import os
import resource
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from network import doors
from network.doors import open_doors
from tests.conftest import needs

pytestmark = needs()


@pytest.fixture
def echo() -> Iterator[int]:
    """A UDP port that sends everything back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def work() -> None:
            while (heard := sock.recvfrom(1000))[0] != b"end":
                sock.sendto(*heard)

        thread = threading.Thread(target=work)
        thread.start()
        yield sock.getsockname()[1]
        sock.sendto(b"end", sock.getsockname())
        thread.join()


@pytest.fixture
def outside(echo: int) -> Iterator[tuple[str, int]]:
    """Where what is sent is handed on to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        pid = open_doors([(sock.fileno(), "127.0.0.1", echo, "udp")], here)
        os.close(here)
        yield sock.getsockname()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_datagrams_find_their_way_in_and_back_to_each_caller(outside: tuple[str, int]) -> None:
    callers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
    for turn in range(2):
        for number, caller in enumerate(callers):
            caller.settimeout(30)
            caller.sendto(b"%d %d" % (turn, number), outside)
        for number, caller in enumerate(callers):
            assert caller.recv(100) == b"%d %d" % (turn, number)
    for caller in callers:
        caller.close()


class Back(socketserver.BaseRequestHandler):
    """Sends everything back."""

    def handle(self) -> None:
        while heard := self.request.recv(1000):
            self.request.sendall(heard)


@pytest.fixture
def cramped() -> Iterator[tuple[str, int]]:
    """A TCP port that is handed on by a program which was started with few descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Back) as server, socket.socket() as sock:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever).start()
        sock.bind(("127.0.0.1", 0))
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100 + max(map(int, os.listdir("/proc/self/fd"))), hard))
        try:
            pid = open_doors([(sock.fileno(), "127.0.0.1", server.server_address[1], "tcp")], here)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(here)
        yield sock.getsockname()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        server.shutdown()


def test_many_callers_at_once_are_answered_whatever_the_shell_s_limit_was(cramped: tuple[str, int]) -> None:
    callers = [_connected(cramped) for _ in range(120)]
    for caller in callers:
        caller.sendall(b"here")
    for caller in callers:
        assert caller.recv(100) == b"here"
        caller.close()


def _connected(place: tuple[str, int]) -> socket.socket:
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(place, timeout=60)
        except ConnectionRefusedError:  # the program does not listen yet
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def test_where_too_many_send_those_are_forgotten_who_were_still_for_longest(
    echo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_MOST", 3)
    with socket.socket(type=socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        known = doors._Callers(listening, ("127.0.0.1", echo))
        callers = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(6)]
        for number in (0, 1, 2, 0, 3, 4, 0, 5):
            callers[number].settimeout(30)
            callers[number].sendto(b"%d" % number, listening.getsockname())
            for _ in range(2):  # there, and back
                ((fd, _), *_) = known.poll.poll(30)
                known.hear(fd)
            assert callers[number].recv(100) == b"%d" % number
        assert [caller[1] for caller in known._known] == [callers[n].getsockname()[1] for n in (4, 0, 5)]
        known.hear(10**6)  # of one who has just been forgotten
        for caller in list(known._known):
            known._forget(caller)
        known.poll.close()
    for caller in callers:
        caller.close()
