"""Layers that are a container's own files: what it had written became the layer, and it has no other copy.

`<root>/snapshots/<key>/lent` is a link to the layer's directory; without `upper` beside it, it stands for that. The row of
such a layer may be missing, where whoever was about to write it was killed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LENT = "lent"


def lent_layers(root: Path) -> set[str]:
    """The names of the layer directories that snapshots refer to: nobody's to take, whether they have a row or not."""
    found: set[str] = set()
    for key in os.listdir(root / "snapshots"):
        with contextlib.suppress(OSError):
            found.add(os.path.basename(os.readlink(root / "snapshots" / key / LENT)))
    return found
