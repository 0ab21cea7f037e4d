"""A private store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.store import Store


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root, sync=False) as opened:
        yield opened
