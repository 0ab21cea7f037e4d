"""Options of `build` that say how, for what and how loud: each with what it takes and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from image.digest import Digest
from image.platform import host_platform
from store.store import Store
from tests.conftest import needs

pytestmark = needs("crun")
Lamella = Callable[..., subprocess.CompletedProcess[str]]
HOST = str(host_platform())


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(
        "FROM scratch AS one\nCOPY Dockerfile /\nLABEL a=file b=file\nFROM one\n"
    )
    return tmp_path / "context"


@pytest.mark.parametrize(
    "words", [["--platform", HOST], ["--platform=local"], ["--platform", HOST.partition("/")[2]], []]
)
def test_this_machines_platform_has_several_names(lamella: Lamella, context: Path, words: list[str]) -> None:
    assert lamella("build", "-q", *words, context).stdout.startswith("sha256:")


def test_the_platform_can_come_from_the_environment(lamella: Lamella, context: Path) -> None:
    assert lamella("build", "-q", context, env={"DOCKER_DEFAULT_PLATFORM": HOST}).returncode == 0
    done = lamella("build", context, check=False, env={"DOCKER_DEFAULT_PLATFORM": "linux/s390x"})
    assert done.returncode == 1 and "builds for" in done.stderr


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("linux/s390x", f"this machine builds for {HOST} only, not for linux/s390x"),
        ("a/b/c/d", "invalid platform: 'a/b/c/d'"),
        (f"{HOST},linux/s390x", "one platform"),
        (f"{HOST},{HOST}", None),
    ],
)
def test_other_platforms_are_refused_clearly(lamella: Lamella, context: Path, platform: str, said: str | None) -> None:
    done = lamella("build", f"--platform={platform}", context, check=False)
    assert (done.returncode == 0) if said is None else (done.returncode == 1 and said in done.stderr)


def test_labels_of_the_command_line_come_last_and_may_be_empty(
    lamella: Lamella, context: Path, store_root: Path
) -> None:
    id = lamella("build", "-q", "--label", "a=given", "--label=c", "--label", "d=x=y", context).stdout.strip()
    with Store.open(store_root) as store:
        assert store.images.config(Digest(id)).config.labels == {"a": "given", "b": "file", "c": "", "d": "x=y"}
    done = lamella("build", "--label", "=x", context, check=False)
    assert done.returncode == 1 and "invalid --label" in done.stderr


def test_the_id_is_written_to_a_file(lamella: Lamella, context: Path, tmp_path: Path) -> None:
    id = lamella("build", "-q", "--iidfile", tmp_path / "iid", context).stdout.strip()
    assert (tmp_path / "iid").read_text() == id
    for option in ("--iidfile", "--metadata-file"):
        done = lamella("build", option, tmp_path / "nowhere/iid", context, check=False)
        # Before anything is built.
        assert done.returncode == 1 and 'nowhere" does not exist' in done.stderr and "#1" not in done.stderr


@pytest.mark.parametrize("words", [["--progress=none"], ["--progress=quiet"], ["-q"]])
def test_progress_can_be_silent(lamella: Lamella, context: Path, words: list[str]) -> None:
    assert lamella("build", *words, context).stderr == ""


def test_progress_can_be_chosen_by_the_environment(lamella: Lamella, context: Path) -> None:
    assert lamella("build", context, env={"BUILDKIT_PROGRESS": "none"}).stderr == ""
    first = lamella("build", context, env={"BUILDKIT_PROGRESS": "rawjson"}).stderr.splitlines()[0]
    assert "vertexes" in json.loads(first)
    assert lamella("build", "--progress=plain", context, env={"BUILDKIT_PROGRESS": "none"}).stderr.startswith("#1 ")


def test_an_unknown_progress_is_refused(lamella: Lamella, context: Path) -> None:
    done = lamella("build", "--progress=plian", context, check=False)
    assert done.returncode != 0 and "plain" in done.stderr


def test_a_stage_can_be_run_again_by_its_name(lamella: Lamella, context: Path) -> None:
    lamella("build", context)
    words = ["--progress=plain", "--no-cache-filter", "other,ONE"]
    assert "CACHED" not in lamella("build", *words, context).stderr
    assert "CACHED" in lamella("build", "--progress=plain", "--no-cache-filter=other", context).stderr


@pytest.mark.parametrize(
    ("syntax", "known"),
    [
        ("docker/dockerfile:1", True),
        ("docker.io/docker/dockerfile:1.7-labs", True),
        ("docker/dockerfile@sha256:0123", True),
        ("dockerfile.v0", True),
        ("example.org/mockerfile:1", False),
        ("docker/dockerfiles:1", False),
    ],
)
def test_another_syntax_is_told(lamella: Lamella, context: Path, syntax: str, known: bool) -> None:
    said = lamella("build", f"--build-arg=BUILDKIT_SYNTAX={syntax}", context).stderr
    assert (f"WARNING: syntax={syntax} is no Dockerfile syntax" not in said) is known
    (context / "Dockerfile").write_text(f"# syntax={syntax}\nFROM scratch\nLABEL a=1\n")
    assert ("is no Dockerfile syntax" not in lamella("build", context).stderr) is known


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--build-arg=A=\udcff", "--build-arg A has bytes that are not UTF-8 text"),
        ("--label=A=\udcff", "--label A has bytes that are not UTF-8 text"),
        ("--annotation=A=\udcff", "--annotation A has bytes that are not UTF-8 text"),
        ("--add-host=a\nb:10.1.2.3", "invalid --add-host: 'a\\nb:10.1.2.3'"),
        ("--add-host=:10.1.2.3", "invalid --add-host: ':10.1.2.3'"),
        (f"--ulimit=nofile={2**63}", f"invalid --ulimit: 'nofile={2**63}'"),
        (f"--build-arg=SOURCE_DATE_EPOCH={2**63 // 10**9}", f"invalid SOURCE_DATE_EPOCH: '{2**63 // 10**9}'"),
        ("--build-arg=SOURCE_DATE_EPOCH=-1", "invalid SOURCE_DATE_EPOCH: '-1'"),
    ],
)
def test_a_value_that_nothing_can_hold_is_one_error(lamella: Lamella, context: Path, option: str, said: str) -> None:
    done = lamella("build", "-q", option, context, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and sum(line.startswith("lamella: ") for line in done.stderr.splitlines()) == 1


def test_the_last_second_that_an_image_can_have(lamella: Lamella, context: Path) -> None:
    done = lamella("build", "-q", f"--build-arg=SOURCE_DATE_EPOCH={2**63 // 10**9 - 1}", context)
    created = lamella("image", "inspect", "--format={{.Created}}", done.stdout.strip()).stdout
    assert created.startswith("2262-04-11T23:47:15")
