"""Entry point: `lamella`, or `python -m lamella`."""

from __future__ import annotations

import gc
import os
import sys

from cli.exit import leave, report
from core import interrupts, lightly
from core.errors import LamellaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# A command lives for a moment: collecting while it imports costs more than it ever frees.
GC_THRESHOLD = 50_000


def main() -> NoReturn:
    """Do what the command line says, and end the process with its exit code.

    At once: taking the interpreter down piece by piece would cost a third of a short command, and a Ctrl-C in that time
    would turn what is done and reported into a failure.
    """
    gc.set_threshold(GC_THRESHOLD)
    lightly.load_pathlib()
    try:
        interrupts.heed()
        code = _command()
    except (KeyboardInterrupt, LamellaError, OSError) as error:  # before, or while, what does the work was loaded
        code = report(error)
    leave(code)


def _command() -> int:
    if os.geteuid():
        from cli.rootless import enter

        enter(sys.argv[1:], os.environ)
    from cli.quick import quick

    code = quick(sys.argv[1:], os.environ)
    if code is not None:
        return code
    from cli.main import main as run

    return run()


if __name__ == "__main__":
    main()
