"""What makes a running container's processes stand still: its freezer cgroup where it has one, else SIGSTOP, which reaches
whatever lives in its pid namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import Unavailable
from runtime.inspect import children

PATIENCE_SECONDS = 10.0
_CGROUPS = Path("/sys/fs/cgroup")
_ID_DIGITS = 64
_STILL = "TtZX"  # states in which a process runs no code (proc(5))


def freezer(id: str, first: int) -> Callable[[bool], bool] | None:
    """What freezes (True) or thaws the container's own cgroup and says whether that is done; None where it has none."""
    for line in Path(f"/proc/{first}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not path.endswith(id):
            continue
        place = _CGROUPS / (f"freezer{path}" if controllers else path.lstrip("/"))
        if controllers == "freezer" and (place / "freezer.state").exists():
            return lambda on: _switch(place / "freezer.state", "FROZEN" if on else "THAWED", None)
        if not controllers and (place / "cgroup.freeze").exists():
            return lambda on: _switch(place / "cgroup.freeze", "1" if on else "0", place / "cgroup.events")
    return None


def _switch(file: Path, word: str, events: Path | None) -> bool:
    if file.read_text().strip() != word:
        file.write_text(word)
    return f"frozen {word}" in events.read_text() if events else file.read_text().strip() == word


def stop_all(first: int, stopped: dict[int, int]) -> bool:
    """Stop what is not stopped yet; True once everything stands still. What had been stopped by others stays so."""
    done = True
    for pid in processes(first):
        still = stands_still(pid)
        if not still and pid not in stopped:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                signal.pidfd_send_signal(fd, signal.SIGSTOP)
                stopped[pid] = fd
        done = done and still
    return done


def processes(first: int) -> list[int]:
    """Every process of the container: those of its cgroup, or in the pid namespace of `first`, also those that `exec` put
    there, and all below them."""
    if its_own := _in_cgroup(first):
        return sorted(its_own)
    home = _namespace(first)
    found = (
        {first}
        if home == _namespace(os.getpid())
        else {int(name) for name in os.listdir("/proc") if name.isdecimal() and _namespace(int(name)) == home}
    )
    pending = list(found)
    while pending:
        below = [pid for pid in children(pending.pop()) if pid not in found]
        found.update(below)
        pending += below
    return sorted(found)


def _in_cgroup(first: int) -> set[int]:
    from runtime.cgroups import processes as processes_of

    for line in Path(f"/proc/{first}/cgroup").read_text().splitlines():
        path = line.split(":", 2)[2]
        if len(path.rpartition("/")[2].rpartition("-")[2]) == _ID_DIGITS and (found := processes_of(path)):
            return found
    return set()


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return f"gone {pid}"


def stands_still(pid: int) -> bool:
    """Whether no thread of it runs, or it is gone."""
    try:
        return all(_state(f"/proc/{pid}/task/{thread}") in _STILL for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return True


def _state(place: str) -> str:
    try:
        stat = Path(f"{place}/stat").read_text(errors="replace")
    except OSError:
        return "X"
    return stat.rpartition(")")[2].split()[0]


def until(done: Callable[[], bool]) -> None:
    """Wait for it. Raises Unavailable when that takes too long."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > end:
            raise Unavailable("the container does not stand still")
        time.sleep(0.001)
