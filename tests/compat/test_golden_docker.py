"""The image commands say what Debian's docker says, word for word, but for what testdata/stories/images.differences explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites import told
from tests.suites.stories import Answer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    return told.told_by_lamella(tmp_path_factory.mktemp("lamella"), told.IMAGES)


@needs("busybox", "crun", "conmon")
def test_lamella_answers_as_docker_did_but_for_what_is_explained(ours: list[Answer]) -> None:
    _, steps = told.explained(told.IMAGES)
    assert told.differing(told.recorded(told.IMAGES), ours) == {key: step.lines for key, step in steps.items()}


@needs("busybox", "dockerd", "runc")
def test_docker_still_answers_as_it_was_recorded(tmp_path: Path) -> None:
    assert told.differing(told.recorded(told.IMAGES), told.told_by_docker(tmp_path, told.IMAGES)) == {}


def test_the_story_is_told_to_its_end() -> None:
    steps = told.steps_of(told.IMAGES)
    assert [(one.key, one.text) for one in told.recorded(told.IMAGES)] == [(step.key, step.text) for step in steps]
    commands = {step.words[1] if step.words[0] == "image" else step.words[0] for step in steps}
    assert len(steps) > 200 and {"images", "rmi", "tag", "prune", "history", "save", "load"} < commands


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    kinds, steps = told.explained(told.IMAGES)
    assert {step.kind for step in steps.values()} == set(kinds)
    assert all(step.why and step.lines for step in steps.values())


def test_the_documentation_tells_every_kind_of_difference() -> None:
    page = (told.ROOT / "docs/docker.md").read_text()
    kinds, _ = told.explained(told.IMAGES)
    assert [f"| {kind} | {why} |" in page for kind, why in kinds.items()] == [True] * len(kinds)
