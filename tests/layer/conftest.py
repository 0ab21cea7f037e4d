"""Archives by hand: `make_tar([...])` takes what tarfile would write, hostile or not."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TYPES = {
    "file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE,
    "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE,
}  # fmt: skip


def make_tar(*entries: dict[str, object], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for given in entries:
            entry = dict(given)
            info = tarfile.TarInfo(str(entry.pop("name")))
            info.type = TYPES[str(entry.pop("type", "file"))]
            data = entry.pop("data", b"")
            assert isinstance(data, bytes)
            info.size = len(data)
            info.mtime = 1_600_000_000
            for key, value in entry.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def tar() -> Callable[..., bytes]:
    return make_tar


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty root with something worth protecting beside it."""
    (tmp_path / "beside").write_text("untouched")
    path = tmp_path / "root"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    yield path
    subprocess.run(["rm", "-rf", path], check=True)  # pytest's own clean-up recurses, and some trees are deep


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> object:
    """No test may leave a descriptor open."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before
