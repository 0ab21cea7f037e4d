"""The layer below the cases of testdata/builds: a static busybox, users, and directories and links to copy into."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

TIME = 946684800  # 2000-01-01
_APPLETS = ("sh", "cat", "chmod", "chown", "cp", "echo", "env", "id", "ln", "ls", "mkdir", "mv", "pwd", "readlink", "rm", "stat",
            "test", "touch", "true", "false", "find", "sort", "printf", "mkfifo", "sleep", "hostname", "wc", "sed", "grep", "head")  # fmt: skip
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\n"
_GROUP = b"root:x:0:\nweb:x:1001:\nstaff:x:50:web\n"


def root_layer() -> bytes:
    """The layer's tar. Its bytes depend on nothing but the busybox that is installed."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise RuntimeError("busybox-static is not installed")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, owner in (
            ("bin", 0o755, 0), ("dev", 0o755, 0), ("etc", 0o755, 0), ("home", 0o755, 0), ("home/web", 0o750, 1000), ("proc", 0o755, 0),
            ("root", 0o700, 0), ("run", 0o755, 0), ("sys", 0o755, 0), ("tmp", 0o1777, 0), ("dir", 0o711, 7), ("dir/sub", 0o700, 8), ("var", 0o755, 0),
        ):  # fmt: skip
            _add(tar, name + "/", tarfile.DIRTYPE, mode=mode, owner=owner)
        _add(tar, "bin/busybox", data=Path(busybox).read_bytes(), mode=0o755)
        for applet in _APPLETS:
            _add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", data=_PASSWD)
        _add(tar, "etc/group", data=_GROUP)
        _add(tar, "dir/file", data=b"from the base\n", mode=0o600, owner=9)
        for name, target in (("abs", "/dir"), ("rel", "dir"), ("up", "../../../dir"), ("dangling", "/made/here"),
                             ("dir/tofile", "file"), ("loop", "loop")):  # fmt: skip
            _add(tar, name, tarfile.SYMTYPE, link=target)
    return out.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    data: bytes = b"",
    mode: int = 0o644,
    owner: int = 0,
    link: str = "",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode, member.linkname = kind, len(data), mode, link
    member.uid = member.gid = owner
    member.mtime = TIME
    tar.addfile(member, io.BytesIO(data))
