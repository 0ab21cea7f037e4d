"""The tables of the case `zb`: registries side by side, and lamella's alone on a large store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
ZB = (
    "zb's workloads with 10 clients: images (or requests) a second, and p99. zb pushes the same layers again and again: what "
    "lamella has it compares, and does not write again. In the rows of new layers everybody writes:"
)


def registry_tables(found: dict[str, list[Row]]) -> list[str]:
    """Nothing where nothing was measured."""
    lines: list[str] = []
    if found.get("reads"):
        lines += ["", "Small reads: requests a second with 32 connections, and p99 with 10:", ""]
        lines += _side_by_side(found["reads"], _rate, lambda one: float(one["rate"]))
    if found.get("workloads"):
        lines += ["", ZB, ""]
        lines += _side_by_side(found["workloads"], _rate, lambda one: float(one["rate"]))
    if found.get("large"):
        lines += ["", "Large blobs, in seconds, and the server's peak memory (less is better):", ""]
        lines += _side_by_side(found["large"], str, float)
    if found.get("grown"):
        lines += ["", "lamella's registry alone, with a million tags and 100,000 repositories:", ""]
        lines += ["| what | measured | aim |", "|---|---|---|"]
        lines += [f"| {one['title']} | {one['value']:,} | {one['aim']} |" for one in found["grown"]]
    return lines


def _rate(one: Row) -> str:
    return (
        f"{one['rate']:,.0f}/s, p99 {one['p99']} ms" if one["rate"] >= 100 else f"{one['rate']}/s, p99 {one['p99']} ms"
    )


def _side_by_side(rows: list[Row], show: Callable[[Any], str], figure: Callable[[Any], float]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row["by"]))
    peers = [name for name in names if name != "lamella"]
    lines = [
        f"| workload | {' | '.join(names)} | ratio to {' | to '.join(peers)} |", "|---" * (1 + len(names) + len(peers)) + "|",
    ]  # fmt: skip
    for row in rows:
        by, mine = row["by"], figure(row["by"]["lamella"])
        shown = [show(by[name]) if name in by else "" for name in names]
        ratios = [f"**{mine / figure(by[name]):.2f} ×**" if name in by else "" for name in peers]
        lines.append(f"| {row['title']} | {' | '.join(shown)} | {' | '.join(ratios)} |")
    return lines
