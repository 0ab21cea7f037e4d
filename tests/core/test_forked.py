"""Work in a child: what it does stays, and its error is raised here."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.forked import in_child


def test_it_is_done_in_another_process(tmp_path: Path) -> None:
    in_child(lambda: (tmp_path / "who").write_text(str(os.getpid())))
    assert (tmp_path / "who").read_text() not in ("", str(os.getpid()))


def test_its_error_comes_out_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        in_child(lambda: os.rmdir(tmp_path / "none"))
    assert raised.value.errno == errno.ENOENT and raised.value.strerror == os.strerror(errno.ENOENT)


def test_one_that_is_killed_has_failed() -> None:
    with pytest.raises(OSError, match="killed"):
        in_child(lambda: os.kill(os.getpid(), 9))
