"""Entry point: `lamella`, or `python -m lamella`."""

from __future__ import annotations

import sys


def main() -> int:
    from cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
