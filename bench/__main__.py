"""`python -m bench [CASE …]`: run the cases, save the raw figures as JSON, write the table of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import containers, curves, registry_scale, scale, work, zb
from bench.buildkitd import BuildKitd
from bench.cases import Case, cases, quietly
from bench.measure import Failed, peak_bytes, seconds
from bench.peers import ROOT, TOOLS, Tool, installed
from bench.registries import REGISTRIES, Distribution, DockerRegistry, LamellaRegistry, Nginx, Registry
from bench.report import write_table
from bench.requests_rate import rates
from bench.runners import RUNNERS, LamellaRunner

RESULTS = ROOT / "bench/results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("cases", nargs="*", help="only these cases (default: all)")
    parser.add_argument(
        "--tools", default="lamella,buildah,podman,podman-crun,docker,buildkit,buildkitd", help="only these programs"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each case (default: the case's own)")
    parser.add_argument("--save", default="latest", help="name of the result file (default: latest)")
    parser.add_argument("--report", action="store_true", help="only write the table anew from the saved results")
    options = parser.parse_args()
    if not options.report:
        if os.geteuid() != 0:
            parser.error("the stores are on a file system that is mounted for the run: run it as root")
        alone = {"zb": measure_registries, "containers": measure_containers}
        alone.get(next(iter(options.cases), ""), measure_all)(options)
    write_table(RESULTS, ROOT / "docs/benchmarks.md")
    return 0


def measure_all(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamella-bench.")))
        area = stack.enter_context(work.fresh_xfs(scratch / "xfs"))
        kinds: list[type[Tool]] = [*TOOLS, BuildKitd]
        tools = list(started([kind(area) for kind in kinds if kind.name in options.tools.split(",")], stack))
        registries = list(
            started([r(area) for r in REGISTRIES if r is not LamellaRegistry or "lamella" in options.tools], stack)
        )
        base = work.base(area)
        for tool in tools:
            quietly(tool.build(base, "base"))
        found = environment(tools, registries)
        through = next((r for r in registries if isinstance(r, DockerRegistry)), registries[0])
        own = next((r for r in registries if isinstance(r, LamellaRegistry)), None)
        for case in cases(area, through, own):
            if not options.cases or case.name in options.cases:
                found["cases"].append(run_case(case, tools, options.rounds))
                save(found, options.save)
        if (not options.cases or "manifests" in options.cases) and installed("wrk"):
            found["cases"].append(run_rates(tools, registries, area))
            save(found, options.save)
        if not options.cases or "curves" in options.cases:
            found["curves"] = curves.measure(tools, area, options.rounds or 3, say)
            save(found, options.save)
        if not options.cases or "scale" in options.cases:
            found["scale"] = scale.measure(tools, area, options.rounds, say)
            save(found, options.save)
    if not options.cases:
        measure_containers(options, found)


def measure_containers(options: argparse.Namespace, found: dict[str, Any] | None = None) -> None:
    """The case `containers`: starts, `exec`, many of them, networks. `--rounds` below 10 is how many tenths of the full numbers,
    and the rounds of each command; words after `containers` choose what is measured: `run`, `run-bridge`, `run-port`, `exec`,
    `ps`, `memory`, `names`, `throughput`, `overlay`, `loop`, `crowd`. What is measured is added to `found`, where it is given."""
    chosen, part = options.cases[1:], min(10, options.rounds or 10) / 10

    def wanted(name: str) -> bool:
        return not chosen or name in chosen

    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamella-bench.")))
        area = stack.enter_context(work.fresh_xfs(scratch / "xfs"))
        base = work.base(area)
        kinds = [kind for kind in RUNNERS if kind is LamellaRunner or kind.name in options.tools.split(",")]
        runners = list(started([kind(area) for kind in kinds], stack))
        for runner in runners:
            quietly(runner.build(base, "base"))
            runner.ready()
        here = environment(runners, [])
        found = {**here, **found, "versions": {**here["versions"], **found["versions"]}} if found else here
        for case in containers.cases(area, base, runners):
            if wanted(case.name):
                found["cases"].append(run_case(case, runners, options.rounds))
                save(found, options.save)
        if wanted("ps"):
            found["cases"].append(run_case(containers.listing(area, base, part), runners, options.rounds))
        found["containers"] = containers.measure(runners, area, base, part, wanted, say)
        save(found, options.save)


def measure_registries(options: argparse.Namespace) -> None:
    """The case `zb`: registries alone, with clients that do nothing else. `--rounds` is how many tenths of the full length;
    words after `zb` choose what is measured: `reads`, `large`, `grown`, or the workloads whose titles they begin."""
    wanted, part = options.cases[1:], (options.rounds or 10) / 10

    def asked(title: str) -> bool:
        return not wanted or any(title.startswith(word) for word in wanted)

    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamella-bench.")))
        area = stack.enter_context(work.fresh_xfs(scratch / "xfs"))
        kinds: list[type[Registry]] = [LamellaRegistry, DockerRegistry, Distribution, Nginx]
        registries = list(started([kind(area) for kind in kinds], stack))
        found = environment([], registries) | {"backend": "not used", "zb": {}}
        parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "reads": lambda: registry_scale.reads(registries, max(1, round(4 * part)), say) if asked("reads") else [],
            "workloads": lambda: zb.measure(registries, [w for w in zb.workloads() if asked(w.title)], say, part=part),
            "large": lambda: registry_scale.large(registries, say) if asked("large") else [],
            "grown": lambda: registry_scale.grown(area, say) if asked("grown") else [],
        }
        for name, measure in parts.items():
            found["zb"][name] = measure()
            save(found, options.save)


def save(found: dict[str, Any], name: str) -> None:
    """After each case: a run that is cut short keeps what it has measured."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def started(candidates: Sequence[Any], stack: contextlib.ExitStack) -> Iterator[Any]:
    for one in candidates:
        if not one.available():
            say(f"{one.name}: not installed, left out")
            continue
        one.start()
        stack.callback(one.stop)
        yield one


def run_case(case: Case, tools: Sequence[Tool], rounds: int | None) -> dict[str, Any]:
    """Every tool once a round, in turn; a tool that fails is named with its reason and left out of the rest."""
    mine = [tool for tool in tools if tool.name in case.tools]
    row: dict[str, Any] = {
        "name": case.name,
        "title": case.title,
        "unit": "s",
        "seconds": {},
        "peak_bytes": {},
        "failed": {},
        "yardsticks": {},
    }
    for _ in range(rounds or case.rounds):
        for tool in mine:
            if tool.name in row["failed"]:
                continue
            try:
                case.prepare(tool)
                os.sync()  # who waits for the disk is not to wait for what others left in memory
                row["seconds"].setdefault(tool.name, []).append(round(seconds(case.measure(tool)), 4))
            except Failed as failure:
                row["failed"][tool.name] = str(failure)
        for name, take in case.yardsticks.items():
            os.sync()
            row["yardsticks"].setdefault(name, []).append(round(take(), 4))
    if case.aim:
        row["aim"] = round(case.aim({name: statistics.median(taken) for name, taken in row["yardsticks"].items()}), 4)
    if case.memory:
        for tool in mine:
            if tool.name not in row["failed"]:
                case.prepare(tool)
                row["peak_bytes"][tool.name] = peak_bytes(case.measure(tool))
    for name, taken in row["yardsticks"].items():
        say(f"{case.name:10} {name} {taken}; the aim is {row.get('aim', '')}")
    for tool in mine:
        say(
            f"{case.name:10} {tool.name:9} {row['seconds'].get(tool.name) or row['failed'].get(tool.name)} {row['peak_bytes'].get(tool.name, '')}"
        )
    return row


def run_rates(tools: Sequence[Tool], registries: Sequence[Registry], area: Path) -> dict[str, Any]:
    tool = next(t for t in tools if t.name == LamellaRegistry.name)
    found = rates(tool, registries, area)
    say(f"manifests  {found}")
    return {"name": "manifests", "title": "manifest GETs per second", "unit": "1/s", "rates": found}


def environment(tools: Sequence[Tool], registries: Sequence[Registry]) -> dict[str, Any]:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()

    return {
        "date": datetime.date.today().isoformat(),
        "commit": git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "*.py") else ""),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}, fresh XFS on a loop device",
        "backend": backend(tools),
        "versions": {tool.name: tool.version() for tool in tools}
        | {f"registry {r.name}": r.version() for r in registries},
        "registry": "docker-registry",
        "cases": [],
    }


def backend(tools: Sequence[Tool]) -> str:
    """Which OCI runtime lamella's RUN steps use here, as `lamella info` says."""
    tool = next((t for t in tools if t.name == "lamella"), None)
    if tool is None:
        return ""
    command = tool.words("info", "--format", "json")
    done = subprocess.run(command.words, env={**os.environ, **command.env}, capture_output=True, text=True)
    return str(json.loads(done.stdout).get("DefaultRuntime", "")) if done.returncode == 0 else "unknown"


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
