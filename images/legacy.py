"""Docker's archives from before 1.10: a directory for each layer (`json`, `layer.tar`, `VERSION`), and `repositories`.

There was no image config yet: it is made of the top layer's `json` and of what its ancestors tell, with the bytes that Docker
gives it, so that the image has the ID it has there.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from typing import Any

from core.errors import InvalidInput
from image.config import ImageConfig
from image.digest import DiffID
from image.reference import Reference
from images.candidate import Candidate
from images.shelf import BadArchive, Shelf, shown

REPOSITORIES = "repositories"
MAX_LAYERS = 1024
_DROPPED = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
DiffIDs = Callable[[str], DiffID]


def candidates(shelf: Shelf, diff_id_of: DiffIDs) -> list[Candidate]:
    """The images that `repositories` names, or without it those that no other is built on. `diff_id_of` receives a layer's
    file: only that tells its DiffID. Raises BadArchive."""
    tops: dict[str, list[Reference]] = {}
    for repository, tags in _repositories(shelf).items():
        for tag, top in tags.items():
            tops.setdefault(top, []).append(_reference(repository, tag))
    for top in _unnamed(shelf) if not tops else ():
        tops[top] = []
    return [_candidate(shelf, top, tuple(names), diff_id_of) for top, names in tops.items()]


def _repositories(shelf: Shelf) -> dict[str, dict[str, str]]:
    if REPOSITORIES not in shelf.names():
        return {}
    data = _object(shelf, REPOSITORIES)
    for tags in data.values():
        if not isinstance(tags, dict) or not all(isinstance(top, str) and _plain(top) for top in tags.values()):
            raise BadArchive(f"{REPOSITORIES} is not a map from names to tags to layers")
    return data


def _plain(name: str) -> bool:
    return bool(name) and "/" not in name and name not in (".", "..")


def _reference(repository: str, tag: str) -> Reference:
    try:
        return Reference.parse(f"{repository}:{tag}")
    except InvalidInput as error:
        raise BadArchive(f"{REPOSITORIES}: {error.message}") from error


def _unnamed(shelf: Shelf) -> list[str]:
    found = sorted(posixpath.dirname(name) for name in shelf.names() if posixpath.basename(name) == "layer.tar")
    parents = {_object(shelf, f"{one}/json").get("parent") for one in found}
    return [one for one in found if one not in parents]


def _object(shelf: Shelf, name: str) -> dict[str, Any]:
    try:
        data = json.loads(shelf.read(name))
    except (ValueError, RecursionError) as error:
        raise BadArchive(f"{shown(name)} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadArchive(f"{shown(name)} is not a JSON object")
    return data


def _candidate(shelf: Shelf, top: str, names: tuple[Reference, ...], diff_id_of: DiffIDs) -> Candidate:
    chain: list[tuple[str, dict[str, Any]]] = []
    current: str | None = top
    while current:
        if not _plain(current) or len(chain) == MAX_LAYERS or any(current == id for id, _ in chain):
            raise BadArchive(
                f"the layers of {shown(top)} make no sense: {shown(current)} is its own ancestor or no name"
            )
        data = _object(shelf, f"{current}/json")
        chain.insert(0, (current, data))
        parent = data.get("parent")
        current = parent if isinstance(parent, str) else None
    files = tuple(f"{id}/layer.tar" for id, _ in chain)
    diff_ids = [diff_id_of(file) for file in files]
    try:
        config = ImageConfig.parse(_config([data for _, data in chain], diff_ids))
    except InvalidInput as error:
        raise BadArchive(f"{shown(top)}/json: {error.message}") from error
    return Candidate(config, files, names)


def _config(chain: list[dict[str, Any]], diff_ids: list[DiffID]) -> bytes:
    config = {key: value for key, value in chain[-1].items() if key not in _DROPPED}
    config["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    config["history"] = [_history(data) for data in chain]
    text = json.dumps({key: config[key] for key in sorted(config)}, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # as Go writes JSON
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace")


def _history(data: dict[str, Any]) -> dict[str, Any]:
    container = data.get("container_config")
    words = container.get("Cmd") if isinstance(container, dict) else None
    created_by = " ".join(map(str, words)) if isinstance(words, list) else ""
    entry = {"created": data.get("created"), "author": data.get("author"), "created_by": created_by, "comment": data.get("comment")}  # fmt: skip
    return {key: value for key, value in entry.items() if value}
