"""Which users of this machine the users of a user namespace are (user_namespaces(7)), and files that are seen through that."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Sequence

from core import syscalls
from core.value import Value

_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2


class Span(Value):
    """`size` IDs from `inside` on, in the namespace, are those from `outside` on."""

    inside: int
    outside: int
    size: int

    @staticmethod
    def parse(text: str) -> Span:
        """`INSIDE:OUTSIDE:SIZE`. Raises ValueError."""
        inside, outside, size = map(int, text.split(":"))
        if min(inside, outside) < 0 or size < 1 or max(inside, outside) + size > 1 << 32:
            raise ValueError(text)
        return Span(inside, outside, size)

    def __str__(self) -> str:
        return f"{self.inside}:{self.outside}:{self.size}"

    def to_spec(self) -> dict[str, int]:
        """As the runtime spec has it (config-linux.md "User namespace mappings")."""
        return {"containerID": self.inside, "hostID": self.outside, "size": self.size}


def outside(spans: Iterable[Span], number: int) -> int:
    """Who `number` of the namespace is on the machine. Raises KeyError for one that is nobody there."""
    for span in spans:
        if 0 <= number - span.inside < span.size:
            return number - span.inside + span.outside
    raise KeyError(number)


def inside(spans: Iterable[Span], number: int) -> int:
    """Who `number` of the machine is in the namespace. Raises KeyError for one that is nobody in it."""
    return outside([Span(span.outside, span.inside, span.size) for span in spans], number)


def namespace(users: Sequence[Span], groups: Sequence[Span]) -> int:
    """A descriptor of a new user namespace with that mapping and nobody in it. Raises OSError."""
    told, tell = os.pipe()
    until, end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(tell, b"x")
            os.close(end)
            os.read(until, 1)  # until it is killed, or whoever needs it was
        finally:
            os._exit(1)
    os.close(tell)
    os.close(until)
    try:
        if not os.read(told, 1):
            raise PermissionError("no user namespace can be made here")
        for name, spans in (("uid_map", users), ("gid_map", groups)):
            with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
                file.write("".join(f"{span.inside} {span.outside} {span.size}\n" for span in spans))
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(told)
        os.close(end)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def mapped(path: str | bytes, userns: int, *, recursive: bool = False) -> int:
    """A descriptor of a copy of the mount at `path` in which files belong to whom the user namespace calls their owners on
    the disk: what its root writes there is root's. Raises OSError where the file system cannot do that."""
    return syscalls.changed_copy(
        path, lambda tree: syscalls.map_owners(tree, userns, recursive=recursive), recursive=recursive
    )


def be(uid: int, gid: int) -> None:
    """Files that this process makes from now on are theirs; it keeps all its rights. For a process with one thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECUREBITS, ctypes.c_ulong(_SECBIT_NO_SETUID_FIXUP), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot keep capabilities")
    libc.setfsgid(gid)
    libc.setfsuid(uid)
