"""A store, and images in it that need no build."""

from __future__ import annotations

from tests.suites.images import add_layer, digest, layers, make, store

__all__ = ["add_layer", "digest", "layers", "make", "store"]
