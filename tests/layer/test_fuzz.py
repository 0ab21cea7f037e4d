"""Random trees come back as they were; random bytes never get out and never raise anything but our own errors."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Integrity, InvalidInput, LamellaError, Unsupported
from image.digest import DiffID
from layer.apply import Limits, apply_layer, extract
from layer.pack import outline, pack
from layer.recipe import BadRecipe, Lost, Recorder, remake

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

RELAXED = settings(
    max_examples=int(os.environ.get("FUZZ", "150")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"a.b", b"\xff\xfe", "é".encode(), b"with space", b"n" * 150, b"-x", b"\n"]),
    st.binary(min_size=1, max_size=40).filter(
        lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b"..") and not n.startswith(b".wh.")
    ),
)
MODES = st.sampled_from([0o644, 0o755, 0o4755, 0o1777, 0o2750, 0, 0o777])
IDS = st.sampled_from([0, 1, 1000, 0o7777777, 0o10000000, 4_000_000_000])
TIMES = st.sampled_from([0, 1, -1, -1_500_000_000, 1_700_000_000_123_456_789, 8_589_934_592_000_000_000])
LEAVES = st.tuples(
    st.sampled_from(["file", "link", "fifo", "whiteout", "device", "hardlink"]),
    MODES,
    IDS,
    TIMES,
    st.binary(max_size=2000),
)
TREES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(LEAVES, inner), max_size=4),
    max_leaves=12,
)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """An empty directory on a memory file system: many small trees are made and removed."""
    top = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    path = Path(tempfile.mkdtemp(dir=top))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def emptied(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o755)
    return path


def build(tree: dict[bytes, object], where: bytes, files: list[bytes]) -> None:
    for name, what in tree.items():
        path = where + b"/" + name
        if isinstance(what, dict):
            os.mkdir(path)
            build(what, path, files)
            os.utime(path, ns=(0, 1_600_000_000_000_000_000))
        else:
            leaf(path, what, files)  # type: ignore[arg-type]


def leaf(path: bytes, what: tuple[str, int, int, int, bytes], files: list[bytes]) -> None:
    kind, mode, number, time, data = what
    if kind == "whiteout":
        os.mknod(path, 0o20000, 0)
        return
    if kind == "hardlink" and files:
        os.link(files[0], path)
        return
    if kind == "link":
        Path(os.fsdecode(path)).symlink_to(os.fsdecode(data.replace(b"\0", b"/") or b"x"))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o20000, os.makedev(7, len(data)))
    else:
        with open(path, "wb") as file:
            file.write(data * (300 if data.startswith(b"\1") else 1))
        files.append(path)
    os.chown(path, number, number, follow_symlinks=False)
    if kind != "link":
        os.chmod(path, mode)
    os.utime(path, ns=(0, time), follow_symlinks=False)


@RELAXED
@given(tree=TREES)
def test_any_tree_comes_back_as_it_was(fresh: Path, tree: dict[bytes, object]) -> None:
    source, copy = emptied(fresh / "source"), emptied(fresh / "copy")
    build(tree, os.fsencode(source), [])
    pieces: list[bytes | memoryview] = []
    packed = pack(source, pieces.append)
    tar = b"".join(pieces)
    applied = apply_layer(io.BytesIO(tar), copy)
    assert (applied.diff_id, applied.size, applied.entries) == (packed.diff_id, packed.size, packed.entries)
    assert pack(copy) == packed
    with tarfile.open(fileobj=io.BytesIO(tar)) as theirs:
        assert len(theirs.getmembers()) == packed.entries
    assert remade(fresh, tar) == tar


@RELAXED
@given(tree=TREES)
def test_any_tree_that_was_packed_has_the_outline_of_its_tar(fresh: Path, tree: dict[bytes, object]) -> None:
    source, home = emptied(fresh / "source"), emptied(fresh / "home")
    build(tree, os.fsencode(source), [])
    tar = io.BytesIO()
    pack(source, tar.write)
    tar.seek(0)
    (home / "diff").mkdir()
    recorder = Recorder(home)
    apply_layer(tar, home / "diff", recorder=recorder)
    assert recorder.outline() == outline(home / "diff") == outline(source)
    recorder.close()


def seed_archive() -> bytes:
    """One of everything, so that mutations reach every branch of the reader."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link in [
            ("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, ""), ("d/l", tarfile.SYMTYPE, "../d"), ("d/l/g", tarfile.REGTYPE, ""),
            ("h", tarfile.LNKTYPE, "d/f"), ("up", tarfile.SYMTYPE, "../../.."), ("up/x", tarfile.REGTYPE, ""), ("p", tarfile.FIFOTYPE, ""),
            ("d/.wh.gone", tarfile.REGTYPE, ""), ("d/.wh..wh..opq", tarfile.REGTYPE, ""), ("l" * 120, tarfile.REGTYPE, ""),
        ]:  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            data = name.encode() if kind == tarfile.REGTYPE and ".wh." not in name else b""
            info.size = len(data)
            info.pax_headers = {"SCHILY.xattr.user.k": "v", "mtime": "1.5"} if name == "d/f" else {}
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


SEED = seed_archive()
SMALL = Limits(entries=1000, total_bytes=8 << 20, sparse_bytes=8 << 20)


def checksummed(tar: bytearray) -> bytes:
    """Headers that look like headers get a right checksum again, so that mutations are not stopped at the door."""
    for at in range(0, len(tar) - 511, 512):
        block = tar[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            tar[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(tar)


EDITS = st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(min_size=1, max_size=14)), min_size=1, max_size=8)
FIELDS = st.lists(
    st.tuples(
        st.integers(0, len(SEED) // 512 - 1),
        st.sampled_from([0, 100, 108, 116, 124, 136, 156, 157, 329, 345]),
        st.sampled_from([
            b"../x", b"/etc/x", b"../../../../x", b"\x80" + b"\xff" * 7, b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\7", b"-1", b"7777777", b"x", b"S",
            b"L", b"K", b"g", b"1", b"2", b"3", b"5", b"\0", b"./", b".wh...", b".wh.", b"up/up/y", b"d/l/../../..", b"\xff\xfe/\n",
        ]),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def unpack_both(fresh: Path, tar: bytes) -> None:
    """Unpack hostile bytes as a layer and as a user's archive, and see that nothing beside the root changed."""
    cage = emptied(fresh / "cage")
    (cage / "beside").write_text("untouched")
    for root, unpack in (("layer", apply_layer), ("root", None)):
        (cage / root).mkdir()
        try:
            if unpack is None:
                extract(io.BytesIO(tar), cage / root, "/in", limits=SMALL)
            else:
                apply_layer(io.BytesIO(tar), cage / root, limits=SMALL)
        except LamellaError as error:
            assert error.message and "\n" not in error.message
    assert sorted(os.listdir(cage)) == ["beside", "layer", "root"]
    assert (cage / "beside").read_text() == "untouched" and (cage / "beside").stat().st_nlink == 1


@RELAXED
@given(edits=EDITS, cut=st.one_of(st.none(), st.integers(0, len(SEED))))
def test_no_mutation_of_bytes_gets_out(fresh: Path, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    tar = bytearray(SEED)
    for at, data in edits:
        tar[at : at + len(data)] = data
    unpack_both(fresh, checksummed(tar)[:cut])


@RELAXED
@given(fields=FIELDS)
def test_no_mutation_of_fields_gets_out(fresh: Path, fields: list[tuple[int, int, bytes]]) -> None:
    tar = bytearray(SEED)
    for block, offset, data in fields:
        at = block * 512 + offset
        tar[at : at + len(data)] = data
    unpack_both(fresh, checksummed(tar))


def remade(fresh: Path, tar: bytes) -> bytes | None:
    """What the recipe of `tar` makes again, None where it is no layer."""
    home = emptied(fresh / "home")
    (home / "diff").mkdir()
    recorder = Recorder(home)
    recipe, out = io.BytesIO(), io.BytesIO()
    try:
        applied = apply_layer(io.BytesIO(tar), home / "diff", limits=SMALL, recorder=recorder)
        assert applied.diff_id == DiffID.of(tar)
        recorder.write(recipe.write)
        recipe.seek(0)
        remake(recipe, home / "diff", out.write)
    except LamellaError as error:
        assert isinstance(error, InvalidInput | Unsupported | Integrity) and not isinstance(error, BadRecipe | Lost)
        return None
    finally:
        recorder.close()
    return out.getvalue()


@RELAXED
@given(fields=FIELDS)
def test_whatever_is_unpacked_has_a_recipe_that_makes_it_again(
    fresh: Path, fields: list[tuple[int, int, bytes]]
) -> None:
    tar = bytearray(SEED)
    for block, offset, data in fields:
        at = block * 512 + offset
        tar[at : at + len(data)] = data
    whole = checksummed(tar)
    assert remade(fresh, whole) in (None, whole)
    assert remade(fresh, SEED) == SEED


@RELAXED
@given(data=st.binary(max_size=2048))
def test_garbage_is_refused(fresh: Path, data: bytes) -> None:
    unpack_both(fresh, data)
