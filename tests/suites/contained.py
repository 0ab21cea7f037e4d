"""Running a piece of a test where it may mount what it likes, and where killing it frees everything."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def inside(work: Callable[[], object]) -> None:
    """Run `work` in a child with its own pid and mount namespaces; its failure is shown on stderr and fails the test."""
    from core.namespaces import contained

    def body() -> int:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    _forked(lambda: contained(body))


def inside_user_namespace(work: Callable[[], object]) -> None:
    """The same in a user namespace: root there is nobody special to the kernel. Its IDs are those outside."""
    from core import syscalls

    mapped, tell = os.pipe()
    ready, entered = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(entered, b"x")
            os.read(mapped, 1)
            inside(work)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.read(ready, 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
            file.write("0 0 65536")
    os.write(tell, b"x")
    assert os.waitpid(child, 0)[1] == 0, "see the traceback on stderr"
    for fd in (mapped, tell, ready, entered):
        os.close(fd)


def _forked(work: Callable[[], int]) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "see the traceback on stderr"
