"""What is closed when the block that it is used in ends."""

from __future__ import annotations

from types import TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Closing:
    """Derive a class with a `close` from it: it is a context manager."""

    def close(self) -> None:
        """Harmless to repeat."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
