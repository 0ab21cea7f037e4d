"""What a container has changed in the files of its image."""

from __future__ import annotations

from core.errors import Unavailable
from layer.changes import Change
from layer.changes import changes as compare
from runtime.container import Container
from runtime.containers import Containers
from runtime.stubs import OWN

_TRIES = 5


def changes(containers: Containers, container: Container) -> list[Change]:
    """Every change, in the order of a walk; what lamella itself put there is none. Raises Unavailable where the container
    changes its directories faster than they can be read."""
    lowers = containers.layers(container)
    for _ in range(_TRIES):
        with containers.snapshotter.written(container.id) as upper:
            try:
                return list(compare(upper, lowers, OWN))
            except FileNotFoundError:  # it runs, and has removed what we were about to look at
                continue
    raise Unavailable(
        f"container {container.name} changes too fast to be compared", "try again, or commit it and compare the image"
    )
