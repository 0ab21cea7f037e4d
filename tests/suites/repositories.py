"""Git repositories, and a real `git daemon` on loopback that serves them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.suites.fileserver import say

_ENVIRON = {
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_AUTHOR_DATE": "1600000000 +0000",
    "GIT_COMMITTER_DATE": "1600000000 +0000",
}  # fmt: skip


class Repository:
    """A repository with a working tree at `path`; its branch is `main`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-C", self.path, *words], env={**os.environ, **_ENVIRON}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str], message: str = "m") -> str:
        """Write these files, commit everything; the commit's ID."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)


@contextlib.contextmanager
def daemon(top: Path) -> Iterator[str]:
    """`git://` and the address under which what is in `top` is served, until the block ends."""
    port = free_port()
    command = [
        "git",
        "daemon",
        "--reuseaddr",
        "--export-all",
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={top}",
        top,
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(port, process)
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)


@contextlib.contextmanager
def sshd(directory: Path, authorized: str) -> Iterator[tuple[int, Path]]:
    """The port of an sshd of our own on loopback that lets in whoever has the key `authorized` (a public one), and its known
    hosts file; until the block ends."""
    directory.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it does not start without
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "host"], check=True)
    (directory / "authorized").write_text(authorized)
    port = free_port()
    settings = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": directory / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": directory / "authorized", "StrictModes": "no", "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no",
    }  # fmt: skip
    (directory / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    host = (directory / "host.pub").read_text().split()
    (directory / "known").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", directory / "config"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(port, process)
        yield port, directory / "known"
    finally:
        process.terminate()
        process.wait(10)


def http_backend(top: Path, handler: BaseHTTPRequestHandler) -> int:
    """Answer a request as a web server that runs `git http-backend` for the repositories in `top`; the status."""
    path, _, query = handler.path.partition("?")
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    done = subprocess.run(
        ["git", "http-backend"], input=body, capture_output=True, check=True,
        env={
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(top), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": handler.command, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""), "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        },
    )  # fmt: skip
    head, _, data = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return say(handler, int(headers.pop("Status", "200").split()[0]), data, headers)
