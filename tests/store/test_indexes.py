"""Costs do not grow with what is there: whatever a command asks of the catalog is answered from an index."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from image.digest import DiffID, Digest
from image.reference import Reference
from store.collect import collect
from store.holds import Hold
from store.records import Record
from store.store import Store
from tests.suites.stock import add_image, add_layer

NAME = Reference.parse("app:1")
ID, DIFF, KEY = Digest.of(b"?"), DiffID.of(b"?"), "00"
BIG = (
    "images",
    "tags",
    "layers",
    "image_layers",
    "layer_blobs",
    "records",
    "repository_digests",
    "hold_layers",
    "holds",
)


def remove(store: Store) -> None:
    store.tags.delete(Reference.parse("one").tagged())
    store.images.delete(next(iter(store.images.dangling())).id)


def free(store: Store) -> None:
    remove(store)
    collect(store)


def hold(store: Store) -> None:
    store.holds.set(Hold("build", "b", "b", ID, True))
    store.holds.delete("build", "b")


QUESTIONS: dict[str, Callable[[Store], object]] = {
    "get an image": lambda s: s.images.get(ID),
    "find by prefix": lambda s: s.images.find("ab"),
    "a first page": lambda s: s.images.page(20),
    "a later page": lambda s: s.images.page(20, next(s.images.all())),
    "a page of dangling ones": lambda s: s.images.page(20, next(s.images.all()), dangling=True),
    "a page without parents": lambda s: s.images.page(20, intermediate=False),
    "dangling": lambda s: list(s.images.dangling()),
    "children": lambda s: s.images.children(ID),
    "using a layer": lambda s: s.images.using(DIFF),
    "by manifest": lambda s: s.images.by_manifest(ID),
    "touch": lambda s: s.images.touch(ID),
    "add an image": lambda s: add_image(s, "new", tags=["new"]),
    "untag and delete": remove,
    "get a tag": lambda s: s.tags.get(NAME),
    "names that begin so": lambda s: (s.tags.beginning("a", 9), s.tags.beginning("docker.io/library/app:1", 9)),
    "names of images": lambda s: s.tags.names_of_images([ID]),
    "tags of a repository": lambda s: s.tags.of_repository("docker.io/library/app"),
    "digests of an image": lambda s: s.tags.digests_of(ID),
    "get a digest": lambda s: s.tags.get_digest(NAME.with_digest(ID)),
    "get a layer": lambda s: s.layers.get(DIFF),
    "sizes of layers": lambda s: s.layers.sizes([DIFF]),
    "known blobs": lambda s: s.layers.known_blobs(DIFF),
    "by blob": lambda s: s.layers.by_blob(ID),
    "by directory": lambda s: s.layers.by_directory("x"),
    "add a layer": lambda s: add_layer(s, "new"),
    "get a record": lambda s: s.records.get(KEY),
    "records of a layer": lambda s: s.records.of_layer(DIFF),
    "add a record": lambda s: s.records.add(Record("11", None, b"", 0, 0)),
    "touch records": lambda s: s.records.touch([KEY]),
    "holds of an image": lambda s: s.holds.of_image(ID),
    "hold and let go": hold,
    "lease an image": lambda s: s.leases.session.hold_image(ID),
    "is it leased": lambda s: s.leases.holds_image(ID),
    "refuse an image": lambda s: s.layers.refuse_image(ID),
    "refuse a hold": lambda s: s.layers.refuse_hold("container", "c"),
    "refuse what runs": lambda s: s.quarantine.refuse_running(DIFF),
    "put into quarantine": lambda s: s.quarantine.add(add_layer(s, "parent"), "bad"),
    "what is in quarantine": lambda s: list(s.quarantine.all()),
    "end a lease": lambda s: s.leases.close(),
    "collect": free,
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_table_is_searched_from_end_to_end(store: Store, question: str) -> None:
    parent = add_image(store, "parent")
    add_image(store, "one", parent=parent.id, tags=["one"])
    connection = store.database.read()
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    QUESTIONS[question](store)
    connection.set_trace_callback(None)
    assert asked
    scans = []
    for statement in asked:
        if re.match(r"(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement):
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            scans += [
                f"{line}: {statement}"
                for line in plan
                if re.match(rf"SCAN ({'|'.join(BIG)})( USING COVERING.*)?$", line)
            ]
    assert not scans
