"""ADD: as COPY, but an archive of the context is unpacked, and a source may be a URL or a git repository.

Those are stages of their own (`builder.ops.fetch`), from which is copied what they hold.
"""

from __future__ import annotations

import os
import re
from typing import Any

from builder.ops.copy import CopyOp
from builder.stages import Ground, Origin, Output, Workspace
from core.value import Value

_REMOTE = re.compile(r"(https?|git|ssh|ftp)://|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:")


def is_remote(source: str) -> bool:
    """Whether a source of ADD is a URL or a git repository, rather than a name in the context."""
    return bool(_REMOTE.match(source))


class Part(Value):
    """Neighbouring sources from one place; `unpack` says what happens to archives among them."""

    copy: CopyOp
    unpack: bool

    def facts(self) -> list[Any]:
        # Of what comes from elsewhere nobody reads, for the key, which files are left out.
        return [self.unpack, self.copy.facts(), [*self.copy.exclude] if self.copy.origin else []]

    def inputs(self, work: Workspace) -> str:
        """What comes from elsewhere is known by its version, so that nothing need be there to tell it."""
        return work.origin_key(self.copy.origin) if self.copy.origin else self.copy.inputs(work)

    def perform(self, work: Workspace, ground: Ground) -> None:
        from builder.ops.archive import is_archive, unpack

        copy = self.copy
        with copy.sources_of(work) as (context, sources):
            if not (self.unpack and any(not source.is_directory and is_archive(source.path) for source in sources)):
                copy.transfer(work, ground, context, sources)
                return
            with ground.mounted() as root, copy.placement(work, root, len(sources)) as place:
                copy.write_inline(place)
                copier = copy.copier(place)
                for source in sources:
                    if not source.is_directory and is_archive(source.path):
                        os.close(place.open_directory(plain=True))  # as BuildKit has it
                        unpack(source.path, place.root, place.path, place.owner)
                    else:
                        copy.copy_one(context, source, place, copier)


class AddOp(Value):
    """The parts in the order of the sources."""

    parts: tuple[Part, ...]

    def facts(self) -> list[Any]:
        return ["add", *(part.facts() for part in self.parts)]

    def inputs(self, work: Workspace) -> str:
        return " ".join(part.inputs(work) for part in self.parts)

    def origins(self) -> tuple[Origin, ...]:
        return tuple(part.copy.origin for part in self.parts if part.copy.origin)

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        for part in self.parts:
            part.perform(work, ground)
