"""Cache keys. A key says everything that decides a step's result, and nothing else: no time, no label, no name of a stage.

Keys are chained: each contains the key before it, so none has to wait for the layer that the step before gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core import plain_json as json
from image.digest import DiffID, Digest
from image.platform import Platform

KEY_VERSION = 1  # to be raised when a step's result changes although its key does not

APART = "apart"  # what a step's key begins with that sees nothing of the tree below


def image_key(diff_ids: Sequence[DiffID], platform: Platform) -> str:
    """The key of a stage that starts from an image with these layers (none: scratch)."""
    return _hash(["from", [*diff_ids], str(platform)])


def step_key(before: str, facts: Sequence[Any], inputs: str) -> str:
    """The key after a step: `before` is the key it starts from, `inputs` the digest of what it reads."""
    return _hash(["step", before, facts, inputs])


def linked_key(before: str, own: str) -> str:
    """The key after a layer that was made apart, with the key `own`, has been put on top."""
    return _hash(["link", before, own])


def squash_key(whole: str) -> str:
    """The key of the one layer that all layers up to the key `whole` have been squashed into."""
    return _hash(["squash", whole])


def tree_key(before: str, wanted: Sequence[Any]) -> str:
    """The key of a note on the tree with the key `before`: what the files that are `wanted` of it hash to."""
    return _hash(["tree", before, wanted])


def result_key(config: bytes) -> str:
    """The key of a finished image: what its config says, its times apart."""
    return _hash(["result", config.decode()])


def check_key(facts: Sequence[Any]) -> str:
    """The key of what the build checks say."""
    return _hash(["check", facts])


def _hash(value: Any) -> str:
    text = json.dumps([KEY_VERSION, value], separators=(",", ":"), ensure_ascii=True)
    return Digest.of(text.encode()).hex
