"""Several workers below one parent: they share the port, are replaced when they fail, and never outlive the parent."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from core import syscalls
from core.errors import LamellaError, Unavailable

log = logging.getLogger("lamella.registry")

STOP = {signal.SIGTERM, signal.SIGINT}
YOUNG_SECONDS = 5.0
YOUNG_DEATHS = 3


def supervise(count: int, work: Callable[[], object], started: Callable[[], None]) -> None:
    """Keep `count` children running `work` until SIGTERM or SIGINT. No thread may exist yet.

    Signals are blocked and waited for: none is lost, and none comes in the middle of anything. Raises Unavailable where
    the workers end as soon as they are started.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP | {signal.SIGCHLD})
    children: dict[int, float] = {}
    try:
        for _ in range(count):
            children[_fork(work)] = time.monotonic()
        started()
        deaths = 0
        while signal.sigwait(STOP | {signal.SIGCHLD}) == signal.SIGCHLD:
            for pid, status in _ended(children):
                young = time.monotonic() - children.pop(pid) < YOUNG_SECONDS
                if not _killed(status):  # whom somebody else has ended says nothing about the next
                    deaths = deaths + 1 if young else 0
                if deaths > YOUNG_DEATHS:
                    raise Unavailable("the registry's workers end as soon as they start", "its log says why")
                log.error("worker %d ended (status %d): starting another", pid, status)
                children[_fork(work)] = time.monotonic()
    finally:
        _end(children)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP | {signal.SIGCHLD})


def _ended(children: dict[int, float]) -> list[tuple[int, int]]:
    """The children that ended, with their status: one SIGCHLD may stand for several."""
    found = [os.waitpid(pid, os.WNOHANG) for pid in children]
    return [(pid, status) for pid, status in found if pid]


def _killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _end(children: dict[int, float]) -> None:
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _fork(work: Callable[[], object]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        for number in STOP:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP | {signal.SIGCHLD})
        if os.getppid() == parent:  # else it ended before the first line took hold
            work()
        code = 0
    except LamellaError as error:
        log.error("%s", error.message)
    except BaseException:
        log.exception("a worker failed")
    finally:
        os._exit(code)
