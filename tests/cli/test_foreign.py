"""Docker's flags that lamella does not have: a script that uses them works, is warned, or is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.version import VERSION
from image.platform import host_platform
from tests.cli.conftest import Said
from tests.conftest import Lamella, needs

Cli = Callable[..., Said]

# The command with the flag gets as far as looking for an image or a directory that is not there.
ACCEPTED = [
    "run --pull=never --log-driver json-file --log-opt max-size=1m nosuch",
    "run --pull=never --disable-content-trust=false --expose 80 --restart=no nosuch",
    f"create --pull=never -a stdout --platform {host_platform()} nosuch",
    "build --cache-from app:cache --provenance=false --sbom=false --output=type=docker /nosuch",
    "build --push=false --load --rm --force-rm=false -m 1g /nosuch",
    "exec --detach-keys ctrl-x nosuch true",
    "start --detach-keys=ctrl-x -a nosuch",
]
DISCARDED = [
    ("run --pull=never --kernel-memory=1g --rm=true nosuch", "--kernel-memory"),
    ("create --pull=never --kernel-memory=1g nosuch", "--kernel-memory"),
    ("run --pull=never --cpu-rt-runtime=95000 nosuch", "--cpu-rt-runtime"),
    ("update --cpu-rt-period=1000 --restart=no nosuch", "--cpu-rt-period"),
    ("build --cache-to type=registry,ref=x /nosuch", "--cache-to"),
]
REFUSED = [
    ("run --link-local-ip 169.254.3.4 nosuch", "--link-local-ip", 125),
    ("run --use-api-socket nosuch", "--use-api-socket", 125),
    ("container create --cpu-count 2 nosuch", "--cpu-count", 125),
    ("start --checkpoint before nosuch", "--checkpoint", 1),
    ("rm --link /web/db", "--link", 1),
    ("rm -fl /web/db", "--link", 1),
    ("volume create --scope multi data", "--scope", 1),
    ("volume ls --cluster", "--cluster", 1),
    ("build -o out /nosuch", "--output", 1),
]


@needs()
@pytest.mark.parametrize("words", ACCEPTED)
def test_a_flag_that_changes_nothing_is_accepted(lamella: Lamella, words: str) -> None:
    said = lamella(*words.split(), check=False).stderr
    assert "nosuch" in said and "option" not in said and "WARNING" not in said


@needs()
@pytest.mark.parametrize(("words", "flag"), DISCARDED)
def test_a_limit_that_is_lost_is_said(lamella: Lamella, words: str, flag: str) -> None:
    said = lamella(*words.split(), check=False).stderr
    warning, error = said.splitlines()[:2]
    assert warning.startswith(f"WARNING: {flag} is discarded: ") and error.startswith("lamella: ") and "nosuch" in error


@pytest.mark.parametrize(("words", "flag", "code"), REFUSED)
def test_what_would_change_the_outcome_is_refused(cli: Cli, words: str, flag: str, code: int) -> None:
    said = cli(*words.split())
    assert said.code == code
    assert said.err.startswith(f"lamella: {flag} is not supported by lamella\n  ")


@needs()
@pytest.mark.parametrize("words", ["network create --cpu-count 2 one", "volume rm --link one"])
def test_a_flag_of_another_command_of_docker_s_is_none(lamella: Lamella, words: str) -> None:
    assert "No such option" in lamella(*words.split(), check=False).stderr


@needs()
def test_what_docker_does_not_know_is_no_option(lamella: Lamella) -> None:
    said = lamella("run", "--memory", "1g", "--nonsense", "app", check=False)
    assert (said.returncode, said.stderr.split("\n")[0]) == (125, "lamella: No such option '--nonsense'.")


def test_a_command_of_docker_s_that_is_not_there_is_no_typing_mistake(cli: Cli) -> None:
    assert cli("swarm", "init").err.startswith("lamella: the command 'swarm' is not there yet\n")
    assert "lamella build, lamella builder" in cli("buildx", "ls").err
    assert "did you mean 'image'" in cli("imagse").err


def test_without_a_command_there_is_help(cli: Cli) -> None:
    for words in ([], ["image"], ["container"], ["builder"]):
        said = cli(*words)
        assert (said.code, said.err, said.out[:7]) == (0, "", "Usage: ")


def test_version_is_a_flag_as_well(cli: Cli) -> None:
    assert cli("--version").out == cli("-v").out == f"lamella version {VERSION}\n"
