"""What takes up the disk, to the last block, and giving it back."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from image.descriptor import Descriptor
from image.media_types import OCI_LAYER
from store.holds import Hold
from store.images import Image
from store.records import Record
from store.store import Store
from tests.suites.stock import add_image
from tests.suites.stock import add_layer as add_stock_layer

Cli = Callable[..., tuple[int, str, str]]
Make = Callable[..., Image]


def du(root: Path) -> int:
    """What a stranger says."""
    done = subprocess.run(["du", "-s", "-x", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def parts(cli: Cli) -> dict[str, dict[str, int]]:
    rows = [json.loads(line) for line in cli("system", "df", "--format", "json")[1].splitlines()]
    fields = {"total": "TotalCount", "active": "Active", "size": "Bytes", "reclaimable": "ReclaimableBytes"}
    return {row["Type"]: {short: int(row[name]) for short, name in fields.items()} for row in rows}


@pytest.fixture
def full(store: Store, make: Make, cli: Cli) -> Store:
    """A store with some of everything."""
    base = make("base")
    make("app", parent=base)
    used, cached = make("used"), make()
    blob = store.blobs.add(b"compressed" * 1000)
    add_stock_layer(store, "foreign", blob=Descriptor(OCI_LAYER, blob, 10_000))
    add_image(store, "pulled", layers=["foreign"], tags=["pulled"])
    store.leases.close()
    store.records.add(Record("aa", cached.diff_ids[0], b"{}", 0, 0))
    store.images.delete(cached.id)
    cli("create", "--network", "none", "--name", "job", used.id, "true")
    (container,) = (store.root / "containers").iterdir()
    (container / "container.log").write_bytes(b"hello" * 2_000)
    (store.root / "tmp/left.blob").write_bytes(b"x" * 10_000)
    (store.root / "builds/b").mkdir()
    (store.root / "builds/b/001-RUN.log").write_bytes(b"y" * 5_000)
    (store.root / "swept").write_bytes(b"before this boot")
    store.close()
    return store


def test_df_adds_up_to_what_du_says(cli: Cli, full: Store) -> None:
    before = du(full.root)
    found = parts(cli)
    assert sum(part["size"] for part in found.values()) == before == du(full.root)
    assert all(found[name]["size"] for name in found if name != "Local Volumes")
    assert json.loads(cli("system", "df", "-v", "--format", "json")[1])["Total"] == before


def test_df_counts_a_file_with_two_names_once(cli: Cli, full: Store) -> None:
    layer = next(full.layers.all())
    path = full.layer_path(layer.directory)
    (path / "big").write_bytes(b"z" * 100_000)
    (path / "same").hardlink_to(path / "big")
    full.close()
    assert sum(part["size"] for part in parts(cli).values()) == du(full.root)


def test_df_knows_what_is_in_use(cli: Cli, full: Store) -> None:
    found = parts(cli)
    assert (found["Images"]["total"], found["Images"]["active"]) == (4, 1)
    assert (found["Containers"]["total"], found["Containers"]["active"]) == (1, 0)
    assert found["Build Cache"]["total"] == 1 and found["Build Cache"]["reclaimable"] == found["Build Cache"]["size"]
    assert 0 < found["Images"]["reclaimable"] < found["Images"]["size"]
    assert found["Temporary"]["reclaimable"] >= 10_000  # the rest is the fixtures', who are alive
    assert found["Logs"]["size"] >= 15_000 > found["Logs"]["reclaimable"] >= 10_000
    assert found["Blobs"]["total"] == 2 * 4 + 1


def test_df_counts_the_blob_of_a_layer_in_use_as_in_use(cli: Cli, full: Store) -> None:
    before = parts(cli)["Blobs"]
    cli("create", "--network", "none", "--name", "other", "pulled", "true")
    after = parts(cli)["Blobs"]
    assert after["active"] == before["active"] + 3, "a config, a manifest, a compressed layer"
    assert before["reclaimable"] - after["reclaimable"] >= 10_000 + 2 and after["size"] == before["size"]


def test_what_a_mounted_image_needs_is_not_reclaimable(cli: Cli, full: Store) -> None:
    before = parts(cli)
    image = next(image for image in full.images.all() if image.labels.get("name") == "pulled")
    full.holds.set(Hold("mount", "shown", "pulled", image.id, True))
    (full.root / "snapshots/shown").mkdir()
    full.close()
    after = parts(cli)
    assert after["Temporary"]["reclaimable"] == before["Temporary"]["reclaimable"]
    assert after["Temporary"]["active"] == before["Temporary"]["active"] + 1
    assert after["Images"]["reclaimable"] < before["Images"]["reclaimable"]


def test_what_df_calls_reclaimable_is_what_prune_gives_back(cli: Cli, full: Store) -> None:
    cli("rm", "job")
    promised = sum(part["reclaimable"] for part in parts(cli).values())
    before = du(full.root)
    from core.units import human_size

    assert cli("system", "prune", "-af")[1].splitlines()[-1] == (
        f"Total reclaimed space: {human_size(promised, digits=4)}"
    )
    assert sum(part["reclaimable"] for part in parts(cli).values()) == 0
    assert 0 < promised <= before - du(full.root), "directories may shrink, and the catalog's log goes"


def test_df_has_dockers_columns(cli: Cli) -> None:
    out = cli("system", "df")[1].splitlines()
    assert out[0] == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    assert out[1:4] == [
        "Images          0         0         0B        0B", "Containers      0         0         0B        0B",
        "Local Volumes   0         0         0B        0B",
    ]  # fmt: skip
    assert cli("image", "df")[1].splitlines() == out
    assert cli("system", "df", "--format", "{{.Type}}")[1].splitlines()[3:] == [
        "Build Cache", "Blobs", "Logs", "Temporary", "Catalog",
    ]  # fmt: skip


def test_df_in_detail_has_dockers_tables(cli: Cli, full: Store) -> None:
    out = cli("system", "df", "-v")[1]
    titles = [line for line in out.splitlines() if line.endswith(":") or line.startswith("Build cache usage")]
    assert [title.split(":")[0] for title in titles] == [
        "Images space usage", "Containers space usage", "Local Volumes space usage", "Build cache usage", "Other space usage",
    ]  # fmt: skip
    for heading in (
        "REPOSITORY   TAG       IMAGE ID       CREATED", "SHARED SIZE   UNIQUE SIZE   CONTAINERS", "VOLUME NAME   LINKS     SIZE",
        "CONTAINER ID   IMAGE", "LOCAL VOLUMES   SIZE", "CACHE ID   CACHE TYPE   SIZE",
    ):  # fmt: skip
        assert heading in out, heading
    assert out.splitlines()[-1].startswith(f"Total: {du(full.root)} bytes")
    assert cli("system", "df", "-v", "--format", "{{.ID}}")[0] == 1


def test_prune_lists_what_will_go_and_takes_no_for_an_answer(
    cli: Cli, full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = cli("system", "prune", "-a", "--filter", "until=24h")
    assert (code, out) == (0, "")
    assert err == (
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n"
        "  - all images without at least one container associated to them\n  - all build cache\n\n"
        "  Items to be pruned will be filtered with:\n  - until=24h\n\nAre you sure you want to continue? [y/N] "
    )
    assert full.images.count() == 4


def test_prune_takes_containers_images_and_cache_in_that_order(cli: Cli, full: Store) -> None:
    (hold,) = full.holds.all()
    code, out, _ = cli("system", "prune", "-af")
    assert code == 0 and out.startswith(f"Deleted Containers:\n{hold.id}\n\nDeleted Images:\nuntagged: ")
    assert "Deleted build cache objects:\naa\n\nTotal reclaimed space: " in out
    assert not full.images.count() and not list(full.layers.all()) and not list(full.records.all())
    assert not (full.root / "tmp/left.blob").exists() and not list((full.root / "layers").iterdir())


def test_prune_without_all_leaves_what_has_a_name(cli: Cli, full: Store, make: Make) -> None:
    loose = make()
    out = cli("system", "prune", "-f")[1]
    assert f"Deleted Images:\ndeleted: {loose.id}\n" in out and "untagged" not in out
    assert full.images.count() == 4


def test_prune_leaves_a_running_container_and_its_image(cli: Cli, make: Make, store: Store) -> None:
    image = make("app")
    cli("create", "--network", "none", "--name", "web", "app", "true")
    (hold,) = store.holds.all()
    cli("system", "prune", "-af", "--filter", "label!=nosuch", "--filter", "until=2001-01-01")
    assert list(store.holds.all()) == [hold] and store.images.get(image.id)


@pytest.mark.parametrize("words", [("--filter", "colour=red"), ("--filter", "until=1h", "--volumes")])
def test_prune_refuses_what_makes_no_sense(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli("system", "prune", "-f", *words)[0] == 1


def test_prune_takes_anonymous_volumes_where_it_is_asked_to(cli: Cli, store: Store) -> None:
    anonymous = cli("volume", "create")[1].strip()
    cli("volume", "create", "named")
    assert cli("system", "prune", "-f")[1].startswith("Total reclaimed space: ")
    code, out, err = cli("system", "prune", "-f", "--volumes")
    assert (code, err) == (0, "") and out.startswith(f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: ")
    assert cli("volume", "ls", "-q")[1] == "named\n"


def test_the_system_has_an_info_too(cli: Cli) -> None:
    assert (
        cli("system", "info", "--format", "{{.DockerRootDir}}")[1] == cli("info", "--format", "{{.DockerRootDir}}")[1]
    )
