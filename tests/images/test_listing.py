"""Which images a listing shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import InvalidInput
from images.filters import Filters
from images.listing import FILTERS, PAGE, listing
from images.resolve import ImageNotFound
from store.images import Image
from store.store import Store
from tests.suites.stock import add_image

Make = Callable[..., Image]


def shown(store: Store, *filters: str, name: str | None = None, all_images: bool = False) -> list[str]:
    rows = listing(store, Filters.parse(filters, FILTERS), name=name, all_images=all_images)
    return [",".join(r.familiar for r in (*row.tags, *row.digests)) or row.image.id.short for row in rows]


@pytest.fixture
def some(store: Store, make: Make) -> dict[str, str]:
    """Five images, in the order they were made."""
    parent = make()
    images = {
        "parent": parent, "child": make("child", parent=parent), "app": make("app:1", "app:2", labels={"a": "1", "b": ""}),
        "remote": make("localhost:5000/team/app:1", labels={"a": "2"}), "loose": make(),
    }  # fmt: skip
    return {name: image.id.short for name, image in images.items()}


def test_the_newest_comes_first_and_nameless_parents_are_hidden(store: Store, some: dict[str, str]) -> None:
    assert shown(store) == [some["loose"], "localhost:5000/team/app:1", "app:1,app:2", "child:latest"]
    assert shown(store, all_images=True)[-1] == some["parent"]


NAMES = [
    ("app", ["app:1,app:2"]), ("app:2", ["app:2"]), ("docker.io/library/app", ["app:1,app:2"]), ("nosuch", []), ("app:9", []),
    ("localhost:5000/team/app", ["localhost:5000/team/app:1"]), ("App", []), ("a*", ["app:1,app:2"]), ("*:1", ["app:1"]),
    ("*/*/app", ["localhost:5000/team/app:1"]), ("app:[13]", ["app:1"]), ("ch?ld", ["child:latest"]), ("team", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows"), NAMES, ids=[name for name, _ in NAMES])
def test_a_name_chooses_as_in_docker(store: Store, some: dict[str, str], name: str, rows: list[str]) -> None:
    assert shown(store, name=name) == rows
    assert shown(store, f"reference={name}") == rows


def test_several_references_are_ored_and_other_filters_anded(store: Store, some: dict[str, str]) -> None:
    assert shown(store, "reference=child", "reference=app:1") == ["app:1", "child:latest"]
    assert shown(store, "label=a") == ["localhost:5000/team/app:1", "app:1,app:2"]
    assert shown(store, "label=a", "label=b") == ["app:1,app:2"]
    assert shown(store, "label=a=2") == ["localhost:5000/team/app:1"]


def test_dangling_is_nameless_and_childless(store: Store, some: dict[str, str]) -> None:
    assert shown(store, "dangling=true") == [some["loose"]]
    assert shown(store, "dangling=true", all_images=True) == [some["loose"]]
    assert some["loose"] not in shown(store, "dangling=false")


def test_before_since_and_until_compare_creation(store: Store, some: dict[str, str]) -> None:
    assert shown(store, "before=app:1") == ["child:latest"]
    assert shown(store, "since=app:1") == [some["loose"], "localhost:5000/team/app:1"]
    assert shown(store, "since=child", "before=localhost:5000/team/app:1") == ["app:1,app:2"]
    assert shown(store, "before=localhost:5000/team/app:1", "before=app:1") == ["child:latest"]
    assert shown(store, "until=2001-01-01") == [] and len(shown(store, "until=1h")) == 4


def test_a_digest_alone_is_a_name_but_dangles(store: Store, make: Make, digest: Callable[[str], str]) -> None:
    make(digests=[f"r.io/app@{digest('m')}"])
    assert shown(store, name="r.io/app") == [f"r.io/app@{digest('m')}"]
    assert shown(store, name=f"r.io/app@{digest('m')}") == [f"r.io/app@{digest('m')}"]
    assert shown(store, "dangling=true") == [f"r.io/app@{digest('m')}"]


@pytest.mark.parametrize("text", ["colour=red", "dangling", "dangling=maybe", "until=soon"])
def test_a_filter_that_makes_no_sense_is_refused(store: Store, text: str) -> None:
    with pytest.raises(InvalidInput):
        shown(store, text)


def test_before_needs_an_image_that_exists(store: Store) -> None:
    with pytest.raises(ImageNotFound):
        shown(store, "before=nosuch")


def test_a_name_is_looked_up_and_not_searched_for(store: Store, some: dict[str, str]) -> None:
    """One indexed query a table: no plan may scan images or tags."""
    seen: list[str] = []
    connection = store.database.read()
    connection.set_trace_callback(seen.append)
    shown(store, name="app")
    connection.set_trace_callback(None)
    assert len(seen) <= 4
    for statement in seen:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not [
            step for step in plan if step.startswith(("SCAN images", "SCAN tags", "SCAN repository_digests"))
        ], plan


def test_the_first_rows_cost_one_page_however_many_images_there_are(store: Store) -> None:
    with store.transaction():
        for number in range(PAGE * 2 + 10):
            add_image(store, str(number), layers=["same"], created=number, tags=[f"app:{number}"])
    asked: list[str] = []
    connection = store.database.read()
    connection.set_trace_callback(asked.append)
    rows = listing(store, Filters({}))
    assert next(rows).tags[0].tag == str(PAGE * 2 + 9) and len(asked) == 3
    assert [int(row.tags[0].tag) for row in rows] == list(range(PAGE * 2 + 8, -1, -1)) and len(asked) == 3 * 3 + 1
    connection.set_trace_callback(None)


def test_images_that_come_and_go_while_a_listing_is_read_do_no_harm(store: Store) -> None:
    with store.transaction():
        for number in range(PAGE + 10):
            add_image(store, str(number), layers=["same"], created=number)
    rows = listing(store, Filters({}))
    seen = [next(rows).image.id]
    for image in list(store.images.all())[PAGE - 5 : PAGE + 5]:
        store.images.delete(image.id)
    seen += [row.image.id for row in rows]
    assert len(seen) == len(set(seen)) == PAGE + 5
