"""Manifest GETs per second, by wrk, of each registry in turn."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.cases import quietly
from bench.peers import Tool
from bench.registries import Registry

ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def rates(
    tool: Tool, registries: Sequence[Registry], work: Path, rounds: int = 3, duration: int = 4
) -> dict[str, list[float]]:
    """Requests per second of each registry, `rounds` of them in turn; `tool` pushes the image that is asked for."""
    script = work / "accept.lua"
    script.write_text(f'wrk.headers["Accept"] = "{ACCEPT}"\n')
    for registry in registries:
        name = f"{registry.address}/bench/base:1"
        quietly(tool.tag("base", name))
        quietly(tool.push(name))
    found: dict[str, list[float]] = {registry.name: [] for registry in registries}
    for _ in range(rounds):
        for registry in registries:
            found[registry.name].append(_rate(f"http://{registry.address}/v2/bench/base/manifests/1", script, duration))
    return found


def _rate(url: str, script: Path, duration: int) -> float:
    done = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{duration}", "-s", script, url], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{url} answered with errors: {done.stdout}")
    match = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    assert match, done.stdout
    return float(match[1])
