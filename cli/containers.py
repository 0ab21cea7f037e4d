"""What every container command needs: the store's containers, and where their run-time state is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.settings import Settings
from core.closing import Closing
from core.errors import LamellaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.container import Container
    from runtime.containers import Containers
    from store.images import Image
    from store.store import Store


class Workshop(Closing):
    """One command's view of containers; a context manager."""

    def __init__(self, settings: Settings, *, making_room: bool = False) -> None:
        from cli.wiring import open_store
        from runtime.containers import Containers
        from runtime.state import state_directory
        from snapshot.choose import choose

        self.settings = settings
        self.store: Store = open_store(settings, making_room=making_room)
        self.containers: Containers = Containers(self.store, choose(self.store.root))
        self.state: Path = state_directory(settings.root)

    def image(self, text: str) -> Image:
        """The image that `text` means."""
        from images.resolve import resolve

        return resolve(self.store, text)

    def sweep(self) -> None:
        """Finish what killed processes left, and give those a supervisor or timer that have lost it, and names a steward."""
        self.containers.sweep()
        if os.path.exists(self.state / "steward.sock"):
            from runtime.stewarding import revive

            revive(self.store.root, self.state)
        for directory in self.containers.neglected():
            from cli.seeing_to import look_after

            look_after(self, directory)

    def close(self) -> None:
        """Harmless to repeat."""
        self.store.close()


def each(names: Sequence[str], work: Callable[[str], None]) -> int:
    """Do `work` for every name, going on past failures, which are told one by one; the exit code."""
    from cli.exit import Exit, report

    code = 0
    for name in names:
        try:
            work(name)
        except (LamellaError, Exit) as error:
            code = report(error)
    return code


def each_container(shop: Workshop, names: Sequence[str], work: Callable[[Container], None]) -> int:
    """Like `each`, on the containers that the names mean; prints each name when it is done."""

    def one(name: str) -> None:
        work(shop.containers.find(name))
        sys.stdout.write(f"{name}\n")

    return each(names, one)
