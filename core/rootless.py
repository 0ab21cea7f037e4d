"""The user namespace in which an ordinary user's commands do what root does: they are its root, and the user outside.

All commands of a store share one namespace as long as anything of the store lives in it, so that they may enter, signal and
clean up each other's containers. A holder keeps it meanwhile: a tiny program that waits until nobody has the file `members`
locked any more. When it is killed, whoever keeps a container still leads into the namespace.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from core.errors import LamellaError, Unavailable, Unsupported
from core.locks import FileLock, is_locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAME, _MEMBERS, _DECIDING = "userns", "userns.members", "userns.lock"
_membership: list[FileLock] = []  # held as long as this process, and what it forks, lives
Warn = Callable[[str, str], object]


@functools.cache
def outer_uid() -> int:
    """The user that this process is outside the namespace which it is root of; 0 for the real root.

    Told by the map, which lasts whatever is executed: a namespace of ours maps one ID to its root. Read once: beside a
    keeper `/proc` becomes that of the keeper's processes, where there is no `/proc/self` for us.
    """
    with open("/proc/self/uid_map", "rb") as file:
        inside, outside, count = file.readline().split()
    return int(outside) if (inside, count) == (b"0", b"1") else 0


def last_group() -> int:
    """The highest group ID that there is in this process's user namespace."""
    return min(max(first + count - 1 for first, _, count in _map("gid")), (1 << 31) - 1)


def _map(kind: str) -> list[list[int]]:
    for who in ("self", "1"):  # who has entered another's mounts is not to be seen there; the namespace is the same
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{who}/{kind}_map", "rb") as file:
            return [[int(word) for word in line.split()] for line in file]
    return [[0, 0, (1 << 32) - 1]]


def remain(state: str | Path) -> None:
    """Be a member of the namespace that this process was executed in, if it is one of ours."""
    if outer_uid():
        _remember(FileLock(Path(state, _MEMBERS)))


def membership() -> tuple[int, ...]:
    """The descriptors that a program must inherit which is to live on in the namespace."""
    return tuple(lock.fileno() for lock in _membership)


def _remember(lock: FileLock) -> None:
    lock.acquire(shared=True)
    _membership[:] = [lock]


def enter(state: Path, others: Callable[[], Iterable[int]], warn: Warn) -> None:
    """Become root in the user namespace of the store whose state directory is `state`, before any thread exists.

    `others` are processes that may be in it although its holder was killed. `warn` is told what the user does without,
    and a hint. Raises Unsupported where this machine has no user namespaces for its users.
    """
    lock = FileLock(state / _MEMBERS)
    _remember(lock)
    if _join(state):
        return
    with FileLock(state / _DECIDING).held():
        if _join(state):
            return
        if not any(_join_process(pid) for pid in _living(state, lock, others)):
            _create(warn)
        hold(state, _NAME, "user")


def _living(state: Path, lock: FileLock, others: Callable[[], Iterable[int]]) -> Iterable[int]:
    """`others`, if there is anybody but us."""
    lock.release()
    try:
        return list(others()) if is_locked(lock.path) else ()
    finally:
        lock.acquire(shared=True)


def _join(state: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        pid, inode = map(int, (state / _NAME).read_text().split())
        return _join_process(pid, inode)
    return False


def _join_process(pid: int, inode: int = 0) -> bool:
    from core import syscalls

    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd).st_ino
            if found == (inode or found) and found != os.stat("/proc/self/ns/user").st_ino:
                syscalls.setns(fd, syscalls.CLONE_NEWUSER)
                return True
        finally:
            os.close(fd)
    return False


def _create(warn: Warn) -> None:
    from core import syscalls
    from core.subordinate import Maps

    maps = Maps.of_this_user(warn)
    me, uid, gid = os.getpid(), os.geteuid(), os.getegid()
    with _told_by_child(lambda: maps.write(me)) if maps.whole else contextlib.nullcontext():
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
        except OSError as error:
            raise Unsupported(
                f"this machine gives its users no user namespaces: {error.strerror}",
                "run it as root, or see the sysctls user.max_user_namespaces and kernel.unprivileged_userns_clone",
            ) from error
    if not maps.whole:
        _map_alone(uid, gid)


def _map_alone(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        try:
            Path(f"/proc/self/{name}").write_text(text)
        except OSError as error:
            raise Unsupported(
                f"this machine gives its users no rights in user namespaces: {error.strerror}",
                "run it as root, or see the sysctl kernel.apparmor_restrict_unprivileged_userns",
            ) from error


@contextlib.contextmanager
def _told_by_child(work: Callable[[], object]) -> Iterator[None]:
    """Fork, let the child do `work` when the block is through, and wait for it. Raises what it says as Unavailable."""
    ready, go = os.pipe()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os._exit(_work_when(ready, work, tell))
    os.close(tell)
    os.close(ready)
    try:
        yield
        os.write(go, b"1")
    finally:
        os.close(go)
        with os.fdopen(told, "rb") as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
    _raise_said(said)


def _work_when(ready: int, work: Callable[[], object], tell: int) -> int:
    try:
        if os.read(ready, 1):
            work()
        return 0
    except LamellaError as error:
        os.write(tell, f"{error.message}\0{error.hint or ''}".encode())
    except BaseException as error:
        os.write(tell, f"the user namespace could not be set up: {error}".encode())
    return 1


def find_held(state: Path, name: str, kind: str, proc: str = "/proc") -> int | None:
    """A descriptor of the namespace that `hold` gave this name, if it is still there; `proc` shows the host's processes."""
    with contextlib.suppress(OSError, ValueError):
        pid, inode = map(int, (state / name).read_text().split())
        fd = os.open(f"{proc}/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        if os.fstat(fd).st_ino == inode:
            return fd
        os.close(fd)
    return None


def hold(state: Path, name: str, kind: str, prepare: Callable[[], object] = lambda: None) -> None:
    """Leave a process behind that keeps its namespace of that `kind` until the last member has ended. `prepare` is done in it
    first, and may bring it into another one than ours. Raises what that raises, as Unavailable."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(told)
            if os.fork() == 0:
                _be_holder(state, name, kind, prepare, tell)
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    with os.fdopen(told, "rb") as pipe:
        _raise_said(pipe.read())


def _be_holder(state: Path, name: str, kind: str, prepare: Callable[[], object], tell: int) -> NoReturn:
    from core.namespaces import keep_descriptors

    try:
        os.setsid()
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        keep_descriptors()
        prepare()
        written = state / f"{name}.new"
        written.write_text(f"{os.getpid()} {os.stat(f'/proc/self/ns/{kind}').st_ino}")
        written.replace(state / name)
        members, file = os.fspath(state / _MEMBERS), os.fspath(state / name)
        os.execve(_flock(), ["flock", "-x", members, "rm", "-f", file], {"PATH": "/usr/bin:/bin"})
    except LamellaError as error:
        os.write(tell, f"{error.message}\0{error.hint or ''}".encode())
    except BaseException as error:
        os.write(tell, f"the namespace cannot be kept: {error}".encode())
    finally:
        os._exit(1)


def _flock() -> str:
    for place in ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"):
        if os.access(f"{place}/flock", os.X_OK):
            return f"{place}/flock"
    raise Unsupported("flock is not installed: commands without root need it", "install util-linux")


def _raise_said(said: bytes) -> None:
    if said:
        message, _, hint = said.decode(errors="replace").partition("\0")
        raise Unavailable(message, hint or None)
