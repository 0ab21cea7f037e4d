"""Flags with `=`, as Docker's scripts write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli.main import COMMANDS, load
from cli.spelling import respell
from store.images import Image
from tests.cli.conftest import Said

Cli = Callable[..., Said]
Make = Callable[..., Image]

# command, the words typed, what they have to mean (click's parameters)
CASES = [
    ("run", "--rm=true img", {"rm": True}),
    ("run", "--rm=false img", {"rm": False}),
    ("run", "--rm --rm=false img", {"rm": False}),
    ("run", "-it --tty=false img", {"tty": False, "interactive": True}),
    ("run", "-d=false --detach=true img", {"detach": True}),
    ("run", "--sig-proxy=false img", {"sig_proxy": False}),
    ("run", "-e=A=1 img", {"env": ("A=1",)}),
    ("run", "-eA=1 img", {"env": ("A=1",)}),
    ("run", "-dp=80:80 img", {"detach": True, "publish": ("80:80",)}),
    ("run", "-e --rm=true img", {"env": ("--rm=true",), "rm": False}),
    ("run", "img --rm=true -e=B=2", {"command": ("--rm=true", "-e=B=2"), "rm": False, "env": ()}),
    ("run", "-- img --tty=true", {"command": ("--tty=true",), "tty": False}),
    ("exec", "-i=true box env -u=X", {"interactive": True, "command": ("env", "-u=X")}),
    ("build", "-t=app . --pull=true --no-cache=false", {"tags": ("app",), "pull": True, "no_cache": False}),
    ("build", "--rm=false --force-rm=true --squash=false --quiet=1 .", {"quiet": True}),
    ("images", "-q=true --no-trunc=0", {"quiet": True, "no_trunc": False}),
    ("rmi", "--no-prune=true --force=F app", {"no_prune": True, "force": False}),
]


@pytest.mark.parametrize(("name", "words", "meaning"), CASES, ids=[f"{name} {words}" for name, words, _ in CASES])
def test_a_flag_with_a_value_means_what_it_says(name: str, words: str, meaning: dict[str, object]) -> None:
    command = load(COMMANDS[name][0])
    context = command.make_context(name, respell(command, words.split()))
    assert {key: context.params[key] for key in meaning} == meaning


def test_it_works_in_every_group(cli: Cli, make: Make) -> None:
    image = make("app:1")
    for words in (["images"], ["image", "ls"], ["image", "list"]):
        assert cli(*words, "-q=true", "--no-trunc=true").out == f"{image.id}\n"


def test_a_value_that_is_no_boolean_is_refused(cli: Cli) -> None:
    said = cli("images", "--quiet=maybe")
    assert said.code == 2 and "--quiet" in said.err
