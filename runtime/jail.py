"""The embedded runtime: namespaces, pivot_root and dropped capabilities, with nothing but the kernel's help."""

from __future__ import annotations

import binascii
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from core.value import Value, field
from runtime.engine import NOT_EXECUTABLE, NOT_FOUND
from runtime.keeper import ENGINE_FAILED
from runtime.seccomp import ANNOTATION

_FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8, "ro": 1, "strictatime": 1 << 24}
_WORDS = {"bind", "rbind", "private", "rprivate", "rw", "remount", "exec", "suid", "dev"}


class Jail(Value):
    """What to start, as the runtime spec words it (`spec` is a whole config.json)."""

    spec: dict[str, Any] = field(repr=False)
    descriptors: tuple[int, int, int] = (0, 1, 2)
    own_session: bool = True


def start(jail: Jail) -> int:
    """Start the jailed process; returns the pid of its keeper, which ends with its exit code (128+n for a signal).

    Killing the keeper kills everything inside. All mounts are made in the jail's own namespace.
    """
    from core import syscalls

    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _never_return(lambda: _keep(jail, syscalls))
    return pid


def _never_return(work: Callable[[], int]) -> NoReturn:
    code = ENGINE_FAILED
    try:
        code = work()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"lamella: cannot start the container: {error}\n".encode())
    finally:
        os._exit(code)


def _keep(jail: Jail, syscalls: Any) -> int:
    for target, fd in enumerate(jail.descriptors):
        if fd != target:
            os.dup2(fd, target)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if jail.own_session:
        os.setsid()
    _separate(jail.spec["linux"]["namespaces"], syscalls)
    child = os.fork()
    if child == 0:
        _never_return(lambda: _enter(jail, syscalls))
    _pass_signals(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _pass_signals(child: int) -> None:
    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        signal.signal(number, pass_on)


def _separate(namespaces: Sequence[dict[str, str]], syscalls: Any) -> None:
    """As far as the kernel allows; a mount namespace is the least, or the host's mounts would change."""
    flags = {
        "mount": syscalls.CLONE_NEWNS, "pid": syscalls.CLONE_NEWPID, "ipc": syscalls.CLONE_NEWIPC,
        "uts": syscalls.CLONE_NEWUTS, "network": syscalls.CLONE_NEWNET,
    }  # fmt: skip
    syscalls.unshare(syscalls.CLONE_NEWNS)
    for namespace in namespaces:
        name = namespace["type"]
        if "path" in namespace:
            with open(namespace["path"], "rb") as there:
                syscalls.setns(there.fileno(), flags[name])
        elif name != "mount":
            with contextlib.suppress(OSError):
                syscalls.unshare(flags[name])
                if name == "network":
                    _raise_loopback()


def _raise_loopback() -> None:
    """netdevice(7): SIOCSIFFLAGS with IFF_UP and IFF_RUNNING on `lo`."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))


def _enter(jail: Jail, syscalls: Any) -> int:
    # Whatever is loaded must be before the root is another one.
    from runtime.capabilities import ALL
    from runtime.seccomp_compile import load

    syscalls.die_with_parent(signal.SIGKILL)
    spec = jail.spec
    cut_off = syscalls.MS_SLAVE if "rootfsPropagation" in jail.spec["linux"] else syscalls.MS_PRIVATE
    syscalls.mount("none", "/", flags=syscalls.MS_REC | cut_off)
    root = spec["root"]["path"]
    syscalls.mount(root, root, flags=syscalls.MS_BIND | syscalls.MS_REC)
    for mount in spec["mounts"]:
        _mount(root, mount, syscalls)
    for mount in spec["mounts"]:  # last, for a mount may stand in one that is to be read-only
        _restrict(root, mount, syscalls)
    _finish_dev(root)
    for name, value in spec["linux"].get("sysctl", {}).items():
        with contextlib.suppress(OSError):  # as far as the kernel allows
            Path(f"{root}/proc/sys/{name.replace('.', '/')}").write_text(value)
    for path in spec["linux"].get("readonlyPaths", ()):
        _protect(root + path, syscalls)
    for path in spec["linux"].get("maskedPaths", ()):
        _mask(root + path, syscalls)
    if spec["root"].get("readonly"):
        syscalls.mount("none", root, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
    with contextlib.suppress(OSError):
        syscalls.set_hostname(spec["hostname"])
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".")
    os.chdir("/")
    program = spec.get("annotations", {}).get(ANNOTATION)
    return _execute(spec["process"], syscalls, ALL, lambda: load(binascii.a2b_base64(program)) if program else None)


def _mount(root: str, mount: dict[str, Any], syscalls: Any) -> None:
    from core.paths import resolve_in

    target = resolve_in(root, mount["destination"])
    options = mount.get("options", [])
    flags = _flags(mount)
    data = ",".join(option for option in options if option not in _FLAGS and option not in _WORDS)
    if mount["type"] != "bind":
        os.makedirs(target, 0o755, exist_ok=True)
        with _optional(mount["type"]):
            syscalls.mount(mount["source"], target, mount["type"], flags, data)
        return
    if not os.path.lexists(target):
        _make_point(mount["source"], target)
    if "remount" not in options:
        below = 0 if "bind" in options else syscalls.MS_REC
        syscalls.mount(mount["source"], target, flags=syscalls.MS_BIND | below)
        if {"private", "rprivate"} & set(options):  # beside a slave, all that is bound is one at first
            syscalls.mount(
                "none", target, flags=syscalls.MS_PRIVATE | (syscalls.MS_REC if "rprivate" in options else 0)
            )


def _restrict(root: str, mount: dict[str, Any], syscalls: Any) -> None:
    """Give a bind mount its flags."""
    from core.paths import resolve_in

    flags = _flags(mount)
    if mount["type"] == "bind" and flags:
        target = resolve_in(root, mount["destination"])
        syscalls.mount("none", target, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | flags)
        if "rro" in mount["options"]:
            _restrict_below(target, syscalls)


def _restrict_below(target: str, syscalls: Any) -> None:
    tree = syscalls.open_tree(target, 0)
    try:
        syscalls.set_attributes(tree, syscalls.MOUNT_ATTR_RDONLY, recursive=True)
    finally:
        os.close(tree)


def _flags(mount: dict[str, Any]) -> int:
    return sum(_FLAGS.get(option, 0) for option in set(mount.get("options", [])))


def _optional(kind: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(OSError) if kind in ("mqueue", "sysfs") else contextlib.nullcontext()


def _make_point(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def _finish_dev(root: str) -> None:
    links = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
             "ptmx": "pts/ptmx"}  # fmt: skip
    for name, target in links.items():
        with contextlib.suppress(FileExistsError):
            Path(f"{root}/dev/{name}").symlink_to(target)


def _protect(path: str, syscalls: Any) -> None:
    with contextlib.suppress(FileNotFoundError):
        syscalls.mount(path, path, flags=syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.mount("none", path, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)


def _mask(path: str, syscalls: Any) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path):
            syscalls.mount("tmpfs", path, "tmpfs", syscalls.MS_RDONLY, "size=0")
        else:
            syscalls.mount("/dev/null", path, flags=syscalls.MS_BIND)


def _execute(process: dict[str, Any], syscalls: Any, known: Sequence[str], filter_calls: Callable[[], None]) -> int:
    kept = set(process["capabilities"]["bounding"])
    for number, name in enumerate(known):
        if name not in kept:
            with contextlib.suppress(OSError):  # a kernel that does not know it cannot grant it
                syscalls.drop_capability(number)
    filter_calls()
    for limit in process.get("rlimits", ()):
        _set_limit(limit)
    user = process["user"]
    os.closerange(3, 1 << 16)  # before the working directory, which could be one of them (CVE-2024-21626)
    os.chdir(process["cwd"])
    os.umask(0o022)
    os.setgroups(user.get("additionalGids", []))
    os.setgid(user["gid"])
    os.setuid(user["uid"])
    if process.get("noNewPrivileges"):
        syscalls.no_new_privileges()
    env = dict(pair.partition("=")[::2] for pair in process["env"])
    _restore_signals()
    return _exec(process["args"], env)


def _set_limit(limit: dict[str, Any]) -> None:
    soft, hard = (value if value < 1 << 63 else resource.RLIM_INFINITY for value in (limit["soft"], limit["hard"]))
    resource.setrlimit(getattr(resource, limit["type"]), (soft, hard))


def _restore_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would pass that on
        signal.signal(number, signal.SIG_DFL)


def _exec(args: Sequence[str], env: dict[str, str]) -> int:
    try:
        os.execvpe(args[0], list(args), env)
    except (FileNotFoundError, NotADirectoryError):
        os.write(2, f"lamella: exec: {args[0]!r}: executable file not found in $PATH\n".encode())
        return NOT_FOUND
    except OSError as error:
        os.write(2, f"lamella: exec: {args[0]!r}: {(error.strerror or '').lower()}\n".encode())
        return NOT_EXECUTABLE
