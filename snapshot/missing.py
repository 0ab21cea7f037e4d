"""A layer's directory that is gone is damage that a glance shows: who sees it puts the layer into quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core.errors import LamellaError, NotFound

if TYPE_CHECKING:
    from store.store import Store

WHY = "the directory is missing"


class LayerMissing(NotFound):
    """The directory of a layer is gone."""

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"layer directory {directory} is missing",
            "repair it with `lamella fsck --repair`, or pull or build the image again",
        )
        self.directory = directory


@contextlib.contextmanager
def noted(store: Store) -> Iterator[None]:
    """Whatever directory is found to be missing in the block is written down, and the error goes on."""
    try:
        yield
    except LayerMissing as error:
        note(store, error)
        raise


def note(store: Store, error: NotFound) -> None:
    """Write down which directory is missing, if that is what `error` says."""
    if isinstance(error, LayerMissing):
        with contextlib.suppress(LamellaError):
            store.quarantine.add_directory(error.directory, WHY)


def refuse_missing(store: Store, directories: Iterable[str]) -> None:
    """Raises LayerMissing, written down, for the first of the layer directories that is not there."""
    with noted(store):
        for name in directories:
            if not store.layer_path(name).is_dir():
                raise LayerMissing(name)
