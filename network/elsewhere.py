"""Who is on a network, but on other hosts: what an agent has written for the steward, in one file a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BEGINNING, _END = "remote-", ".json"


def file_of(state: Path, network: str) -> Path:
    """Where the agent writes, in the run-time directory."""
    return state / f"{_BEGINNING}{network}{_END}"


def files(state: Path) -> Iterator[tuple[str, Path]]:
    """Every network's ID with its file."""
    for path in state.glob(f"{_BEGINNING}*{_END}"):
        yield path.name.removeprefix(_BEGINNING).removesuffix(_END), path


def read(path: str) -> list[dict[str, Any]]:
    """What is written there, each with `names` and `addresses`; nothing where there is no file. Raises ValueError."""
    try:
        with open(path, encoding="utf-8") as file:
            return [{"names": one["names"], "addresses": one["addresses"]} for one in json.load(file)]
    except FileNotFoundError:
        return []
