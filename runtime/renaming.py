"""Another name for a container."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, LamellaError
from core.value import replace
from runtime.container import Container
from runtime.containers import Containers


def rename(containers: Containers, container: Container, name: str) -> Container:
    """Call `container` `name` from now on; durable when this returns. Raises Conflict for a name that is taken, InvalidInput
    for what cannot be one."""
    old, name = container.name, name.removeprefix("/")
    if not name:
        raise InvalidInput("Neither old nor new names may be empty")

    def renamed(now: Container) -> Container:
        if now.name == name:
            raise InvalidInput("Renaming a container with the same name as its current name")
        try:
            return replace(now, name=containers.free_name(name))
        except LamellaError as error:
            kind = Conflict if isinstance(error, Conflict) else InvalidInput
            raise kind(f"Error when allocating new name: {error.message}", error.hint) from error

    changed = containers.change(container, renamed)
    if changed.net is not None:
        from runtime.rejoining import follow_name
        from runtime.state import state_directory

        follow_name(containers.root, state_directory(containers.root), changed, old)
    containers.note(changed, "rename", oldName=f"/{old}")
    return changed
