"""The small builds of testdata/builds: what each has in its context, and writing that to a directory.

A case is a block of text: `== NAME ROW ROW...` (rows of testdata/builds/rows.tsv), then what its context holds and what is
given to the builder, a line `--`, and the Dockerfile. Before the `--` stand lines of these forms:

    option WORDS            words for the builder's command line
    file PATH [MODE] [: TEXT]   (\\n and \\x41 as in Python; MODE is octal)
    dir PATH [MODE] | link PATH -> TARGET | hard PATH -> OTHER | fifo PATH | socket PATH | device PATH MAJOR:MINOR
    archive PATH FORM       a tar of TREE below, packed as "", gz, bz2, xz or zst; `many` has links, owners and modes
    as NAME                 what the Dockerfile is called
    owner PATH UID:GID | time PATH SECONDS | xattr PATH NAME VALUE | ability PATH

Everything has the time 2001-02-03 04:05:06 UTC unless a line says otherwise, and belongs to root.
"""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "testdata" / "builds"
TIME = 981173106
# cap_net_bind_service+ep, as setcap writes it.
ABILITY = b"\x01\x00\x00\x02\x00\x04" + b"\x00" * 14


class Case(NamedTuple):
    """One build. `rows` are those of the language's table that it shows."""

    name: str
    rows: list[str]
    options: list[str]
    files: list[str]
    dockerfile: bytes
    called: str = "Dockerfile"


class Row(NamedTuple):
    """One row of the language's table; `elsewhere` names the test that shows it where no build can."""

    id: str
    text: str
    elsewhere: str


def cases() -> list[Case]:
    """All of them, in the order of their files."""
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in _parse(path.read_bytes())]


def rows() -> list[Row]:
    """The rows of the language's table."""
    lines = (FOLDER / "rows.tsv").read_text().splitlines()
    return [Row(*([*line.split("\t"), ""])[:3]) for line in lines if line and not line.startswith("#")]


def _parse(data: bytes) -> Iterator[Case]:
    for block in data.split(b"\n== ")[1:]:
        head, _, dockerfile = block.partition(b"\n--\n")
        first, *lines = head.decode().splitlines()
        name, *ids = first.split()
        options = [word for line in lines if line.startswith("option ") for word in line.split()[1:]]
        files = [line for line in lines if line and not line.startswith(("option ", "as ", "#"))]
        called = next((line[3:] for line in lines if line.startswith("as ")), "Dockerfile")
        # \r, \xff and the like are written as Python writes them where a line begins with %.
        dockerfile = dockerfile.replace(b"LONG", b"x" * 65536)  # a line that is longer than may be
        yield Case(name, ids, options, files, b"\n".join(map(_raw, dockerfile.split(b"\n"))), called)


def _raw(line: bytes) -> bytes:
    return line[1:].decode("unicode_escape").encode("latin-1") if line.startswith(b"%") else line


def lay_out(case: Case, directory: Path) -> None:
    """Write the case's context, its Dockerfile included, into `directory`, which is made."""
    directory.mkdir(parents=True)
    late = []
    for line in case.files:
        verb, _, rest = line.partition(" ")
        path, _, more = rest.partition(" ")
        path = os.fsdecode(_plain(path))
        if verb in ("owner", "time", "xattr", "ability"):
            late.append((verb, directory / path, more))
        else:
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            _MAKE[verb](directory / path, more)
    (directory / case.called).write_bytes(case.dockerfile)
    for path in sorted(directory.rglob("*"), reverse=True):
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    for verb, target, more in late:
        _CHANGE[verb](target, more)


def _plain(text: str) -> bytes:
    """`text` with its escapes as bytes."""
    import re

    return re.sub(
        rb"\\(?:x[0-9a-f]{2}|.)",
        lambda found: found[0].decode().encode().decode("unicode_escape").encode("latin-1"),
        text.encode(),
    )


def _file(path: Path, more: str) -> None:
    mode, _, text = more.partition(":")
    path.write_bytes(_plain(text.strip()))
    path.chmod(int(mode.strip() or "644", 8))


def _dir(path: Path, more: str) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(int(more or "755", 8))


def _socket(path: Path, more: str) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path.name)
    finally:
        os.chdir(here)


def _device(path: Path, more: str) -> None:
    major, _, minor = more.partition(":")
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(int(major), int(minor)))


def _hard(path: Path, more: str) -> None:
    os.link(path.parent / more.removeprefix("-> "), path)


def _archive(path: Path, form: str) -> None:
    kind, _, packing = form.partition(".")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in _MEMBERS[kind]:
            tar.addfile(member, io.BytesIO(data) if data else None)
    data = out.getvalue()
    if packing:
        data = subprocess.run(_PACKERS[packing], input=data, capture_output=True, check=True).stdout
    path.write_bytes(data)


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mtime, member.mode = kind, len(data), TIME - 1000, 0o644
    for field, value in fields.items():
        setattr(member, field, value)
    return member, data


_PACKERS = {"gz": ["gzip", "-nc"], "bz2": ["bzip2", "-c"], "xz": ["xz", "-c"], "zst": ["zstd", "-qc"]}
_MEMBERS = {
    "one": [_member("in/", tarfile.DIRTYPE, mode=0o700, uid=3, gid=4), _member("in/file", data=b"packed", uid=5, gid=6)],
    "many": [
        _member("deep/er/file", data=b"parents are not in the archive"),
        _member("set", data=b"x", mode=0o4711, uid=1000, gid=1001),
        _member("same", tarfile.LNKTYPE, linkname="set", mode=0o4711, uid=1000, gid=1001),
        _member("link", tarfile.SYMTYPE, linkname="deep"),
        _member("pipe", tarfile.FIFOTYPE),
        _member("etc/passwd", data=b"changed"),
    ],
    "wh": [_member("etc/.wh.group", data=b""), _member("etc/new", data=b"new")],
}  # fmt: skip
_MAKE: dict[str, Callable[[Path, str], None]] = {
    "file": _file, "dir": _dir, "hard": _hard, "socket": _socket, "device": _device, "archive": _archive,
    "link": lambda path, more: path.symlink_to(more.removeprefix("-> ")),
    "fifo": lambda path, more: os.mkfifo(path),
}  # fmt: skip
_CHANGE: dict[str, Callable[[Path, str], None]] = {
    "owner": lambda path, more: os.chown(path, *map(int, more.split(":")), follow_symlinks=False),
    "time": lambda path, more: os.utime(path, (int(more), int(more)), follow_symlinks=False),
    "xattr": lambda path, more: os.setxattr(path, more.split()[0], more.split()[1].encode(), follow_symlinks=False),
    "ability": lambda path, more: os.setxattr(path, "security.capability", ABILITY),
}
