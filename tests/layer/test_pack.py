"""A directory as a tar: exact, the same everywhere, read by everyone."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from core.errors import InvalidInput
from image.digest import DiffID, Digest
from layer.apply import apply_layer
from layer.compression import compressor
from layer.headers import record
from layer.pack import Packed, check, pack, stream
from layer.pipeline import PIECE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
GOLDEN = Path(__file__).parent.parent.parent / "testdata/layer/golden.json"
Tar = Callable[..., bytes]


def packed(directory: Path) -> tuple[Packed, bytes]:
    pieces: list[bytes | memoryview] = []
    result = pack(directory, pieces.append)
    data = b"".join(pieces)
    assert len(data) == result.size and DiffID.of(data) == result.diff_id
    return result, data


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as theirs:
        return theirs.getnames()


def at(path: Path, when: float = 1_600_000_000) -> None:
    os.utime(path, (when, when), follow_symlinks=False)


def everything(root: Path) -> None:
    """One of everything the encoding has a rule for, the same on every machine."""
    (root / "etc").mkdir(mode=0o755)
    (root / "etc/passwd").write_text("root:x:0:0\n")
    (root / "etc/alias").hardlink_to(root / "etc/passwd")
    (root / "etc/link").symlink_to("passwd")
    (root / "etc/long").symlink_to("x" * 150)
    (root / "etc.d").mkdir(mode=0o755)
    (root / ("n" * 140)).write_text("long name")
    (root / os.fsdecode(b"latin-\xe9")).write_text("no utf-8")
    (root / "ünïcode").write_text("utf-8")
    (root / "big").write_bytes(bytes(range(256)) * 5000)
    (root / "setuid").write_text("#!")
    (root / "shared").mkdir()
    (root / "shared/gone").write_text("")
    (root / "shared/gone").unlink()
    os.mknod(root / "shared/gone", stat.S_IFCHR, 0)
    os.setxattr(root / "shared", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "shared", "trusted.overlay.impure", b"y")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    os.mkfifo(root / "fifo", 0o600)
    os.setxattr(root / "etc/passwd", "user.note", b"a\0b=\n")
    os.chown(root / "big", 4_000_000_000, 2_097_152)
    for path in [*root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
        at(path)
    (root / "setuid").chmod(0o4755)
    (root / "shared").chmod(0o1777)
    at(root / "fifo", -1.5)
    at(root / "disk", 1_600_000_000.999)


def test_an_empty_layer_is_the_well_known_one(root: Path) -> None:
    result, data = packed(root)
    assert data == bytes(1024) and result.diff_id == EMPTY and result.entries == 0


def test_the_encoding_has_not_changed(root: Path) -> None:
    everything(root)
    result, data = packed(root)
    golden = json.loads(GOLDEN.read_text())
    found = {"diff_id": result.diff_id, "content": result.content, "size": result.size, "names": names(data)}
    assert found == golden, "what is packed on disk has these digests: a change needs a new PACK_VERSION"


def test_what_is_unpacked_packs_to_the_same_bytes(root: Path, tmp_path: Path) -> None:
    everything(root)
    result, data = packed(root)
    copy = tmp_path / "copy"
    copy.mkdir()
    applied = apply_layer(io.BytesIO(data), copy)
    assert (applied.diff_id, applied.size, applied.entries) == (result.diff_id, result.size, result.entries)
    assert packed(copy) == (result, data)
    assert os.getxattr(copy / "shared", "trusted.overlay.opaque") == b"y"
    assert "trusted.overlay.impure" not in os.listxattr(copy / "shared")


def test_streaming_gives_the_same_bytes(root: Path) -> None:
    everything(root)
    pieces: list[bytes | memoryview] = []
    result, data = packed(root)
    assert stream(root, pieces.append) == result.diff_id and b"".join(pieces) == data


@pytest.mark.parametrize("size", [0, 300_000, 3_000_001])
def test_the_checksum_is_of_the_same_bytes(root: Path, size: int) -> None:
    everything(root)
    (root / "big").write_bytes(bytes(range(256)) * (size // 256) + b"x")
    pieces: list[bytes | memoryview] = []
    result, data = packed(root)
    assert check(root, pieces.append) == (result.size, result.checksum) == (len(data), zlib.crc32(data))
    assert b"".join(pieces) == data


def test_a_large_file_comes_in_the_chunks_of_the_compressor(root: Path) -> None:
    (root / "a").write_bytes(b"a" * 300_000)
    (root / "big").write_bytes(b"x" * 5_000_000)
    pieces: list[bytes | memoryview] = []
    check(root, pieces.append)
    ends = set(accumulate(map(len, pieces)))
    assert ends >= {PIECE, 2 * PIECE, 3 * PIECE, 4 * PIECE, 5 * PIECE}


def test_content_ignores_times_and_nothing_else(root: Path) -> None:
    (root / "f").write_text("x")
    (root / "d").mkdir()
    first = pack(root)
    at(root / "f", 1)
    at(root / "d", -7)
    second = pack(root)
    assert first.content == second.content and first.diff_id != second.diff_id
    (root / "f").chmod(0o600)
    third = pack(root)
    (root / "f").write_text("y")
    assert len({second.content, third.content, pack(root).content}) == 3


def test_content_sees_large_files(root: Path) -> None:
    seen = set()
    for byte in (b"a", b"b"):
        (root / "big").write_bytes(b"x" * 3_000_000 + byte)
        seen.add(pack(root).content)
    assert len(seen) == 2


def test_names_are_sorted_as_bytes_within_their_directory(root: Path) -> None:
    for name in ("b", "a/z", "a/b", "a.c", "A"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    assert names(packed(root)[1]) == ["A", "a", "a/b", "a/z", "a.c", "b"]


def test_the_root_is_an_entry_only_when_it_is_unusual(root: Path) -> None:
    (root / "f").write_text("")
    assert names(packed(root)[1]) == ["f"]
    root.chmod(0o700)
    assert names(packed(root)[1]) == [".", "f"]


def test_holes_are_zeros_and_sockets_are_left_out(root: Path) -> None:
    with (root / "holes").open("wb") as file:
        file.truncate(5_000_000)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "s"))
        result, data = packed(root)
    assert names(data) == ["holes"] and result.size == 512 + 5_000_192 + 1024


def test_whiteouts_that_share_an_inode_stay_whiteouts(root: Path) -> None:
    os.mknod(root / "a", stat.S_IFCHR, 0)
    (root / "b").hardlink_to(root / "a")
    assert names(packed(root)[1]) == [".wh.a", ".wh.b"]


@pytest.mark.parametrize("name", [".wh.x", "d/.wh..wh..opq", ".wh.d/f"])
def test_a_file_that_looks_like_a_whiteout_is_refused(name: str, root: Path) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("")
    with pytest.raises(InvalidInput, match=r"\.wh\."):
        pack(root)


def test_a_tree_deeper_than_descriptors_are_many(root: Path, tar: Tar) -> None:
    fds = len(os.listdir("/proc/self/fd"))
    apply_layer(io.BytesIO(tar({"name": "d/" * 1500, "type": "dir"})), root)
    (root / "d/z").write_text("after the way back up")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fds + 300, limits[1]))
    try:
        result, data = packed(root)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert result.entries == 1501 and names(data)[-1] == "d/z"
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_record_counts_its_own_length() -> None:
    for length in range(1, 1200):
        made = record(b"k", b"v" * length)
        assert int(made.split(b" ")[0]) == len(made)


def test_an_overlay_upper_directory_is_packed(root: Path, tmp_path: Path) -> None:
    lower, work, merged = tmp_path / "lower", tmp_path / "work", tmp_path / "merged"
    for directory in (lower, work, merged):
        directory.mkdir()
    for name in ("gone", "dir/old", "same"):
        (lower / name).parent.mkdir(exist_ok=True)
        (lower / name).write_text("x")
    options = f"lowerdir={lower},upperdir={root},workdir={work},redirect_dir=off,metacopy=off,index=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        (merged / "gone").unlink()
        shutil.rmtree(merged / "dir")
        (merged / "dir").mkdir()
        (merged / "dir/new").write_text("y")
    finally:
        subprocess.run(["umount", merged], check=True)
    assert names(packed(root)[1]) == ["dir", "dir/.wh..wh..opq", "dir/new", ".wh.gone"]


def test_gnu_tar_and_tarfile_read_it(root: Path, tmp_path: Path) -> None:
    everything(root)
    data = packed(root)[1]
    out = tmp_path / "gnu"
    out.mkdir()
    subprocess.run(["tar", "-C", out, "--xattrs", "--numeric-owner", "-xpf", "-"], input=data, check=True)
    for path in root.rglob("*"):
        copy, own = out / path.relative_to(root), path.lstat()
        if path.name == "gone":
            assert (copy.parent / ".wh.gone").stat().st_size == 0
            continue
        theirs = copy.lstat()
        assert (theirs.st_mode, theirs.st_uid, theirs.st_gid, theirs.st_rdev) == (own.st_mode, own.st_uid, own.st_gid, own.st_rdev), path  # fmt: skip
        assert theirs.st_mtime_ns // 10**9 == own.st_mtime_ns // 10**9
    assert (out / "big").read_bytes() == (root / "big").read_bytes()
    assert os.getxattr(out / "etc/alias", "user.note") == b"a\0b=\n"
    assert (out / "etc/alias").samefile(out / "etc/passwd")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getmember("disk").devminor == 70_000 and tar.getmember("etc/passwd").islnk()
        assert tar.getmember("fifo").mtime == -2


@pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")
def test_umoci_unpacks_it(root: Path, tmp_path: Path) -> None:
    everything(root)
    (root / "fifo").unlink()
    data = packed(root)[1]
    layout = tmp_path / "layout"
    for arguments in (["init", "--layout", layout], ["new", "--image", f"{layout}:x"]):
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)
    (tmp_path / "layer.tar").write_bytes(data)
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{layout}:x", tmp_path / "layer.tar"], check=True, capture_output=True)  # fmt: skip
    subprocess.run(["umoci", "raw", "unpack", "--image", f"{layout}:x", tmp_path / "out"], check=True, capture_output=True)  # fmt: skip
    assert (tmp_path / "out/big").read_bytes() == (root / "big").read_bytes()
    assert (tmp_path / "out/etc/alias").samefile(tmp_path / "out/etc/passwd")


@pytest.mark.skipif(not shutil.which("skopeo"), reason="needs skopeo")
def test_skopeo_finds_the_diff_id_in_the_compressed_layer(root: Path, tmp_path: Path) -> None:
    everything(root)
    result, data = packed(root)
    pieces: list[bytes] = []
    gzip = compressor("gzip", pieces.append)
    gzip.write(data)
    gzip.close()
    blobs = tmp_path / "layout/blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(kind: str, content: bytes) -> dict[str, object]:
        digest = Digest.of(content)
        (blobs / digest.hex).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(content)}

    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [result.diff_id]}}
    manifest = {"schemaVersion": 2, "config": blob("config.v1+json", json.dumps(config).encode()),
                "layers": [blob("layer.v1.tar+gzip", b"".join(pieces))]}  # fmt: skip
    index = {"schemaVersion": 2, "manifests": [blob("manifest.v1+json", json.dumps(manifest).encode())]}
    (tmp_path / "layout/index.json").write_text(json.dumps(index))
    (tmp_path / "layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    archive = tmp_path / "archive.tar"
    subprocess.run(["skopeo", "copy", f"oci:{tmp_path}/layout", f"docker-archive:{archive}:x:y"], check=True, capture_output=True)  # fmt: skip
    with tarfile.open(archive) as theirs:
        layer = theirs.extractfile(f"{result.diff_id.hex}.tar")
        assert layer is not None and layer.read() == data
