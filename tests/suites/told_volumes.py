"""The story of volumes as lamella and docker tell it, and what is kept of it in testdata/stories.

`python -m tests.suites.told_volumes` records docker's answers again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.suites.dockerd import CLIENT, dockerd
from tests.suites.stories import Answer, Explained, Step, Teller, explanations, parse, read, written
from tests.suites.story_files import busybox, lay_out

ROOT = Path(__file__).parent.parent.parent
STORY, RECORDED, DIFFERENCES = (ROOT / f"testdata/stories/volumes.{end}" for end in ("txt", "docker", "differences"))
_DAEMON = "docker: Error response from daemon: "


def steps() -> list[Step]:
    """The steps of the story."""
    return parse(STORY.read_text())


def told_by_docker(work: Path) -> list[Answer]:
    """The whole story, told by Debian's docker on an empty daemon below `work`. Raises RuntimeError where none starts."""
    with dockerd(work / "docker") as env:
        return _told([CLIENT], env, work)


def told_by_lamella(work: Path) -> list[Answer]:
    """The whole story, told by lamella on an empty store below `work`."""
    own = {"LAMELLA_ROOT": str(work / "store"), "LAMELLA_NO_SYNC": "1", "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    return _told([sys.executable, "-m", "lamella"], {**os.environ, **own}, work)


def _told(command: Sequence[str], env: Mapping[str, str], work: Path) -> list[Answer]:
    names = lay_out(work / "files", busybox())
    return [_bare(answer) for answer in Teller(command, env, work / "files", "no registry", names).tell(steps())]


def _bare(answer: Answer) -> Answer:
    """Without what `docker run` writes around an error, and what its client logs for itself."""
    lines = []
    for line in answer.lines:
        text = line.removeprefix("err ")
        if line.startswith(f"err {_DAEMON}"):
            text = text.removeprefix(_DAEMON).removesuffix(".")
            line = f"err {text[:1].lower()}{text[1:]}"
        if not text.startswith('time="'):
            lines.append(line)
    return answer._replace(lines=lines)


def recorded() -> list[Answer]:
    """What docker said when it was last recorded."""
    return read(RECORDED.read_text())


def explained() -> tuple[dict[str, str], dict[str, Explained]]:
    """The kinds of differences with their reasons, and the steps that differ."""
    return explanations(DIFFERENCES.read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="story") as name:
        RECORDED.write_text(written(told_by_docker(Path(name))))
