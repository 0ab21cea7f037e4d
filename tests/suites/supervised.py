"""What tests of supervised containers look at: the processes beside a container, and what they weigh."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def until(check: Callable[[], object], seconds: float = 15) -> None:
    """Wait for `check` to come true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def processes(root: Path) -> dict[int, str]:
    """Every living process in whose command line the store is named: conmon, supervisors, what they call."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if str(root).encode() in words and pid != os.getpid():
            found[pid] = words.replace(b"\0", b" ").decode()
    return found


def at_rest(root: Path) -> bool:
    """Whether nobody is to start any container again, and nobody sees to one. A process that has not become its program
    yet bears the name of the command that forked it: the mark of who is to be seen to tells of it."""
    return not list((root / "containers").glob("*/supervised")) and not processes(root)


def supervisors(root: Path) -> list[int]:
    return [pid for pid, words in processes(root).items() if "cli.supervise" in words]


def weight(pid: int, name: str = "Pss") -> int:
    """Bytes of memory that the process answers for."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
