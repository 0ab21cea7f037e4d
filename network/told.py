"""What plug-ins have been told: a file for each network and endpoint, in the store's run-time state.

It is there before the plug-in hears of the thing, and goes after the plug-in has answered that it is gone. So whatever is
killed in between, and however long a plug-in is away, a later command knows what is still to be said.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.files import write_file
from core.value import Value

_PREFIX = "told."


class Told(Value):
    """`plugin` knows of the network, or of the endpoint on it."""

    plugin: str
    network: str
    endpoint: str = ""

    def path(self, state: Path) -> Path:
        return state / ".".join((_PREFIX.rstrip("."), self.network, *((self.endpoint,) if self.endpoint else ())))

    def write(self, state: Path) -> None:
        """Before it is told. Harmless to repeat."""
        write_file(self.path(state), self.plugin.encode(), mode=0o600, sync=False)

    def forget(self, state: Path) -> None:
        """After it is untold. Harmless to repeat."""
        self.path(state).unlink(missing_ok=True)

    def holds(self, state: Path) -> bool:
        return self.path(state).exists()


def told(state: Path) -> Iterator[Told]:
    """All that is written down, endpoints before their networks."""
    for path in sorted(state.glob(f"{_PREFIX}*"), key=lambda path: (-path.name.count("."), path.name)):
        try:
            yield Told(path.read_text(), *path.name.removeprefix(_PREFIX).split("."))
        except FileNotFoundError:
            continue
