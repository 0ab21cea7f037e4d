"""The disk begins early with what is written, and never with what is not there yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core import syscalls
from core.writeback import STEP_BYTES, Writeback


def test_every_step_is_handed_to_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(syscalls, "start_writing", lambda fd, offset, size: begun.append((offset, size)))
    writeback = Writeback(-1)
    for count in (1000, STEP_BYTES, 5, STEP_BYTES - 6, 1):
        writeback.wrote(count)
    assert begun == [(0, STEP_BYTES + 1000), (STEP_BYTES + 1000, STEP_BYTES)]


def test_a_small_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "start_writing", lambda *_: pytest.fail("it need not begin early"))
    Writeback(-1).wrote(STEP_BYTES - 1)


def test_it_harms_no_file_and_a_bad_descriptor_is_no_failure(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        writeback = Writeback(file.fileno())
        for letter in b"abc":
            file.write(bytes([letter]) * STEP_BYTES)
            writeback.wrote(STEP_BYTES)
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([letter]) * STEP_BYTES for letter in b"abc")
    number = os.open(tmp_path, os.O_RDONLY)
    os.close(number)
    Writeback(number).wrote(STEP_BYTES)
