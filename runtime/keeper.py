"""The keeper: the process below which all of a running container lives, init of a private pid and mount namespace.

Whatever kills the keeper, the kernel ends everything below it and frees what it mounted. In the foreground it is a fork
of lamella that dies with it; a detached container's keeper is conmon.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator

from core.signals import signal
from runtime.streams import exit_code

ENGINE_FAILED = 125

PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGALRM", "SIGWINCH")
)


ASKING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 3
"""The so manyeth of ASKING ends our part: a first process that handles none of them never sees one."""


def fork_keeper(
    work: Callable[[], int], *, own_session: bool, own_mounts: bool, own_pids: bool = True,
    announce: Callable[[int], None] | None = None,
) -> int:  # fmt: skip
    """Fork a keeper that runs `work` and ends with its result; returns its pid, which the keeper itself calls `announce` with.

    `own_mounts`: its mounts are its own, and it dies with this process; else it shares this process's mount namespace,
    which the caller has made private, and lives on. Once in a process's life: from now on it can fork only into the
    keeper's namespace, and start no thread. Without `own_pids` its processes are numbered with ours, and do not end with it:
    only their cgroup knows them all.
    """
    from core import syscalls

    if own_pids:
        syscalls.unshare(syscalls.CLONE_NEWPID)
    return fork(lambda alive: _settled(alive if own_mounts else None, own_session, own_pids, work, announce))


def fork_guarded(work: Callable[[], int], unused: Iterable[int], *, own_session: bool) -> tuple[int, int]:
    """Fork a guard with a keeper below it, at once: this process stays as free to fork and start threads as it was.

    Both die with this process, and the guard ends with what `work` gave. Returns the guard's pid and a descriptor that
    tells two lines: the keeper's pid, and what `work` gave, which is known long before both have ended. `unused` are closed
    in both.
    """
    told, tell = os.pipe()
    guard = fork(lambda alive: _guard(alive, tell, (told, *unused), work, own_session))
    os.close(tell)
    return guard, told


def _guard(alive: int, tell: int, unused: Iterable[int], work: Callable[[], int], own_session: bool) -> int:
    die_with_parent(alive)
    for fd in unused:
        os.close(fd)
    if own_session:
        os.setsid()
    with passing_signals() as passing:
        keeper = fork_keeper(lambda: _told(work(), tell), own_session=False, own_mounts=True)
        passing.to(keeper)
        _told(keeper, tell)
        os.close(tell)
        return exit_code(os.waitpid(keeper, 0)[1])


def _told(number: int, tell: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        os.write(tell, b"%d\n" % number)
    return number


def fork(work: Callable[[int], int]) -> int:
    """Fork a child that runs `work` on a descriptor which becomes readable when this process has ended; its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    if not _life:
        _life.append(os.pipe())
    alive, keep = _life[0]
    pid = os.fork()
    if pid == 0:
        code = ENGINE_FAILED
        try:
            _life.clear()
            os.close(keep)
            code = work(alive)
        except BaseException as error:
            code = report(error)
        finally:
            os._exit(code)
    return pid


_life: list[tuple[int, int]] = []  # a pipe whose writing end is open as long as this process lives


def die_with_parent(alive: int) -> None:
    """Be killed when the parent ends, of which `alive` tells."""
    from core import syscalls

    syscalls.die_with_parent(signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:  # the parent ended before the line above took hold
        os._exit(ENGINE_FAILED)


def _settled(
    alive: int | None,
    own_session: bool,
    own_pids: bool,
    work: Callable[[], int],
    announce: Callable[[int], None] | None,
) -> int:
    from core import syscalls
    from core.namespaces import enter_private_mounts, keep_descriptors

    if announce:
        announce(int(os.readlink("/proc/self")))  # the outer one: here it is number 1
    keep_descriptors()
    if alive is not None:
        die_with_parent(alive)
        enter_private_mounts()
    if own_session:
        os.setsid()
    if own_pids:
        syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    return work()


def report(error: BaseException) -> int:
    """Tell the user, from a forked process, what `cli` would have told; returns the exit code."""
    code = getattr(error, "exit_code", ENGINE_FAILED)
    hint = getattr(error, "hint", None)
    text = f"lamella: {error}" + (f"\n  {hint}" if hint else "")
    with contextlib.suppress(OSError):
        os.write(2, (text + "\n").encode(errors="replace"))
    return code if isinstance(code, int) else ENGINE_FAILED


class Passing:
    """Where signals go, and those that came before that was known; of ASKING the `patience`th goes as a SIGKILL."""

    def __init__(self, patience: int = 0) -> None:
        self._pid = 0
        self._send: Callable[[int, int], None] = os.kill
        self._early: list[int] = []
        self._patience = patience

    def to(self, pid: int, send: Callable[[int, int], None] = os.kill) -> None:
        """From now on to the process `pid`, by `send`; what has come so far is sent to it."""
        self._pid, self._send = pid, send
        while self._early:
            self.pass_on(self._early.pop(0))

    def pass_on(self, number: int, frame: object = None) -> None:
        if number in ASKING and self._is_enough():
            number = signal.SIGKILL
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                self._send(self._pid, number)
        else:
            self._early.append(number)

    def _is_enough(self) -> bool:
        self._patience -= 1
        if self._patience == 0:
            os.write(2, b"lamella: asked again and again to end: the container is killed\n")
        return self._patience == 0


@contextlib.contextmanager
def passing_signals(numbers: Iterable[int] = PASSED_ON, *, patience: int = 0) -> Iterator[Passing]:
    """For the block, pass on the signals we get; they are kept until somebody is named to have them."""
    passing = Passing(patience)
    previous = {number: signal.signal(number, passing.pass_on) for number in numbers}
    try:
        yield passing
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
