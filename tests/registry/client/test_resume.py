"""The client against real servers that are killed and started again, and registries that collect at the worst moment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.client.client import Client
from registry.client.settings import ClientSettings
from tests.registry.client.faulty import Faulty, sha256
from tests.registry.client.servers import Answer, Serve, error
from tests.registry.client.shelf import Shelf
from tests.suites.served import Served

NOISE = os.urandom(12 << 20)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "data")
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def patient() -> Iterator[Client]:
    with Client(ClientSettings(config_path=None, certs_dirs=(), retries=8, backoff=0.2)) as made:
        yield made


class Between:
    """A slow wire to a server that counts what goes through, each way."""

    def __init__(self, server: Served, rate: int = 16 << 20) -> None:
        self.server, self.rate = server, rate
        self.up = self.down = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.server.port))
        except OSError:
            client.close()
            return
        threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
        self._pump(server, client, "down")

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 << 10):
                setattr(self, way, getattr(self, way) + len(data))
                target.sendall(data)
                time.sleep(len(data) / self.rate)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def between(served: Served) -> Iterator[Between]:
    made = Between(served)
    yield made
    made.close()


def killed_when(served: Served, true: Callable[[], bool], times: int = 1) -> threading.Thread:
    """A thread that kills the server, and starts it again, each time `true` has become true."""

    def run() -> None:
        for _ in range(times):
            while not true():
                time.sleep(0.005)
            served.stop(signal.SIGKILL)
            served.start()
            time.sleep(0.3)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_push_goes_on_in_the_same_session_after_kill_9(
    served: Served, between: Between, shelf: Shelf, patient: Client
) -> None:
    name = f"{between.address}/team/app:1"
    shelf.image(name, {"noise": NOISE})
    seen: set[int] = set()

    def half() -> bool:
        found = [file.stat() for file in (served.data / "uploads").iterdir()]
        seen.update(one.st_ino for one in found if one.st_size > len(NOISE) // 3)
        return any(one.st_size > len(NOISE) // 3 for one in found)

    killer = killed_when(served, half)
    shelf.push(patient, name)
    killer.join()
    (blob,) = [path for path in (served.data / "blobs").rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]
    assert blob.stat().st_ino in seen  # the very file that the killed server had begun
    assert between.up < len(NOISE) * 1.7, "what had arrived was sent again"


def test_a_pull_goes_on_by_range_after_kill_9(
    served: Served, between: Between, shelf: Shelf, other: Shelf, patient: Client
) -> None:
    name = f"{between.address}/team/app:1"
    shelf.image(name, {"noise": NOISE})
    shelf.push(patient, name)
    between.down = 0
    marks = iter((len(NOISE) // 3, len(NOISE) // 3 * 2))
    mark = [next(marks)]

    def passed() -> bool:
        if between.down < mark[0]:
            return False
        mark[0] = next(marks, 1 << 60)
        return True

    killer = killed_when(served, passed, 2)
    assert other.file(other.pull(patient, name).image, "noise") == NOISE
    killer.join()
    assert len(NOISE) < between.down < len(NOISE) * 1.5


@pytest.mark.parametrize("refusal", ["refused", "warned"])
def test_a_blob_that_is_collected_before_the_manifest_is_sent_again(
    shelf: Shelf, serve: Serve, client: Client, refusal: str
) -> None:
    """A collector of another kind than ours takes a blob after we have asked for it."""
    faulty, collected = Faulty(), list[str]()

    def answer(handler: object, body: bytes) -> Answer | None:
        path, method = str(getattr(handler, "path", "")), str(getattr(handler, "command", ""))
        if method == "PUT" and "/manifests/" in path and not collected:
            collected.append(max(faulty.blobs, key=lambda digest: len(faulty.blobs[digest])))
            del faulty.blobs[collected[0]]
            if refusal == "refused":
                return error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
            return (
                201,
                {"Warning": '299 - "the repository lacks 1 of the things"', "Docker-Content-Digest": sha256(body)},
                b"",
            )
        return faulty.answer(handler, body)  # type: ignore[arg-type]

    address = serve(answer).address
    shelf.image(f"{address}/a:1", {"noise": NOISE[:100_000]})
    shelf.push(client, f"{address}/a:1")
    assert collected[0] in faulty.blobs and faulty.manifests


def test_an_upload_that_the_registry_thinks_busy_is_waited_for(shelf: Shelf, serve: Serve, client: Client) -> None:
    faulty, busy = Faulty(), [409, 409]

    def answer(handler: object, body: bytes) -> Answer | None:
        if getattr(handler, "command", "") == "GET" and "/uploads/" in str(getattr(handler, "path", "")) and busy:
            return error(busy.pop(), "BLOB_UPLOAD_INVALID", "another request is writing to this upload")
        return faulty.answer(handler, body)  # type: ignore[arg-type]

    faulty.cut_uploads = [1_000_000]
    address = serve(answer, before=faulty.cut).address
    shelf.image(f"{address}/a:1", {"noise": NOISE[:3_000_000]})
    shelf.push(client, f"{address}/a:1")
    assert busy == [] and faulty.sessions == {}
