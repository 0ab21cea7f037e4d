"""A small registry in memory that breaks, lies or refuses where a test tells it to."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.registry.client.servers import Answer, Scripted, error

Handler = http.server.BaseHTTPRequestHandler


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Faulty:
    """`blobs` and `manifests` by path. The lists of faults are used up one by one, oldest first.

    `cut_downloads`: send only so many bytes of a large blob and hang up. `cut_uploads`: take only so many bytes and hang up.
    `alter`: what a blob's bytes become on their way out. `ranges` off: Range is not heeded.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    sessions: dict[str, bytes] = field(default_factory=dict)
    cut_downloads: list[int] = field(default_factory=list)
    cut_uploads: list[int] = field(default_factory=list)
    alter: Callable[[bytes], bytes] = lambda data: data
    ranges: bool = True
    forget_sessions: bool = False
    numbers: Iterator[int] = field(default_factory=itertools.count)
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: Handler, body: bytes) -> Answer | None:
        """As `Scripted` wants it; the body of a cut upload never gets here."""
        url = urlsplit(handler.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        self.asked.append(f"{handler.command} {url.path}")
        if url.path == "/v2/":
            return 200, {}, b""
        name, kind, rest = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.*)", url.path).groups()  # type: ignore[union-attr]
        if kind == "manifests":
            return self._manifest(handler, f"{name}:{rest}", body)
        if rest.startswith("uploads/"):
            return self._upload(handler, name, rest.removeprefix("uploads/"), query, body)
        return self._blob(handler, rest)

    def _manifest(self, handler: Handler, key: str, body: bytes) -> Answer:
        if handler.command == "PUT":
            self.manifests[key] = handler.headers["Content-Type"], body
            return 201, {"Docker-Content-Digest": sha256(body)}, b""
        if key not in self.manifests:
            return error(404, "MANIFEST_UNKNOWN")
        kind, raw = self.manifests[key]
        return 200, {"Content-Type": kind}, raw

    def _blob(self, handler: Handler, digest: str) -> Answer | None:
        if digest not in self.blobs:
            return error(404, "BLOB_UNKNOWN")
        data = self.alter(self.blobs[digest])
        if handler.command == "HEAD":
            return 200, {"Content-Length": str(len(data))}, b""
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.ranges else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted and self.ranges else {}
        if not self.cut_downloads or len(data) < 1000:
            return (206 if headers else 200), headers, data[start:]
        handler.send_response(206 if headers else 200)
        for key, value in {**headers, "Content-Length": str(len(data) - start)}.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(data[start : start + self.cut_downloads.pop(0)])
        return hang_up(handler)

    def _upload(self, handler: Handler, name: str, session: str, query: dict[str, str], body: bytes) -> Answer:
        if handler.command == "POST":
            session = str(next(self.numbers))
            self.sessions[session] = b""
            return 202, {"Location": f"/v2/{name}/blobs/uploads/{session}?state=a%2Fb"}, b""
        if session not in self.sessions:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        assert query.get("state") == "a/b", "the Location is used as it was given"
        here = len(self.sessions[session])
        span = handler.headers.get("Content-Range")
        if span and int(span.partition("-")[0]) != here:
            return error(416, "BLOB_UPLOAD_INVALID")
        self.sessions[session] += body
        location = {"Location": f"/v2/{name}/blobs/uploads/{session}?state=a%2Fb"}
        if handler.command != "PUT":
            last = max(0, len(self.sessions[session]) - 1)
            return (204 if handler.command == "GET" else 202), {**location, "Range": f"0-{last}"}, b""
        data = self.sessions.pop(session)
        if sha256(data) != query["digest"]:
            return error(400, "DIGEST_INVALID")
        self.blobs[query["digest"]] = data
        return 201, {}, b""

    def cut(self, handler: Handler) -> bool:
        """Called before a body is read: take part of a large one and hang up, when that is the next fault."""
        if handler.command not in ("PATCH", "PUT") or "/uploads/" not in handler.path or not self.cut_uploads:
            return False
        if int(handler.headers.get("Content-Length") or 1000) < 1000:
            return False  # configs get through
        session = urlsplit(handler.path).path.rpartition("/")[2]
        if self.forget_sessions:
            handler.rfile.read(self.cut_uploads.pop(0))
            self.sessions.pop(session, None)
        else:
            self.sessions[session] += self._take(handler, self.cut_uploads.pop(0))
        hang_up(handler)
        return True

    def _take(self, handler: Handler, amount: int) -> bytes:
        taken = b""
        chunked = handler.headers.get("Transfer-Encoding") == "chunked"
        while len(taken) < amount:
            size = int(handler.rfile.readline(), 16) if chunked else amount
            if not size:
                break
            taken += handler.rfile.read(size)
            if chunked:
                handler.rfile.readline()
        return taken[:amount]


def hang_up(handler: Handler) -> None:
    """End the connection in the middle of things."""
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def start(faulty: Faulty, serve: Callable[..., Scripted]) -> str:
    """The address of a server that is `faulty`."""
    return serve(faulty.answer, before=faulty.cut).address
