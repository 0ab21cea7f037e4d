"""From a solved stage to an image: config and history, then names, in one durable step."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder.cache import result_key
from builder.journal import Made
from builder.request import BuildRequest
from builder.stages import BaseImage, Stage
from core.clock import format_instant
from core.units import whole_number
from core.value import replace
from image.config import History, ImageConfig, scratch
from store.records import Record

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

COMMENT = "buildkit.dockerfile.v0"
_LAST_SECOND = 2**63 // 10**9 - 1  # of the time that 64 bits can count in nanoseconds; it is in the year 2262


def export(request: BuildRequest, store: Store, stage: Stage, made: Sequence[Made], epoch: int | None) -> Image:
    """The image of `stage`, whose layers are all in the store, with the tags asked for. `epoch` (ns) dates everything."""
    from images.publish import publish

    config, record = dated(store, undated(stage, made, request.labels), stage, made, epoch)
    base = stage.base if isinstance(stage.base, BaseImage) else stage.root_image
    parent = base.image.id if base else None
    image = publish(store, config, tags=request.tags, parent=parent, annotations=request.annotations)
    if record:
        store.records.add(record)
    return image


def undated(stage: Stage, made: Sequence[Made], labels: Mapping[str, str]) -> ImageConfig:
    """The config without the times of this build."""
    base = stage.root_image
    config = base.config if base else scratch()
    diff_ids = [*config.diff_ids, *(one.diff_id for one in made if one.diff_id)]
    assert len(diff_ids) == len(config.diff_ids) + len(made), "a layer was not hashed"
    own = [History("", e.created_by, COMMENT, "", not e.layer) for e in stage.state.history]
    return config.changed(
        config=replace(stage.state.config, labels=dict(stage.state.config.labels) | dict(labels)),
        diff_ids=tuple(diff_ids), history=(*config.history, *own), created="", author=stage.state.author,
    )  # fmt: skip


def dated(
    store: Store, config: ImageConfig, stage: Stage, made: Sequence[Made], epoch: int | None
) -> tuple[ImageConfig, Record | None]:
    """The config with its times, and the record that gives the same ones when the same image is built again: a rebuild
    that changes nothing must not change the ID."""
    layer_times = [one.created for one in made]
    key = result_key(config.encode() + json.dumps(layer_times).encode())
    found = store.records.get(key)
    if epoch is not None:
        created, record = epoch, None
        layer_times = [epoch] * len(made)
    elif found:
        created, record = found.created, None
    else:
        created = time.time_ns()
        record = Record(key, None, b"{}", created, created)
    own = len(stage.state.history)
    times = iter(layer_times)
    history = [
        replace(entry, created=format_instant(created if entry.empty_layer else next(times)))
        for entry in config.history[-own:]
    ] if own else []  # fmt: skip
    kept = config.history[: len(config.history) - own]
    return config.changed(history=(*kept, *history), created=format_instant(created)), record


def epoch_of(request: BuildRequest) -> int | None:
    """The SOURCE_DATE_EPOCH build arg in nanoseconds. Raises InvalidInput."""
    from core.errors import InvalidInput

    text = request.args.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    seconds = whole_number(text, _LAST_SECOND)
    if seconds is None:
        raise InvalidInput(f"invalid SOURCE_DATE_EPOCH: {text!r}", "give seconds since 1970, such as 1700000000")
    return seconds * 10**9
