"""One command as a whole process tree: its wall time, or its peak memory; never both in one run."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.ground import Ground

SAMPLE_SECONDS = 0.02


class Failed(Exception):
    """The command that was to be measured did not do its work."""


@dataclass(frozen=True)
class Command:
    """What to run, with which additions to the environment; `daemons` are processes that work for it elsewhere, `ground` is
    the network that it is run in, where not the machine's."""

    words: Sequence[str]
    env: Mapping[str, str]
    daemons: Sequence[int] = ()
    ground: Ground | None = None

    def run(self, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end, with nothing to read; what it says is kept."""
        environ = {**os.environ, **self.env}
        with self.ground.entered() if self.ground else contextlib.nullcontext():
            return subprocess.run(self.words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, **options)


def seconds(command: Command) -> float:
    """Wall seconds of one run. Raises Failed with the end of what it said."""
    begin = time.perf_counter()
    done = command.run()
    spent = time.perf_counter() - begin
    if done.returncode:
        said = (done.stderr + done.stdout)[-600:].decode(errors="replace")
        raise Failed(f"{' '.join(map(str, command.words))}: exit {done.returncode}: {said}")
    return spent


def walk_seconds(directory: Path) -> float:
    """Wall seconds of a walk of `directory` that does nothing but lstat each file."""
    begin, pending = time.perf_counter(), [os.fspath(directory)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if stat.S_ISDIR(os.lstat(entry.path).st_mode):
                    pending.append(entry.path)
    return time.perf_counter() - begin


def peak_bytes(command: Command) -> int:
    """Peak proportional memory (Pss) of the command's process tree and its daemons' in one run, above the daemons' idle."""
    idle = _tree_bytes(command.daemons)
    with subprocess.Popen(
        command.words,
        env={**os.environ, **command.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _tree_bytes([process.pid, *command.daemons]))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise Failed(f"{' '.join(map(str, command.words))}: exit {process.returncode}")
    return peak - idle


def _tree_bytes(roots: Sequence[int]) -> int:
    children: dict[int, list[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(pid)
    todo, total = list(roots), 0
    while todo:
        pid = todo.pop()
        total += pss(pid)
        todo += children.get(pid, [])
    return total


def pss(pid: int) -> int:
    """Bytes of memory of a process, its share of what others have as well; 0 where it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
