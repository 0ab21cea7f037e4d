"""Packing a clone by reading what it was cloned from: only as long as that is what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layer.cloned import Original, mark, pack_cloned
from layer.pack import Packer, pack

OLD = 1_000_000


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer with a file that is large enough, and one that is not."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "large").write_bytes(b"as cloned " * 300_000)
    (layer / "small").write_bytes(b"small")
    return layer


def original(layer: Path, data: bytes, name: str = "large") -> tuple[Path, dict[int, Original]]:
    """A file with that content, told to be what `name` in the layer is a clone of."""
    path = layer.parent / "original"
    path.write_bytes(data)
    os.utime(path, (OLD, OLD))  # whatever the clock's steps, a change now is another time
    return path, {(layer / name).stat().st_ino: Original(os.fspath(path), mark(path.stat()))}


def test_without_originals_it_is_pack(layer: Path) -> None:
    whole = pack(layer)
    found = pack_cloned(layer, {})
    assert (found.diff_id, found.size, found.entries) == (whole.diff_id, whole.size, whole.entries)


def test_the_original_is_read_in_place_of_its_clone(layer: Path) -> None:
    data = (layer / "large").read_bytes()
    assert pack_cloned(layer, original(layer, data)[1]).diff_id == pack(layer).diff_id
    _, other = original(layer, data.upper())  # a lie that shows which of both was read
    assert pack_cloned(layer, other).diff_id != pack(layer).diff_id


def test_small_files_are_read_themselves(layer: Path) -> None:
    assert pack_cloned(layer, original(layer, b"SMALL", "small")[1]).diff_id == pack(layer).diff_id


@pytest.mark.parametrize("what", ["rewritten", "longer", "shorter", "removed", "replaced", "a link", "touched"])
def test_an_original_that_has_changed_is_not_read(layer: Path, what: str) -> None:
    data = (layer / "large").read_bytes()
    path, originals = original(layer, data.upper())
    aside = path.with_name("aside")
    os.link(path, aside)
    if what in ("removed", "replaced", "a link"):
        path.unlink()
    if what == "rewritten":
        with path.open("r+b") as file:
            file.write(b"x")
    elif what in ("longer", "shorter"):
        os.truncate(path, len(data) + (1 if what == "longer" else -1))
    elif what == "replaced":
        path.write_bytes(data.upper())
    elif what == "a link":
        path.symlink_to(aside)
    elif what == "touched":
        os.utime(path, (OLD, OLD + 1))
    assert pack_cloned(layer, originals).diff_id == pack(layer).diff_id


def test_an_original_that_changes_while_it_is_read_is_read_for_nothing(
    layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, originals = original(layer, (layer / "large").read_bytes().upper())
    real = Packer._data

    def change(self: Packer, fd: int, size: int, name: bytes) -> None:
        real(self, fd, size, name)
        if os.readlink(f"/proc/self/fd/{fd}") == os.fspath(path):
            with path.open("ab") as file:
                file.write(b"more")

    monkeypatch.setattr(Packer, "_data", change)
    assert pack_cloned(layer, originals).diff_id == pack(layer).diff_id
