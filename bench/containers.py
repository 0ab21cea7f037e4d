"""Containers and their networks beside docker and podman: starts, `exec`, many of them, memory, names and throughput."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import hosts, names, stock
from bench.cases import Case, quietly
from bench.ground import Ground, entered
from bench.measure import Command, Failed, pss, seconds
from bench.peers import Lamella, Tool, installed
from bench.runners import NETWORK, LamellaRunner, PodmanCrun, Runner, crun_command, make_bundle

ALL = ("lamella", "podman", "podman-crun", "docker")
STARTED, BRIDGED, PORTS_EACH, LISTED = 100, 200, 5, 1_000
Say = Callable[[str], None]
Row = dict[str, Any]


def cases(area: Path, base: Path, runners: Sequence[Runner]) -> list[Case]:
    """Single commands, in turn; `base` is the base image's context."""
    own = next(one for one in runners if isinstance(one, LamellaRunner))
    bundle = area / "bare"
    make_bundle(str(bundle), str(base / "rootfs.tar.gz"))
    crun = crun_command(own.ground, str(bundle), str(area / "bare-state"))

    def version() -> float:
        return seconds(own.words("version"))

    def nothing(tool: Tool) -> None: ...

    def run(*flags: str) -> Callable[[Tool], Command]:
        return lambda tool: tool.words("run", "--rm", *flags, "base", "true")

    return [
        Case("run", "`run --rm IMAGE true`, no network", ALL, nothing, run("--network", "none"), rounds=11,
             yardsticks={"lamella version": version, "a bare crun run": lambda: seconds(crun)},
             aim=lambda found: found["lamella version"] + found["a bare crun run"] + 0.05),
        Case("run-bridge", "`run --rm IMAGE true`, default bridge", ALL, nothing, run("--network", "bridge"), rounds=11),
        Case("run-port", "`run --rm IMAGE true`, user-defined bridge, a published port", ALL, nothing,
             run("--network", NETWORK, "-p", "18080:80"), rounds=11,
             yardsticks={"lamella without a network": lambda: seconds(run("--network", "none")(own))},
             aim=lambda found: found["lamella without a network"] + 0.06),
        Case("exec", "`exec CONTAINER true`", ALL, nothing, lambda tool: tool.words("exec", "sleeper", "true"), rounds=11),
    ]  # fmt: skip


def listing(area: Path, base: Path, part: float) -> Case:
    """`ps` where there are many."""
    store, count = Lamella(area / "listed"), round(LISTED * part)
    store.start()
    quietly(store.build(base, "base"))
    stock.containers(store.work / "store", "base", count)
    return Case(
        "ps", f"`ps -a` of {count:,} containers", ("lamella",), lambda tool: None, lambda tool: store.words("ps", "-a"),
        yardsticks={"lamella version": lambda: seconds(store.words("version"))},
        aim=lambda found: found["lamella version"] + 0.15,
    )  # fmt: skip


def measure(
    runners: Sequence[Runner], area: Path, base: Path, part: float, wanted: Callable[[str], bool], say: Say
) -> list[Row]:
    """What is not one command's time; `part` of the full numbers and lengths."""
    own = next(one for one in runners if isinstance(one, LamellaRunner))
    apart = [one for one in runners if not isinstance(one, PodmanCrun)]
    rows: list[Row] = []
    if wanted("memory"):
        rows.append(memory(apart, say))
    if wanted("names"):
        rows += lookups(apart, part, say)
    if wanted("throughput") and installed("iperf3"):
        rows += throughput([one for one in runners if one.name in ("lamella", "docker")], area, part, say)
    if wanted("overlay") and installed(*hosts.PROGRAMS):
        rows += between_hosts(area, base, part, say)
    if wanted("loop"):
        rows.append(loop(own, round(STARTED * part), say))
    if wanted("crowd"):
        rows += crowd(own, round(BRIDGED * part), say)
    return rows


def _row(title: str, unit: str, aim: str, figures: dict[str, list[float]], say: Say, *, more: bool = False) -> Row:
    say(f"{title}: {figures} {unit}; {aim}")
    return {"title": title, "unit": unit, "aim": aim, "figures": figures, "more": more}


def memory(runners: Sequence[Runner], say: Say, count: int = 5) -> Row:
    """What each detached container takes beside its own processes."""
    figures = {}
    for runner in runners:
        before = runner.ground.processes()
        made = [runner.said("run", "-d", "--network", "none", "base", "sleep", "36000") for _ in range(count)]
        time.sleep(2)  # until what only starts it has ended
        taken = sum(map(pss, runner.ground.processes() - before))
        figures[runner.name] = [round(taken / count / 2**20, 2)]
        runner.remove(*made)
    return _row("memory of a detached container beside its own processes", "MiB", "≤ 3 MiB", figures, say)


def lookups(runners: Sequence[Runner], part: float, say: Say, rounds: int = 5) -> list[Row]:
    """Names that each one's name service answers a container on its user-defined bridge; podman's is aardvark-dns."""
    sockets: dict[str, socket.socket] = {}
    for runner in runners:
        for name in ("web", "asker"):
            runner.said("run", "-d", "--name", name, "--network", NETWORK, "base", "sleep", "36000")
        server = re.findall(r"^nameserver (\S+)", runner.said("exec", "asker", "cat", "/etc/resolv.conf"), re.MULTILINE)
        namespace = os.open(f"/proc/{runner.pid('asker')}/ns/net", os.O_RDONLY)
        with entered(namespace):
            sockets[runner.name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sockets[runner.name].connect((server[0], 53))
        os.close(namespace)
    rates: dict[str, list[float]] = {}
    slowest: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, sock in sockets.items():
            rate, p99 = names.ask(sock, ["web", "asker"], max(0.5, 3 * part))
            rates.setdefault(name, []).append(round(rate))
            slowest.setdefault(name, []).append(round(p99, 2))
    for runner in runners:
        sockets[runner.name].close()
        runner.remove("web", "asker")
    title = f"name look-ups, {names.IN_FLIGHT} at a time"
    return [
        _row(f"{title} (podman: aardvark-dns)", "/s", "≥ 1 × aardvark-dns", rates, say, more=True),
        _row(f"p99 of {title}", "ms", "≤ 5 ms", slowest, say),
    ]


def throughput(runners: Sequence[Runner], area: Path, part: float, say: Say, rounds: int = 5) -> list[Row]:
    """TCP between two containers on a bridge, and from another machine through a published port."""
    context = _iperf_context(area)
    outside = {runner.name: Ground() for runner in runners}
    reach: dict[str, str] = {}
    for runner in runners:
        quietly(runner.build(context, "iperf"))
        reach[runner.name] = runner.ground.wired(outside[runner.name])
        runner.said("run", "-d", "--name", "server", "--network", NETWORK, "-p", "5201:5201", "iperf", "iperf3", "-s")
        runner.said("run", "-d", "--name", "client", "--network", NETWORK, "iperf", "sleep", "36000")
    length = max(1, round(3 * part))
    between: dict[str, list[float]] = {}
    through: dict[str, list[float]] = {}
    for _ in range(rounds):
        for runner in runners:
            there = runner.words("exec", "client", *hosts.iperf("server", length))
            between.setdefault(runner.name, []).append(_gigabits(there))
        for runner in runners:
            away = Command(hosts.iperf(reach[runner.name], length), {}, ground=outside[runner.name])
            through.setdefault(runner.name, []).append(_gigabits(away))
    for runner in runners:
        runner.remove("server", "client")
        outside[runner.name].close()
    aim = "≥ 0.95 × docker"
    return [
        _row("TCP between two containers on a bridge", "Gbit/s", aim, between, say, more=True),
        _row("TCP from another machine through a published port", "Gbit/s", aim, through, say, more=True),
    ]


def between_hosts(area: Path, base: Path, part: float, say: Say) -> list[Row]:
    """The same between containers of two hosts on an overlay network, and what coming onto one costs."""
    length, rounds = max(1, round(3 * part)), max(1, round(5 * part))
    found = hosts.overlay(area, (base, _iperf_context(area)), _gigabits, length, rounds)
    title = "`run --rm IMAGE true` on an overlay network of two hosts"
    return [
        _row("TCP between containers of two hosts, over VXLAN", "Gbit/s", "", found["TCP"], say, more=True),
        _row(title, "ms", "", found["start"], say),
    ]


def _iperf_context(area: Path) -> Path:
    """What the image `iperf` is built from."""
    context = area / "iperf"
    if not context.exists():
        (context / "root").mkdir(parents=True)
        _with_libraries("iperf3", context / "root")
        (context / "Dockerfile").write_text("FROM base\nCOPY root /\n")
    return context


def _gigabits(command: Command) -> float:
    done = command.run()
    if done.returncode:
        raise Failed(f"{command.words}: {(done.stderr + done.stdout)[-500:].decode(errors='replace')}")
    return round(float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9, 3)


def _with_libraries(program: str, root: Path) -> None:
    """Copy a program of this machine, and what it is linked with, to the same places below `root`."""
    path = shutil.which(program) or program
    linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    for file in [path, *re.findall(r"(/\S+) \(0x", linked)]:
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def loop(runner: Runner, count: int, say: Say) -> Row:
    """Containers started one after the other: linear where the last take as long as the first."""
    made, taken = _started(runner, count, lambda number: ["--network", "none"])
    runner.remove(*made)
    return _growth(f"{count} containers, one after the other", taken, say)


def crowd(runner: Runner, count: int, say: Say) -> list[Row]:
    """Many on one bridge, with many ports published: how long each takes, what runs for them, and `ps` beside them."""
    ports = range(20_000, 20_000 + PORTS_EACH * count, PORTS_EACH)
    before = runner.ground.processes()

    def flags(number: int) -> list[str]:
        first = ports[number]
        return ["--network", NETWORK, "-p", f"{first}-{first + PORTS_EACH - 1}:8000-{8000 + PORTS_EACH - 1}"]

    made, taken = _started(runner, count, flags)
    time.sleep(2)
    processes = len(runner.ground.processes() - before)
    base = sorted(seconds(runner.words("version")) for _ in range(5))[2]
    shown = sorted(seconds(runner.words("ps")) for _ in range(5))[2]
    begin = time.perf_counter()
    runner.remove(*made)
    gone = time.perf_counter() - begin
    title = f"{count} containers on a bridge, {PORTS_EACH * count:,} published ports"
    return [
        _growth(title, taken, say),
        _row(
            f"{title}: processes beside their own", "", f"≤ {count} keepers and one more", {"lamella": [processes]}, say
        ),
        _row(f"{title}: `ps`, above `lamella version`", "ms", "", {"lamella": [round((shown - base) * 1000)]}, say),
        _row(f"{title}: `rm -f` of all, each", "ms", "", {"lamella": [round(gone / count * 1000, 1)]}, say),
    ]


def _started(runner: Runner, count: int, flags: Callable[[int], list[str]]) -> tuple[list[str], list[float]]:
    made, taken = [], []
    for number in range(count):
        begin = time.perf_counter()
        made.append(runner.said("run", "-d", *flags(number), "base", "sleep", "36000"))
        taken.append(round(time.perf_counter() - begin, 4))
    return made, taken


def _growth(title: str, taken: list[float], say: Say) -> Row:
    say(
        f"{title}: the first ten {sum(taken[:10]):.3f} s, the last ten {sum(taken[-10:]):.3f} s, all {sum(taken):.2f} s"
    )
    return {"title": title, "each": taken}
