"""Networks say what Debian's docker says, word for word, but for what testdata/stories/networks.differences explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites import told

VERBS = {"create", "ls", "list", "inspect", "connect", "disconnect", "rm", "remove", "prune", "nonsense"}


@needs("busybox", "crun", "conmon", "nft", "ip", "nsenter")
@pytest.mark.timeout(300)
def test_lamella_answers_as_docker_did_but_for_what_is_explained(tmp_path: Path) -> None:
    _, steps = told.explained(told.NETWORKS)
    ours = told.told_by_lamella(tmp_path, told.NETWORKS)
    assert told.differing(told.recorded(told.NETWORKS), ours) == {key: step.lines for key, step in steps.items()}


@needs("busybox", "dockerd", "runc", "iptables", "ip")
@pytest.mark.timeout(400)
def test_docker_still_answers_as_it_was_recorded(tmp_path: Path) -> None:
    recorded = told.recorded(told.NETWORKS)
    assert told.differing(recorded, told.told_by_docker(tmp_path, told.NETWORKS)) == {}


def test_the_story_is_told_to_its_end() -> None:
    steps = told.steps_of(told.NETWORKS)
    assert [(one.key, one.text) for one in told.recorded(told.NETWORKS)] == [(step.key, step.text) for step in steps]
    assert len(steps) > 200 and {step.words[1] for step in steps if step.words[0] == "network"} == VERBS


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    kinds, steps = told.explained(told.NETWORKS)
    assert {step.kind for step in steps.values()} == set(kinds)
    assert all(step.why and step.lines for step in steps.values())


def test_the_documentation_tells_every_kind_of_difference() -> None:
    page = (told.ROOT / "docs/network.md").read_text()
    kinds, _ = told.explained(told.NETWORKS)
    assert [f"| {kind} | {why} |" in page for kind, why in kinds.items()] == [True] * len(kinds)
