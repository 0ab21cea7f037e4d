"""Stores as they are after years: what a command costs where there are 10,000 images, and beside the peers where there are 200."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Command, Failed, seconds
from bench.peers import Lamella, Tool
from bench.stock import fill

IMAGES, TAGS, LAYERS, DANGLING = 10_000, 100_000, 50_000, 1_000
FEW_IMAGES, FEW_TAGS = 200, 1_000
NAME = "registry.example/team3/app53"
TITLE = f"{IMAGES:,} images, {TAGS:,} tags, {LAYERS:,} layers"
# What is measured, and how much longer than `lamella version` it may take.
GROWN: list[tuple[str, str, float | None]] = [
    ("version", "version", None),
    ("images, its first page", "images | head -n 50", 0.1),
    ("images, to the end", "images", None),
    ("images of one repository", f"images {NAME}", 0.1),
    ("tag", f"tag {NAME}:v3 {NAME}:new", 0.02),
    ("inspect", f"inspect {NAME}:v3", 0.02),
    ("history", f"history {NAME}:v3", 0.02),
    ("rmi of one of several tags", f"rmi {NAME}:new", 0.02),
    ("system df", "system df", None),
    (f"image prune of {DANGLING:,} dangling", "image prune -f", None),
]
PEERS = ("lamella", "podman", "docker")
Row = dict[str, Any]


def grown(area: Path, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Median seconds of each command on a generated store; a prune, which leaves nothing for a second round, once."""
    root = area / "grown"
    begin = time.perf_counter()
    fill(root, images=IMAGES, tags=TAGS, layers=LAYERS, dangling=DANGLING)
    say(f"{TITLE}: made in {time.perf_counter() - begin:.0f} s")
    taken: dict[str, list[float]] = {title: [] for title, _, _ in GROWN}
    for number in range(rounds):
        for title, words, _ in GROWN:
            if "prune" not in words or number == rounds - 1:
                os.sync()
                taken[title].append(round(seconds(_lamella(root, words)), 4))
    rows: list[Row] = [{"title": title, "seconds": taken[title], "above_limit": limit} for title, _, limit in GROWN]
    rows.append({"title": "the unlinking of that prune, alone", "seconds": [_unlinking(area)], "above_limit": None})
    for row in rows:
        say(f"{row['title']:38} {row['seconds']}")
    return rows


def _lamella(root: Path, words: str) -> Command:
    program = shlex.quote(str(Path(sys.executable).with_name("lamella")))
    return Command(["sh", "-c", f"{program} {words}"], {"LAMELLA_ROOT": str(root)})


def _unlinking(area: Path) -> float:
    """What the file system takes to remove as many directories and files as the prune did."""
    root = area / "unlinked"
    for number in range(DANGLING * LAYERS // IMAGES):
        (root / f"{number}").mkdir(parents=True)
        (root / f"{number}/file").write_bytes(b"." * 4096)
    for number in range(2 * DANGLING):
        (root / f"blob{number}").write_bytes(b"." * 1000)
    os.sync()
    return round(seconds(Command(["rm", "-rf", str(root)], {})), 4)


def beside_peers(tools: Sequence[Tool], area: Path, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """The same few images in every store, loaded from one archive: seconds of each command, in turn."""
    tagged, loose = area / "tagged.tar", area / "loose.tar"
    write_archive(tagged, FEW_IMAGES, FEW_TAGS)
    write_archive(loose, FEW_IMAGES, 0)
    mine = [tool for tool in tools if tool.name in PEERS]
    for tool in mine:
        _quietly(tool, "load", "-q", "-i", str(tagged))
    rows: list[Row] = []
    cases: list[tuple[str, list[str], Callable[[Tool], None]]] = [
        (f"images, {FEW_TAGS:,} rows", ["images"], lambda tool: None),
        ("tag", ["tag", "bench.example/app7:t1", "bench.example/app7:new"], lambda tool: None),
        ("rmi of one of several tags", ["rmi", "bench.example/app7:new"], lambda tool: None),
        ("inspect", ["image", "inspect", "bench.example/app7:t1"], lambda tool: None),
        (f"image prune of {FEW_IMAGES} dangling", ["image", "prune", "-f"],
         lambda tool: _quietly(tool, "load", "-q", "-i", str(loose))),
    ]  # fmt: skip
    for title, words, prepare in cases:
        row: Row = {"title": title, "seconds": {}, "failed": {}}
        for _ in range(1 if "prune" in words else rounds):
            for tool in mine:
                try:
                    if words[0] == "rmi":
                        _quietly(tool, "tag", "bench.example/app7:t1", words[1])
                    prepare(tool)
                    os.sync()
                    row["seconds"].setdefault(tool.name, []).append(round(seconds(tool.words(*words)), 4))
                except Failed as failure:
                    row["failed"][tool.name] = str(failure)
        rows.append(row)
        say(f"{title:38} {row['seconds']} {row['failed'] or ''}")
    return rows


def _quietly(tool: Tool, *words: str) -> None:
    command = tool.words(*words)
    done = subprocess.run(command.words, env={**os.environ, **command.env}, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{tool.name} {' '.join(words)}: {done.stderr[-300:]}")


def write_archive(path: Path, images: int, tags: int) -> None:
    """An archive, as `docker save` writes it, of `images` of one small layer each, which share `tags`."""
    entries = []
    with tarfile.open(path, "w") as tar:
        for number in range(images):
            layer = _layer(f"{path.stem} {number}")
            _add(tar, f"{number}/layer.tar", layer)
            diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
            config = {
                "architecture": "amd64", "os": "linux", "created": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z",
                "config": {"Labels": {"number": str(number)}}, "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "COPY file /"}],
            }  # fmt: skip
            raw = json.dumps(config).encode()
            name = f"{hashlib.sha256(raw).hexdigest()}.json"
            _add(tar, name, raw)
            names = [f"bench.example/app{number}:t{tag}" for tag in range(tags // images)]
            entries.append({"Config": name, "RepoTags": names or None, "Layers": [f"{number}/layer.tar"]})
        _add(tar, "manifest.json", json.dumps(entries).encode())


def _layer(content: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "file", content.encode().ljust(4096, b"."))
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def measure(tools: Sequence[Tool], area: Path, rounds: int | None, say: Callable[[str], None]) -> dict[str, list[Row]]:
    """Both tables' figures; `tools` are started."""
    found = {"grown": grown(area, rounds or 5, say)} if any(isinstance(tool, Lamella) for tool in tools) else {}
    return found | {"beside": beside_peers(tools, area, rounds or 3, say)}
