"""An ordinary user of this machine, with subordinate IDs, and what may lie in the way between such a user and lamella.

The user is made where it is missing. Its programs run in a mount namespace of their own, in which the interpreter and this
checkout can be reached wherever they are, and /dev/net/tun is everybody's, as it is on a machine that boots with udev.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from core import syscalls

ROOT = Path(__file__).parent.parent.parent
NAME = "lamella-test"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def ordinary_user() -> pwd.struct_passwd:
    """The user, with a home and 65536 subordinate IDs. Harmless to repeat."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(NAME)
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", NAME], check=False, capture_output=True)
    user = pwd.getpwnam(NAME)
    if f"{NAME}:" not in Path("/etc/subuid").read_text():
        ranges = ["--add-subuids", "200000-265535", "--add-subgids", "200000-265535"]
        subprocess.run(["usermod", *ranges, NAME], check=True, capture_output=True)
    return user


def first_subordinate() -> int:
    """The ID outside that is 1 inside."""
    line = next(line for line in Path("/etc/subuid").read_text().splitlines() if line.startswith(f"{NAME}:"))
    return int(line.split(":")[1])


class Ordinary:
    """Runs programs as that user, or as `uid`, whom no file knows; each object has a home, and so a store, of its own."""

    def __init__(self, uid: int = 0) -> None:
        user = ordinary_user()
        self.uid = uid or user.pw_uid
        self.gid = uid or user.pw_gid
        self.hidden: tuple[str, ...] = ()  # programs that it does not find
        self.home = Path(tempfile.mkdtemp(prefix="lamella-user-", dir="/tmp"))
        self.root = self.home / ".local/share/lamella"
        os.chown(self.home, self.uid, self.gid)
        self.env = {"PATH": PATH, "HOME": str(self.home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *words: object) -> list[str]:
        """`lamella WORDS`, to be given to `run` or `start`."""
        return [sys.executable, "-m", "lamella", *map(str, words)]

    def run(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        """The program's end, with what it wrote."""
        environ = {**self.env, **options.pop("env", {})}  # type: ignore[dict-item]
        given = {"timeout": 120, "cwd": self.home, **options}
        if "input" not in given:
            given.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            command, capture_output=True, text=True, env=environ, preexec_fn=self._become, check=False, **given
        )

    def start(self, command: list[str], **options: object) -> subprocess.Popen[str]:
        """The running program, its output on pipes."""
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command, text=True, env=self.env, cwd=self.home, preexec_fn=self._become, stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip

    def lamella(self, *words: object, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        """`lamella WORDS`; raises unless `check=False`."""
        done = self.run(self.command(*words), **options)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"lamella {' '.join(map(str, words))}: exit {done.returncode}\n{said}")
        return done

    def processes(self) -> dict[int, str]:
        """What runs for the store of this object: pids and command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
                if os.fsencode(self.home) in words:
                    found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def is_quiet(self, seconds: float = 30) -> bool:
        """Whether nothing of it runs any more, at the latest in so many seconds."""
        end = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Remove all containers and files. Fails where anything goes on running."""
        if (self.root / "containers").is_dir():
            ids = os.listdir(self.root / "containers")
            if ids:
                self.lamella("rm", "-f", *ids, check=False)
        quiet = self.is_quiet()
        shutil.rmtree(self.home, ignore_errors=True)
        assert quiet, "something of an ordinary user's goes on running"

    def _become(self) -> None:
        prepare()
        for program in self.hidden:
            syscalls.mount("/dev/null", program, flags=syscalls.MS_BIND)
        if self.uid == ordinary_user().pw_uid:
            os.initgroups(NAME, self.gid)
        else:
            os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)


def prepare() -> None:
    """Make this process's mounts its own, and such that nothing is in an ordinary user's way."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    for place in (Path(sys.base_prefix), ROOT):
        _show(place)
    _give_to_everybody("/dev/net/tun", os.makedev(10, 200))


def _show(place: Path) -> None:
    """Let everybody reach `place`: a directory on the way that is not for all is covered by one that leads there alone."""
    closed = next((up for up in reversed(place.parents) if not up.stat().st_mode & 0o001), None)
    if closed is None:
        return
    tree = syscalls.open_tree(str(place), syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    syscalls.mount("tmpfs", closed, "tmpfs", 0, "mode=0755")
    place.mkdir(parents=True)
    syscalls.move_mount(tree, place)
    os.close(tree)


def _give_to_everybody(path: str, device: int) -> None:
    with _place_for_nodes() as aside:
        os.mknod(f"{aside}/node", 0o666 | stat.S_IFCHR, device)
        os.chmod(f"{aside}/node", 0o666)
        syscalls.mount(f"{aside}/node", path, flags=syscalls.MS_BIND)


@contextlib.contextmanager
def _place_for_nodes() -> Iterator[str]:
    place = tempfile.mkdtemp(dir="/dev/shm")
    syscalls.mount("tmpfs", place, "tmpfs", 0, "mode=0755")
    try:
        yield place
    finally:
        syscalls.unmount(place)
        os.rmdir(place)
