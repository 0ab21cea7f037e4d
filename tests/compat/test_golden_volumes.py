"""Volumes say what Debian's docker says, word for word, but for what testdata/stories/volumes.differences explains."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import needs
from tests.suites import told_volumes as told
from tests.suites.told import differing


@needs("busybox", "crun", "conmon")
def test_lamella_answers_as_docker_did_but_for_what_is_explained(tmp_path: Path) -> None:
    _, steps = told.explained()
    ours = told.told_by_lamella(tmp_path)
    assert differing(told.recorded(), ours) == {key: step.lines for key, step in steps.items()}


@needs("busybox", "dockerd", "runc")
def test_docker_still_answers_as_it_was_recorded(tmp_path: Path) -> None:
    assert differing(told.recorded(), told.told_by_docker(tmp_path)) == {}


def test_the_story_is_told_to_its_end() -> None:
    steps = told.steps()
    assert [(one.key, one.text) for one in told.recorded()] == [(step.key, step.text) for step in steps]
    verbs = {step.words[1] for step in steps if step.words[0] == "volume"}
    assert len(steps) > 100 and verbs == {"create", "ls", "inspect", "rm", "prune"}


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    kinds, steps = told.explained()
    assert {step.kind for step in steps.values()} == set(kinds)
    assert all(step.why and step.lines for step in steps.values())


def test_the_documentation_tells_every_kind_of_difference() -> None:
    page = (told.ROOT / "docs/volumes.md").read_text()
    kinds, _ = told.explained()
    assert [f"| {kind} | {why} |" in page for kind, why in kinds.items()] == [True] * len(kinds)
