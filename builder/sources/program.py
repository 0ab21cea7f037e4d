"""The git program, which is told to believe neither a repository nor this machine, and is watched while it runs.

No hook, filter, credential helper or configuration of the machine runs or counts; only http(s), git and ssh are spoken;
nobody is asked for a password. Credentials reach it in the environment, never on a command line. What it writes may have
only so many bytes and files: a server can go on sending for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.sources.address import GitAddress, shown
from builder.sources.web import Outside
from core.errors import InvalidInput, Unavailable, Unsupported
from core.process import find_program
from core.removal import remove
from store.temporary import Temporaries

SECONDS = 3600.0  # for one run of git: a server that is silent for ever must not stop a build for ever
STALLED_SECONDS = 90
MAX_FILES = 5_000_000
MAX_SAID = 64 << 20
_LOOK_SECONDS = 0.1
_SSH_REFUSES = r"Permission denied \(|^Host key verification failed"  # git's own last line does not say why
_TAIL_BYTES = 8192
_ENVIRON = {
    "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS_REQUIRE": "never",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes", "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
    "GIT_NO_REPLACE_OBJECTS": "1",
}  # fmt: skip
_CONFIG = {
    "core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null", "core.logAllRefUpdates": "false", "core.autocrlf": "false", "core.symlinks": "true",
    "core.protectNTFS": "true", "core.protectHFS": "true", "credential.helper": "", "init.defaultBranch": "main",
    "gc.auto": "0", "maintenance.auto": "false", "advice.detachedHead": "false", "protocol.version": "2",
    "http.lowSpeedLimit": "1", "http.lowSpeedTime": str(STALLED_SECONDS), "fetch.unpackLimit": "1",
}  # fmt: skip


class GitFailed(Unavailable):
    """What git said, in one line."""

    def __init__(self, address: GitAddress, said: str) -> None:
        hint = (
            "check the address and the network; for a private one give --secret id=GIT_AUTH_TOKEN, or --ssh default=KEY"
        )
        super().__init__(f"git cannot read {shown(address.remote)}: {_reason(said)}", hint)


class TooMuch(InvalidInput):
    """More comes of a repository than may."""

    def __init__(self, address: GitAddress, what: str) -> None:
        hint = "name a smaller part of it, or allow more: LAMELLA_FETCH_LIMIT=SIZE"
        super().__init__(f"{shown(address.remote)} has {what}", hint)


class GitProgram:
    """Runs git. May be used by several threads. `check` is called again and again meanwhile, and raises to end it."""

    def __init__(
        self, outside: Outside, temporaries: Temporaries, check: Callable[[], None], files: int = MAX_FILES,
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._outside = outside
        self._temporaries = temporaries
        self._check = check
        self._files = files
        self._seconds = seconds

    def run(
        self, address: GitAddress, words: Sequence[str], work: Path | None = None, *, top: GitAddress | None = None,
        watched: Path | None = None,
    ) -> bytes:  # fmt: skip
        """What git writes on its standard output, run in `work` for `address`; `top` is the repository that named this one.
        How much `watched` grows is bounded.

        Raises GitFailed, TooMuch, Unavailable where it takes too long, and Unsupported where there is no git.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            with self._started(address, words, work, top or address, out, said) as process:
                self._wait(address, process, _Growth(watched) if watched else None, (out, said))
            if process.returncode:
                raise GitFailed(address, _end(said))
            out.seek(0)
            return out.read()

    def refuse_many_files(self, address: GitAddress, commit: str, work: Path) -> None:
        """Raises TooMuch for a commit that has more files than may be: a few objects can name any number of them, and git
        takes all names into its memory before it writes the first file."""
        found, words = 0, ["ls-tree", "-r", "-z", "--name-only", commit]
        with self._started(address, words, work, address, subprocess.PIPE, subprocess.DEVNULL) as process:
            assert process.stdout is not None
            with process.stdout as names:
                while found <= self._files and (more := names.read(1 << 16)):
                    found += more.count(b"\0")
                    self._check()
        if found > self._files:
            raise TooMuch(address, f"more than {self._files} files")

    @contextlib.contextmanager
    def _started(
        self, address: GitAddress, words: Sequence[str], work: Path | None, top: GitAddress, out: IO[bytes] | int,
        said: IO[bytes] | int,
    ) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
        """A process that has ended, it and all that it started, when the block ends."""
        program = find_program("git")
        if program is None:
            what = f"git, which is needed for {shown(address.remote)}, is not installed"
            raise Unsupported(what, "install the package git")
        where, ceiling = (
            (["-C", os.fspath(work)], {"GIT_CEILING_DIRECTORIES": os.fspath(work.parent)}) if work else ([], {})
        )
        with self._agent(address) as agent:
            process = subprocess.Popen(
                [program, *where, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=said,
                env={**self._environ(address, top), **ceiling, **agent}, umask=0o022, start_new_session=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _wait(
        self,
        address: GitAddress,
        process: subprocess.Popen[bytes],
        growth: _Growth | None,
        written: Sequence[IO[bytes]],
    ) -> None:
        deadline = time.monotonic() + self._seconds
        ended = os.pidfd_open(process.pid)
        try:
            while not select.select([ended], [], [], _LOOK_SECONDS)[0]:
                self._check()
                if growth:
                    growth.refuse(address, self._outside.limit, self._files)
                if max(os.fstat(file.fileno()).st_size for file in written) > MAX_SAID:
                    raise TooMuch(address, "more to say than can be listened to")
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"{shown(address.remote)} did not come within {self._seconds} s", "try again later"
                    )
        finally:
            os.close(ended)
        process.wait()
        if growth:
            growth.refuse(address, self._outside.limit, self._files, last=True)

    @contextlib.contextmanager
    def _agent(self, address: GitAddress) -> Iterator[dict[str, str]]:
        """What leads ssh to the agent that the build was given."""
        if self._outside.agent is None or re.match("(https?|git)://", address.remote):
            yield {}
            return
        from builder.ops.mounts_ssh import short_path, speaking

        fd, place = self._temporaries.directory()
        try:
            with speaking(self._outside.agent, place) as socket, short_path(socket) as path:
                yield {"SSH_AUTH_SOCK": path}
        finally:
            remove(place)
            os.close(fd)

    def _environ(self, address: GitAddress, top: GitAddress) -> dict[str, str]:
        config = dict(_CONFIG)
        for one in (top, address):
            if header := self._authorised(one, only_for_host=_host(one) != _host(top)):
                parts = urlsplit(one.remote)
                config[f"http.{parts.scheme}://{_host(one)}/.extraHeader"] = f"Authorization: {header}"
        numbered = [pair for n, (key, value) in enumerate(config.items()) for pair in (
            (f"GIT_CONFIG_KEY_{n}", key), (f"GIT_CONFIG_VALUE_{n}", value))]  # fmt: skip
        return {**self._outside.variables, **_ENVIRON, "GIT_CONFIG_COUNT": str(len(config)), **dict(numbered)}

    def _authorised(self, address: GitAddress, *, only_for_host: bool) -> str:
        """The Authorization header for http(s): from the address, else from a build secret, that of the host first. A host
        that nobody but a repository has named gets only what is meant for it."""
        if not address.remote.startswith(("http://", "https://")):
            return ""
        if own := bare(address.remote)[1]:
            return own
        host = _host(address)
        general = () if only_for_host else ("GIT_AUTH_HEADER", "GIT_AUTH_TOKEN")
        for name in (f"GIT_AUTH_HEADER.{host}", f"GIT_AUTH_TOKEN.{host}", *general):
            if secret := self._outside.secret(name):
                text = secret.decode("latin-1").strip()
                if not text.isprintable():
                    raise InvalidInput(
                        f"the secret {name} is no header: it has control characters", "it must be one line"
                    )
                return _basic(f"x-access-token:{text}") if "TOKEN" in name else text
        return ""


class _Growth:
    """How much a directory has grown. The disk is asked each time, which costs nothing; the directory only where the disk
    has lost as much, and now and then: others may give back what this one takes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = _measure(directory)
        self._disk = os.statvfs(directory)
        self._next = time.monotonic() + 1

    def refuse(self, address: GitAddress, size: int, files: int, *, last: bool = False) -> None:
        """Raises TooMuch. `last`: git has ended, so there will be no other look."""
        disk, started = os.statvfs(self._directory), time.monotonic()
        lost = (self._disk.f_bfree - disk.f_bfree) * disk.f_frsize > size or self._disk.f_ffree - disk.f_ffree > files
        if not (lost or last or started > self._next):
            return
        grown_size, grown_files = (
            now - then for now, then in zip(_measure(self._directory), self._before, strict=True)
        )
        self._next = time.monotonic() + 1 + 20 * (time.monotonic() - started)
        if grown_size > size:
            raise TooMuch(address, f"more than {size} bytes")
        if grown_files > files:
            raise TooMuch(address, f"more than {files} files")


def _measure(directory: Path) -> tuple[int, int]:
    """The bytes and the number of files below it, while git changes it. Git leaves holes where there are zeros, which are
    bytes of a layer nevertheless."""
    size, files, pending = 0, 0, [os.fspath(directory)]
    while pending:
        for status, path, is_directory in _statuses(pending.pop()):
            size, files = size + max(status.st_size, status.st_blocks * 512), files + 1
            if is_directory:
                pending.append(path)
    return size, files


def _statuses(directory: str) -> Iterator[tuple[os.stat_result, str, bool]]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False), entry.path, entry.is_dir(follow_symlinks=False)
    except FileNotFoundError:
        return


def _end(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL_BYTES))
    return said.read().decode(errors="replace").strip()


def _host(address: GitAddress) -> str:
    return urlsplit(address.remote).netloc.rpartition("@")[2] if "://" in address.remote else address.remote


def bare(remote: str) -> tuple[str, str]:
    """The address without the credentials in it (ssh's user is none), and the header that they mean."""
    if not remote.startswith(("http://", "https://")) or "@" not in remote:
        return remote, ""
    parts = urlsplit(remote)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)), _basic(unquote(user if ":" in user else f"{user}:"))


def _basic(user: str) -> str:
    return f"Basic {b64encode(user.encode()).decode()}"


def _reason(said: str) -> str:
    """The line of git's that says most, and the next one where it ends with a colon."""
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in said.splitlines()]
    if denied := next((line for line in lines if re.search(_SSH_REFUSES, line)), ""):
        return shown(denied)[:300]
    first = next((n for n, line in enumerate(lines) if re.match(r"(fatal|error|remote|ssh):", line)), 0)
    text = " ".join(lines[first : first + (2 if lines[first : first + 1] and lines[first].endswith(":") else 1)])
    return shown(re.sub(r"^(fatal|error): ", "", text))[:300] or "it said nothing"
