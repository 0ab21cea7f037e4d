"""Copying trees without opening what is no file: an image's device nodes are devices of this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from builder.ops.transfer import Copier
from tests.suites.unopened import unopened


def test_what_is_no_regular_file_is_copied_without_opening_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    with unopened(source / "fifo"):
        copier = Copier()
        copier.contents(os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY))
        here, there = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
        copier.file(here, there, "fifo", "another")
        os.close(here)
        os.close(there)
    assert all(stat.S_ISFIFO((target / name).lstat().st_mode) for name in ("fifo", "another"))
