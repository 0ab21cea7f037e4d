"""The container commands say what Debian's docker says, word for word, but for what containers.differences explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites import told
from tests.suites.stories import Answer

COMMANDS = {
    "create", "ps", "start", "run", "exec", "logs", "pause", "unpause", "top", "port", "rename", "stop", "kill", "wait", "restart",
    "attach", "cp", "diff", "commit", "export", "inspect", "rm", "container",
}  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    return told.told_by_lamella(tmp_path_factory.mktemp("lamella"), told.CONTAINERS)


@needs("busybox", "crun", "conmon")
@pytest.mark.timeout(300)
def test_lamella_answers_as_docker_did_but_for_what_is_explained(ours: list[Answer]) -> None:
    _, steps = told.explained(told.CONTAINERS)
    assert told.differing(told.recorded(told.CONTAINERS), ours) == {key: step.lines for key, step in steps.items()}


@needs("busybox", "dockerd", "runc")
@pytest.mark.timeout(300)
def test_docker_still_answers_as_it_was_recorded(tmp_path: Path) -> None:
    recorded = told.recorded(told.CONTAINERS)
    assert told.differing(recorded, told.told_by_docker(tmp_path, told.CONTAINERS)) == {}


def test_the_story_is_told_to_its_end() -> None:
    steps = told.steps_of(told.CONTAINERS)
    assert [(one.key, one.text) for one in told.recorded(told.CONTAINERS)] == [(step.key, step.text) for step in steps]
    assert len(steps) >= 120 and {step.words[0] for step in steps} >= COMMANDS


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    kinds, steps = told.explained(told.CONTAINERS)
    assert {step.kind for step in steps.values()} == set(kinds)
    assert all(step.why and step.lines for step in steps.values())


def test_the_documentation_tells_every_kind_of_difference() -> None:
    page = (told.ROOT / "docs/docker.md").read_text()
    kinds, _ = told.explained(told.CONTAINERS)
    assert [f"| {kind} | {why} |" in page for kind, why in kinds.items()] == [True] * len(kinds)
