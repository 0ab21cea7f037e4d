"""Blobs on their way in: every form the spec knows, clients that lie or vanish, servers that are killed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.suites.served import Served, sha256

DATA = os.urandom(1 << 16) * 40


def location(served: Served, name: str, number: int) -> str:
    """Open an upload and send the first `number` bytes."""
    place = served.upload(name)
    assert served.ask("PATCH", place, DATA[:number]).status == 202
    return place


def settled(served: Served, place: str, at_least: int, seconds: float = 10) -> int:
    """The offset, once nobody writes any more and it is not below `at_least`."""
    end = time.monotonic() + seconds
    while True:
        got = served.ask("GET", place)
        offset = int(got.headers["range"].removeprefix("0-")) + 1 if got.status == 204 else 0
        if offset >= at_least or time.monotonic() > end:
            assert got.status == 204 and offset >= at_least, (got, offset)
            return offset
        time.sleep(0.05)


def test_one_request_pushes_a_blob(served: Served, name: str) -> None:
    got = served.ask("POST", f"/v2/{name}/blobs/uploads/?digest={sha256(DATA)}", DATA)
    assert got.status == 201 and served.ask("GET", got.headers["location"]).body == DATA


def test_two_requests_push_a_blob(served: Served, name: str) -> None:
    got = served.ask("PUT", f"{served.upload(name)}?digest={sha256(DATA)}", DATA)
    assert got.status == 201 and got.headers["docker-content-digest"] == sha256(DATA)
    assert served.ask("GET", got.headers["location"]).body == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_chunks_push_a_blob(served: Served, name: str, ranges: bool) -> None:
    place, size = served.upload(name), 700_000
    for start in range(0, len(DATA), size):
        chunk = DATA[start : start + size]
        headers = {"content_range": f"{start}-{start + len(chunk) - 1}"} if ranges else {}
        got = served.ask("PATCH", place, chunk, **headers)
        assert got.status == 202 and got.headers["range"] == f"0-{start + len(chunk) - 1}"
        place = got.headers["location"]
    got = served.ask("PUT", f"{place}?digest={sha256(DATA)}")
    assert got.status == 201 and served.ask("GET", got.headers["location"]).body == DATA


def test_a_stream_of_unknown_length_pushes_a_blob(served: Served, name: str) -> None:
    connection = served.connect()
    place = served.upload(name)
    connection.request("PATCH", place, iter([DATA[:5], DATA[5:100_000], DATA[100_000:]]), encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 202 and response.getheader("range") == f"0-{len(DATA) - 1}"
    connection.close()
    assert served.ask("PUT", f"{place}?digest={sha256(DATA)}").status == 201


@pytest.mark.parametrize(
    ("end", "trailer", "status"),
    [
        ("0\r\n\r\n", "", 202), ("0\r\nX-Sum: 1\r\n\r\n", "Trailer: X-Sum\r\n", 202), ("zz\r\n", "", 400),
        ("fffffffffffffffff\r\n", "", 400), ("5\r\nab", "", 400),
    ],
)  # fmt: skip
def test_a_stream_that_breaks_off_is_no_success_and_what_came_stays(
    served: Served, name: str, end: str, trailer: str, status: int
) -> None:
    place = served.upload(name)
    head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\n{trailer}Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.sendall(f"{head}5\r\nhello\r\n{end}".encode())
        if end.endswith("ab"):
            sock.shutdown(socket.SHUT_WR)
        assert sock.recv(12) == f"HTTP/1.1 {status}".encode()
    came = b"hello" + (b"ab" if end.endswith("ab") else b"")
    assert served.ask("GET", place).headers["range"] == f"0-{len(came) - 1}"
    assert served.ask("PUT", f"{place}?digest={sha256(came)}").status == 201


def test_sha512_needs_no_announcement(served: Served, name: str) -> None:
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    assert served.ask("PUT", f"{location(served, name, 100)}?digest={digest}", DATA[100:]).status == 201
    assert served.ask("GET", f"/v2/{name}/blobs/{digest}").body == DATA


def test_an_empty_blob_is_pushed(served: Served, name: str) -> None:
    digest = served.blob(name, b"")
    got = served.ask("GET", f"/v2/{name}/blobs/{digest}")
    assert got.status == 200 and got.headers["content-length"] == "0"


@pytest.mark.parametrize("start", [0, 99, 101, 5000])
def test_a_chunk_out_of_order_is_refused_and_changes_nothing(served: Served, name: str, start: int) -> None:
    place = location(served, name, 100)
    for method, target in (("PATCH", place), ("PUT", f"{place}?digest={sha256(DATA)}")):
        got = served.ask(method, target, b"x" * 10, content_range=f"{start}-{start + 9}")
        assert got.status == 416 and got.headers["range"] == "0-99"
    assert settled(served, place, 100) == 100
    assert served.ask("PUT", f"{place}?digest={sha256(DATA)}", DATA[100:]).status == 201


def test_wrong_bytes_are_refused(served: Served, name: str) -> None:
    for method, path in (("PUT", served.upload(name) + "?"), ("POST", f"/v2/{name}/blobs/uploads/?")):
        got = served.ask(method, f"{path}digest={sha256(b'other')}", DATA)
        assert (got.status, got.code) == (400, "DIGEST_INVALID")
    assert served.ask("HEAD", f"/v2/{name}/blobs/{sha256(b'other')}").status == 404
    assert not list((served.data / "uploads").glob(f"*.{hashlib.sha256(name.encode()).hexdigest()[:16]}"))


def test_a_cancelled_upload_is_gone(served: Served, name: str) -> None:
    place = location(served, name, 100)
    assert served.ask("DELETE", place).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert served.ask(method, place).code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_is_good_in_its_repository_alone(served: Served, name: str) -> None:
    place = location(served, name, 100)
    assert served.ask("GET", place.replace(name, name + "x")).code == "BLOB_UPLOAD_UNKNOWN"


def test_a_blob_is_mounted_from_where_it_is(served: Served, name: str) -> None:
    digest = served.blob(name, DATA)
    for number, source in enumerate((f"&from={name}", "")):
        got = served.ask("POST", f"/v2/{name}{number}/blobs/uploads/?mount={digest}{source}")
        assert got.status == 201 and served.ask("GET", got.headers["location"]).body == DATA
    for query in (f"mount={digest}&from={name}-none", f"mount={sha256(b'nowhere')}", f"mount={digest}&from=../x"):
        got = served.ask("POST", f"/v2/{name}9/blobs/uploads/?{query}")
        assert got.status == 202 and served.ask("GET", got.headers["location"]).status == 204


def test_a_client_that_vanishes_leaves_what_it_sent(served: Served, name: str) -> None:
    place = served.upload(name)
    for start in (0, 1_000_000):
        with socket.create_connection(("127.0.0.1", served.port)) as sock:
            head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
            sock.sendall(head.encode() + DATA[start : start + 1_000_000])
        assert settled(served, place, start + 1_000_000) == start + 1_000_000
    assert served.ask("PUT", f"{place}?digest={sha256(DATA)}", DATA[2_000_000:]).status == 201


def test_fewer_bytes_than_announced_never_become_a_blob(served: Served, name: str) -> None:
    place = served.upload(name)
    with socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.sendall(
            f"PUT {place}?digest={sha256(DATA[:10])} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n".encode()
        )
        sock.sendall(DATA[:10])
    assert settled(served, place, 10) == 10
    assert served.ask("HEAD", f"/v2/{name}/blobs/{sha256(DATA[:10])}").status == 404


def test_more_bytes_than_the_range_names_are_refused(served: Served, name: str) -> None:
    place = served.upload(name)
    got = served.ask("PATCH", place, DATA[:10], content_range="0-8")
    assert (got.status, got.code) == (400, "SIZE_INVALID")
    connection = served.connect()
    connection.request("PATCH", place, iter([DATA[:10]]), {"Content-Range": "0-8"}, encode_chunked=True)
    assert connection.getresponse().status == 400
    connection.close()


def test_two_clients_cannot_write_to_one_upload(served: Served, name: str) -> None:
    place = served.upload(name)
    with socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode() + DATA[:10])
        time.sleep(0.2)
        assert served.ask("PATCH", place, b"x").status == 409
        sock.sendall(DATA[10:100])
        assert b"202 Accepted" in sock.recv(1000)
    assert served.ask("PUT", f"{place}?digest={sha256(DATA)}", DATA[100:]).status == 201


def test_a_slow_client_holds_nobody_up(served: Served, name: str) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(200)]
    try:
        for sock in slow:
            sock.sendall(f"PATCH {served.upload(name)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx".encode())
        start = time.monotonic()
        assert served.blob(name, DATA)
        assert time.monotonic() - start < 2
    finally:
        for sock in slow:
            sock.close()


def test_many_pushes_at_once_all_succeed(served: Served, name: str) -> None:
    def push(number: int) -> None:
        for step in range(5):
            raw = served.image(f"{name}/{number}", f"v{step}", f"{number}.{step}".encode(), b"shared")
            if served.ask("GET", f"/v2/{name}/{number}/manifests/v{step}").body == raw:
                done.append(number)

    done: list[int] = []
    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 40


@pytest.fixture
def own(start: Callable[..., Served]) -> Served:
    return start()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_upload_goes_on_after_the_server_was_ended(own: Served, number: int) -> None:
    done = own.image("a/b", "1", b"layer")
    place = own.upload("a/b")
    with socket.create_connection(("127.0.0.1", own.port)) as sock:
        sock.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".encode() + DATA)
        time.sleep(0.5)
        own.stop(number)
    own.start()
    assert own.ask("GET", "/v2/a/b/manifests/1").body == done
    offset = settled(own, place, 1)
    rest = DATA[offset:]
    got = own.ask("PUT", f"{place}?digest={sha256(DATA)}", rest, content_range=f"{offset}-{len(DATA) - 1}")
    assert got.status == 201 and own.ask("GET", got.headers["location"]).body == DATA


def test_what_was_reported_done_survives_kill_9_at_any_moment(own: Served) -> None:
    everything: list[tuple[str, bytes]] = []
    for turn in range(8):
        done: list[tuple[str, bytes]] = []

        def push(turn: int = turn, done: list[tuple[str, bytes]] = done) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the server is gone
                for step in range(1000):
                    done.append((f"t{turn}.{step}", own.image("a/b", f"t{turn}.{step}", os.urandom(100_000))))

        thread = threading.Thread(target=push)
        thread.start()
        time.sleep(0.1 + turn * 0.037)
        own.stop(signal.SIGKILL)
        thread.join()
        own.start()
        everything += done
        for tag, raw in everything:
            assert own.ask("GET", f"/v2/a/b/manifests/{tag}").body == raw
            for layer in json.loads(raw)["layers"]:
                assert sha256(own.ask("GET", f"/v2/a/b/blobs/{layer['digest']}").body) == layer["digest"]
    assert len(everything) > 8


def stored(served: Served, digest: str) -> Path:
    algorithm, _, digits = digest.partition(":")
    return served.data / "blobs" / algorithm / digits[:2] / digits


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_a_blob_that_another_repository_has_is_not_written_again(served: Served, name: str, size: int) -> None:
    data = os.urandom(size)
    path = stored(served, served.blob(f"{name}/one", data))
    before, uploads = path.stat(), sorted((served.data / "uploads").iterdir())
    served.blob(f"{name}/two", data)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert served.ask("GET", f"/v2/{name}/two/blobs/{sha256(data)}").body == data
    assert sorted((served.data / "uploads").iterdir()) == uploads


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_pushing_a_damaged_blob_again_repairs_it(served: Served, name: str, size: int) -> None:
    data = os.urandom(size)
    path = stored(served, served.blob(f"{name}/one", data))
    path.chmod(0o600)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    served.blob(f"{name}/two", data)
    assert path.read_bytes() == data


def test_bytes_that_no_repository_has_any_more_are_written_again(served: Served, name: str) -> None:
    data = os.urandom(1000)
    path = stored(served, served.blob(name, data))
    before = path.stat().st_ino
    assert served.ask("DELETE", f"/v2/{name}/blobs/{sha256(data)}").status == 202
    served.blob(name, data)  # what is there may be what a crash left: nobody vouches for it
    assert path.stat().st_ino != before and path.read_bytes() == data
