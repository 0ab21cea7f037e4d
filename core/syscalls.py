"""The system calls that Python 3.11 has no words for. Importing this loads what calls them: do it late."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from core.libc import Int64, Structure, UInt, UInt64, ULong, byref, get_errno, sizeof
from core.libc import libc as _libc

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_IDMAP = 0x00100000
OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = range(428, 433)
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
_SYNC_FILE_RANGE_WRITE = 2
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _check(result: int, *where: str | bytes) -> int:
    if result < 0:
        number = get_errno()
        raise OSError(number, os.strerror(number), *where[:1])
    return result


def unshare(flags: int) -> None:
    """unshare(2): moves the calling thread alone, so call it before any other thread exists."""
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """setns(2): enter the namespace behind `fd`."""
    _check(_libc.setns(fd, kind))


def mount(source: str, target: str | os.PathLike[str], kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). `data` longer than a page is refused by the kernel (EINVAL)."""
    where = os.fspath(target)
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(where),
            kind.encode() or None,
            ULong(flags),
            os.fsencode(data) or None,
        ),
        where,
    )


def unmount(target: str | os.PathLike[str], flags: int = MNT_DETACH) -> None:
    """umount2(2), lazily by default."""
    where = os.fspath(target)
    _check(_libc.umount2(os.fsencode(where), flags), where)


def mount_new(
    kind: str, options: Sequence[tuple[str, str | None]], target: str | os.PathLike[str], attributes: int = 0
) -> None:
    """Mount a file system with as many options as it takes at `target`; see `new_tree`."""
    mounted = new_tree(kind, options, attributes)
    try:
        move_tree(mounted, target)
    finally:
        os.close(mounted)


def new_tree(kind: str, options: Sequence[tuple[str, str | None]], attributes: int = 0) -> int:
    """fsopen(2) and what follows it (Linux 5.2): a descriptor of a new mount that is nowhere yet, and gone with it. The options
    are None for a bare flag, each shorter than 256 bytes. OSError.filename is the option that was refused."""
    context = _check(_libc.syscall(_SYS_FSOPEN, kind.encode(), 1), kind)
    try:
        for name, value in options:
            command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
            raw = None if value is None else os.fsencode(value)
            _check(_libc.syscall(_SYS_FSCONFIG, context, command, name.encode(), raw, 0), name)
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), kind)
        return _check(_libc.syscall(_SYS_FSMOUNT, context, 1, attributes), kind)
    finally:
        os.close(context)


def move_tree(tree: int, target: str | os.PathLike[str]) -> None:
    """move_mount(2): what `new_tree` or `open_tree` gave is mounted at `target`."""
    where = os.fsencode(os.fspath(target))
    _check(_libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, where, _MOVE_MOUNT_F_EMPTY_PATH), where)


class _MountAttr(Structure):
    _fields_ = [(name, UInt64) for name in ("set", "clear", "propagation", "userns")]


def set_attributes(tree: int, attributes: int, *, recursive: bool = False) -> None:
    """mount_setattr(2) (Linux 5.12): give the mount behind the descriptor, or all of its tree, the attributes as well."""
    how = _MountAttr(attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", flags, byref(how), sizeof(how)))


def map_owners(tree: int, userns: int, *, recursive: bool = False) -> None:
    """mount_setattr(2) with MOUNT_ATTR_IDMAP (Linux 5.12): files of the unattached mount `tree` belong to whom the user
    namespace behind the descriptor `userns` maps their owners on the disk to."""
    how = _MountAttr(MOUNT_ATTR_IDMAP, 0, 0, userns)
    flags = _AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", flags, byref(how), sizeof(how)))


def open_tree(path: str | bytes, flags: int = OPEN_TREE_CLONE) -> int:
    """open_tree(2) (Linux 5.2): a descriptor of the mount at `path`, by default a copy of it without what is mounted in
    it (with AT_RECURSIVE: with that), which is gone with the descriptor."""
    raw = os.fsencode(path)
    return _check(_libc.syscall(_SYS_OPEN_TREE, -100, raw, flags | _OPEN_TREE_CLOEXEC), raw)


def changed_copy(path: str | bytes, change: Callable[[int], None], *, recursive: bool) -> int:
    """A descriptor of a copy of the mount at `path`, with what is mounted in it if `recursive`, after `change` was done to it;
    gone with the descriptor."""
    tree = open_tree(path, OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0))
    try:
        change(tree)
    except BaseException:
        os.close(tree)
        raise
    return tree


def move_mount(tree: int, target: str | os.PathLike[str]) -> None:
    """move_mount(2) (Linux 5.2): attach what `open_tree` copied at `target`."""
    where = os.fsencode(os.fspath(target))
    _check(_libc.syscall(_SYS_MOVE_MOUNT, tree, b"", -100, where, _MOVE_MOUNT_F_EMPTY_PATH), where)


def die_with_parent(signal_number: int) -> None:
    """prctl(PR_SET_PDEATHSIG): the kernel sends the signal when the thread that forked us ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, ULong(signal_number), 0, 0, 0))


def has_capability(number: int) -> bool:
    """prctl(PR_CAPBSET_READ): whether a program we execute could gain the capability. False where the kernel lacks it."""
    return bool(_libc.prctl(PR_CAPBSET_READ, ULong(number), 0, 0, 0) == 1)


def drop_capability(number: int) -> None:
    """prctl(PR_CAPBSET_DROP): no program executed from now on can gain the capability."""
    _check(_libc.prctl(PR_CAPBSET_DROP, ULong(number), 0, 0, 0))


def no_new_privileges() -> None:
    """prctl(PR_SET_NO_NEW_PRIVS): no program executed from now on gains anything by its file's mode or capabilities."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, ULong(1), 0, 0, 0))


def set_hostname(name: str) -> None:
    """sethostname(2), in this UTS namespace."""
    raw = os.fsencode(name)
    _check(_libc.sethostname(raw, ULong(len(raw))))


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2): `new`, a mount point, becomes the root; the old root is mounted at `old`."""
    _check(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), new)


def sync_filesystem(path: str | os.PathLike[str]) -> None:
    """syncfs(2): everything written so far to the file system that holds `path` is durable when this returns."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.syncfs(fd), os.fspath(path))
    finally:
        os.close(fd)


def start_writing(fd: int, offset: int, size: int) -> None:
    """sync_file_range(2): let the disk begin to write that part of a file, without waiting for it. Never fails."""
    _libc.sync_file_range(fd, Int64(offset), Int64(size), _SYNC_FILE_RANGE_WRITE)


def exchange(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> None:
    """renameat2(2) with RENAME_EXCHANGE: two files or trees change names at one instant. EINVAL where the file system
    cannot do that."""
    raw = os.fsencode(one), os.fsencode(other)
    _check(_libc.renameat2(_AT_FDCWD, raw[0], _AT_FDCWD, raw[1], UInt(_RENAME_EXCHANGE)), *raw)


class _OpenHow(Structure):
    _fields_ = [("flags", UInt64), ("mode", UInt64), ("resolve", UInt64)]


def openat2(directory: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """openat2(2): open `path` with every lookup confined as `resolve` says. Returns a descriptor, close-on-exec."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    raw = os.fsencode(path)
    return _check(_libc.syscall(_SYS_OPENAT2, directory, raw, byref(how), sizeof(how)), raw)
