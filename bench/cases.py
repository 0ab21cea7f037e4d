"""The cases: for each tool, what is prepared unmeasured before every round and what is measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import work
from bench.measure import Command, Failed
from bench.peers import Tool
from bench.registries import Registry


@dataclass(frozen=True)
class Case:
    """`prepare` runs before every round, `measure` gives the command; `rounds` counts, `memory` asks for a peak as well."""

    name: str
    title: str
    tools: Sequence[str]
    prepare: Callable[[Tool], None]
    measure: Callable[[Tool], Command]
    rounds: int = 5
    memory: bool = False


def quietly(command: Command) -> None:
    """Run an unmeasured command; its failure is the case's."""
    done = subprocess.run(
        command.words, env={**os.environ, **command.env}, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        raise Failed(
            f"{' '.join(map(str, command.words))}: {(done.stderr + done.stdout)[-500:].decode(errors='replace')}"
        )


def forget(tool: Tool, *names: str) -> None:
    for command in tool.forget(*names):
        try:
            quietly(command)
        except Failed:
            continue  # was not there


ALL = ("lamella", "buildah", "podman", "docker", "buildkit")
MOVERS = ("lamella", "buildah", "podman", "docker")
RUNNERS = ("lamella", "podman", "docker")


def cases(area: Path, registry: Registry) -> list[Case]:
    """All cases over contexts made below `area`; what is pushed and pulled goes through `registry`."""
    ten, many, one, big = (make(area) for make in (work.ten_runs, work.many_files, work.one_copy, work.big_file))
    name = f"{registry.address}/bench/big"

    def nothing(tool: Tool) -> None: ...

    def warm(tool: Tool) -> None:
        quietly(tool.build(many, "many", cached=True))

    def built(tool: Tool) -> None:
        quietly(tool.build(big, "big", cached=True))
        quietly(tool.tag("big", f"{name}-{tool.name}"))

    def unpushed(tool: Tool) -> None:
        registry.empty()
        built(tool)

    def pushed(tool: Tool) -> None:
        built(tool)
        quietly(tool.push(f"{name}-{tool.name}"))
        forget(tool, "big", f"{name}-{tool.name}")
        forget(tool, "copy1g")

    return [
        Case("ten-runs", "ten `RUN true` steps, uncached", ALL, nothing, lambda t: t.build(ten, "ten")),
        Case(
            "no-op",
            "fully cached rebuild of 12 steps with a 10,000-file COPY",
            ALL,
            warm,
            lambda t: t.build(many, "many", cached=True),
        ),
        Case("copy-10k", "COPY of 10,000 files, uncached", ALL, nothing, lambda t: t.build(one, "one")),
        Case(
            "copy-1g",
            "COPY of a 1 GiB file, uncached",
            ALL,
            nothing,
            lambda t: t.build(big, "copy1g"),
            rounds=3,
            memory=True,
        ),
        Case(
            "push-1g",
            "push of a 1 GiB layer",
            MOVERS,
            unpushed,
            lambda t: t.push(f"{name}-{t.name}"),
            rounds=3,
            memory=True,
        ),
        Case(
            "pull-1g",
            "pull of a 1 GiB layer",
            MOVERS,
            pushed,
            lambda t: t.pull(f"{name}-{t.name}"),
            rounds=3,
            memory=True,
        ),
        Case("run", "`run --rm IMAGE true`, no network", RUNNERS, nothing, lambda t: t.run_true("base"), rounds=9),
    ]
