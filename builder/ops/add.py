"""ADD of local sources: as COPY, but an archive is unpacked. What is one is told by its content, never by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from builder.context import Source
from builder.ops.copy import CopyOp
from builder.ops.placement import Placement
from builder.stages import BaseImage, Ground, Output, Stage, Workspace
from core.errors import Integrity, InvalidInput
from core.value import Value

_REMOTE = re.compile(r"(https?|git|ssh|ftp)://|git@[^/]+:")
_BLOCK = 512


def is_remote(source: str) -> bool:
    """Whether a source of ADD is a URL or a git repository."""
    return bool(_REMOTE.match(source))


class AddOp(Value):
    copy: CopyOp
    unpack: bool

    def facts(self) -> list[Any]:
        return ["add", self.unpack, *self.copy.facts()]

    def inputs(self, work: Workspace) -> str:
        return self.copy.inputs(work)

    def origins(self) -> tuple[Stage | BaseImage, ...]:
        return ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        copy = self.copy
        with copy.sources_of(work) as (context, sources):
            if not (self.unpack and any(not source.is_directory and _is_archive(source.path) for source in sources)):
                copy.transfer(work, ground, context, sources)
                return
            with ground.mounted() as root, copy.placement(work, root, len(sources)) as place:
                copy.write_inline(place)
                copier = copy.copier(place)
                for source in sources:
                    if source.is_directory or not _unpack(source, place):
                        copy.copy_one(context, source, place, copier)


def _unpack(source: Source, place: Placement) -> bool:
    """Unpack `source` into the destination if it is an archive; whether it was."""
    from layer.apply import extract
    from layer.compression import decompressor

    if not _is_archive(source.path):
        return False
    os.close(place.open_directory())
    with source.path.open("rb") as file:
        extract(decompressor(file), place.root, place.path, owner=place.owner)
    return True


def _is_archive(path: Path) -> bool:
    """Whether the file is a tar, compressed or not: its first header must have a right checksum."""
    from layer.compression import decompressor

    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            stream = decompressor(file)
            head = b""
            while len(head) < _BLOCK and (piece := stream.read(_BLOCK - len(head))):
                head += piece
    except (Integrity, InvalidInput, OSError):
        return False
    return len(head) == _BLOCK and _checksum_is_right(head)


def _checksum_is_right(header: bytes) -> bool:
    digits = header[148:156].strip(b"\0 ")
    try:
        claimed = int(digits, 8)
    except ValueError:
        return False
    return claimed == sum(header) - sum(header[148:156]) + 8 * 0x20
