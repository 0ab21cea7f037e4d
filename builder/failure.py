"""A step that failed: what, where in the Dockerfile, and the last it said."""

from __future__ import annotations

import errno

from builder.stages import Step
from core.errors import InvalidInput, LamellaError

OF_PATHS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP)  # what a Dockerfile's own names bring about
_MOST_SHOWN = 200


class StepFailed(LamellaError):
    """`what` is the reason in one line, `tail` the end of the step's output, `instruction` where it stands."""

    def __init__(self, step: Step, error: LamellaError, tail: bytes = b"") -> None:
        self.what = error.message
        self.title = step.title
        self.instruction = step.instruction
        self.tail = tail
        super().__init__(f"{step.instruction.span}: {error.message}", error.hint)


def wrong_path(error: OSError) -> InvalidInput:
    """What the kernel says of a path, which is told as whoever wrote it knows it: as it is in the image."""
    path = str(error.filename or "")
    _, root, inside = path.partition("/rootfs/")
    shown = f"/{inside}" if root else path
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[:_MOST_SHOWN]}…"
    return InvalidInput(f"{shown}: {(error.strerror or '').lower()}", "no step can make or read this path")
