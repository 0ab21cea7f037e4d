"""Networks on a private store: what a test makes on the machine goes with it, and nothing is left to see."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from network.bridge import remove_strays
from network.firewall import Firewall
from network.hub import Hub
from runtime.state import state_directory
from store.store import Store


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """The networks of a new store."""
    root = tmp_path / "store"
    Store.open(root, sync=False).close()
    state = state_directory(root)
    try:
        with Hub(root, state, sync=False) as made:
            yield made
    finally:
        remove_strays(state)
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        assert Firewall(state).table not in tables
        for name in state.iterdir():
            name.unlink()
        state.rmdir()
