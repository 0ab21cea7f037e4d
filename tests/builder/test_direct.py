"""COPY beside the mounted tree gives the same layer as COPY into it, whatever was at the destination before."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from builder.context import Context
from builder.ops import crew, direct
from builder.ops.copy import CopyOp, Inline
from builder.stages import Workspace
from core.errors import LamellaError
from layer.pack import pack
from snapshot.overlay import Overlay
from tests.conftest import needs
from tests.suites.contained import inside

pytestmark = needs("mount")
INSTANT = 1_700_000_000_000_000_000


class Case(NamedTuple):
    """Commands that made the layers below, what is copied where, and whether that needs no mounted tree."""

    layers: list[str]
    sources: list[str]
    destination: str
    straight: bool
    options: dict[str, Any] = {}


CASES = {
    "onto nothing at all": Case([], ["tree"], "/new", True),
    "into a new directory": Case(["mkdir etc"], ["tree"], "/new", True),
    "into new directories below an old one": Case(["mkdir -p opt/a; touch -d @9 opt"], ["tree"], "/opt/b/c/", True),
    "into the root": Case(["mkdir etc; touch file"], ["tree"], "/", True),
    "into a directory that has its own looks": Case(["mkdir -m 700 d; chown 5:6 d; touch -d @9 d"], ["tree"], "/d", True),
    "into a directory with other files": Case(["mkdir d; echo x > d/other; mkdir d/more"], ["tree"], "/d", True),
    "over a file": Case(["mkdir d; echo old > d/plain; touch -d @9 d"], ["tree"], "/d", True),
    "over a link": Case(["mkdir d; ln -s /etc d/plain; ln -s nowhere d/link"], ["tree"], "/d", True),
    "over a file of two names": Case(["mkdir d; echo old > d/plain; ln d/plain d/too"], ["tree"], "/d", True),
    "over a directory of the same name": Case(["mkdir -p -m 711 d/deep/x; echo o > d/deep/old"], ["tree"], "/d", False),
    "over what two layers have": Case(["mkdir -p d/deep; echo 1 > d/deep/f", "echo 2 > d/deep/g"], ["tree"], "/d", False),
    "a directory over a file": Case(["mkdir d; echo x > d/deep"], ["tree"], "/d", False),
    "a file over a directory": Case(["mkdir -p d/plain"], ["tree"], "/d", False),
    "through a link": Case(["mkdir real; ln -s real link; ln -s /link again"], ["tree"], "/again/x", True),
    "through a link that leads out": Case(["ln -s ../../tmp out"], ["tree"], "/out/x", True),
    "where a directory was removed": Case(["mkdir -p d/sub; echo x > d/sub/old", "rm -r d"], ["tree"], "/d", True),
    "where a directory in it was removed": Case(["mkdir -p d/deep; echo x > d/deep/old", "rm -r d/deep"], ["tree"], "/d", True),
    "where a directory was made anew": Case(["mkdir -p d/deep; echo x > d/deep/old", "rm -r d; mkdir d"], ["tree"], "/d", True),
    "where a file was removed": Case(["mkdir d; echo x > d/plain", "rm d/plain"], ["tree"], "/d", True),
    "into a directory that gives its group": Case(["mkdir d; chown 0:7 d; chmod 2775 d"], ["tree"], "/d", True),
    "into a directory with a default ACL": Case(["mkdir d; setfattr -n system.posix_acl_default -v "
        "0x0200000001000700ffffffff040005000000000020000000ffffffff d 2>/dev/null || true"], ["tree"], "/d", True),
    "the destination is a file": Case(["echo x > d"], ["tree"], "/d", False),
    "a file to a new name": Case(["mkdir etc; touch -d @9 etc"], ["tree/plain"], "/etc/name", True),
    "a file over a file": Case(["mkdir etc; echo old > etc/name"], ["tree/plain"], "/etc/name", True),
    "a file over a link": Case(["mkdir etc; echo old > etc/x; ln -s x etc/name"], ["tree/plain"], "/etc/name", True),
    "a file into a directory": Case(["mkdir etc; echo old > etc/plain"], ["tree/plain"], "/etc", True),
    "a file over a directory in a directory": Case(["mkdir -p etc/plain"], ["tree/plain"], "/etc/", False),
    "two files": Case(["mkdir etc"], ["tree/plain", "tree/open"], "/etc/", True),
    "two directories that share names": Case(["mkdir etc"], ["tree", "other"], "/etc/", False),
    "two directories that share files alone": Case(["mkdir etc"], ["flat", "other"], "/etc/", True),
    "two files of one name": Case([], ["flat/plain", "other/plain"], "/etc/", False),
    "a socket and a fifo": Case([], ["special"], "/s", True),
    "owner and mode given": Case(["mkdir d"], ["tree"], "/d/e", True, {"owner": "7:8", "mode": "u=rwX,go="}),
    "some left out": Case(["mkdir d"], ["tree"], "/d/e", True, {"exclude": ("deep/er", "l*")}),
    "with their parents": Case(["mkdir d"], ["tree/deep"], "/d/e", True, {"parents": True}),
    "beside what the Dockerfile holds": Case(["mkdir d"], ["tree"], "/d/", True, {"inline": (Inline("plain", "inline"),)}),
}  # fmt: skip


def fill(context: Path) -> None:
    script = """
    mkdir -p tree/deep/er/est tree/empty other/deep flat special
    echo one > tree/plain; echo two > tree/deep/file; echo three > tree/deep/er/est/file; : > tree/deep/nothing
    echo open > tree/open; chmod 666 tree/open; chmod 711 tree/deep; chmod 4755 tree/deep/file; chmod 500 tree/empty
    ln -s plain tree/link; ln -s /nowhere tree/deep/link
    ln tree/plain tree/deep/same; ln tree/deep/er/est/file tree/twice
    head -c 300000 /dev/urandom > tree/deep/large; truncate -s 1M tree/hole; echo end >> tree/hole
    mkdir tree/many; for n in $(seq 1 60); do echo $n > tree/many/$n; done; ln tree/many/1 tree/many/linked
    echo other > other/plain; echo more > other/deep/file; echo flat > flat/plain; mkfifo -m 640 special/fifo
    find . -exec touch -h -d @1234567890.123456789 {} +
    """
    subprocess.run(["sh", "-ec", script], cwd=context, check=True)
    os.setxattr(context / "tree/plain", "user.note", b"kept")
    os.setxattr(context / "tree/deep", "user.note", b"kept")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(context / "special/socket"))


class Work:
    """As much of a Workspace as COPY from a context asks for."""

    instant = INSTANT

    def __init__(self, context: Path) -> None:
        self.context = Context.local(context)


class Ground:
    def __init__(self, snapshots: Overlay, key: str, straight: bool) -> None:
        self._snapshots, self._key, self._straight = snapshots, key, straight

    def mounted(self) -> Any:
        return self._snapshots.mounted(self._key)

    def upper(self) -> Path | None:
        return self._snapshots.upper(self._key) if self._straight else None

    def cloned(self, originals: Any) -> None:
        self.originals = originals


def looks(tree: Path) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of a tree."""
    found = {}
    for path in sorted([tree, *tree.rglob("*")]):
        s = path.lstat()
        names = [n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("trusted.overlay.")]
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        directory = path.is_dir() and not path.is_symlink()
        found[str(path.relative_to(tree))] = (
            s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, what, sorted(names), 0 if directory else s.st_nlink,
        )  # fmt: skip
    return found


def copied(snapshots: Overlay, layers: list[str], case: Case, context: Path, straight: bool) -> Any:
    """The layer's DiffID and what is seen with it on top; or what went wrong."""
    key = f"step-{straight}"
    snapshots.prepare(key, layers)
    os.utime(snapshots.upper(key), (5, 5))
    op = CopyOp(
        tuple(case.sources), case.destination, case.destination.endswith("/"), None,
        **{"inline": (), "owner": "", "mode": "", **case.options},
    )  # fmt: skip
    try:
        op.perform(cast(Workspace, Work(context)), Ground(snapshots, key, straight), lambda stream, data: None)
    except LamellaError as error:
        return error.message, error.hint
    name = snapshots.seal(key)
    snapshots.prepare(f"look-{straight}", [*layers, name])
    with snapshots.mounted(f"look-{straight}") as tree:
        seen = looks(tree)
    return pack(snapshots._places.layers / name), seen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("layers", "snapshots", "tmp"):
        (tmp_path / "store" / name).mkdir(parents=True)
    (tmp_path / "context").mkdir()
    fill(tmp_path / "context")
    return tmp_path / "store"


def below(snapshots: Overlay, scripts: list[str]) -> list[str]:
    names: list[str] = []
    for number, script in enumerate(scripts):
        snapshots.prepare(f"below-{number}", names)
        with snapshots.mounted(f"below-{number}") as tree:
            subprocess.run(["sh", "-ec", script], cwd=tree, check=True)
            os.utime(tree, (5, 5))
        names.append(snapshots.seal(f"below-{number}"))
    return names


def both(root: Path, case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, int]:
    """What comes of copying into the tree with one process, and beside it with several; and how often the latter was done."""
    calls: list[int] = []

    def carry_out(*arguments: Any) -> None:
        calls.append(1)
        real(*arguments)

    real: Callable[..., None] = direct.carry_out
    monkeypatch.setattr("builder.ops.copy.carry_out", carry_out)
    snapshots, context = Overlay(root), root.parent / "context"
    layers = below(snapshots, case.layers)
    monkeypatch.setattr(crew, "FEW", 10**9)
    through = copied(snapshots, layers, case, context, False)
    assert calls == []
    monkeypatch.setattr(crew, "FEW", 1)
    monkeypatch.setattr(crew, "_PART", 20)
    return through, copied(snapshots, layers, case, context, True), len(calls)


@pytest.mark.parametrize("name", CASES)
def test_the_layer_is_the_same(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        through, beside, calls = both(root, CASES[name], monkeypatch)
        assert beside == through
        assert calls == CASES[name].straight

    inside(work)
