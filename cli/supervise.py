"""The process beside a container that has a health check or a restart policy. It loads no more than it needs: no click."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from core.rootless import remain
from runtime.state import state_directory
from runtime.status import SUPERVISED
from runtime.supervision import Marker
from runtime.supervisor import Supervisor

TITLE = "lamella-superv"  # what `ps` and `top` show; 15 bytes at most


def main() -> int:
    """`ROOT ID COMMAND...`; the marker is on standard input. See `cli.itself.supervisor`."""
    root, id, *again = sys.argv[1:]
    directory = Path(root, "containers", id)
    state = state_directory(Path(root))
    _settle()
    remain(state)
    try:
        Supervisor(Path(root), id, state, Marker(directory / SUPERVISED, 0), again).run()
    except Exception:  # nobody hears it: the next command will start another one
        import traceback

        with contextlib.suppress(OSError), open(directory / "supervisor.log", "w", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        return 1
    return 0


def _settle() -> None:
    """Away from the terminal, the directory and the files of whoever began this."""
    os.setsid()
    os.chdir("/")
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(TITLE)
