"""`signal` less the classes that it makes of the numbers, which take longer to load than most commands have to do with
signals. The very functions of the standard library, so that either may be used beside the other; numbers and handlers
are plain."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
else:
    import _signal as signal  # noqa: F401
