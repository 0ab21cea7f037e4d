"""What a step writes on: the tree below it, or an empty directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import Run
from builder.stages import Step

if TYPE_CHECKING:
    from layer.cloned import Original
    from snapshot.protocol import Snapshotter


class Fresh:
    """The `Ground` of one step: a snapshot that nothing has been written to."""

    def __init__(self, snapshotter: Snapshotter, key: str) -> None:
        self._snapshotter = snapshotter
        self._key = key
        self.originals: dict[int, Original] = {}

    def mounted(self) -> contextlib.AbstractContextManager[Path]:
        return self._snapshotter.mounted(self._key)

    def upper(self) -> Path | None:
        place: Callable[[str], Path] | None = getattr(self._snapshotter, "upper", None)
        return place(self._key) if place else None

    def cloned(self, originals: Mapping[int, Original]) -> None:
        self.originals.update(originals)


class Bare(Fresh):
    """The `Ground` of a first step on scratch: with nothing below, nothing need be mounted."""

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        if place := Fresh.upper(self):
            yield place
        else:
            with super().mounted() as root:
                yield root


class Apart(Bare):
    """The `Ground` of a step that sees nothing of the tree (--link): an empty directory, which is not mounted where it need
    not be, for overlayfs would say of each new directory that it hides what is below."""

    def upper(self) -> Path | None:
        return None


def ground_of(step: Step, parents: Sequence[str]) -> type[Fresh]:
    """What `step` writes on, with the layer directories `parents` below it."""
    if step.apart:
        return Apart
    return Fresh if parents or isinstance(step.instruction, Run) else Bare
