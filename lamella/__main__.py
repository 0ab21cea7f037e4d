"""Entry point: `lamella`, or `python -m lamella`."""

from __future__ import annotations

import gc
import os
import sys

# A command lives for a moment: collecting while it imports costs more than it ever frees.
GC_THRESHOLD = 50_000


def main() -> int:
    gc.set_threshold(GC_THRESHOLD)
    from cli.quick import quick

    code = quick(sys.argv[1:], os.environ)
    if code is not None:
        return code
    from cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
