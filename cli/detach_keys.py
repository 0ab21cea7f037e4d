"""`--detach-keys`, and what Docker's own configuration says where that is not given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.settings import Settings


def detach_keys(settings: Settings, text: str | None) -> bytes:
    """The keys as bytes. Raises InvalidInput."""
    from runtime.detach_keys import parse

    return parse(_configured(settings) if text is None else text)


def _configured(settings: Settings) -> str:
    """`detachKeys` of config.json; whatever is wrong with the file is for those to say who need it."""
    import json
    from pathlib import Path

    place = Path(settings.environ.get("DOCKER_CONFIG") or settings.home / ".docker") / "config.json"
    try:
        found = json.loads(place.read_bytes())
        return str(found.get("detachKeys") or "") if isinstance(found, dict) else ""
    except (OSError, ValueError):
        return ""
