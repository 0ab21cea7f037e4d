"""Registries to talk to: Debian's docker-registry, and servers of our own that hand out tokens or misbehave on purpose."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from registry.client.settings import ClientSettings

QUICK = {"retries": 3, "backoff": 0.01, "backoff_limit": 0.05, "certs_dirs": ()}


def quick_settings(**options: object) -> ClientSettings:
    """Settings that do not make a test wait."""
    return ClientSettings(**{**QUICK, **options})  # type: ignore[arg-type]


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Scripted:
    """A server on loopback whose answers are a function; it remembers what was asked."""

    answer: Callable[[http.server.BaseHTTPRequestHandler, bytes], Answer | None]
    before: Callable[[http.server.BaseHTTPRequestHandler], bool] | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def paths(self, method: str = "GET") -> list[str]:
        return [path for asked, path, _ in self.requests if asked == method]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def _serve(self) -> None:
        if self.script.before and self.script.before(self):
            self.close_connection = True
            return
        body = self._body()
        self.script.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        answer = self.script.answer(self, body)
        if answer is None:  # the script has spoken for itself
            self.close_connection = True
            return
        status, headers, data = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, *_: object) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...


Serve = Callable[..., Scripted]


def as_json(data: object, status: int = 200, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(data).encode()


def error(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    return as_json(
        {"errors": [{"code": code, "message": message}]}, status, **{k.replace("_", "-"): v for k, v in headers.items()}
    )


@dataclass
class TokenServer:
    """Issues bearer tokens for user `ann`, password `secret`; anonymous ones may only pull `public/*`."""

    script: Scripted
    issued: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def allows(self, header: str, scope: str) -> bool:
        """Whether the Authorization `header` carries a token for every action in `scope`."""
        granted = self.issued.get(header.removeprefix("Bearer "), [])
        name, _, actions = scope.rpartition(":")
        have = {a for g in granted if g.rpartition(":")[0] == name for a in g.rpartition(":")[2].split(",")}
        return set(actions.split(",")) <= have


DockerRegistry = Callable[..., str]


@contextlib.contextmanager
def run_docker_registry(program: str, directory: Path, htpasswd: str = "") -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    home = directory / f"docker-registry-{address.rpartition(':')[2]}"
    home.mkdir()
    auth = ""
    if htpasswd:
        (home / "htpasswd").write_text(htpasswd)
        auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {home}/htpasswd\n"
    (home / "config.yml").write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {home}/data\n"
        f"  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{auth}"
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", home / "config.yml"], stdout=log, stderr=log)
    try:
        _wait(f"http://{address}/v2/")
        yield address
    finally:
        process.kill()
        process.wait(10)


def _wait(url: str) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as answered:
            answered.close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.03)
