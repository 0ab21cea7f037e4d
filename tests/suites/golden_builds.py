"""What other builders made of the cases of testdata/builds, as it was recorded, and how lamella's images differ from that.

`python -m tests.suites.golden_builds [BUILDER...]` (scripts/golden-builds) records the builders that are installed, all or
the named ones, and prints the differences that are not explained, in the form of testdata/builds/differences.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.suites import builders
from tests.suites.build_cases import FOLDER, cases
from tests.suites.builders import FAILS, Pictures, Work
from tests.suites.stories import Answer, Explained, difference, explanations, read, written

DIFFERENCES = FOLDER / "differences"
_BUILD: dict[str, Callable[[Work], Pictures]] = {
    "docker": lambda work: builders.built_by_docker(work, buildkit=False),
    "buildkit": lambda work: builders.built_by_docker(work, buildkit=True),
    "buildah": builders.built_by_buildah,
    "buildkitd": builders.built_by_buildkitd,
}
PEERS = tuple(_BUILD)
# The older three word the history in ways of their own, and leave the time of most directories to chance.
_OLDER = ("docker", "buildkit", "buildah")
# What buildah's chroot leaves behind of each RUN.
_LEFTOVERS = tuple(f"/etc/{name} f 755 0:0 now ''" for name in ("hostname", "hosts", "resolv.conf"))
_DIRECTORY = re.compile(r"(/.* d [0-7]+ \d+:\d+) \S+")


def path_of(peer: str) -> Path:
    return FOLDER / "golden" / peer


def recorded(peer: str) -> Pictures:
    """What `peer` made of each case."""
    first, _, text = path_of(peer).read_text().partition("\n")
    assert first.startswith("# ")
    return {one.key: one.lines for one in read(text)}


def explained() -> tuple[dict[str, str], dict[str, Explained]]:
    """The kinds of differences with their reasons, and each difference, as CASE.BUILDER."""
    return explanations(DIFFERENCES.read_text())


def differing(peer: str, theirs: Pictures, ours: Pictures) -> dict[str, list[str]]:
    """The cases that lamella builds otherwise, as CASE.BUILDER, with the lines that differ."""
    found = {f"{name}.{peer}": _difference(peer, theirs[name], ours[name]) for name in theirs}
    return {key: lines for key, lines in found.items() if lines}


def _difference(peer: str, theirs: list[str], ours: list[str]) -> list[str]:
    if FAILS in (theirs, ours):
        return [] if theirs == ours else ["- fails", "+ works"] if theirs == FAILS else ["- works", "+ fails"]
    return difference(Answer("", "", _compared(peer, theirs)), Answer("", "", _compared(peer, ours)))


def _compared(peer: str, lines: list[str]) -> list[str]:
    lines = [line for line in lines if not line.startswith("Labels io.buildah.version=")]
    if peer not in _OLDER:
        return lines
    hidden = ("history ", "ArgsEscaped ", *(_LEFTOVERS if peer == "buildah" else ()))
    return [_DIRECTORY.sub(r"\1", line) for line in lines if not line.startswith(hidden)]


def record(peers: list[str]) -> None:
    """Record the peers, and print what lamella does otherwise without an explanation."""
    versions = builders.versions()
    with tempfile.TemporaryDirectory(prefix="golden") as name:
        work = Work(Path(name), cases())
        for peer in peers or versions:
            found = _steady(peer, work)
            answers = [Answer(case.name, " ".join(case.rows), found[case.name]) for case in work.cases]
            path_of(peer).parent.mkdir(exist_ok=True)
            path_of(peer).write_text(f"# {versions[peer]}\n{written(answers)}")
        show(builders.built_by_lamella(work))


def _steady(peer: str, work: Work) -> Pictures:
    """What `peer` makes of each case. What it made otherwise when it was last recorded it makes again, on a store of its own:
    who does not make the same twice, for want of time or because something is left to chance, is told, and keeps what it
    had."""
    before = recorded(peer) if path_of(peer).exists() else {}
    found = _BUILD[peer](work)
    changed = [case for case in work.cases if before.get(case.name) != found[case.name]]
    again = _BUILD[peer](Work(work.directory / f"{peer}-again", changed)) if before and changed else found
    for case in changed:
        if again[case.name] != found[case.name]:
            print(f"{case.name} is not the same twice with {peer}", file=sys.stderr)
            found[case.name] = before.get(case.name, found[case.name])
    return found


def show(ours: Pictures) -> None:
    """Print what is not explained yet, and what is no more."""
    _, known = explained()
    found = {key: lines for peer in PEERS for key, lines in differing(peer, recorded(peer), ours).items()}
    for key, lines in found.items():
        if key not in known or known[key].lines != lines:
            print(f"{key} {known[key].kind if key in known else 'KIND'}: \n" + "\n".join(f"  {line}" for line in lines))
    print(f"{len(ours)} cases, {len(found)} differences; no longer: {', '.join(known.keys() - found.keys()) or 'none'}")


if __name__ == "__main__":
    record(sys.argv[1:])
