"""Clients that do not wait, and servers to talk to."""

from __future__ import annotations

import base64
import contextlib
import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.client.client import Client
from registry.client.retry import Patience
from tests.registry.client.servers import (
    Answer,
    DockerRegistry,
    Handler,
    Scripted,
    Serve,
    Server,
    TokenServer,
    as_json,
    error,
    quick_settings,
    run_docker_registry,
)
from tests.registry.client.shelf import Shelf


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(quick_settings()) as made:
        yield made


@pytest.fixture
def patience() -> Patience:
    return Patience(3, 0.01, 0.05)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(answer)` starts a server whose every answer is `answer(handler, body)`."""
    servers: list[Server] = []

    def start(
        answer: Callable[..., Answer | None],
        wrap: Callable[[socket.socket], socket.socket] | None = None,
        before: Callable[..., bool] | None = None,
    ) -> Scripted:
        script = Scripted(answer, before)
        server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"script": script}))
        if wrap:
            server.socket = wrap(server.socket)
        script.address = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return script

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def token_server(serve: Serve) -> TokenServer:
    from urllib.parse import parse_qs, urlsplit

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        query = parse_qs(urlsplit(handler.path).query if handler.command == "GET" else body.decode())
        scopes = [s for text in query.get("scope", []) for s in text.split()]
        made.asked.append(" ".join(scopes))
        header = handler.headers.get("Authorization", "")
        right = header == "Basic " + base64.b64encode(b"ann:secret").decode() or query.get("refresh_token") == [
            "lasting"
        ]
        if (header or "refresh_token" in query) and not right:
            return error(401, "UNAUTHORIZED", "wrong password")
        token = f"token-{len(made.issued)}"
        made.issued[token] = [
            s for s in scopes if right or (s.startswith("repository:public/") and s.endswith(":pull"))
        ]
        answer = {"token": token, "expires_in": 300}
        if query.get("offline_token") == ["true"]:
            answer["refresh_token"] = "lasting"
        return as_json(answer)

    made = TokenServer(serve(answer))
    return made


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    """`docker_registry(htpasswd=…)` starts Debian's registry, another's code altogether, and returns its address."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("needs docker-registry")
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(run_docker_registry(program, tmp_path, **options))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """A store to push from."""
    made = Shelf(tmp_path / "shelf")
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Shelf]:
    """An empty store to pull into."""
    made = Shelf(tmp_path / "other")
    yield made
    made.close()
