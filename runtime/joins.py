"""Which networks a container is to be on. Loads nothing: whoever lists containers asks for each of them."""

from __future__ import annotations

import os
from pathlib import Path

from core import plain_json as json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.container import Container

OVERRIDE = "networks.json"  # in the container's directory: what connect and disconnect made of its joins


def joins_of(container: Container, directory: Path | str) -> list[dict[str, Any]]:
    """The networks the container is to be on, as last connected and disconnected; `directory` is its own."""
    path = f"{directory}/{OVERRIDE}"
    if not os.path.exists(path):
        return list(container.net.joins) if container.net else []
    with open(path, "rb") as file:
        return list(json.loads(file.read()))
