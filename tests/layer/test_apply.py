"""A layer's tar as a directory: whiteouts, opaque directories, everything an entry says about itself."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from core.errors import InvalidInput
from image.digest import DiffID
from layer.apply import apply_layer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Tar = Callable[..., bytes]


def applied(root: Path, tar: bytes) -> None:
    result = apply_layer(io.BytesIO(tar), root)
    assert result.diff_id == DiffID.of(tar) and result.size == len(tar)


def whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_whiteouts_become_devices_and_attributes(root: Path, tar: Tar) -> None:
    applied(root, tar({"name": "d/.wh.gone"}, {"name": "d/.wh..wh..opq"}, {"name": "./e/.wh.x"}))
    assert whiteout(root / "d/gone") and opaque(root / "d") and whiteout(root / "e/x")
    assert sorted(os.listdir(root / "d")) == ["gone"]


@pytest.mark.parametrize("first", [True, False])
def test_a_whiteout_hides_only_what_is_below(first: bool, root: Path, tar: Tar) -> None:
    hide = [{"name": ".wh.f"}, {"name": ".wh.d"}]
    bring = [{"name": "f", "data": b"new"}, {"name": "d", "type": "dir"}, {"name": "d/x", "data": b"new"}]
    applied(root, tar(*(hide + bring if first else bring + hide)))
    assert (root / "f").read_text() == "new" and (root / "d/x").read_text() == "new" and opaque(root / "d")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh...", ".wh.d/f"])
def test_whiteouts_of_nothing_are_refused(name: str, root: Path, tar: Tar) -> None:
    with pytest.raises(InvalidInput, match=r"\.wh\."):
        apply_layer(io.BytesIO(tar({"name": name})), root)
    assert not list(root.parent.glob("*/.wh*"))


def test_what_aufs_kept_is_passed_over(root: Path, tar: Tar) -> None:
    applied(root, tar({"name": ".wh..wh.aufs"}, {"name": ".wh..wh.plnk/1.2", "data": b"x"}, {"name": "f"}))
    assert os.listdir(root) == ["f"]


def test_everything_an_entry_says_is_kept(root: Path, tar: Tar) -> None:
    capability = b"\x01\0\0\x02\x00\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode("latin-1")
    headers = {"mtime": "1600000000.123456789", "SCHILY.xattr.user.k": "v", "SCHILY.xattr.trusted.overlay.opaque": "y",
               "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.security.selinux": "x"}  # fmt: skip
    applied(root, tar(
        {"name": "d", "type": "dir", "mode": 0o2750, "uid": 3_000_000, "gid": 7, "pax_headers": headers},
        {"name": "d/f", "data": b"x", "mode": 0o6711, "uid": 1000, "gid": 1001, "pax_headers": {**headers, "SCHILY.xattr.security.capability": capability}},
        {"name": "d/l", "type": "link", "linkname": "f", "uid": 5},
        {"name": "d/n", "type": "char", "devmajor": 1, "devminor": 3, "mode": 0o666},
        {"name": "d/p", "type": "fifo", "mode": 0o622}, {"name": "d/h", "type": "hardlink", "linkname": "./d/f"}))  # fmt: skip
    d, f = (root / "d").stat(), (root / "d/f").stat()
    assert (stat.S_IMODE(d.st_mode), d.st_uid, d.st_gid, d.st_mtime_ns) == (0o2750, 3_000_000, 7, 1600000000123456789)
    assert (stat.S_IMODE(f.st_mode), f.st_uid, f.st_gid, f.st_mtime_ns) == (0o6711, 1000, 1001, 1600000000123456789)
    assert sorted(os.listxattr(root / "d/f")) == ["security.capability", "user.k"]
    assert os.listxattr(root / "d") == ["user.k"] and not opaque(root / "d")
    assert (root / "d/l").lstat().st_uid == 5 and (root / "d/l").lstat().st_mtime == 1_600_000_000
    assert (root / "d/n").stat().st_rdev == os.makedev(1, 3) and (root / "d/h").samefile(root / "d/f")
    assert stat.S_IMODE((root / "d/p").stat().st_mode) == 0o622 and stat.S_IMODE((root / "d/n").stat().st_mode) == 0o666


def test_missing_parents_are_plain_and_repeatable(root: Path, tar: Tar) -> None:
    applied(root, tar({"name": "a/b/f", "uid": 9, "mode": 0o600}))
    for path in ("a", "a/b"):
        status = (root / path).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime) == (0o755, 0, 1_600_000_000)


def test_the_last_entry_of_a_name_wins(root: Path, tar: Tar) -> None:
    applied(root, tar(
        {"name": "x", "data": b"1"}, {"name": "x", "type": "dir", "mode": 0o700}, {"name": "x/y", "data": b"2"},
        {"name": "x", "data": b"3"}, {"name": "x", "type": "link", "linkname": "z"}, {"name": "x", "type": "hardlink", "linkname": "x"},
        {"name": "d", "type": "dir", "mode": 0o700}, {"name": "d", "data": b"4"}, {"name": "d", "type": "fifo"}, {"name": "d/", "type": "dir", "mode": 0o711}))  # fmt: skip
    assert os.readlink(root / "x") == "z" and stat.S_IMODE((root / "d").stat().st_mode) == 0o711


def test_a_link_in_place_of_a_directory_leads_elsewhere(root: Path, tar: Tar) -> None:
    applied(
        root,
        tar(
            {"name": "d/x"},
            {"name": "e", "type": "dir"},
            {"name": "d", "type": "link", "linkname": "e"},
            {"name": "d/y"},
        ),
    )
    assert os.listdir(root / "e") == ["y"]


def test_the_root_takes_its_entry_and_is_plain_without(root: Path, tar: Tar) -> None:
    root.chmod(0o700)
    applied(root, tar({"name": "f"}))
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    applied(root, tar({"name": "./", "type": "dir", "mode": 0o555, "uid": 4}))
    assert stat.S_IMODE(root.stat().st_mode) == 0o555 and root.stat().st_uid == 4


def test_trailing_bytes_belong_to_the_layer(root: Path, tar: Tar) -> None:
    applied(root, tar({"name": "f", "data": b"x" * 5000}) + bytes(99_999) + b"junk")
    applied(root, b"")
    applied(root, bytes(512))


def test_a_diff_id_may_be_of_another_algorithm(root: Path, tar: Tar) -> None:
    archive = tar({"name": "f"})
    assert apply_layer(io.BytesIO(archive), root, algorithm="sha512").diff_id == DiffID.of(archive, "sha512")


def test_contents_are_told_by_digest_or_place(root: Path, tar: Tar) -> None:
    big = os.urandom(3_000_000)
    contents: dict[bytes, bytes | int] = {}
    archive = tar({"name": "./a/big", "data": big}, {"name": "a/s", "data": b"1"}, {"name": "a/s", "data": b"2"},
                  {"name": "link", "type": "link", "linkname": "a"}, {"name": "link/t"},
                  {"name": "x"}, {"name": "x", "type": "hardlink", "linkname": "a/s"})  # fmt: skip
    apply_layer(io.BytesIO(archive), root, contents=contents)
    assert contents == {b"a/big": archive.index(big), b"a/s": sha256(b"2").digest(), b"a/t": sha256(b"").digest()}


def test_a_stream_may_come_in_any_pieces(root: Path, tar: Tar) -> None:
    class Dribble(io.BytesIO):
        def read(self, n: int | None = -1, /) -> bytes:
            return super().read(min(n or 0, 333) if n and n > 0 else 333)

    archive = tar(
        {"name": "a", "data": b"x" * 70_000}, {"name": "b" * 130, "data": b"y" * 511}, format=tarfile.GNU_FORMAT
    )
    assert apply_layer(Dribble(archive), root).diff_id == DiffID.of(archive)
    assert (root / "a").read_bytes() == b"x" * 70_000 and (root / ("b" * 130)).stat().st_size == 511
