"""What RUN steps can be given besides files of stages: secrets, ssh agents, cache directories, places to put things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from core.value import Value, field

if TYPE_CHECKING:
    from builder.request import Agent
    from store.caches import Caches


class Supplies(Value):
    """`secrets` and `agents` by ID. `scratch` makes an empty directory on the store's disk, for a block. `namespace` is put
    before the names of cache directories; `waiting` takes its time while one is taken, and raises where the build ends."""

    caches: Caches
    scratch: Callable[[], AbstractContextManager[Path]]
    waiting: Callable[[], None]
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    namespace: str = ""
