"""History and inspect."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import Integrity
from image.config import History
from images.history import history
from images.inspect import describe
from images.publish import publish
from store.images import Image
from store.store import Store

Make = Callable[..., Image]


def test_steps_come_newest_first_and_parents_are_named_where_they_are_here(store: Store, make: Make) -> None:
    base = make("base:1", "base:2")
    child = make(parent=base)
    steps = history(store, child)
    assert [(s.image, s.created_by) for s in steps] == [(child.id, "RUN 2"), (base.id, "RUN 1")]
    assert [t.familiar for t in steps[1].tags] == ["base:1", "base:2"] and all(s.size > 0 for s in steps)


def test_steps_without_a_layer_have_no_size(store: Store, make: Make) -> None:
    config = store.images.config(make().id)
    empty = config.changed(history=(*config.history, History(created_by="CMD x", comment="note", empty_layer=True)))
    image = publish(store, empty, tags=[], parent=None)
    steps = history(store, image)
    assert [(s.created_by, s.size == 0, s.comment) for s in steps] == [("CMD x", True, "note"), ("RUN 1", False, "")]
    assert [s.image for s in steps] == [image.id, None]


def test_a_history_of_more_layers_than_there_are_is_refused(store: Store, make: Make) -> None:
    config = store.images.config(make().id)
    odd = publish(store, config.changed(history=config.history * 2), tags=[], parent=None)
    with pytest.raises(Integrity, match="more layers"):
        history(store, odd)


def test_inspect_has_dockers_fields(store: Store, make: Make, digest: Callable[[str], str]) -> None:
    parent = make("base")
    image = make("app", parent=parent, labels={"a": "1"}, digests=[f"app@{digest('m')}"])
    data = describe(store, image)
    assert data["RepoTags"] == ["app:latest"] and data["RepoDigests"] == [f"app@{digest('m')}"]
    assert (data["Id"], data["Parent"], data["Size"]) == (image.id, parent.id, image.size)
    assert data["Config"]["Labels"] == {"a": "1"} and data["Config"]["Entrypoint"] is None
    assert data["RootFS"] == {"Type": "layers", "Layers": list(image.diff_ids)}
    assert data["GraphDriver"]["Data"]["UpperDir"].startswith(str(store.root / "layers"))
    assert data["Created"].startswith("2023-11-14T") and data["Os"] == "linux"
