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
from layer.comparison import Comparison
from layer.listing import places, verify, write_listing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Tar = Callable[..., bytes]


@pytest.fixture
def listed(root: Path, tar: Tar) -> Iterator[tuple[Path, bytes]]:
    contents: dict[bytes, bytes | int] = {}
    archive = tar({"name": "d/f", "data": b"content", "pax_headers": {"SCHILY.xattr.user.k": "v"}}, {"name": "d/h", "type": "hardlink", "linkname": "d/f"},
                  {"name": "d.x", "type": "link", "linkname": "d"}, {"name": "d/.wh.w"}, {"name": "e/.wh..wh..opq"}, {"name": "\udcff\n"})  # fmt: skip
    apply_layer(io.BytesIO(archive), root, contents=contents)
    out = io.BytesIO()
    assert write_listing(root, out.write, contents) == 8
    yield root, out.getvalue()


def check(listed: tuple[Path, bytes]) -> list[str]:
    return verify(listed[0], io.BytesIO(listed[1]))


def test_nothing_differs_at_first_with_or_without_contents(listed: tuple[Path, bytes]) -> None:
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


LARGE = bytes(range(256)) * 8000
Listed = tuple[Path, bytes, bytes]


@pytest.fixture
def large(root: Path, tar: Tar) -> Listed:
    """Directory, listing and tar of a layer with large files: one alone, one between small ones, two names of one."""
    archive = tar({"name": "a/z", "data": LARGE[:70_000]}, {"name": "small", "data": b"x"}, {"name": "b", "data": LARGE},
                  {"name": "one", "data": LARGE}, {"name": "two", "type": "hardlink", "linkname": "one"}, {"name": "tiny", "data": b"y"})  # fmt: skip
    contents: dict[bytes, bytes | int] = {}
    apply_layer(io.BytesIO(archive), root, contents=contents)
    out = io.BytesIO()
    write_listing(root, out.write, contents)
    return root, out.getvalue(), archive


def compare(large: Listed, piece: int) -> list[str]:
    root, listing, archive = large
    placed = places(io.BytesIO(listing))
    comparison = Comparison(root, placed)
    for at in range(0, len(archive), piece):
        comparison.write(memoryview(archive)[at : at + piece])
    comparison.close()
    return verify(root, io.BytesIO(listing), placed) + comparison.wrong


@pytest.mark.parametrize("piece", [511, 70_000, 1 << 20, 100 << 20])
def test_a_large_file_is_compared_with_its_place_in_the_tar(piece: int, large: Listed) -> None:
    _, listing, archive = large
    assert compare(large, piece) == []
    found = {path: archive[begin : begin + size] for begin, size, path in places(io.BytesIO(listing))}
    assert found == {b"a/z": LARGE[:70_000], b"b": LARGE}, "what has two names is hashed"


@pytest.mark.parametrize("name", ["a/z", "small", "b", "one", "tiny"])
@pytest.mark.parametrize("where", [0, -1, 0.5])
def test_every_flipped_byte_is_found(name: str, where: float, large: Listed) -> None:
    path = large[0] / name
    times, data = path.stat(), bytearray(path.read_bytes())
    data[int(where) if where != 0.5 else len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [found.split(":")[0] for found in compare(large, 100_000)] == (
        [f"/{name}"] if name != "one" else ["/one", "/two"]
    )


def test_a_name_that_is_taken_twice_is_compared_with_what_came_last(root: Path, tar: Tar) -> None:
    archive = tar({"name": "f", "data": LARGE}, {"name": "h", "type": "hardlink", "linkname": "f"}, {"name": "f", "data": LARGE[::-1]})  # fmt: skip
    contents: dict[bytes, bytes | int] = {}
    apply_layer(io.BytesIO(archive), root, contents=contents)
    out = io.BytesIO()
    write_listing(root, out.write, contents)
    assert compare((root, out.getvalue(), archive), 1 << 16) == []
    assert (root / "h").read_bytes() == LARGE and (root / "f").read_bytes() == LARGE[::-1]


def test_a_listing_that_hashed_everything_is_still_read(large: Listed) -> None:
    out = io.BytesIO()
    write_listing(large[0], out.write)
    assert compare((large[0], out.getvalue(), large[2]), 1 << 20) == []
    (large[0] / "b").write_bytes(LARGE[::-1])
    assert any("/b: content is" in found for found in compare((large[0], out.getvalue(), large[2]), 1 << 20))


def test_a_tar_that_ends_before_a_file_does_is_a_difference(large: Listed) -> None:
    root, listing, archive = large
    assert any(found.startswith("/b: content") for found in compare((root, listing, archive[:100_000]), 1 << 20))


@pytest.mark.parametrize("line", [b"", b"{}", b"[1,2]", b"\xff", b"[[],1,2,3,4,5,6,7,8]"])
def test_a_damaged_listing_is_said_to_be(line: bytes, root: Path) -> None:
    with pytest.raises(Integrity):
        verify(root, [line + b"\n"])
