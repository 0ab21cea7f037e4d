"""Dockerfiles to read: real ones, known by where they are, as shapes without anyone's text, and generated ones.

`python -m tests.suites.dockerfiles` (scripts/harvest-dockerfiles) fetches the real ones again and compares every one of them.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from builder.dockerfile.arguments import PARSERS
from builder.dockerfile.flags import FLAGS
from tests.suites.readings import digest, ours, theirs
from tests.suites.stories import Explained, explanations

FOLDER = Path(__file__).parents[2] / "testdata" / "dockerfiles"
WHERE, SHAPES, DIFFERENCES = FOLDER / "where.tsv", FOLDER / "shapes.gz", FOLDER / "differences"
GENERATED = 1500

_KEPT = {*PARSERS, "ONBUILD", "AS", "NONE", "SYNTAX", "ESCAPE", "CHECK"}
_FLAGS = {name for flags in FLAGS.values() for name in flags}
_WORD = re.compile(rb"--[a-z-]+|\\[A-Za-z]|[A-Za-z]+|[0-9]+|[\x80-\xff]+")


class Real(NamedTuple):
    """A Dockerfile in a public repository: where it is, its sha256, and how BuildKit's parser reads it."""

    repository: str
    commit: str
    path: str
    sha256: str
    reading: str


def real() -> list[Real]:
    """The committed list."""
    return [Real(*line.split("\t")) for line in WHERE.read_text().splitlines()[1:]]


def explained() -> tuple[dict[str, str], dict[str, Explained]]:
    """The kinds of differences with their reasons, and the files (the sha256's first 16 digits) that are read differently."""
    return explanations(DIFFERENCES.read_text())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def name_of(data: bytes) -> str:
    """What the table of differences calls a file."""
    return sha256(data)[:16]


def differing(files: list[bytes]) -> dict[str, bytes]:
    """Those that the two parsers read differently, by their names."""
    return {name_of(data): data for data in files if ours(data) != theirs(data)}


def shape(data: bytes) -> bytes:
    """A file's syntax without its text: every word is x or X, every number 0; keywords, flags, signs and spaces stay."""
    return _WORD.sub(lambda found: _shaped(found[0]), data)


def _shaped(word: bytes) -> bytes:
    text = word.decode("latin-1")
    if text.startswith("--"):
        return word if text[2:] in _FLAGS else b"--x"
    if text.startswith("\\") or text.upper() in _KEPT:
        return word
    return b"\xc3\xa9" if not text.isascii() else b"0" if text.isdigit() else b"X" if text[0].isupper() else b"x"


def shapes() -> list[bytes]:
    """The shapes of the real files, each once."""
    return gzip.decompress(SHAPES.read_bytes()).split(b"\0")


_NAMES = ["RUN", "run", "COPY", "ADD", "ENV", "LABEL", "ARG", "CMD", "ENTRYPOINT", "EXPOSE", "VOLUME", "HEALTHCHECK",
          "USER", "WORKDIR", "STOPSIGNAL", "SHELL", "MAINTAINER", "FROM", "ONBUILD RUN", "OnBuild copy"]  # fmt: skip
_ARGUMENTS = [
    '["a", "b c"]', '["a\\"b"]', "[]", "[a]", '[ "a" ] ', "a=b c='d e'", 'a="b\\"c" d=e\\ f', "--from=x a b", '--a="b c" d', "-- --x",
    "<<EOF", "<<-E /x", '<<"E" <<F /y', "3<<EOF cat", "a b c", "CMD x", 'CMD ["x"]', "NONE", "$x ${y:-z}", "--mount=type=cache,target=/a x",
    "--interval=5s CMD a", 'a "b c" d', "a 'b", "it's", "a#b", "# c", "x \\# y", '["a",\\\n "b"]', "a \\\n  b \\\n# c\n  d", "[1]", '["é"]',
    "é", "a\\\\", "a\t b", "a=b \\\n c=d", "`a` $(b) | c && d > e", "<<< a", "x<<E", "--link --chown=1:2 a /b/", '"a b"=c', "\\a", "a=",
]  # fmt: skip
_ENDS = ["\n", "\n", "\n", "\r\n", " \\\n", "\\ \t\n", "\\\n\n", "\\\n# c\n", "\nEOF\n", "\n\tE\n", "\nE\nF\n", "\n\n",
         "\n# c\n", "\n  # c\n", ""]  # fmt: skip
_HEADS = ["", "", "", "# escape=`\n", "# syntax=x\n# escape=\\\n", "#\n# escape=`\n", "\ufeff", "\n", "  # Escape = `\n",
          "# check=skip=all\n", "FROM a\n", "ARG a=b\nFROM $a AS c\n"]  # fmt: skip
_SIGNS = "ab =\"'\\$`[]{},:-\t#<1é"


def generated(count: int = GENERATED) -> list[bytes]:
    """`count` files, always the same ones."""
    # Only random() itself is promised to give the same numbers in every version of Python.
    source = random.Random(20210).random

    def one(choices: list[str]) -> str:
        return choices[int(source() * len(choices))]

    def argument() -> str:
        return one(_ARGUMENTS) if source() < 0.7 else "".join(one(list(_SIGNS)) for _ in range(int(source() * 12)))

    def line() -> str:
        return one(_NAMES) + one([" ", " ", "  ", "\t", " \\\n"]) + argument() + one(_ENDS)

    return [(one(_HEADS) + "".join(line() for _ in range(1 + int(source() * 5)))).encode() for _ in range(count)]


def harvested(mirrors: Path | None) -> Iterator[tuple[Real, bytes]]:
    """The real files' text: from git directories `mirrors/OWNER+NAME/repo`, or fetched from GitHub. Raises RuntimeError."""
    for (repository, commit), rows in groupby(real(), lambda one: (one.repository, one.commit)):
        with tempfile.TemporaryDirectory(prefix="harvest") as scratch:
            git = ["git", "-C", scratch]
            if mirrors:
                git = ["git", "-C", str(mirrors / repository.replace("/", "+") / "repo")]
            else:
                _fetch(git, repository, commit)
            for row in rows:
                yield (
                    row,
                    subprocess.run([*git, "show", f"{commit}:{row.path}"], capture_output=True, check=True).stdout,
                )


def _fetch(git: list[str], repository: str, commit: str) -> None:
    subprocess.run([*git, "init", "-q", "--bare"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"https://github.com/{repository}"], check=True)
    subprocess.run([*git, "fetch", "-q", "--depth=1", "origin", commit], check=True)


def compare(mirrors: Path | None) -> int:
    """Print how the real files are read, and give the number of those that are not read as they should be."""
    explained_ones, same, wrong = explained()[1], 0, 0
    for row, data in harvested(mirrors):
        at = f"{row.repository}@{row.commit[:12]}:{row.path}"
        mine, theirs_ = ours(data), theirs(data)
        if sha256(data) != row.sha256:
            complaint = "is another file now"
        elif digest(theirs_) != row.reading:
            complaint = "is read otherwise by BuildKit's parser than it was"
        elif (mine != theirs_) != (name_of(data) in explained_ones):
            complaint = "differs without an explanation" if mine != theirs_ else "differs no more"
        else:
            same += mine == theirs_
            continue
        wrong += 1
        print(f"{at} {complaint}")
    print(f"{len(real())} files: {same} read alike, {len(real()) - same - wrong} as explained, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if compare(Path(sys.argv[1]) if len(sys.argv) > 1 else None) else 0)
