"""The listing of a foreign layer: what changed since is named."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import Integrity
from layer.apply import apply_layer
from layer.listing import verify, write_listing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Tar = Callable[..., bytes]


@pytest.fixture
def listed(root: Path, tar: Tar) -> Iterator[tuple[Path, bytes]]:
    digests: dict[bytes, bytes] = {}
    archive = tar({"name": "d/f", "data": b"content", "pax_headers": {"SCHILY.xattr.user.k": "v"}}, {"name": "d/h", "type": "hardlink", "linkname": "d/f"},
                  {"name": "d.x", "type": "link", "linkname": "d"}, {"name": "d/.wh.w"}, {"name": "e/.wh..wh..opq"}, {"name": "\udcff\n"})  # fmt: skip
    apply_layer(io.BytesIO(archive), root, digests=digests)
    out = io.BytesIO()
    assert write_listing(root, out.write, digests) == 8
    yield root, out.getvalue()


def check(listed: tuple[Path, bytes]) -> list[str]:
    return verify(listed[0], io.BytesIO(listed[1]))


def test_nothing_differs_at_first_with_or_without_digests(listed: tuple[Path, bytes]) -> None:
    again = io.BytesIO()
    write_listing(listed[0], again.write)
    assert check(listed) == [] and again.getvalue() == listed[1]


def rewrite(path: Path) -> None:
    times = path.stat()
    path.write_text("CONTENT")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "content of the same size and time": (lambda r: rewrite(r / "d/f"), "/d/f: content is"),
    "a mode": (lambda r: (r / "e").chmod(0o700), "/e: mode is 0o700, was 0o755"),
    "an owner": (lambda r: os.chown(r / "d/f", 1, 0), "/d/f: uid is 1, was 0"),
    "a time": (lambda r: os.utime(r / "d/f", (1, 1)), "/d/f: mtime is"),
    "an attribute": (lambda r: os.removexattr(r / "d/f", "user.k"), "/d/f: xattrs is"),
    "no longer opaque": (lambda r: os.removexattr(r / "e", "trusted.overlay.opaque"), "/e: xattrs is"),
    "a missing file": (lambda r: (r / "d/h").unlink(), "/d/h is missing"),
    "a missing whiteout": (lambda r: (r / "d/w").unlink(), "/d/w is missing"),
    "a new file": (lambda r: (r / "d/new").write_text(""), "/d/new was not in the layer"),
    "a new file at the end": (lambda r: os.mkdir(os.fsencode(r) + b"/\xff\xff"), r"/\xff\xff was not in the layer"),
    "another link": (lambda r: ((r / "d.x").unlink(), (r / "d.x").symlink_to("e")), "/d.x: content is e, was d"),
    "another type": (
        lambda r: ((r / "d/w").unlink(), os.mknod(r / "d/w", stat.S_IFIFO)),
        "/d/w: type is fifo, was character device",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, listed: tuple[Path, bytes]) -> None:
    damage, message = DAMAGE[case]
    damage(listed[0])
    assert any(found.startswith(message) for found in check(listed)), check(listed)


def test_differences_are_not_endless(root: Path) -> None:
    for number in range(300):
        (root / str(number)).write_text("")
    assert len(verify(root, [])) == 101


@pytest.mark.parametrize("line", [b"", b"{}", b"[1,2]", b"\xff", b"[[],1,2,3,4,5,6,7,8]"])
def test_a_damaged_listing_is_said_to_be(line: bytes, root: Path) -> None:
    with pytest.raises(Integrity):
        verify(root, [line + b"\n"])
