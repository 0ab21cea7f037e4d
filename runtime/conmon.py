"""Containers that outlive the command: conmon is their keeper, holds their streams, writes log and exit code."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.errors import Unsupported
from core.locks import FileLock
from core.rootless import membership
from runtime.box import Box
from runtime.bundle import open_nothing
from runtime.container import Container
from runtime.containers import Containers
from runtime.engine import Engine, StartFailed, classify
from runtime.keeper import fork_keeper
from runtime.log_options import log_words
from runtime.networking import prepared
from runtime.probe import PLACES
from runtime.starting import wait_for_former
from runtime.status import STARTING, note_started, note_starting
from runtime.streams import MINIMAL_ENV, spawn, wait

if TYPE_CHECKING:
    from runtime.volume_sources import Attachment

_PATIENCE = 5  # seconds: creating takes milliseconds


class Monitored:
    """A container under conmon, created and not yet started. Made by `create`, in a process that has no other container.

    The process moves into a private mount namespace, which conmon shares and keeps when the process ends.
    """

    def __init__(
        self,
        container: Container,
        box: Box,
        engine: Engine,
        keeper: int,
        starting: FileLock,
        known: Callable[[], object] | None = None,
    ) -> None:
        """`known` is called when it can be known who the container's keeper is."""
        self.container = container
        self._known = known
        self.box = box
        self.keeper = keeper
        self._engine = engine
        self._starting = starting

    def wait_until_created(self, answers: BinaryIO) -> None:
        """Until conmon has told so in `answers`, which are closed. Raises StartFailed."""
        answer = b""
        with answers:
            try:
                answer = answers.readline()
                _check_created(answer, self.box, self.keeper)
            except KeyboardInterrupt:
                if not answer:  # before it is there nothing can end it
                    select.select([answers], [], [], _PATIENCE)
                self._end()
                raise

    def start(self, directory: Path) -> None:
        """Let the container's command go. Raises StartFailed."""
        note_started(directory, self.keeper)
        if self._known:
            self._known()
        try:
            code = self._runtime("start", self.container.id)
            if code:
                raise classify(_said(self.box.log) or f"the runtime could not start it ({code})")
        except BaseException:  # an interrupt, too: what waits to be started would wait for ever
            self._end()
            raise
        finally:
            self._starting.release(remove=True)

    def kill(self, signal_name: str) -> bool:
        """Send a signal to the container's first process; whether the runtime could."""
        return self._runtime("kill", self.container.id, signal_name) == 0

    def _end(self) -> None:
        """All of it ends with the keeper, where the runtime cannot end it."""
        refused = not self.kill("KILL")
        ended = os.pidfd_open(self.keeper)
        if refused or not select.select([ended], [], [], _PATIENCE)[0]:
            os.kill(self.keeper, signal.SIGKILL)
        os.close(ended)
        wait(self.keeper)

    def _runtime(self, verb: str, *rest: str) -> int:
        return wait(spawn(self._engine.command(self.box.runtime_state, self.box.log, verb, *rest), silent=True))


def find_conmon() -> str:
    """conmon's path. Raises Unsupported where it is not installed."""
    for place in (*PLACES, "/usr/libexec/podman", "/usr/lib/podman"):
        if os.access(f"{place}/conmon", os.X_OK):
            return f"{place}/conmon"
    raise Unsupported(
        "conmon is not installed: it keeps the log and the exit code of what runs in the background",
        "install conmon, or run it in the foreground with --rm",
    )


def create(
    containers: Containers,
    container: Container,
    lock: FileLock,
    engine_of: Callable[[Path], Engine],
    state: Path,
    on_exit: Sequence[str] = (),
) -> Monitored:
    """Put `container`, which `lock` is held for, under conmon. `on_exit` is executed when it has ended.

    Raises StartFailed where the runtime refuses, Unsupported where a program is missing.
    """
    conmon = find_conmon()
    with prepared(containers.root, state, container):
        return _create(containers, container, lock, engine_of, state, on_exit, conmon)


def _create(
    containers: Containers, container: Container, lock: FileLock, engine_of: Callable[[Path], Engine], state: Path,
    on_exit: Sequence[str], conmon: str,
) -> Monitored:  # fmt: skip
    from core.namespaces import enter_private_mounts

    attachment = _attachment(containers, container)
    enter_private_mounts()
    engine = _engine(container, engine_of(state))
    box, directory = Box(state), containers.directory(container)
    starting = FileLock(directory / STARTING)
    starting.acquire()
    wait_for_former(directory, container.id)
    try:
        box.mount()
        if container.isolation:
            from runtime.borrowed import join

            join(box, containers, container, engine)
        ready = container
        if attachment:
            attachment.move()
            attachment.note()
            ready = attachment.container
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory / container.id)  # the exit file of the last run
        # The mount stays: the container's own namespace keeps it.
        with containers.snapshotter.mounted(container.id, durable=True) as rootfs:
            _fill(box, ready, containers, rootfs, engine)
            keeper, answers = _fork(_command(conmon, container, box, directory, engine, on_exit), box, lock, directory)
            known = attachment.close if attachment else None
            monitored = Monitored(container, box, engine, keeper, starting, known)
            monitored.wait_until_created(answers)
    except BaseException:
        starting.release(remove=True)
        if attachment:
            attachment.close()
        raise
    lock.release()  # conmon has inherited it
    return monitored


def _attachment(containers: Containers, container: Container) -> Attachment | None:
    if not any(mount.kind in ("volume", "image") for mount in container.mounts):
        return None
    from runtime.volume_sources import Attachment

    return Attachment(containers, container)


def _engine(container: Container, usual: Engine) -> Engine:
    """What runs `container`, `usual` unless it says otherwise. Raises Unsupported."""
    engine = usual
    if not container.plain:
        from runtime.runtimes import engine_for

        engine = engine_for(container, usual)
    if not engine.path:
        raise Unsupported(
            "nothing can run in the background without an OCI runtime", "install crun (or runc) and conmon"
        )
    return engine


def _fill(box: Box, ready: Container, containers: Containers, rootfs: Path, engine: Engine) -> None:
    spec = box.fill(ready, containers.directory(ready), rootfs, engine)
    if ready.isolation and ready.isolation.users:
        from runtime.own_users import settle

        settle(box, ready, containers, rootfs, spec, engine)


def _command(
    conmon: str, container: Container, box: Box, directory: Path, engine: Engine, on_exit: Sequence[str]
) -> list[str]:
    words = [
        conmon, "--api-version", "1", "--sync", "--full-attach", "--log-level", "error", "-c", container.id,
        "-u", container.id, "-n", container.name, "-b", str(box.path), "-p", str(box.pid_file),
        "--exit-dir", str(directory), *log_words(container, directory), "-r", engine.path,
    ]  # fmt: skip
    for argument in (*engine.options, "--root", str(box.runtime_state), "--log", str(box.log), "--log-format", "json"):
        words += ["--runtime-arg", argument]
    if on_exit:
        words += ["--exit-command", on_exit[0]]
        for argument in on_exit[1:]:
            words += ["--exit-command-arg", argument]
    if container.tty:
        words += ["-t", "--leave-stdin-open"]  # who detaches from a terminal has not ended its input
    return words + ["-i"] * container.stdin_open


def _fork(command: list[str], box: Box, lock: FileLock, directory: Path) -> tuple[int, BinaryIO]:
    """Start conmon as the keeper: its pid, and where it tells that the runtime has created the container."""
    sync_read, sync_write = os.pipe()
    start_read, start_write = os.pipe()

    def become_conmon() -> int:
        for fd in (sync_write, start_read, lock.fileno(), *membership(), *box.held()):
            os.set_inheritable(fd, True)
        log = os.open(box.path / "conmon.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(open_nothing(), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir("/")
        env = {**MINIMAL_ENV, "_OCI_SYNCPIPE": str(sync_write), "_OCI_STARTPIPE": str(start_read)}
        os.execve(command[0], command, env)

    keeper = fork_keeper(
        become_conmon, own_session=True, own_mounts=False, own_pids=not box.shares_pids,
        announce=lambda pid: note_starting(directory, pid),
    )  # fmt: skip
    box.open_doors()
    for fd in (sync_write, start_read, *box.held()):
        os.close(fd)
    os.write(start_write, b"0")
    os.close(start_write)
    return keeper, os.fdopen(sync_read, "rb")


def _check_created(answer: bytes, box: Box, keeper: int) -> None:
    try:
        data = json.loads(answer)
    except ValueError:
        data = {"data": -1, "message": "conmon ended: " + _said(box.path / "conmon.log")}
    if int(data.get("data", -1)) > 0:
        return
    wait(keeper)
    failed = _failure(box) or classify(str(data.get("message") or "the runtime gave no reason"))
    raise failed


def _failure(box: Box) -> StartFailed | None:
    from runtime.engine import failure

    return failure(box.log)


def _said(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace").strip()[-500:]
    return ""
