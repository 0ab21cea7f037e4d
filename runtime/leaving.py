"""Off the networks: a container that has ended, and what killed processes left.

Loads little: every container that was on a network ends this way.
"""

from __future__ import annotations

from pathlib import Path

from network.hub import Hub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.container import Container


def leave(root: Path, container: Container) -> None:
    """Take a container that has ended off its networks. Harmless to repeat."""
    from runtime.state import state_directory

    with Hub(root, state_directory(root)) as hub:
        hub.release(container.id)


def clear(root: Path, state: Path) -> None:
    """What the steward has done when nobody is left: see `Hub.clear`."""
    from network.sweeping import sweep
    from runtime.state import note_root

    if (root / "catalog.db").exists():
        state.mkdir(0o700, parents=True, exist_ok=True)
        note_root(state, root)
    sweep(root, state, lambda id: is_alive(root, id))


def is_alive(root: Path, id: str) -> bool:
    """Whether somebody keeps, starts or ends the container: its lock tells."""
    from core.locks import is_locked

    return is_locked(root / "containers" / id / "state")


def clear_unused(root: Path, state: Path) -> None:
    """The same, for who is asked to do it now; a steward that was killed is started again where somebody needs it."""
    from runtime.stewarding import revive

    clear(root, state)
    revive(root, state)
