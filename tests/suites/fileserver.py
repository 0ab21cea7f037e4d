"""A web server on loopback with files that can be changed, and that can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

Handler = http.server.BaseHTTPRequestHandler


@dataclass
class Files:
    """`files`: path → bytes. `modified`: path → seconds since 1970. `etags`: whether files have one. `rules`: path → what
    answers instead; `other`: what answers for every path without a rule, if it is not the files."""

    files: dict[str, bytes] = field(default_factory=dict)
    modified: dict[str, int] = field(default_factory=dict)
    etags: bool = True
    rules: dict[str, Callable[[Handler], int]] = field(default_factory=dict)
    other: Callable[[Handler], int] | None = None
    address: str = ""
    scheme: str = "http"
    done: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    busy: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    @property
    def asked(self) -> list[tuple[str, dict[str, str], int]]:
        """The requests so far, as (path, headers in lower case, status), when no answer is under way any more."""
        with self.changed:
            assert self.changed.wait_for(lambda: not self.busy, 10)
            return list(self.done)

    def serve(self, handler: Handler) -> None:
        with self.changed:
            self.busy += 1
        path, status = handler.path.partition("?")[0], 0
        try:
            status = self.rules.get(path, self.other or self.answer)(handler)
        finally:
            with self.changed:
                self.done.append((path, {k.lower(): v for k, v in handler.headers.items()}, status))
                self.busy -= 1
                self.changed.notify_all()

    def statuses(self, path: str) -> list[int]:
        return [status for asked, _, status in self.asked if asked == path]

    def answer(self, handler: Handler) -> int:
        path = handler.path.partition("?")[0]
        data = self.files.get(path)
        if data is None:
            return say(handler, 404)
        headers = {}
        if path in self.modified:
            headers["Last-Modified"] = formatdate(self.modified[path], usegmt=True)
        if self.etags:
            headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        same = handler.headers.get("If-None-Match") == headers.get("ETag") if self.etags else (
            headers.get("Last-Modified") and handler.headers.get("If-Modified-Since") == headers["Last-Modified"])  # fmt: skip
        return say(handler, 304, b"", headers) if same else say(handler, 200, data, headers)


def say(handler: Handler, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> int:
    """Answer; `headers` win over what the length would be."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)
    return status


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Files]:
    """A server until the block ends."""
    site = Files(scheme="https" if tls else "http")

    class Served(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.serve(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...

    server = Server((host, 0), Served)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.address = f"{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
