"""How the cost of a build grows with files and with layers: linear is the aim."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import work
from bench.measure import Command, seconds
from bench.peers import Lamella, Tool

FILES = (10_000, 30_000, 100_000)
LAYERS = (10, 30, 100)


def measure(tools: Sequence[Tool], area: Path, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The seconds of each size, lamella's alone."""
    tool = next((tool for tool in tools if isinstance(tool, Lamella)), None)
    if tool is None:
        return []
    rows = []
    for count in FILES:
        context = work.many_files(area, count, f"files-{count}")
        rows.append(_row("files, COPY uncached", count, rounds, tool.build(context, f"files{count}"), say))
        rows.append(
            _row("files, cached rebuild", count, rounds, tool.build(context, f"files{count}", cached=True), say)
        )
    for count in LAYERS:
        rows.append(_row("RUN steps", count, rounds, tool.build(work.stairs(area, count), f"stairs{count}"), say))
    return sorted(rows, key=lambda row: (str(row["title"]), int(row["count"])))


def _row(title: str, count: int, rounds: int, command: Command, say: Callable[[str], None]) -> dict[str, Any]:
    taken = []
    for _ in range(rounds):
        os.sync()
        taken.append(round(seconds(command), 4))
    say(f"{count:>7,} {title:24} {taken}")
    return {"title": title, "count": count, "seconds": taken}
