"""What a container costs beside its own processes: conmon alone, or conmon and one small supervisor."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tests.conftest import Lamella, needs
from tests.suites.supervised import processes, supervisors, until, weight

MIB = 1 << 20
pytestmark = needs("crun", "conmon")


def beside(root: Path) -> dict[int, int]:
    """pid → proportional memory of all that runs beside the containers of a store."""
    return {pid: weight(pid) for pid in processes(root)}


def test_a_detached_container_costs_conmon_alone(lamella: Lamella, bb: str, store_root: Path) -> None:
    lamella("run", "-d", "--network", "none", bb, "sleep", "1000")
    found = processes(store_root)
    assert len(found) == 1 and "conmon" in next(iter(found.values())), found
    print("beside it:", beside(store_root))
    assert sum(beside(store_root).values()) <= 3 * MIB


def test_a_supervised_one_costs_a_small_process_more(lamella: Lamella, bb: str, store_root: Path) -> None:
    lamella(
        "run",
        "-d",
        "--network",
        "none",
        "--restart",
        "always",
        "--health-cmd",
        "true",
        "--health-interval",
        "100ms",
        bb,
        "sleep",
        "1000",
    )
    until(lambda: "(healthy)" in lamella("ps").stdout)
    (supervisor,) = supervisors(store_root)[:1]
    assert len(processes(store_root)) >= 2
    most = dict.fromkeys(("Rss", "Pss"), 0)
    for _ in range(100):  # also while it asks
        most = {name: max(most[name], weight(supervisor, name)) for name in most}
        time.sleep(0.01)
    print("the supervisor:", most)
    assert most["Rss"] <= 25 * MIB


def test_a_supervisor_keeps_nothing_open(lamella: Lamella, bb: str, store_root: Path) -> None:
    """Descriptors of the caller's would keep its pipes open; its own would run out after a thousand checks."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    lamella(
        "run",
        "-d",
        "--network",
        "none",
        "--restart",
        "always",
        "--health-cmd",
        "true",
        "--health-interval",
        "50ms",
        bb,
        "sleep",
        "1000",
        pass_fds=(write,),
    )
    os.close(write)
    until(lambda: "(healthy)" in lamella("ps").stdout)
    supervisor = supervisors(store_root)[0]
    ours = os.readlink(f"/proc/self/fd/{read}")
    assert ours not in opened(supervisor).values()
    time.sleep(1)
    assert len(opened(supervisor)) <= 10, opened(supervisor)
    os.close(read)


def opened(pid: int) -> dict[str, str]:
    """descriptor → what it is of."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def test_a_plain_container_loads_nothing_of_this() -> None:
    """See tests/cli/test_startup.py for what a plain run loads."""
    import subprocess
    import sys

    words = "from cli.container_flags import make_request; from cli.quick import parse_run; import os, sys;"
    words += "make_request(parse_run(['bb', 'true'], {}) | {'network': ('host',)}, {}, '/'); print([n for n in sys.modules if n.startswith(('runtime.restart', 'runtime.health', 'runtime.superv', 'cli.superv'))])"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout == "[]\n"
