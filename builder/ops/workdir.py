"""WORKDIR: the directory is there from now on, and belongs to the user of now if it had to be made."""

from __future__ import annotations

import os
from typing import Any

from builder.ops.placement import Placement
from builder.stages import Ground, Origin, Output, Workspace
from core.value import Value


class WorkdirOp(Value):
    path: str
    user: str

    def facts(self) -> list[Any]:
        return ["workdir", self.path, self.user]

    def inputs(self, work: Workspace) -> str:
        return ""

    def origins(self) -> tuple[Origin, ...]:
        return ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        from runtime.user import lookup

        with ground.mounted() as root:
            owner = None
            if self.user and not os.path.isdir(Placement(root, self.path, True, 0).host_path()):
                found = lookup(root, self.user)
                owner = (found.uid, found.gid)
            with Placement(root, self.path, True, work.instant, owner) as place:
                os.close(place.open_directory())
