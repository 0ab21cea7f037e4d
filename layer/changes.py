"""What a layer's directory changes with respect to the layers below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import Unsupported

Kind = Literal["A", "C", "D"]


@dataclass(frozen=True, slots=True)
class Change:
    """`path` is absolute inside the image; A added, C changed, D deleted."""

    kind: Kind
    path: str


def changes(upper: Path, lowers: Sequence[Path]) -> Iterator[Change]:
    """The changes `upper` makes to `lowers` (overlay-format directories, bottom first), in sorted walk order."""
    raise Unsupported("not yet")
