"""`--squash`: all that a build adds to its base image in one layer, which has only what is left at the end."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING

from builder.cache import squash_key
from builder.growing import Log
from builder.journal import Made
from builder.state import Entry
from core.value import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.journal import Journal
    from builder.solver import Solver
    from builder.stages import Stage
    from builder.workbench import Tools


def squashed(
    solver: Solver, tools: Tools, journal: Journal, target: Stage, made: Sequence[Made]
) -> tuple[Stage, tuple[Made, ...]]:
    """The stage with a history of one layer, and that layer: from the cache, or merged now from `made`, which stay in the
    cache. To be called when everything is solved."""
    key = squash_key(solver.bench.key(target, len(target.steps)))
    task = tools.progress.task("squashing")
    layer = solver.look_up(key)
    if layer is None:
        layer = Made(_merged(tools, target, made), lambda: key, time.time_ns())
        journal.add(layer)
        task.finish()
    else:
        task.finish("CACHED")
    history = [replace(entry, layer=False) for entry in target.state.history]
    count = f"{len(made)} layers squashed into one"
    state = replace(target.state, history=Log([*history, Entry(f"SQUASH # {count}", True)]))
    return replace(target, state=state), (layer,)


def _merged(tools: Tools, target: Stage, made: Sequence[Made]) -> str:
    """The directory of a new layer on top of the base image: overlayfs writes down what is removed of that."""
    from snapshot.merging import merge

    image, snapshotter = target.root_image, tools.snapshotter
    key = f"squash-{secrets.token_hex(8)}"
    snapshotter.prepare(key, tools.layers.directories(image.image.diff_ids) if image else [])
    try:
        with snapshotter.mounted(key) as root:
            for one in made:
                merge(os.fspath(tools.store.layer_path(one.directory)), os.fspath(root))
        return snapshotter.seal(key)
    except BaseException:
        snapshotter.remove(key)
        raise
