"""Running a piece of a test where it may mount what it likes, and where killing it frees everything."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def inside(work: Callable[[], object]) -> None:
    """Run `work` in a child with its own pid and mount namespaces; its failure is shown on stderr and fails the test."""
    from core.namespaces import contained

    def body() -> int:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = contained(body)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "see the traceback on stderr"
