"""The tags of a repository, page by page (distribution-spec "Listing Tags")."""

from __future__ import annotations

import json
import re

from registry.client.errors import Misbehaved
from registry.client.redirects import follow
from registry.client.remote import Repository
from registry.client.resolve import fetch
from registry.client.transport import Request
from registry.protocol import is_tag, tags_path

PAGE_BYTES = 8 << 20
MAX_PAGES = 10_000
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*rel="?next"?')


def tags(repository: Repository) -> list[str]:
    """Every tag, in the registry's order. Raises NotFound, Misbehaved for nonsense or a listing without end."""
    what = f"the tags of {repository}"
    url: str | None = repository.url(tags_path)
    found: dict[str, None] = {}
    for _ in range(MAX_PAGES):
        if url is None:
            return list(found)
        headers, raw = fetch(repository, url, what, PAGE_BYTES)
        before = len(found)
        found.update(dict.fromkeys(_parse(raw, what)))
        following = _NEXT.search(headers.get("link", ""))
        url = follow(Request("GET", url), following[1]).url if following and len(found) > before else None
    raise Misbehaved(f"{what} do not come to an end")


def _parse(raw: bytes, what: str) -> list[str]:
    try:
        names = json.loads(raw)["tags"] or []
        return [name for name in names if isinstance(name, str) and is_tag(name)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Misbehaved(f"{what}: the registry's answer is no list of tags") from error
