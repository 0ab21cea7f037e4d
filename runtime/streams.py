"""Children whose output is heard: started without fork's cost, both pipes drained as they fill."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Mapping, Sequence

from core.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from core.progress import Stream

Output: TypeAlias = "Callable[[Stream, bytes], None]"
CHUNK = 1 << 16


def spawn(
    command: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    own_group: bool = True,
    own_session: bool = False,
    silent: bool = False,
    terminal: str = "",
) -> int:
    """Start `command` (an absolute path first) and return its pid; descriptors left out are /dev/null (0) or inherited.

    In a process group of its own a Ctrl-C at the terminal reaches lamella alone, which then ends the child in order.
    In a session of its own it does not notice that the terminal is closed either. All three are the device `terminal`,
    where one is named, which becomes the session's own.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    for target in (1, 2) if silent else ():
        actions.append((os.POSIX_SPAWN_OPEN, target, "/dev/null", os.O_WRONLY, 0))
    if terminal:
        actions.append((os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
        stdin, stdout, stderr = None, 0, 0
    elif stdin is None:
        actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    for target, fd in ((0, stdin), (1, stdout), (2, stderr)):
        if fd is not None and fd != target:
            actions.append((os.POSIX_SPAWN_DUP2, fd, target))
    arguments, environment = list(command), dict(env or MINIMAL_ENV)
    if own_group:
        return os.posix_spawn(
            command[0], arguments, environment, file_actions=actions, setsigmask=[], setsigdef=RESTORED, setpgroup=0
        )
    return os.posix_spawn(
        command[0], arguments, environment, file_actions=actions, setsigmask=[], setsigdef=RESTORED, setsid=own_session
    )


RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores them, and exec would pass that on
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MINIMAL_ENV = {"PATH": PATH.partition("=")[2], "LC_ALL": "C"}


class Stopped(Exception):
    """A child was ended because somebody called `Stop.set`."""


class Stop:
    """How one thread ends the children that others listen to."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        """End what is heard now, and whatever will be. Harmless to repeat."""
        os.eventfd_write(self._fd, 1)

    def is_set(self) -> bool:
        return bool(select.select([self._fd], [], [], 0)[0])

    def fileno(self) -> int:
        """A descriptor that can be read from then on."""
        return self._fd

    def close(self) -> None:
        os.close(self._fd)


def listen(command: Sequence[str], output: Output, on_abort: Callable[[], None]) -> int:
    """Run `command` to its end, passing on all it writes; see `hear`."""
    return hear(lambda out, err: spawn(command, stdout=out, stderr=err), output, on_abort)


def hear(
    begin: Callable[[int, int], int], output: Output, on_abort: Callable[[], None], stop: Stop | None = None
) -> int:
    """Pass on all that the child writes which `begin(stdout, stderr)` starts; its exit code (128+n for a signal).

    If `output` raises or we are interrupted, `on_abort` must make the child end; it is waited for in any case. Where
    `stop` is set before the end, that raises Stopped.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        try:
            pid = begin(out_write, err_write)
        finally:
            os.close(out_write)
            os.close(err_write)
        try:
            _drain({out_read: "stdout", err_read: "stderr"}, output, stop)
            if stop is not None:
                _await(pid, stop)
            return wait(pid)
        except BaseException:
            on_abort()
            wait(pid)
            raise
    finally:
        os.close(out_read)
        os.close(err_read)


def _drain(pipes: dict[int, Stream], output: Output, stop: Stop | None) -> None:
    poll = select.poll()
    for fd in [*pipes, *([stop.fileno()] if stop else [])]:
        poll.register(fd, select.POLLIN)
    while pipes:
        for fd, _ in poll.poll():
            if fd not in pipes:
                raise Stopped
            data = os.read(fd, CHUNK)
            if data:
                output(pipes[fd], data)
            else:
                poll.unregister(fd)
                del pipes[fd]


def _await(pid: int, stop: Stop) -> None:
    """Until `pid` has ended, which may take longer than its output does."""
    ended = os.pidfd_open(pid)
    try:
        if ended not in select.select([ended, stop.fileno()], [], [])[0]:
            raise Stopped
    finally:
        os.close(ended)


def wait(pid: int) -> int:
    """The exit code of the child `pid` (128+n for a signal); 255 where somebody else has reaped it."""
    with contextlib.suppress(ChildProcessError):
        return exit_code(os.waitpid(pid, 0)[1])
    return 255


def exit_code(status: int) -> int:
    """A wait status as a shell has it: 128+n for a signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
