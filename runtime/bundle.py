"""Where a step's bundle lives while it runs, and what goes into it."""

from __future__ import annotations

import contextlib
import os
from _thread import allocate_lock
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import InvalidInput
from core.paths import clean, resolve_in
from runtime.hosts import hosts, resolv_conf
from runtime.mounts import Mount
from runtime.spec import Process
from runtime.stubs import KERNEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.step import Given, Step
    from runtime.user import User


class Place:
    """A private tmpfs, mounted at first use: whatever kills this process, nothing of it stays on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = allocate_lock()
        self._mounted = False

    @contextlib.contextmanager
    def bundle(self, name: str) -> Iterator[Path]:
        """An empty directory `name` for the block."""
        self._mount()
        bundle = self.path / name
        bundle.mkdir(0o700)
        try:
            yield bundle
        finally:
            _remove(bundle)

    def _mount(self) -> None:
        from core import syscalls

        with self._lock:
            if not self._mounted:
                self.path.mkdir(0o700, exist_ok=True)
                syscalls.mount("tmpfs", self.path, "tmpfs", syscalls.MS_NOSUID, "mode=0700")
                self._mounted = True


def _remove(directory: Path) -> None:
    for entry in list(os.scandir(directory)):
        if entry.is_dir(follow_symlinks=False):
            _remove(Path(entry.path))
        else:
            os.unlink(entry.path)
    directory.rmdir()


def open_nothing() -> int:
    """A descriptor that gives no byte, for stdin: a pipe nobody writes to. Runtimes give stdin to the container's user,
    so it must not be the host's /dev/null."""
    read, write = os.pipe()
    os.close(write)
    return read


def generated(bundle: Path, step: Step) -> list[Mount]:
    """The step's own /etc/hosts and /etc/resolv.conf, and the files that it is given, written into `bundle`."""
    (bundle / "hosts").write_bytes(hosts(step.hostname, step.network, step.add_hosts))
    (bundle / "resolv.conf").write_bytes(resolv_conf(step.network))
    own = [Mount(str(bundle / name), f"/etc/{name}") for name in ("hosts", "resolv.conf")]
    return own + [_given(bundle / f"given-{number}", file) for number, file in enumerate(step.files)]


def _given(path: Path, file: Given) -> Mount:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(file.content)
        os.fchown(fd, file.uid, file.gid)
        os.fchmod(fd, file.mode)
    return Mount(str(path), file.target, read_only=True)


def step_nodes(step: Step, devices: str) -> tuple[list[Mount], tuple[dict[str, Any], ...]]:
    """The device nodes that the step is given, made in the directory `devices`, and the cgroup's rules for them. Raises
    InvalidInput for one that is not there."""
    if not step.nodes:
        return [], ()
    from runtime.cdi import added, rules

    let_through = tuple(rules(step.nodes))
    return added(step.nodes, devices), let_through


def step_process(step: Step, user: User) -> Process:
    """What a step runs."""
    from runtime.capabilities import ALL, DEFAULT

    held = ALL if step.privileged else DEFAULT
    limits = tuple(limit.to_spec() for limit in step.limits)
    return Process(step.args, step.env, clean(step.cwd), user, held, limits=limits)


def points(mounts: Sequence[Mount]) -> tuple[list[str], list[str]]:
    """The directories and the files that must exist in a root for `mounts` and the standard ones. What belongs into a
    mount, such as /dev, is made there by the runtime."""
    directories, files = list(KERNEL), list[str]()
    for mount in mounts:
        if mount.target.startswith(tuple(f"{path}/" for path in KERNEL)):
            continue
        is_directory = mount.kind == "tmpfs" or os.path.isdir(mount.source)
        (directories if is_directory else files).append(mount.target)
    return directories, files


def inner_path(root: str, cwd: str) -> str:
    """Where in the container the working directory `cwd` really is, links followed in `root`.

    Raises InvalidInput for one below a process of /proc: behind its links could be the host's directories (CVE-2024-21626).
    """
    path = resolve_in(root, clean(cwd))
    words = path[len(root.rstrip("/")) :].split("/")
    if words[1:2] == ["proc"] and len(words) > 2 and (words[2] in ("self", "thread-self") or words[2].isdecimal()):
        raise InvalidInput(f"the working directory {cwd} is below a process of /proc", "choose another with -w")
    return path


def make_cwd(root: str, cwd: str) -> None:
    """Create the working directory where it is missing, as Docker does: owned by root, mode 0755. Raises InvalidInput."""
    path = inner_path(root, cwd)
    if not os.path.isdir(path):
        os.makedirs(path, 0o755, exist_ok=True)


def step_filters(engine: str, step: Step, state: Path) -> Any:
    """The system call filter of a step: Docker's default, none for a privileged one."""
    if step.privileged:
        return (), None
    from runtime.capabilities import DEFAULT
    from runtime.seccomp import DEFAULT as PROFILE
    from runtime.seccomp import filters

    return filters(engine, PROFILE, DEFAULT, state)
