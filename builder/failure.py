"""A step that failed: what, where in the Dockerfile, and the last it said."""

from __future__ import annotations

from builder.stages import Step
from core.errors import LamellaError


class StepFailed(LamellaError):
    """`what` is the reason in one line, `tail` the end of the step's output, `instruction` where it stands."""

    def __init__(self, step: Step, error: LamellaError, tail: bytes = b"") -> None:
        self.what = error.message
        self.title = step.title
        self.instruction = step.instruction
        self.tail = tail
        super().__init__(f"{step.instruction.span}: {error.message}", error.hint)
