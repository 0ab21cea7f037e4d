"""`top`: the processes of a running container as the host's `ps` shows them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import InvalidInput, Unsupported
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.freeze import processes
from runtime.inspect import first_process
from runtime.probe import PLACES

DEFAULT = ("-ef",)
_TITLES = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
_HERTZ = os.sysconf("SC_CLK_TCK")

Listing = tuple[list[str], list[list[str]]]  # titles, and a row a process


def top(containers: Containers, container: Container, args: Sequence[str] = ()) -> Listing:
    """What `ps ARGS` says of the container's processes. Where there is no ps, its `-ef` is answered from /proc.

    Raises NotRunning, InvalidInput where ps refuses or shows no PID, Unsupported for other arguments without a ps.
    """
    keeper = containers.status(container).keeper
    first = first_process(keeper) if keeper else 0
    if not first:
        raise NotRunning(container)
    pids = set(processes(first))
    ps = next((f"{place}/ps" for place in PLACES if os.access(f"{place}/ps", os.X_OK)), "")
    if ps:
        titles, rows = _parsed(_output(ps, args or DEFAULT))
        pid = titles.index("PID")
        found = [row for row in rows if row[pid].isdecimal() and int(row[pid]) in pids]
    elif tuple(args) in ((), DEFAULT):
        titles, found = list(_TITLES), [row for row in map(_row, sorted(pids)) if row]
    else:
        raise Unsupported("ps is not installed here: only the default columns can be shown", "install procps")
    containers.note(container, "top")
    return titles, found


def _output(ps: str, args: Sequence[str]) -> str:
    from runtime.streams import MINIMAL_ENV, hear, spawn

    said: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def output(stream: str, data: bytes) -> None:
        said[stream] += data

    code = hear(lambda out, err: spawn([ps, *args], stdout=out, stderr=err, env=MINIMAL_ENV), output, lambda: None)
    if code:
        raise InvalidInput(f"ps: {said['stderr'].decode(errors='replace').strip() or f'exit code {code}'}")
    return said["stdout"].decode(errors="replace")


def _parsed(text: str) -> Listing:
    """Columns end at the blanks after each title; the last one takes what is left."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidInput("Couldn't find PID field in ps output", "let ps show it, such as `-o pid,args`")
    return titles, [line.split(None, len(titles) - 1) for line in lines[1:] if len(line.split()) >= len(titles)]


def _row(pid: int) -> list[str] | None:
    """One line of `ps -ef`; None for a process that is gone."""
    import pwd

    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    fields = stat[2].split()
    command = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    used = (int(fields[11]) + int(fields[12])) / _HERTZ
    alive = max(float(Path("/proc/uptime").read_text().split()[0]) - int(fields[19]) / _HERTZ, 0.01)
    name = _or(lambda: pwd.getpwuid(uid).pw_name, str(uid))
    return [
        name, str(pid), fields[1], str(min(int(100 * used / alive), 99)), _began(time.time() - alive), _terminal(int(fields[4])),
        time.strftime("%H:%M:%S", time.gmtime(used)), command or f"[{stat[0].partition('(')[2]}]",
    ]  # fmt: skip


def _or(value: Callable[[], str], otherwise: str) -> str:
    try:
        return value()
    except KeyError:
        return otherwise


def _began(instant: float) -> str:
    today = time.localtime()[:3] == time.localtime(instant)[:3]
    return time.strftime("%H:%M" if today else "%b%d", time.localtime(instant))


def _terminal(device: int) -> str:
    major, minor = os.major(device), os.minor(device)
    return "?" if not device else f"pts/{minor}" if 136 <= major < 144 else f"tty{minor}"
