"""`build --check` and `--call`: what is told of a Dockerfile without building it, and of its findings while building."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import needs

Lamella = Callable[..., subprocess.CompletedProcess[str]]
URL = "https://docs.docker.com/go/dockerfile/rule/"
FILE = """\
# VERSION is what is installed
ARG VERSION=1.0
ARG UNUSED=x
ARG FULL=v${VERSION}

# base has the tools
FROM scratch AS base
ARG FULL
ARG extra=$FULL-more

FROM base
CMD run
MAINTAINER me
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(FILE)
    return tmp_path / "context"


def test_check_shows_each_finding_with_its_place(lamella: Lamella, context: Path) -> None:
    done = lamella("build", "--check", context, check=False)
    assert done.returncode == 1
    assert done.stdout == (
        "Check complete, 2 warnings have been found!\n"
        f"\nWARNING: JSONArgsRecommended - {URL}json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "Dockerfile:12\n--------------------\n"
        "  10 |     \n  11 |     FROM base\n  12 | >>> CMD run\n  13 |     MAINTAINER me\n--------------------\n"
        f"\nWARNING: MaintainerDeprecated - {URL}maintainer-deprecated/\n"
        "Maintainer instruction is deprecated in favor of using label\n"
        "Dockerfile:13\n--------------------\n"
        "  11 |     FROM base\n  12 |     CMD run\n  13 | >>> MAINTAINER me\n--------------------\n"
    )


def test_check_of_a_target_looks_at_what_it_needs(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch AS a\nCOPY a /\nFROM scratch\nCMD run\n")
    done = lamella("build", "--check", "--target=a", context)
    assert done.stdout == "Check complete, no warnings found.\n"
    assert lamella("build", "--call=check,ignorestatus", context).stdout.startswith(
        "Check complete, 1 warning has been"
    )


def test_check_for_programs_is_buildx_json(lamella: Lamella, context: Path) -> None:
    done = lamella("build", "--call=check,format=json", context, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and [one["ruleName"] for one in found["warnings"]] == [
        "JSONArgsRecommended", "MaintainerDeprecated",
    ]  # fmt: skip
    assert found["warnings"][1] == {
        "ruleName": "MaintainerDeprecated",
        "description": "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        "url": f"{URL}maintainer-deprecated/",
        "detail": "Maintainer instruction is deprecated in favor of using label",
        "location": {"ranges": [{"start": {"line": 13}, "end": {"line": 13}}]},
    }
    assert base64.b64decode(found["sources"][0]["data"]).decode() == FILE


def test_check_tells_the_error_a_build_would_end_with(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM scratch AS a\nMAINTAINER me\nFROM scratch\nCOPY --from=later a /\nFROM scratch AS later\n"
    )
    done = lamella("build", "--call=check,format=json", context, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and "Dockerfile:4" in done.stderr
    assert found["buildError"]["location"]["ranges"][0]["start"] == {"line": 4}
    assert [one["ruleName"] for one in found["warnings"]] == ["MaintainerDeprecated"]


def test_outline_lists_what_the_target_makes_use_of(lamella: Lamella, context: Path) -> None:
    assert lamella("build", "--call=outline", "--target=base", context).stdout == (
        "TARGET:      base\nDESCRIPTION: has the tools\n\n"
        "BUILD ARG   VALUE       DESCRIPTION\n"
        "VERSION     1.0         is what is installed\n"
        "FULL        v1.0        \n"
        "extra       v1.0-more   \n\n"
    )
    done = lamella("build", "--call=outline,format=json", "--build-arg=VERSION=2", context)
    found = json.loads(done.stdout)
    assert [(one["name"], one["value"]) for one in found["args"]] == [
        ("VERSION", "2"), ("FULL", "v2"), ("extra", "v2-more"),
    ]  # fmt: skip
    assert "name" not in found and found["args"][0]["location"]["ranges"][0]["start"] == {"line": 2}


def test_outline_lists_secrets_and_agents_of_all_stages_that_are_needed(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM scratch AS one\nRUN --mount=type=secret,id=key,required x\nFROM scratch AS unused\n"
        "RUN --mount=type=secret,id=no x\nFROM scratch\nRUN --mount=type=ssh --mount=type=secret,target=/run/token y\n"
        "COPY --from=one / /\n"
    )
    assert lamella("build", "--call=outline", context).stdout == (
        "SECRET   REQUIRED\nkey      true\ntoken    \n\nSSH       REQUIRED\ndefault   \n\n"
    )
    found = json.loads(lamella("build", "--call=outline,format=json", context).stdout)
    assert found["secrets"][0] == {
        "name": "key", "required": True, "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]},
    }  # fmt: skip
    assert [one["name"] for one in found["ssh"]] == ["default"] and "args" not in found


def test_targets_lists_the_stages(lamella: Lamella, context: Path) -> None:
    assert lamella("build", "--call=targets", context).stdout == (
        "TARGET    DESCRIPTION\nbase      has the tools\n(default) \n"
    )
    found = json.loads(lamella("build", "--call=targets,format=json", context).stdout)
    assert found["targets"] == [
        {"name": "base", "description": "has the tools", "base": "scratch",
         "location": {"ranges": [{"start": {"line": 7}, "end": {"line": 7}}]}},
        {"default": True, "base": "base", "location": {"ranges": [{"start": {"line": 11}, "end": {"line": 11}}]}},
    ]  # fmt: skip


WRONG = [
    (("--call=chek",), "did you mean check?"),
    (("--call=check,fromat=json",), "write it like --call=check,format=json"),
    (("--check", "--call=outline"), "does not go with"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_call_that_does_not_exist_is_refused(
    lamella: Lamella, context: Path, options: tuple[str, ...], said: str
) -> None:
    done = lamella("build", *options, context, check=False)
    assert done.returncode == 1 and said in done.stderr


def test_an_unknown_check_is_told_with_a_suggestion(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text("# check=skip=FromAsCase\nFROM scratch\n# check=skip=Undefinedvar\nCOPY a /\n")
    said = lamella("build", "--check", context).stderr
    assert "there is no build check called 'FromAsCase' (did you mean FromAsCasing?)" in said
    assert "there is no build check called 'Undefinedvar' (did you mean UndefinedVar?)" in said


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        ("skipp=A", "invalid check option 'skipp=A'\n  did you mean skip?"),
        ("error=maybe", "error is true or false"),
        ("skip", "invalid check option 'skip'"),
    ],
)
def test_a_directive_that_makes_no_sense_is_an_error(
    lamella: Lamella, context: Path, directive: str, said: str
) -> None:
    (context / "Dockerfile").write_text(f"# check={directive}\nFROM scratch\nCOPY a /\n")
    done = lamella("build", "--check", context, check=False)
    assert done.returncode == 1 and said in done.stderr


@needs("crun")
def test_a_build_shows_its_findings_at_the_end_each_time(lamella: Lamella, context: Path) -> None:
    expected = (
        "\n 2 warnings found (use --check to expand):\n"
        " - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"
        " (line 12)\n"
        " - MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 13)\n"
    )
    for _ in range(2):
        assert lamella("build", "--progress=plain", context).stderr.endswith(expected)
    assert "warnings found" not in lamella("build", "-q", context).stderr
    assert "More info: " in lamella("--debug", "build", context).stderr
    events = [json.loads(line) for line in lamella("build", "--progress=rawjson", context).stderr.splitlines()]
    warnings = [one for event in events for one in event.get("warnings", ())]
    assert [one["range"][0]["start"]["line"] for one in warnings] == [12, 13]
    assert b"JSONArgsRecommended: " in base64.b64decode(warnings[0]["short"])


@needs("crun")
def test_findings_are_errors_where_the_file_wants_it(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text("# check=error=true\n" + FILE)
    for _ in range(2):
        done = lamella("build", context, check=False)
        assert done.returncode == 1 and " 2 warnings found" in done.stderr
        assert "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated" in done.stderr
    assert lamella("build", "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all", context).returncode == 0


@needs("crun")
def test_what_is_remembered_follows_what_it_depends_on(lamella: Lamella, context: Path) -> None:
    (context / "x.log").write_text("")
    (context / "Dockerfile").write_text("FROM base\nCOPY *.log /x/\nLABEL a=$HERE\n")

    def rules(env: str, ignored: str) -> list[str]:
        lamella("build", "-q", "-t", "base", "-f", "-", context, input=f"FROM scratch\nENV {env}=1\n")
        (context / ".dockerignore").write_text(ignored)
        said = lamella("build", "--progress=plain", context).stderr
        return [line[3:].partition(":")[0] for line in said.splitlines() if line.startswith(" - ")]

    for _ in range(2):
        assert rules("HERE", "") == []
        assert rules("HERE", "*.log") == ["CopyIgnoredFile"]
        assert rules("ELSEWHERE", "") == ["UndefinedVar"]


def test_check_asks_for_a_base_images_config_and_for_nothing_more(
    lamella: Lamella, context: Path, registry: str, store_root: Path
) -> None:
    base = f"{registry}/base:1"
    lamella("build", "-q", "--push", "-t", base, "-f", "-", context, input="FROM scratch\nCOPY . /\nENV HERE=1\n")
    lamella("rmi", base)
    (context / "Dockerfile").write_text(f"FROM {base}\nLABEL a=$HERE b=$MISSING\n")
    done = lamella("build", "--call=check,format=json", context, check=False)
    assert [one["detail"] for one in json.loads(done.stdout)["warnings"]] == ["Usage of undefined variable '$MISSING'"]
    assert lamella("images", "-q").stdout == ""


def test_check_goes_on_where_a_registry_does_not_answer(lamella: Lamella, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM 127.0.0.1:1/nobody\nLABEL a=$WHO\nMAINTAINER me\n")
    done = lamella("build", "--call=check,format=json", context, check=False)
    assert [one["ruleName"] for one in json.loads(done.stdout)["warnings"]] == ["MaintainerDeprecated"]
    assert "WARNING: 127.0.0.1:1/nobody cannot be asked for now" in done.stderr


def test_check_of_a_base_that_does_not_exist_is_an_error(lamella: Lamella, context: Path, registry: str) -> None:
    (context / "Dockerfile").write_text(f"FROM scratch AS a\nFROM {registry}/nobody\n")
    done = lamella("build", "--check", context, check=False)
    assert done.returncode == 1 and "Dockerfile:2" in done.stderr and "nobody" in done.stderr
