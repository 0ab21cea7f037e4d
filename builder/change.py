"""Dockerfile instructions that change an image's config alone: what `commit` and `import` take with `--change`."""

from __future__ import annotations

from collections.abc import Sequence

from builder.dockerfile.expand import Expander
from builder.dockerfile.instructions import Instruction
from builder.dockerfile.parser import parse_instructions
from builder.fold import fold
from builder.state import StageState, start_from
from image.config import ContainerConfig

# moby builder/dockerfile/dispatchers.go: what its `BuildFromConfig` accepts.
NAMES = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip


def changed(config: ContainerConfig, lines: Sequence[str]) -> ContainerConfig:
    """`config` after the instructions in `lines`, one after the other, with the variables of its own environment.

    An ENTRYPOINT takes the CMD away unless `lines` set one as well. Raises DockerfileError, pointing at the line.
    """
    state = start_from(config)
    for instruction in parse_instructions("\n".join(lines).encode("utf-8", "surrogateescape"), "--change"):
        if instruction.name not in NAMES:
            raise instruction.error(
                f"{instruction.name} is not a valid change command", f"use one of {', '.join(NAMES)}"
            )
        state = fold(state, _expanded(state, instruction))
    return state.config


def _expanded(state: StageState, instruction: Instruction) -> Instruction:
    return instruction.expanded(Expander(state.variables.get, "\\", _ignore))


def _ignore(name: str) -> None:
    """A variable that is not set is empty, as in a Dockerfile."""
