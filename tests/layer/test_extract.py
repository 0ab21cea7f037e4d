"""A user's archive in a root: hostile ones stay inside or are refused by name, honest ones work."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Integrity, InvalidInput, LamellaError
from layer.apply import Limits, apply_layer, extract
from layer.reader import is_tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
Tar = Callable[..., bytes]
UP = "../" * 30


def into(root: Path, tar: bytes, destination: str = "/in", **options: object) -> int:
    return extract(io.BytesIO(tar), root, destination, **options)  # type: ignore[arg-type]


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


HOSTILE = {
    "dots in a name": [{"name": UP + "{out}", "data": b"x"}],
    "dots in the middle": [{"name": "a/../../../{out}", "data": b"x"}],
    "an absolute name": [{"name": "/{out}", "data": b"x"}],
    "a link to the outside, then a file in it": [
        {"name": "d", "type": "link", "linkname": "/{dir}"},
        {"name": "d/escaped", "data": b"x"},
    ],
    "a link with dots, then a file in it": [
        {"name": "d", "type": "link", "linkname": UP + "{dir}"},
        {"name": "d/escaped", "data": b"x"},
    ],
    "a link to the top, then a path through it": [
        {"name": "a", "type": "link", "linkname": "/"},
        {"name": "a/{out}", "data": b"x"},
    ],
    "a hard link to the outside": [
        {"name": "l", "type": "hardlink", "linkname": UP + "{beside}"},
        {"name": "l", "data": b"x"},
    ],
    "a hard link by an absolute name": [
        {"name": "l", "type": "hardlink", "linkname": "/{beside}"},
        {"name": "l", "data": b"x"},
    ],
    "a hard link through a link": [
        {"name": "d", "type": "link", "linkname": "/{dir}"},
        {"name": "l", "type": "hardlink", "linkname": "d/beside"},
        {"name": "l", "data": b"x"},
    ],
    "a hard link to a link to the outside": [
        {"name": "s", "type": "link", "linkname": "/{beside}"},
        {"name": "l", "type": "hardlink", "linkname": "s"},
        {"name": "l2", "type": "hardlink", "linkname": "l"},
        {"name": "l", "data": b"x"},
    ],
    "a link in a link": [
        {"name": "a", "type": "link", "linkname": "."},
        {"name": "a/b", "type": "link", "linkname": "/{dir}"},
        {"name": "a/b/escaped", "data": b"x"},
    ],
    "a link that a file replaces": [
        {"name": "f", "type": "link", "linkname": "/{out}"},
        {"name": "f", "data": b"x"},
    ],
    "a directory in place of a link": [
        {"name": "d", "type": "link", "linkname": "/{dir}"},
        {"name": "d", "type": "dir", "mode": 0o777},
        {"name": "d/escaped", "data": b"x"},
    ],
    "a link in place of a directory that is open": [
        {"name": "d/x", "data": b"x"},
        {"name": "d", "type": "link", "linkname": "/{dir}"},
        {"name": "d/escaped", "data": b"x"},
    ],
    "a loop of links": [
        {"name": "a", "type": "link", "linkname": "b"},
        {"name": "b", "type": "link", "linkname": "a"},
        {"name": "a/x", "data": b"x"},
    ],
    "the root as a link": [{"name": ".", "type": "link", "linkname": "/{dir}"}, {"name": "escaped", "data": b"x"}],
    "a directory's mode through a link": [
        {"name": "d", "type": "link", "linkname": "/{dir}"},
        {"name": "d/.", "type": "dir", "mode": 0o777, "uid": 99},
    ],
}


@pytest.mark.parametrize("layer", [False, True], ids=["archive", "layer"])
@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_leaves_the_root(case: str, layer: bool, root: Path, tar: Tar) -> None:
    outside = str(root.parent)[1:]
    names = {"out": f"{outside}/escaped", "dir": outside, "beside": f"{outside}/beside"}
    entries = [
        {key: value.format(**names) if isinstance(value, str) else value for key, value in entry.items()}
        for entry in HOSTILE[case]
    ]
    before = root.parent.stat()
    try:
        if layer:
            apply_layer(io.BytesIO(tar(*entries)), root)
        else:
            into(root, tar(*entries))
    except LamellaError as error:
        assert any(str(entry["name"]).rstrip("/")[:100] in error.message for entry in entries)
    assert sorted(os.listdir(root.parent)) == ["beside", "root"]
    assert (root.parent / "beside").read_text() == "untouched"
    assert (root.parent / "beside").stat().st_nlink == 1
    after = root.parent.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def header(name: bytes = b"f", size: bytes = b"00000000001\0", kind: bytes = b"0", **fields: bytes) -> bytes:
    block = bytearray(512)
    for at, value in [(0, name), (100, b"0000644\0"), (108, fields.get("uid", b"0000000\0")), (116, b"0000000\0"),
                      (124, size), (136, fields.get("mtime", b"00000000000\0")), (156, kind), (157, fields.get("link", b"")),
                      (257, b"ustar\00000"), (329, fields.get("device", b""))]:  # fmt: skip
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(value: int, width: int) -> bytes:
    sign = 0x80 if value >= 0 else 0xFF
    return bytes([sign]) + (value % (1 << 8 * (width - 1))).to_bytes(width - 1, "big")


def record(key: str, value: bytes) -> bytes:
    from layer.headers import record as encode

    return encode(key.encode(), value)


def sparse(**values: bytes) -> bytes:
    return b"".join(record(f"GNU.sparse.{key}", value) for key, value in values.items())


def pax(body: bytes, kind: bytes = b"x") -> bytes:
    return header(b"pax", b"%011o\0" % len(body), kind) + body + bytes(-len(body) % 512)


X, END = b"x".ljust(512, b"\0"), bytes(1024)
REFUSED = {
    "a negative size": (header(size=base256(-512, 12)) + X + END, InvalidInput),
    "an absurd size": (header(size=base256(1 << 80, 12)) + X + END, InvalidInput),
    "a size larger than the stream": (header(size=b"00000100000\0") + X, Integrity),
    "a stream that ends in a header": (header() + X + header()[:100], Integrity),
    "a stream that ends in padding": (header() + b"x", Integrity),
    "a negative owner": (header(uid=base256(-1, 8)) + X + END, InvalidInput),
    "an owner beyond 32 bits": (header(uid=base256(0xFFFFFFFF, 8)) + X + END, InvalidInput),
    "no octal number": (header(size=b"0000000x001\0") + X + END, InvalidInput),
    "a wrong checksum": (b"g" + header()[1:] + X + END, InvalidInput),
    "a name of 256 bytes": (pax(record("path", b"n" * 256)) + header() + X + END, InvalidInput),
    "a path longer than the kernel's": (pax(record("path", b"n/" * 2500)) + header() + X + END, InvalidInput),
    "a NUL in a name": (pax(record("path", b"a\0b")) + header() + X + END, InvalidInput),
    "a pax record without an end": (pax(b"99 path=x\n") + header() + X + END, InvalidInput),
    "a pax record without a length": (pax(b"path=x\n") + header() + X + END, InvalidInput),
    "a pax record of no length": (pax(b"0 path=x\n") + header() + X + END, InvalidInput),
    "a pax bomb": (header(b"pax", b"77777777777\0", b"x") + X, InvalidInput),
    "a long-name bomb": (header(b"pax", base256(1 << 62, 12), b"L") + X, InvalidInput),
    "an absurd pax size": (pax(record("size", b"9" * 23)) + header() + X + END, InvalidInput),
    "a pax time that is none": (pax(record("mtime", b"nan")) + header() + X + END, InvalidInput),
    "a pax header with nothing after it": (pax(record("path", b"x")) + END, Integrity),
    "an unknown type": (header(kind=b"Z") + X + END, InvalidInput),
    "a lone block of zeros": (bytes(512) + header() + X + END, InvalidInput),
    "a hard link to nothing": (header(b"l", b"0\0", b"1", link=b"none") + END, InvalidInput),
    "a hard link to a directory": (
        header(b"d", b"0\0", b"5") + header(b"l", b"0\0", b"1", link=b"d") + END, InvalidInput),
    "a link to nothing": (header(b"l", b"0\0", b"2") + END, InvalidInput),
    "a file below a file": (header(b"f") + X + header(b"f/g") + X + END, InvalidInput),
    "an impossible device": (header(b"c", b"0\0", b"3", device=b"7777777\0") + END, InvalidInput),
    "a sparse file larger than allowed": (
        pax(sparse(major=b"1", minor=b"0", realsize=b"9999999999999999"))
        + header(b"s", b"00000001000\0") + b"0\n".ljust(512, b"\0") + END, InvalidInput),
    "a sparse map that overlaps": (
        pax(sparse(map=b"0,10,5,10", size=b"100")) + header(b"s", b"00000000024\0") + X + END, InvalidInput),
    "a sparse map that leaves the file": (
        pax(sparse(map=b"0,10,95,10", size=b"100")) + header(b"s", b"00000000024\0") + X + END, InvalidInput),
    "a sparse map for other content": (
        pax(sparse(map=b"0,10,50,11", size=b"100")) + header(b"s", b"00000000024\0") + X + END, InvalidInput),
    "a sparse map that never ends": (
        pax(sparse(major=b"1", minor=b"0", realsize=b"100"))
        + header(b"s", b"00000001000\0") + b"9999999\n".ljust(512, b"1") + END, InvalidInput),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_archives_are_refused_by_name(case: str, root: Path) -> None:
    tar, family = REFUSED[case]
    with pytest.raises(family) as caught:
        into(root, header(b"first") + X + tar)
    assert type(caught.value.message) is str and "\n" not in caught.value.message
    with pytest.raises(family):
        apply_layer(io.BytesIO(header(b"first") + X + tar), root)


def test_the_message_names_the_entry(root: Path) -> None:
    with pytest.raises(Integrity, match="in the middle of bad/name"):
        into(root, header(b"bad/name", b"00000100000\0") + X)
    with pytest.raises(InvalidInput, match=r"unpack 'l': .*'none'"):
        into(root, header(b"l", b"0\0", b"1", link=b"none"))
    with pytest.raises(InvalidInput, match="climbs"):
        into(root, header(b"a/../../climbs") + X)


@pytest.mark.parametrize(
    ("limits", "what"),
    [(Limits(entries=2), "entries"), (Limits(total_bytes=2048), "larger"), (Limits(path_bytes=3), "longer")],
)
def test_limits_hold(limits: Limits, what: str, root: Path, tar: Tar) -> None:
    honest = tar(*({"name": f"deep/d/{n}", "data": b"x" * 600} for n in range(3)))
    with pytest.raises(InvalidInput, match=what):
        into(root, honest, limits=limits)


def test_directories_made_for_names_count(root: Path, tar: Tar) -> None:
    with pytest.raises(InvalidInput, match="entries"):
        into(root, tar({"name": "d/" * 1000 + "f"}), limits=Limits(entries=100))


def test_a_very_deep_tree_is_replaced(root: Path, tar: Tar) -> None:
    name = "d/" * 1500
    into(root, tar({"name": name + "f"}, {"name": "d", "data": b"now a file"}), "/")
    assert (root / "d").read_text() == "now a file"


def test_an_honest_archive_works(root: Path, tar: Tar) -> None:
    count = into(root, tar({"name": "ok/deep/file", "data": b"fine", "mode": 0o640},
                           {"name": "ok/link", "type": "link", "linkname": "deep/file"},
                           {"name": "ok/hard", "type": "hardlink", "linkname": "ok/deep/file"}))  # fmt: skip
    assert count == 3
    assert (root / "in/ok/link").read_text() == "fine"
    assert (root / "in/ok/hard").samefile(root / "in/ok/deep/file")
    assert stat.S_IMODE((root / "in/ok").stat().st_mode) == 0o755
    assert (root / "in/ok/deep/file").stat().st_mtime == 1_600_000_000


def test_links_of_the_root_are_followed_inside_it(root: Path, tar: Tar) -> None:
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/lib")
    (root / "opt").symlink_to("../../../usr")
    (root / "usr/top").symlink_to("/usr")
    (root / "usr/lib/up").symlink_to("..")
    into(root, tar({"name": "lib/x"}, {"name": "opt/y"}, {"name": "usr/top/z"}, {"name": "lib/up/u"}), "/")
    made = ["usr/lib/x", "usr/u", "usr/y", "usr/z"]
    assert [path for path in tree(root) if not (root / path).is_symlink() and (root / path).is_file()] == made


def test_the_destination_may_be_behind_a_dangling_link(root: Path, tar: Tar) -> None:
    (root / "app").symlink_to("/srv/app")
    into(root, tar({"name": "x", "data": b"1"}), "app/../app/")
    assert tree(root) == ["app", "srv", "srv/app", "srv/app/x"]


def test_an_existing_destination_keeps_its_mode_a_new_one_gets_the_owner(root: Path, tar: Tar) -> None:
    (root / "old").mkdir(mode=0o700)
    archive = tar({"name": ".", "type": "dir", "mode": 0o777, "uid": 7}, {"name": "d/f", "uid": 7, "gid": 8})
    into(root, archive, "/old", owner=(5, 6))
    into(root, archive, "/new", owner=(5, 6))
    assert stat.S_IMODE((root / "old").stat().st_mode) == 0o700 and (root / "old").stat().st_uid == 0
    for path in ("new", "new/d", "new/d/f", "old/d", "old/d/f"):
        assert ((root / path).stat().st_uid, (root / path).stat().st_gid) == (5, 6), path


def test_files_replace_what_is_there_and_directories_merge(root: Path, tar: Tar) -> None:
    (root / "d/sub").mkdir(parents=True)
    (root / "d/keep").write_text("kept")
    (root / "f").symlink_to("/etc/passwd")
    into(root, tar({"name": "d", "type": "dir", "mode": 0o711}, {"name": "d/sub", "data": b"file"}, {"name": "f", "data": b"x"}), "/")  # fmt: skip
    assert (root / "d/keep").read_text() == "kept" and (root / "d/sub").read_text() == "file"
    assert not (root / "f").is_symlink() and stat.S_IMODE((root / "d").stat().st_mode) == 0o711


def test_a_setgid_directory_passes_nothing_on(root: Path, tar: Tar) -> None:
    (root / "in").mkdir()
    os.chown(root / "in", 0, 50)
    (root / "in").chmod(0o2775)
    into(root, tar({"name": "f", "mode": 0o4711}))
    status = (root / "in/f").stat()
    assert status.st_gid == 0 and stat.S_IMODE(status.st_mode) == 0o4711


def test_whiteout_names_are_refused(root: Path, tar: Tar) -> None:
    with pytest.raises(InvalidInput, match=r"d/\.wh\.x"):
        into(root, tar({"name": "d/.wh.x"}))


def test_global_headers_and_trailing_bytes_are_passed_over(root: Path, tar: Tar) -> None:
    assert into(root, pax(record("path", b"elsewhere"), b"g") + tar({"name": "f"}) + b"junk" * 999) == 1
    assert tree(root) == ["in", "in/f"]


def test_archives_are_told_from_files(tar: Tar) -> None:
    assert is_tar(tar({"name": "f"})[:512]) and is_tar(header() + X)
    assert not any(is_tar(head) for head in (b"", b"text", bytes(1024), os.urandom(512), header()[:511]))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_is_read(format: int, root: Path, tar: Tar) -> None:
    name = "/".join(["directory"] * 12) + "/" + "f" * 90
    into(root, tar({"name": name, "data": b"x" * 3000, "uid": 1000}, format=format))
    assert (root / "in" / name).stat().st_size == 3000 and (root / "in" / name).stat().st_uid == 1000


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax", "--sparse-version=0.0"],
                                     ["--format=pax", "--sparse-version=0.1"], ["--format=pax", "--sparse-version=1.0"]])  # fmt: skip
def test_sparse_files_of_gnu_tar_are_read(options: list[str], root: Path, tmp_path: Path) -> None:
    import subprocess

    with (tmp_path / "holes").open("wb") as file:
        for number in range(40):
            file.seek(number * 300_000)
            file.write(b"%d" % number)
        file.truncate(20_000_000)
    made = subprocess.run(
        ["tar", "-C", tmp_path, "-cSf", "-", *options, "holes"], capture_output=True, check=True
    ).stdout
    assert len(made) < 1_000_000
    into(root, made)
    assert (root / "in/holes").read_bytes() == (tmp_path / "holes").read_bytes()
    assert (root / "in/holes").stat().st_blocks * 512 < 1_000_000


def test_what_would_be_a_whiteout_is_refused(tmp_path: Path, tar: Tar) -> None:
    """Overlayfs refuses it too; but not every tree that is unpacked into is mounted."""
    with pytest.raises(InvalidInput, match=r"'gone': a character device 0:0 is how overlay"):
        into(tmp_path, tar({"name": "gone", "type": "char"}))
    assert not (tmp_path / "in/gone").exists()
    assert into(tmp_path, tar({"name": "null", "type": "char", "devmajor": 1, "devminor": 3})) == 1
