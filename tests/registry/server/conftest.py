"""One registry for all the tests of a file that only talk to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("registry") / "data")
    yield server
    server.stop()
    assert "Traceback" not in server.said, server.said


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., Served]]:
    """Starts a registry with options of the test's own, and sees to its end."""
    servers: list[Served] = []

    def begin(*options: str, data: Path = data) -> Served:
        servers.append(Served(data, *options))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop(signal.SIGKILL)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return (
        "t/"
        + request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
        + str(abs(hash(request.node.name)))
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
