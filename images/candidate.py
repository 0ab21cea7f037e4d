"""What an archive says about one image, before any of it is in the store."""

from __future__ import annotations

from core.value import Value
from image.config import ImageConfig
from image.digest import Digest
from image.manifest import Index, Manifest
from image.reference import Reference
from images.shelf import BadArchive


class Candidate(Value):
    """`files` are the layers' names on the shelf, bottom first. `manifest` is the image's own where the archive has one,
    `index` the index that its names stand for. `parent` is the image that it was built FROM, if it comes along or is here."""

    config: ImageConfig
    files: tuple[str, ...]
    names: tuple[Reference, ...] = ()
    manifest: Manifest | None = None
    index: Index | None = None
    parent: Digest | None = None

    def __post_init__(self) -> None:
        """Raises BadArchive where manifest and config disagree; the words are Docker's."""
        wanted, found = len(self.files), len(self.config.diff_ids)
        if wanted != found:
            raise BadArchive(f"invalid manifest, layers length mismatch: expected {wanted}, got {found}")
