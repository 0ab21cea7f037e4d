"""A look ahead tells what the build would find out for itself, or nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.context import Context, ignore_rules
from builder.foresight import Foresight
from builder.statuses import look

DOCKERFILE = b"""ARG where=src
FROM scratch AS one
COPY src /a
ADD one.txt two* /b/
FROM scratch
COPY --from=one /a /c
COPY $where /d
COPY missing /e
COPY "with space" /f
COPY --exclude=*.md docs /g
COPY . /h
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("src/a/deep", "src/b", "docs/x.md", "one.txt", "two.txt", "twofold", "with space"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path.resolve()


@contextlib.contextmanager
def ahead(root: Path, text: bytes = DOCKERFILE) -> Iterator[Foresight]:
    found = Foresight(text, root, None)
    try:
        yield found
    finally:
        found.close()


def test_it_sees_what_the_copies_name_plainly(root: Path) -> None:
    with ahead(root) as foreseen:
        seen = {
            name for name in ("src", "one.txt", "two.txt", "twofold", *os.listdir(root), "") if foreseen(root / name)
        }
    assert seen == {"src", "one.txt", "two.txt", "twofold", ""}


def test_it_sees_just_what_the_build_sees(root: Path) -> None:
    (root / ".dockerignore").write_text("docs\n**/deep\n")
    context = Context(root, ignore_rules(root, None))
    with ahead(root) as foreseen:
        for source in context.select(["src", "one.txt", "two*", "."]):
            found = foreseen(source.path)
            assert found
            assert found[:2] == look(source.path, context.chosen(source) if source.is_directory else None)[:2]


def test_the_build_asks_it(root: Path) -> None:
    asked = []
    context = Context(root, foreseen=lambda path: asked.append(path))
    context.seen(context.select(["src"])[0])
    assert asked == [root / "src"]


def test_a_dockerfile_that_is_wrong_is_for_the_build_to_complain_about(root: Path) -> None:
    with ahead(root, b"FROM scratch\nNONSENSE\n") as foreseen:
        assert foreseen(root / "src") is None


def test_a_child_that_was_killed_tells_nothing_and_harms_nothing(root: Path) -> None:
    with ahead(root) as foreseen:
        os.kill(foreseen._child, 9)
        os.waitid(os.P_PID, foreseen._child, os.WEXITED | os.WNOWAIT)
        foreseen(root / "src")
        assert foreseen(root / "missing") is None


def test_nothing_is_left_when_it_is_closed(root: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with ahead(root) as foreseen:
        child = foreseen._child
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    foreseen.close()


@pytest.mark.parametrize("change", ["content", "name", "mode", "deeper", "gone"])
def test_statuses_tell_of_every_change(root: Path, change: str) -> None:
    context = Context(root)
    source = context.select(["src"])[0]
    before = context.seen(source).digest
    assert context.seen(source).digest == before
    path = root / "src/a/deep"
    {
        "content": lambda: path.write_text("other"),
        "name": lambda: path.rename(path.with_name("else")),
        "mode": lambda: path.chmod(0o600),
        "deeper": lambda: (root / "src/a/more").mkdir(),
        "gone": lambda: path.unlink(),
    }[change]()
    assert context.seen(source).digest != before
