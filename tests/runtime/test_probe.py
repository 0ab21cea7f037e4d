"""Which runtime is chosen: the one known to be fast, unless another is clearly faster here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import probe
from tests.suites.contained import inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"crun": 0.30, "runc": 0.20}, "crun"),  # on a busy machine, a little less proves nothing
        ({"crun": 0.8, "runc": 0.04}, "runc"),
        ({"runc": 0.04}, "runc"),
        ({}, "chroot"),
    ],
    ids=str,
)
def test_what_is_known_to_be_fast_is_left_for_something_clearly_faster_only(
    seconds: dict[str, float], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, time in seconds.items():
        (programs / name).write_text(f"#!/bin/sh\nsleep {time}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr("runtime.probe.PLACES", (str(programs),))

    def choose() -> None:
        assert probe.choose(tmp_path).name == chosen

    inside(choose)
