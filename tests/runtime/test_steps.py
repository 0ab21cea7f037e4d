"""RUN steps, by every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.progress import Silent
from runtime.chroot import ChrootSteps
from runtime.engine import Engine
from runtime.oci_step import OciSteps
from runtime.probe import CANDIDATES, CHROOT, installed
from runtime.state import state_directory
from runtime.step import StepRunner, step_runner
from tests.conftest import needs
from tests.suites.contained import inside
from tests.suites.steps import StepSuite

Make = Callable[[], StepRunner]


def engine(name: str) -> Engine:
    path = next(path for found, path, _ in installed() if found == name)
    return next(Engine(name, path, options, cgroups) for n, options, cgroups in CANDIDATES if n == name)


@needs("crun")
class TestCrun(StepSuite):
    @pytest.fixture
    def runner(self, store_root: Path) -> Make:
        return lambda: OciSteps(engine("crun"), state_directory(store_root))


@needs("runc")
class TestRunc(StepSuite):
    @pytest.fixture
    def runner(self, store_root: Path) -> Make:
        return lambda: OciSteps(engine("runc"), state_directory(store_root))


@needs()
class TestChroot(StepSuite):
    @pytest.fixture
    def runner(self, store_root: Path) -> Make:
        return lambda: ChrootSteps(state_directory(store_root))


@needs("crun")
class TestChoice:
    def test_the_answer_is_remembered_until_a_runtime_changes(self, store_root: Path) -> None:
        remembered = state_directory(store_root) / "runtime.json"

        def work() -> None:
            assert isinstance(step_runner(store_root, Silent()), OciSteps)
            first = remembered.read_text()
            remembered.write_text(first + " ")  # still the same answer, and a sign that nobody has written it again
            step_runner(store_root, Silent())
            assert remembered.read_text() == first + " "
            remembered.write_text(first.replace("crun", "grun", 1))
            step_runner(store_root, Silent())
            assert remembered.read_text() == first

        inside(work)

    def test_without_a_runtime_the_chroot_backend_says_so_in_one_line(
        self, store_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []

        class Loud(Silent):
            def warn(self, message: str) -> None:
                said.append(message)

        def work() -> None:
            monkeypatch.setattr("runtime.probe.PLACES", ())
            assert isinstance(step_runner(store_root, Loud()), ChrootSteps)
            assert len(said) == 1 and "install crun" in said[0] and "\n" not in said[0]

        inside(work)
        assert CHROOT.path == ""
