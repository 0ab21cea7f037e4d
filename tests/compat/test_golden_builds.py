"""lamella's images are those of docker, BuildKit and buildah, file by file, but for what testdata/builds/differences explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites.build_cases import cases, rows
from tests.suites.builders import Pictures, Work, built_by_docker, built_by_lamella
from tests.suites.golden_builds import PEERS, differing, explained, recorded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return built_by_lamella(Work(tmp_path_factory.mktemp("builds"), cases()))


@needs("busybox", "crun")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("peer", PEERS)
def test_lamella_builds_what_others_build_but_for_what_is_explained(ours: Pictures, peer: str) -> None:
    found = differing(peer, recorded(peer), ours)
    assert found == {key: one.lines for key, one in explained()[1].items() if key.endswith(f".{peer}")}


@needs("busybox", "dockerd", "runc")
def test_docker_still_builds_what_was_recorded(tmp_path: Path) -> None:
    some = [
        case for case in cases() if case.name in ("owners", "chown-forms", "ignore-exceptions", "inherited", "add-many")
    ]
    theirs = recorded("docker")
    assert built_by_docker(Work(tmp_path, some), buildkit=False) == {case.name: theirs[case.name] for case in some}


def test_every_peer_is_recorded_for_every_case() -> None:
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) >= 150
    assert [list(recorded(peer)) == names for peer in PEERS] == [True] * len(PEERS)


def test_every_row_of_the_language_is_shown_by_a_case_or_names_its_test() -> None:
    known = {row.id for row in rows()}
    shown = {id for case in cases() for id in case.rows}
    assert shown <= known and all(case.rows for case in cases())
    assert [row.id for row in rows() if row.id not in shown and not row.elsewhere] == []
    for row in rows():
        path, _, name = row.elsewhere.partition("::")
        assert not path or f"def {name}(" in (ROOT / path).read_text(), f"{row.id} names a test that is not there"


def test_each_difference_has_a_reason_and_each_reason_a_difference() -> None:
    kinds, found = explained()
    assert {one.kind for one in found.values()} == set(kinds)
    assert all(one.why and one.lines for one in found.values())


def test_a_difference_that_is_not_explained_is_found() -> None:
    theirs: Pictures = {"a": ["/f f 644 0:0 now 'x'", "Env A=1"], "b": ["fails"], "c": ["Env A=1"]}
    ours: Pictures = {"a": ["/f f 600 0:0 now 'x'", "Env A=1"], "b": ["Env A=1"], "c": ["Env A=1"]}
    assert differing("buildkitd", theirs, ours) == {
        "a.buildkitd": ["- /f f 644 0:0 now 'x'", "+ /f f 600 0:0 now 'x'"], "b.buildkitd": ["- fails", "+ works"],
    }  # fmt: skip


def test_the_documentation_tells_every_kind_of_difference() -> None:
    page = (ROOT / "docs/builders.md").read_text()
    assert [f"| {kind} | {why} |" in page for kind, why in explained()[0].items()] == [True] * len(explained()[0])
