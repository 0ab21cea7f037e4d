"""Private namespaces, so that whatever is killed takes its mounts and processes with it.

Both calls move only the calling thread: they must be made before any other thread exists.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterable

from core import interrupts
from core.signals import signal


def enter_private_mounts() -> None:
    """Move this process into a mount namespace of its own; nothing mounted from now on is seen outside. What is unmounted
    outside goes here too: a container that runs for weeks must not keep a disk from being taken out.

    A cgroup2 mount beside v1 controllers (a "hybrid" host) is taken out of the private view: crun refuses to start
    while it sees one, and the rest of the host keeps it.
    """
    from core import syscalls

    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    hide_hybrid_cgroup()


def hide_hybrid_cgroup() -> None:
    """Unmount a `unified` cgroup2 below a v1 hierarchy in this mount namespace. Harmless where there is none.

    In a user namespace that is refused; there all of the hierarchies, of which it may use none, are covered.
    """
    from core import syscalls

    top = "/sys/fs/cgroup"
    if os.path.ismount(f"{top}/unified"):
        try:
            syscalls.unmount(f"{top}/unified")
        except OSError:
            with contextlib.suppress(OSError):
                syscalls.mount("tmpfs", top, "tmpfs", syscalls.MS_RDONLY, "mode=0755,size=4k")


def keep_descriptors() -> None:
    """Let no program that is executed from now on have the descriptors that we were started with, beyond the three usual.

    A directory of the host's among them would be a way out of every container (CVE-2024-21626).
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(int(name), False)


def contained(work: Callable[[], int]) -> int:
    """Run `work` in a child that is the init of a private pid and mount namespace; returns its exit code.

    When the child ends, however it ends, the kernel kills all it started and frees all it mounted; when this process
    ends, the child is killed. SIGINT, SIGTERM and SIGHUP are passed on, each heeded once. Needs root, of this machine or of a
    user namespace.
    """
    from core import syscalls

    syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
    alive, keep = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)  # until either side has its handlers
    child = os.fork()
    if child == 0:
        os.close(keep)
        _be_init(alive, mask, work)
    os.close(alive)
    try:
        return _wait_passing_signals(child, mask)
    finally:
        os.close(keep)


_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _be_init(alive: int, mask: Iterable[int], work: Callable[[], int]) -> None:
    code = 125
    try:
        keep_descriptors()
        _settle(alive, mask)
        code = work()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        code = _failed()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _failed() -> int:
    if interrupts.came():
        return 128 + interrupts.came()
    import traceback

    traceback.print_exc()
    return 125


def _settle(alive: int, mask: Iterable[int]) -> None:
    from core import syscalls

    syscalls.die_with_parent(signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:  # the parent ended before the line above took hold
        os._exit(125)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    hide_hybrid_cgroup()
    # An init ignores signals it has no handler for: without these a TERM would do nothing.
    for number in _HEEDED:
        signal.signal(number, _stop_once)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stop_once(number: int, frame: object) -> None:
    """A terminal sends Ctrl-C to parent and child, and the parent passes it on: the second must not hit the clean-up."""
    for again in _HEEDED:
        signal.signal(again, signal.SIG_IGN)
    interrupts.note(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _wait_passing_signals(child: int, mask: Iterable[int]) -> int:
    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    previous = {n: signal.signal(n, pass_on) for n in _HEEDED}
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
