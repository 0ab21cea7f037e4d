"""The stories of images, containers and networks as lamella and docker tell them, and what is kept of them in testdata/stories.

`python -m tests.suites.told images` records docker's answers again, and prints the differences that are not explained yet, in
the form of images.differences.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.suites.apart import apart
from tests.suites.dockerd import CLIENT, dockerd
from tests.suites.served import Served
from tests.suites.stories import Answer, Explained, Step, Teller, difference, explanations, parse, read, written
from tests.suites.story_files import busybox, lay_out

ROOT = Path(__file__).parent.parent.parent
STORIES = ROOT / "testdata/stories"
IMAGES, CONTAINERS, NETWORKS = "images", "containers", "networks"


def steps_of(story: str) -> list[Step]:
    """The steps of the story `images`, `containers` or `networks`."""
    return parse((STORIES / f"{story}.txt").read_text())


def told_by_docker(work: Path, story: str) -> list[Answer]:
    """The whole story, told by Debian's docker on an empty daemon below `work`. Raises RuntimeError where none starts."""
    with dockerd(work / "docker", networks=story == NETWORKS) as env:
        return _told([CLIENT], env, work, story)


def told_by_lamella(work: Path, story: str) -> list[Answer]:
    """The whole story, told by lamella on an empty store below `work`."""
    env = {
        **os.environ,
        "LAMELLA_ROOT": str(work / "store"),
        "LAMELLA_NO_SYNC": "1",
        "TZ": "UTC",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "lamella"]
    if story != NETWORKS:
        return _told(command, env, work, story)
    with apart() as there:  # with the default network that users have
        return _told([*there, *command], env | {"LAMELLA_NETWORK": ""}, work, story)


def _told(command: Sequence[str], env: Mapping[str, str], work: Path, story: str) -> list[Answer]:
    names = lay_out(work / "files", busybox())
    served = Served(work / "registry")
    try:
        teller = Teller(command, env, work / "files", f"127.0.0.1:{served.port}", names)
        return list(teller.tell(steps_of(story)))
    finally:
        served.stop()


def recorded(story: str) -> list[Answer]:
    """What docker said when it was last recorded."""
    return read((STORIES / f"{story}.docker").read_text())


def explained(story: str) -> tuple[dict[str, str], dict[str, Explained]]:
    """The kinds of differences with their reasons, and the steps that differ."""
    return explanations((STORIES / f"{story}.differences").read_text())


def differing(theirs: Sequence[Answer], ours: Sequence[Answer]) -> dict[str, list[str]]:
    """The steps that are not answered alike, each with the differing lines."""
    assert [one.key for one in theirs] == [one.key for one in ours]
    found = {one.key: difference(one, other) for one, other in zip(theirs, ours, strict=True)}
    return {key: lines for key, lines in found.items() if lines}


def record(story: str) -> None:
    """Record docker's answers, and print what they leave to explain."""
    with tempfile.TemporaryDirectory(prefix="story") as name:
        work = Path(name)
        theirs, ours = told_by_docker(work / "1", story), told_by_lamella(work / "2", story)
    (STORIES / f"{story}.docker").write_text(written(theirs))
    _, known = explained(story)
    texts = {one.key: one.text for one in theirs}
    found = differing(theirs, ours)
    for key, lines in found.items():
        if key not in known or known[key].lines != lines:
            kind = known[key].kind if key in known else "KIND"
            print(f"{key} {kind}: {texts[key]}\n" + "\n".join(f"  {line}" for line in lines))
    print(f"{len(theirs)} steps, {len(found)} differ; no longer: {', '.join(known.keys() - found.keys()) or 'none'}")


if __name__ == "__main__":
    record(sys.argv[1])
