"""Uploads outlive everything: the server is killed a hundred times in the middle of pushes, and each goes on where it was."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.suites.served import Served, sha256

Start = Callable[..., Served]
SIZE, PIECE = 3 << 20, 64 << 10
KILLS = {"main": 34, "worker": 33, "both": 33}
ROUNDS = [kind for kind in KILLS for _ in range(KILLS[kind])]


def workers(server: Served) -> list[int]:
    pid = server.process.pid
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def writer(server: Served, file: Path) -> int | None:
    """The worker that has the upload open."""
    for pid in workers(server):
        with contextlib.suppress(OSError):
            if any(Path(link).resolve() == file for link in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
    return None


def kill(server: Served, kind: str, file: Path) -> None:
    """Kill -9 of the main process, of the worker that is at it, or of all of them; whoever must be started again is."""
    family = workers(server)
    if kind == "worker":
        os.kill(writer(server, file) or family[0], signal.SIGKILL)
        return
    if kind == "both":
        for pid in family:
            os.kill(pid, signal.SIGKILL)
    server.stop(signal.SIGKILL)
    server.start()


def upload_file(server: Served, place: str) -> Path:
    (file,) = (server.data / "uploads").glob(place.rsplit("/", 1)[1] + ".*")
    return file.resolve()


def broken_push(server: Served, place: str, data: bytes, kind: str, pieces: int) -> int:
    """Send all of `data`, and kill when `pieces` of it have been sent; the bytes that were on the disk right after."""
    file = upload_file(server, place)
    connection = server.connect()
    connection.putrequest("PATCH", place)
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders()
    for number in range(pieces):
        connection.send(data[number * PIECE : (number + 1) * PIECE])
    end = time.monotonic() + 0.05 * random.random()
    while time.monotonic() < end or (not file.stat().st_size and time.monotonic() < end + 1):
        time.sleep(0.002)
    kill(server, kind, file)
    connection.close()
    return file.stat().st_size


def asked(server: Served, place: str) -> int:
    """How far the upload got, as soon as somebody answers."""
    end, last = time.monotonic() + 20, ""
    while True:
        try:
            got = server.ask("GET", place)
            if got.status == 204:
                return int(got.headers["range"].removeprefix("0-")) + 1
            last = str(got)
        except OSError as error:
            last = str(error)
        assert time.monotonic() < end, last
        time.sleep(0.02)


def finished(server: Served, place: str, data: bytes, offset: int) -> str:
    """Send the rest; where the blob is."""
    end = time.monotonic() + 10
    while True:  # a connection may still have been given to the worker that is gone
        with contextlib.suppress(OSError):
            rest = data[offset:]
            got = server.ask("PUT", f"{place}?digest={sha256(data)}", rest, content_range=f"{offset}-{len(data) - 1}")
            assert got.status == 201, got
            return got.headers["location"]
        assert time.monotonic() < end


def survive(server: Served, kinds: list[str]) -> int:
    """A push and a kill for each of `kinds`; how many pushes went on from beyond their beginning."""
    gone_on = 0
    for kind in kinds:
        data = os.urandom(SIZE)
        place = server.upload("a/b")
        file = upload_file(server, place)
        flushed = broken_push(server, place, data, kind, random.randrange(1, SIZE // PIECE))
        told = asked(server, place)
        offset = (
            file.stat().st_size
        )  # nobody writes any more: what is flushed is what is told, but that 0-0 is said of nothing
        assert told == max(1, offset) and offset >= flushed, (kind, told, offset, flushed)
        gone_on += offset > 0
        where = finished(server, place, data, offset)
        assert server.ask("GET", where).body == data
    assert list((server.data / "uploads").iterdir()) == []
    return gone_on


def test_a_hundred_kills_cost_no_upload_a_flushed_byte(start: Start, tmp_path: Path) -> None:
    random.seed(7)
    random.shuffle(ROUNDS)
    servers = [start("--workers", "2", data=tmp_path / name) for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:  # side by side: what takes time is starting again
        gone_on = list(pool.map(survive, servers, (ROUNDS[:50], ROUNDS[50:])))
    assert len(ROUNDS) == 100 and sum(gone_on) > 60
    for server in servers:
        server.stop()


def test_an_abandoned_upload_is_swept_after_a_time(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "registry.toml").write_text('[uploads]\nexpire = "1s"\n')
    server = start("--gc-interval", "100ms")
    abandoned, kept = server.upload("a"), server.upload("a")
    server.ask("PATCH", abandoned, b"x" * 1000)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert server.ask("PATCH", kept, b"x").status == 202
        time.sleep(0.2)
    assert server.ask("GET", abandoned).code == "BLOB_UPLOAD_UNKNOWN"
    assert [file.name.partition(".")[0] for file in (data / "uploads").iterdir()] == [kept.rsplit("/", 1)[1]]
    server.stop()


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_thousands_of_open_uploads_cost_a_file_each_and_nothing_else(start: Start, data: Path) -> None:
    server = start()
    first = server.upload("a")
    before, open_before = resident(server.process.pid), len(os.listdir(f"/proc/{server.process.pid}/fd"))
    connection = server.connect()
    for number in range(5000):
        connection.request("POST", f"/v2/r{number % 7}/blobs/uploads/")
        response = connection.getresponse()
        assert response.status == 202 and not response.read()
    connection.close()
    assert len(list((data / "uploads").iterdir())) == 5001
    assert resident(server.process.pid) - before < 16 << 20
    assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < open_before + 20
    begun = time.monotonic()
    assert server.ask("PUT", f"{first}?digest={sha256(b'x')}", b"x").status == 201
    assert server.blob("a", b"y") and time.monotonic() - begun < 0.5
    server.stop()
    begun = time.monotonic()
    server.start()
    assert time.monotonic() - begun < 3
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_with_its_parent_even_in_the_middle_of_a_push(start: Start, number: int) -> None:
    server = start("--workers", "2")
    place, family = server.upload("a"), workers(server)
    connection = server.connect()
    connection.putrequest("PATCH", place)
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"x")
    time.sleep(0.1)
    server.stop(number)
    end = time.monotonic() + 5
    while any(Path(f"/proc/{pid}/exe").exists() for pid in family):
        assert time.monotonic() < end
        time.sleep(0.02)
    connection.close()
    server.start()
    assert asked(server, place) == 1
    server.stop()
