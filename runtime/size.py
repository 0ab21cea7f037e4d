"""How much a container has written."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.container import Container
from runtime.containers import Containers
from snapshot.lending import contents


def written(containers: Containers, container: Container) -> int:
    """Bytes in the files that the container made or changed."""
    return _files(contents(containers.store.root / "snapshots" / container.id))


def _files(path: Path) -> int:
    total, pending = 0, [os.fspath(path)]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                total += entry.stat(follow_symlinks=False).st_size
    return total
