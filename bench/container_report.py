"""The tables of containers and networks: what each of them takes, and how their cost grows."""

from __future__ import annotations

import statistics
from typing import Any


def container_tables(rows: list[dict[str, Any]]) -> list[str]:
    """Figures beside the peers' where they have any, and the first and the last ten of many."""
    facts, grown = [row for row in rows if "figures" in row], [row for row in rows if "each" in row]
    lines: list[str] = []
    if facts:
        lines += ["", "Containers and networks beside their peers:", ""]
        lines += ["| what | lamella | peers | ratio to the best peer | aim |", "|---|---|---|---|---|"]
        lines += map(_fact, facts)
    if grown:
        lines += ["", "How starting detached containers grows:", ""]
        lines += ["| what | the first ten | the last ten | all |", "|---|---|---|---|"]
        lines += map(_grown, grown)
    return lines


def _fact(row: dict[str, Any]) -> str:
    unit = row["unit"] if row["unit"] == "/s" else f" {row['unit']}".rstrip()
    medians = {name: statistics.median(taken) for name, taken in row["figures"].items()}
    own = medians.pop("lamella", None)
    best = (max if row["more"] else min)(medians.values(), default=None)
    peers = ", ".join(f"{name} {_short(value)}{unit}" for name, value in medians.items())
    ratio = f"**{own / best:.2f} ×**" if own is not None and best else "–"
    return (
        f"| {row['title']} | {_short(own) + unit if own is not None else 'failed'} | {peers} | {ratio} | {row['aim']} |"
    )


def _grown(row: dict[str, Any]) -> str:
    each = row["each"]
    return f"| {row['title']} | {sum(each[:10]):.3f} s | {sum(each[-10:]):.3f} s | {sum(each):.1f} s |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
