"""Building in a private store and looking at what came out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from image.config import ImageConfig
from image.digest import Digest
from store.store import Store


class Built(NamedTuple):
    """How a build ended: its exit code, what it said, the image's ID (empty when it failed) and config."""

    code: int
    said: str
    id: str
    config: ImageConfig

    @property
    def steps(self) -> list[str]:
        """`FROM x: DONE`, `RUN x: CACHED`, in the order of their ends."""
        titles: dict[str, str] = {}
        ended = []
        for line in self.said.splitlines():
            number, _, rest = line.partition(" ")
            if rest.startswith("[") and not rest.startswith("[internal]"):
                titles[number] = rest.partition("] ")[2]
            elif number in titles and rest.split(" ")[0] in ("CACHED", "DONE", "ERROR:"):
                ended.append(f"{titles[number]}: {rest.split(' ')[0].rstrip(':')}")
        return ended

    def printed(self) -> list[str]:
        """What the RUN steps wrote, without numbers and times."""
        written = [line.split(" ", 2)[2] for line in self.said.splitlines() if _is_output(line)]
        return [line for line in written if not line.startswith(("writing image ", "naming to "))]


def _is_output(line: str) -> bool:
    words = line.split(" ", 2)
    return len(words) == 3 and words[0].startswith("#") and words[1].replace(".", "").isdecimal()


Build = Callable[..., Built]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """An empty build context."""
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


@pytest.fixture
def build(
    lamella: Callable[..., subprocess.CompletedProcess[str]], base: str, store_root: Path, context: Path
) -> Build:
    """Build a Dockerfile's text on the image `bb`, with these files in the context."""

    def run(
        dockerfile: str, *options: str, files: Mapping[str, str] | None = None, check: bool = True, **more: Any
    ) -> Built:
        (context / "Dockerfile").write_text(dockerfile)
        for name, text in (files or {}).items():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_text(text)
        note = context.parent / "iid"
        note.unlink(missing_ok=True)
        done = lamella("build", "--progress=plain", f"--iidfile={note}", *options, context, check=check, **more)
        id = note.read_text() if note.exists() else ""
        with Store.open(store_root) as store:
            config = store.images.config(Digest(id)) if id else None
        return Built(done.returncode, done.stderr, id, config)  # type: ignore[arg-type]

    return run
