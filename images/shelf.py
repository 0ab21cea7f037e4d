"""Where the files of an archive or layout are found by name: the names made safe, the links among them followed.

Nothing here is ever written to a path that the archive names: a file is a range of an archive or lies in a directory that
is opened without leaving it.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from core.errors import InvalidInput
from image.digest import DiffID, Digest

if TYPE_CHECKING:
    from layer.pipeline import Readable
    from store.layers import Layer

MAX_SMALL = 8 << 20
MAX_FILES = 100_000
MAX_LINKS = 16
Content = Callable[[], "AbstractContextManager[Readable]"]
"""Bytes that can be read as often as needed."""


class BadArchive(InvalidInput):
    """What was given to load or copy is no image archive, or contradicts itself."""


class Shelf(Protocol):
    """The files of one archive or layout. Its life: made, asked, closed by whoever made it."""

    def names(self) -> Collection[str]:
        """Every file's name, cleaned: no `./`, no slash in front."""

    def read(self, name: str, limit: int = MAX_SMALL) -> bytes:
        """A small file. Raises BadArchive where it is missing or larger than `limit` bytes."""

    def receive(self, name: str, diff_id: DiffID, blob: Digest | None = None) -> Layer:
        """The layer that the file `name` is, in the store up to `Layers.enter`; `diff_id` is what it ought to be (a layer
        that is in the store already is not read again), `blob` the digest of the file where that is known.

        Whether it is `diff_id` is for the caller to compare. Raises BadArchive, InvalidInput, Integrity, Unavailable."""


def cleaned(raw: bytes) -> str:
    """An archive's name as the shelf knows it. Raises BadArchive for one that leads out of the archive."""
    name = os.fsdecode(raw)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadArchive(f"the archive names a file outside of itself: {shown(name)}", "this is no image archive")
    return "/".join(parts)


def follow(name: str, links: dict[str, str]) -> str:
    """The file that `name` leads to through the archive's own symbolic links. Raises BadArchive for a way out or a loop."""
    asked = name
    for _ in range(MAX_LINKS):
        target = links.get(name)
        if target is None:
            return name
        name = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if name.startswith(("/", "../")) or name == "..":
            raise BadArchive(f"a link in the archive leads out of it: {shown(asked)}", "this is no image archive")
    raise BadArchive(f"too many links in the archive, at {shown(asked)}", "this is no image archive")


def missing(name: str) -> BadArchive:
    """The error for a file that something in the archive refers to."""
    return BadArchive(f"the archive lacks a file that it refers to: {shown(name)}", "it may have been cut short")


def too_big(name: str, size: int, limit: int) -> BadArchive:
    return BadArchive(f"{shown(name)} in the archive has {size} bytes where at most {limit} make sense")


def shown(name: str) -> str:
    """`name` for a message: printable and not endless."""
    text = "".join(c if c.isprintable() else "?" for c in name[:200])
    return text if len(name) <= 200 else text + "…"


def short(name: str) -> str:
    """What to call the layer in the file `name` while it is on its way."""
    digest = digest_of_name(name)
    return digest.short if digest else name.removesuffix("/layer.tar")[:12]


def blob_name(digest: Digest) -> str:
    """Where a layout has the blob (image-layout.md "Blobs")."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def digest_of_name(name: str) -> Digest | None:
    """The digest that a file in `blobs/` is named by."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "blobs":
        return None
    try:
        return Digest.parse(f"{parts[1]}:{parts[2]}")
    except InvalidInput:
        return None
