"""The steward of a store's networks, as containers need it: started before they join, and again when it was killed.

Loads little: it is on the way of every container that comes onto a network.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.locks import is_locked
from network.overlay import ALIVE, LEASE
from network.visiting import Visit, forget_killed, visit_or_start, was_killed


def steward(root: Path, state: Path, *, wait: bool = True) -> Visit:
    """The steward, who knows of every container that runs. To be called in the host's own namespaces. Without `wait` it may
    still be starting, which is enough for a container that asks for no names."""
    top = str(Path(__file__).parent.parent)
    program = (
        f"import sys; sys.path[:0] = [{top!r}]; from pathlib import Path; from runtime.leaving import clear; "
        f"clear(Path({str(root)!r}), Path({str(state)!r}))"
    )
    found = visit_or_start(state, [sys.executable, "-S", "-E", "-c", program], wait=wait)
    if found.fresh:
        from runtime.rejoining import introduce_all

        introduce_all(root, state, found)
    return found


def revive(root: Path, state: Path) -> None:
    """Start the steward again if it was killed and somebody needs it. Costs next to nothing where it was not."""
    if (state / LEASE).exists() and not is_locked(state / ALIVE):
        from runtime.overlaying import revive

        revive(root, state)
    if not was_killed(state):
        return
    from network.tables import Networks

    networks = Networks(root)
    try:
        needed = networks.used()
    finally:
        networks.close()
    if needed:
        steward(root, state).close()
    else:
        from runtime.leaving import clear

        clear(root, state)  # as it would have done
        forget_killed(state)
