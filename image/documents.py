"""JSON as the OCI specs have it: objects in UTF-8, written in one way only."""

from __future__ import annotations

from core import plain_json as json
from core.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def canonical_json(data: Any) -> bytes:
    """The bytes we give to JSON that we write: sorted keys, no blanks, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_object(raw: bytes, what: str) -> dict[str, Any]:
    """`raw` as a JSON object; `what` names it in the InvalidInput that is raised otherwise."""
    try:
        data = json.loads(raw.decode())  # by itself it would take UTF-16 as well, which nobody else reads
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    return data
