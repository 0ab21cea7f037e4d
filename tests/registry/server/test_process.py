"""The server as a process: how it starts, what it says, how it ends, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites.served import ROOT, Served, sha256

Start = Callable[..., Served]


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lamella", "registry", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def eventually(true: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(start: Start, workers: str, number: int) -> None:
    server = start("--workers", workers)
    begun = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - begun < 2 and server.said == "" and not listens(server.port)


def test_a_client_in_the_middle_does_not_keep_it(start: Start) -> None:
    server = start()
    place = server.upload("a")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx".encode())
        time.sleep(0.2)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5 and server.said == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_left_of_it_when_it_is_killed(start: Start, workers: str) -> None:
    server = start("--workers", workers)
    family = children(server.process.pid)
    assert len(family) == (2 if workers == "2" else 0)
    server.stop(signal.SIGKILL)
    eventually(lambda: not listens(server.port))
    eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in family))
    server.start()
    assert server.ask("GET", "/v2/").status == 200
    server.stop()


def test_a_worker_that_is_killed_is_replaced(start: Start) -> None:
    server = start("--workers", "2")
    before = children(server.process.pid)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(set(children(server.process.pid)) - set(before)) == 1)
    eventually(lambda: listens(server.port))  # what had waited for the dead one is reset
    assert server.ask("GET", "/v2/").status == 200
    server.stop()


def test_workers_tell_each_other_nothing_and_still_agree(start: Start) -> None:
    server = start("--workers", "2")
    for number in range(10):
        raw = server.image("a/b", "1", str(number).encode())
        for _ in range(10):  # a new connection each: some here, some there
            assert server.ask("GET", "/v2/a/b/manifests/1").body == raw
    place = server.upload("a/b")
    content = os.urandom(100_000)
    for start in range(0, len(content), 10_000):
        assert server.ask("PATCH", place, content[start : start + 10_000]).status == 202
    assert server.ask("PUT", f"{place}?digest={sha256(content)}").status == 201
    server.stop()


def test_it_listens_beyond_this_machine_only_when_told_to(data: Path) -> None:
    done = serve("--listen", "0.0.0.0:0", "--data", str(data))
    assert done.returncode == 1 and "--allow-anyone" in done.stderr and not data.exists()


def test_a_port_that_is_taken_is_said_so(start: Start, data: Path) -> None:
    server = start()
    done = serve("--listen", f"127.0.0.1:{server.port}", "--data", str(data))
    assert done.returncode == 1 and "Address already in use" in done.stderr and "Traceback" not in done.stderr
    server.stop()


@pytest.mark.parametrize("listen", ["nonsense:x", "127.0.0.1:99999", "192.0.2.1:5000"])
def test_an_address_that_cannot_be_is_said_so(data: Path, listen: str) -> None:
    done = serve("--listen", listen, "--data", str(data), "--allow-anyone")
    assert done.returncode == 1 and done.stderr.startswith("lamella: ") and "Traceback" not in done.stderr


def test_data_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = serve("--listen", "127.0.0.1:0", "--data", str(tmp_path / "file"))
    assert done.returncode == 1 and str(tmp_path / "file") in done.stderr and "Traceback" not in done.stderr


@needs("mount")
def test_a_full_disk_is_told_and_loses_nothing(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    try:
        server = start(data=disk / "data")
        done = server.image("a/b", "1", os.urandom(1 << 20))
        content = os.urandom(6 << 20)
        place = server.upload("a/b")
        fill = disk / "fill"
        fill.write_bytes(b"x" * (3 << 20))
        got = server.ask("PATCH", place, content)
        assert got.status == 507 and "disk is full" in got.json["errors"][0]["message"]
        assert server.ask("GET", "/v2/a/b/manifests/1").body == done
        offset = int(server.ask("GET", place).headers["range"][2:]) + 1
        assert 0 < offset < len(content)
        fill.unlink()
        assert server.ask("PUT", f"{place}?digest={sha256(content)}", content[offset:]).status == 201
        assert server.ask("GET", f"/v2/a/b/blobs/{sha256(content)}").body == content
        server.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
