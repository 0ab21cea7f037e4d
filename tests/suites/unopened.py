"""A trap for whoever opens what must not be opened."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unopened(path: Path) -> Iterator[None]:
    """Make a fifo at `path` and fail if anybody opens it: what waits to write to it would go on."""
    os.mkfifo(path)
    went_on = threading.Event()

    def write() -> None:
        with path.open("wb"):
            went_on.set()

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.1)  # until it waits: one that comes later would not notice who came and went
    try:
        yield
        assert not went_on.wait(0.2)
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        thread.join()
