"""Large blobs leave by sendfile, on a connection that is taken over and ends with them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from registry.server.sending import LARGE_BYTES, SENDERS, _connection
from tests.suites.served import Served, sha256

DATA = os.urandom(1 << 20) * (LARGE_BYTES >> 20) + os.urandom(5_000_000)
DIGEST = sha256(DATA)
PATH = f"/v2/a/b/blobs/{DIGEST}"


@pytest.fixture(scope="module")
def large(served: Served) -> Served:
    served.blob("a/b", DATA)
    return served


def asked(served: Served, more: str = "") -> socket.socket:
    """A connection on which the blob was asked for, of which nothing was read."""
    sock = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
    return sock


def rest(sock: socket.socket) -> tuple[bytes, bytes]:
    """Head and body up to the end of the connection."""
    with sock, sock.makefile("rb") as file:
        head, _, body = file.read().partition(b"\r\n\r\n")
    return head, body


def test_a_large_blob_comes_whole_and_nothing_after_it(large: Served) -> None:
    head, body = rest(asked(large))
    assert body == DATA and head.startswith(b"HTTP/1.1 200 OK\r\n")
    lines = {line.partition(b": ")[0]: line.partition(b": ")[2] for line in head.split(b"\r\n")[1:]}
    assert lines[b"connection"] == b"close" and lines[b"docker-content-digest"] == DIGEST.encode()
    assert lines[b"content-length"] == str(len(DATA)).encode() and b"date" in lines


def test_a_large_range_comes_whole(large: Served) -> None:
    end = LARGE_BYTES + 1_000_000
    got = large.ask("GET", PATH, Range=f"bytes=1000-{end}")
    assert got.status == 206 and got.headers["connection"] == "close" and got.body == DATA[1000 : end + 1]
    assert got.headers["content-range"] == f"bytes 1000-{end}/{len(DATA)}"


def test_what_is_smaller_keeps_its_connection(large: Served) -> None:
    for more in ({"Range": "bytes=5-999999"}, {"If-None-Match": f'"{DIGEST}"'}):
        assert "connection" not in large.ask("GET", PATH, **more).headers
    assert large.ask("HEAD", PATH).headers["content-length"] == str(len(DATA))


def test_a_connection_that_was_used_before_is_taken_over_as_well(large: Served) -> None:
    connection = large.connect()
    connection.request("GET", "/v2/")
    connection.getresponse().read()
    connection.request("GET", PATH)
    assert connection.getresponse().read() == DATA
    connection.request("GET", "/v2/")  # opens another one
    assert connection.getresponse().status == 200
    connection.close()


def test_more_readers_than_senders_all_get_it(large: Served) -> None:
    """Those that read nothing for a while hold every sender; whoever comes after them is not kept waiting."""
    slow = [asked(large) for _ in range(SENDERS)]
    time.sleep(0.5)
    begun = time.monotonic()
    got = large.ask("GET", PATH)
    assert got.body == DATA and "connection" not in got.headers and time.monotonic() - begun < 10
    assert all(rest(sock)[1] == DATA for sock in slow)
    assert large.ask("GET", PATH).headers["connection"] == "close"


def test_readers_that_vanish_cost_nothing(large: Served) -> None:
    before = len(os.listdir(f"/proc/{large.process.pid}/fd"))
    for _ in range(3 * SENDERS):
        with asked(large) as sock:
            sock.recv(1000)
    end = time.monotonic() + 10
    while len(os.listdir(f"/proc/{large.process.pid}/fd")) > before + 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert large.ask("GET", PATH).headers["connection"] == "close"


def test_readers_side_by_side_get_their_own(large: Served) -> None:
    found: list[bool] = []
    parts = [(start, start + LARGE_BYTES - 1) for start in range(0, 4_000_000, 500_000)]

    def read(start: int, end: int) -> None:
        found.append(large.ask("GET", PATH, Range=f"bytes={start}-{end}").body == DATA[start : end + 1])

    readers = [threading.Thread(target=read, args=part) for part in parts]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == [True] * len(parts)


def test_a_server_that_stops_does_not_wait_for_a_slow_reader(start: Callable[..., Served]) -> None:
    server = start()
    server.blob("a/b", DATA)
    with asked(server) as sock:
        sock.recv(1000)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5 and server.said == ""


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("0.0.0.0", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_connection_is_found_among_all_that_is_open(host: str, family: socket.AddressFamily) -> None:
    def shown(end: tuple[str, int]) -> str:
        return f"[{end[0]}]:{end[1]}" if family == socket.AF_INET6 else f"{end[0]}:{end[1]}"

    before = len(os.listdir("/proc/self/fd"))
    pair = socket.socketpair()  # as event loops have one
    with pair[0], pair[1], socket.create_server((host, 0), family=family) as listener:
        server = listener.getsockname()[:2]
        near = "127.0.0.1" if host == "0.0.0.0" else host
        with socket.create_connection((near, server[1])) as mine, socket.create_connection((near, server[1])) as other:
            accepted = [listener.accept()[0] for _ in range(2)]
            for sock, client in zip(accepted, (mine, other), strict=True):
                found = _connection(shown(client.getsockname()[:2]), shown(server))
                assert found is not None
                with found, sock:
                    assert found.fileno() != sock.fileno() and found.getpeername() == sock.getpeername()
            gone = shown(mine.getsockname()[:2])
            assert _connection(gone, shown(server)) is None
    assert len(os.listdir("/proc/self/fd")) == before
