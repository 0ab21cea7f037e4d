"""The keeper: the process below which all of a running container lives, init of a private pid and mount namespace.

Whatever kills the keeper, the kernel ends everything below it and frees what it mounted. In the foreground it is a fork
of lamella that dies with it; a detached container's keeper is conmon.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterable, Iterator

from runtime.engine import ENGINE_FAILED

PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGALRM", "SIGWINCH")
)


def fork_keeper(work: Callable[[], int], *, own_session: bool, own_mounts: bool) -> int:
    """Fork a keeper that runs `work` and ends with its result; returns its pid.

    `own_mounts`: its mounts are its own, and it dies with this process; else it shares this process's mount namespace,
    which the caller has made private, and lives on. Once in a process's life: from now on it can fork only into the
    keeper's namespace, and start no thread.
    """
    from core import syscalls

    sys.stdout.flush()
    sys.stderr.flush()
    alive, keep = os.pipe()
    syscalls.unshare(syscalls.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        code = ENGINE_FAILED
        try:
            os.close(keep)
            _settle(alive if own_mounts else None, own_session)
            code = work()
        except BaseException as error:
            code = report(error)
        finally:
            os._exit(code)
    os.close(alive)
    _kept.append(keep)
    return pid


_kept: list[int] = []  # the writing ends stay open as long as this process lives


def _settle(alive: int | None, own_session: bool) -> None:
    from core import syscalls
    from core.namespaces import enter_private_mounts

    if alive is not None:
        syscalls.die_with_parent(signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:  # the parent ended before the line above took hold
            os._exit(ENGINE_FAILED)
        enter_private_mounts()
    if own_session:
        os.setsid()
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)


def report(error: BaseException) -> int:
    """Tell the user, from a forked process, what `cli` would have told; returns the exit code."""
    code = getattr(error, "exit_code", ENGINE_FAILED)
    hint = getattr(error, "hint", None)
    text = f"lamella: {error}" + (f"\n  {hint}" if hint else "")
    with contextlib.suppress(OSError):
        os.write(2, (text + "\n").encode(errors="replace"))
    return code if isinstance(code, int) else ENGINE_FAILED


@contextlib.contextmanager
def passing_signals(target: Callable[[], int], numbers: Iterable[int] = PASSED_ON) -> Iterator[None]:
    """For the block, send the signals we get to the process that `target` names (0: nobody yet)."""

    def pass_on(number: int, frame: object) -> None:
        pid = target()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    previous = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
