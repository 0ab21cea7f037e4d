"""What `events` tells of networks, in Docker's words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Lamella, needs
from tests.runtime.test_networks import _nothing_of_networks_is_left

__all__ = ["_nothing_of_networks_is_left"]

pytestmark = needs("nft", "crun", "conmon")
TOLD = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}} {{.Actor.Attributes.container}}"


@pytest.fixture(autouse=True)
def _nothing_runs_on(lamella: Lamella, _nothing_of_networks_is_left: None) -> Iterator[None]:
    yield
    lamella("rm", "-f", "web", check=False)


def told(lamella: Lamella, template: str = TOLD) -> list[str]:
    """The events of networks so far."""
    words = ("events", "--since", "1h", "--until", "0s", "--filter", "type=network", "--format", template)
    return str(lamella(*words).stdout).splitlines()


def test_networks_come_and_go_and_containers_on_them(lamella: Lamella, bb: str) -> None:
    for name in ("app", "back", "idle"):
        lamella("network", "create", name)
    id = lamella("run", "-d", "--name", "web", "--network", "app", bb, "sleep", "300").stdout.strip()
    lamella("network", "connect", "back", "web")
    lamella("network", "disconnect", "back", "web")
    lamella("rm", "-f", "web")
    lamella("network", "rm", "app", "idle")
    lamella("network", "prune", "-f")
    none = "<no value>"
    assert told(lamella) == [
        f"create app bridge {none}", f"create back bridge {none}", f"create idle bridge {none}", f"connect app bridge {id}",
        f"connect back bridge {id}", f"disconnect back bridge {id}", f"disconnect app bridge {id}",
        f"destroy app bridge {none}", f"destroy idle bridge {none}", f"destroy back bridge {none}",
        f"prune {none} {none} {none}",
    ]  # fmt: skip
    assert told(lamella, "{{.Actor.Attributes.reclaimed}}")[-1] == "0"


def test_they_are_told_by_the_network_s_name_and_id(lamella: Lamella, bb: str) -> None:
    id = lamella("network", "create", "app").stdout.strip()
    lamella("run", "--rm", "--network", "app", bb, "true")
    words = ("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", "--filter")
    for chosen in ("network=app", f"network={id[:12]}"):
        assert lamella(*words, chosen).stdout == "create\nconnect\ndisconnect\n"
