"""Once a layer is known to be damaged nobody runs it, builds on it, sends or copies it, until it is pulled or built again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.store import Store
from tests.conftest import Lamella
from tests.registry.client.shelf import Shelf
from tests.suites.damage import bottom, directory, found, kept_blob, some_file, spoil
from tests.suites.served import Served


@pytest.fixture
def stored(store_root: Path) -> Iterator[Store]:
    """The store that `lamella` works on."""
    with Store.open(store_root, sync=False) as opened:
        yield opened


def test_every_command_refuses_it_in_one_clear_line(
    lamella: Lamella, base: str, stored: Store, tmp_path: Path, registry: str
) -> None:
    lamella("create", "--name", "old", base, "true")
    lamella("tag", base, f"{registry}/{base}")
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nENV a=b\n")
    lamella("build", "-q", tmp_path)
    image = found(stored, base)
    spoil(some_file(stored, image))
    assert lamella("fsck", check=False).returncode == 1
    commands = (
        ("run", "--rm", base, "true"), ("run", base, "true"), ("create", base, "true"), ("start", "old"), ("start", "-a", "old"),
        ("build", tmp_path), ("push", f"{registry}/{base}"), ("save", "-o", tmp_path / "x.tar", base),
        ("image", "cp", f"store:{base}", f"oci:{tmp_path}/oci:x"), ("image", "mount", base), ("commit", "old"),
    )  # fmt: skip
    for command in commands:
        said = lamella(*command, check=False)
        lines = [line for line in said.stderr.splitlines() if "quarantine" in line]
        assert said.returncode and len(lines) == 1, (command, said)
        assert f"layer {image.diff_ids[0]} is damaged and in quarantine: it packs to" in lines[0]
        assert "lamella fsck --repair" in said.stderr
    assert lamella("ps", "-aq").stdout.count("\n") == 1  # nothing half made stays
    assert lamella("diff", "old").stdout == ""  # what can still be saved can be looked at
    assert lamella("rm", "old").stdout == "old\n"


def test_who_reads_it_first_finds_the_damage(
    lamella: Lamella, base: str, stored: Store, tmp_path: Path, registry: str
) -> None:
    lamella("tag", base, f"{registry}/{base}")
    image = found(stored, base)
    spoil(some_file(stored, image))
    for command in (
        ("push", f"{registry}/{base}"), ("save", "-o", tmp_path / "x.tar", base), ("image", "cp", base, f"oci:{tmp_path}/oci:x"),
    ):  # fmt: skip
        said = lamella(*command, check=False)
        assert said.returncode and "is damaged: it packs to" in said.stderr
        assert (bottom(stored, image).damaged or "").startswith("it packs to")
        assert "in quarantine" in lamella("run", "--rm", base, "true", check=False).stderr
        assert stored.quarantine.lift(bottom(stored, image))


@pytest.mark.parametrize("way", ["push", "save", "image cp"])
def test_a_kept_blob_that_is_damaged_is_found_by_who_sends_it(
    lamella: Lamella, registry: str, stored: Store, tmp_path: Path, way: str
) -> None:
    name = f"{registry}/app:1"
    shelf = Shelf(stored.root)
    shelf.image(name, {"one": b"1" * 999})
    shelf.close()
    lamella("push", name)
    lamella("rmi", name)
    lamella("pull", name)
    image = found(stored, name)
    spoil(kept_blob(stored, image))
    server = Served(tmp_path / "another")
    try:
        other = f"127.0.0.1:{server.port}/app:1"
        lamella("tag", name, other)
        words = {
            "push": [("push", other)] * 2,
            "save": [("save", "-o", tmp_path / "x.tar", name)] * 2,
            "image cp": [("image", "cp", name, f"oci:{tmp_path}/{number}:x") for number in (1, 2)],
        }[way]
        said = lamella(*words[0], check=False)
        assert said.returncode and "damaged" in said.stderr and bottom(stored, image).damaged
        lamella("pull", name)
        assert bottom(stored, image).damaged is None
        lamella(*words[1])
    finally:
        server.stop()


@pytest.mark.parametrize(
    "command", [("run", "--rm", "bb", "true"), ("create", "bb"), ("start", "old"), ("image", "mount", "bb")]
)
def test_a_directory_that_is_gone_is_seen_at_once(
    lamella: Lamella, base: str, stored: Store, command: tuple[str, ...]
) -> None:
    lamella("create", "--name", "old", base, "true")
    image = found(stored, base)
    place = directory(stored, image)
    place.rename(stored.root / "elsewhere")
    said = lamella(*command, check=False)
    assert said.returncode and f"layer directory {place.name} is missing" in said.stderr
    assert bottom(stored, image).damaged == "the directory is missing"


def test_a_build_that_misses_a_directory_makes_it_again_the_next_time(
    lamella: Lamella, base: str, stored: Store, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo one > /one\n")
    lamella("build", "-t", "app", tmp_path)
    top = stored.layers.get(found(stored, "app").diff_ids[-1])
    assert top
    stored.layer_path(top.directory).rename(stored.root / "elsewhere")
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo one > /one\nRUN cat /one > /two\n")
    said = lamella("build", "-t", "app", tmp_path, check=False)
    assert said.returncode and f"layer directory {top.directory} is missing" in said.stderr
    lamella("build", "-t", "app", tmp_path)
    assert lamella("run", "--rm", "app", "cat", "/two").stdout == "one\n"


def test_building_again_replaces_what_the_cache_has(lamella: Lamella, base: str, stored: Store, tmp_path: Path) -> None:
    lamella("create", "--name", "old", base, "cat", "/etc/group")
    context = tmp_path / "base"  # which ADDs an archive: the very same layer comes out again
    image = found(stored, base)
    layer = bottom(stored, image)
    group = stored.layer_path(layer.directory) / "etc/group"
    text = group.read_text()
    spoil(group)
    assert lamella("fsck", check=False).returncode == 1
    said = lamella("build", "-t", "bb", context)
    assert " CACHED" not in said.stderr and found(stored, base).diff_ids == image.diff_ids
    assert bottom(stored, image).directory == layer.directory and bottom(stored, image).damaged is None
    assert lamella("start", "-a", "old").stdout == text  # a container of before goes on, on the good one
    assert lamella("fsck").stdout.startswith("checked ")
    assert "CACHED" in lamella("build", "-t", "bb", context).stderr
    lamella("image", "prune", "-f")
    assert len(list((stored.root / "layers").iterdir())) == 1


def test_a_config_that_is_damaged_is_made_again_by_the_same_build(
    lamella: Lamella, base: str, stored: Store, tmp_path: Path
) -> None:
    image = found(stored, base)
    stored.blobs.path(image.id).unlink()
    spoil(stored.blobs.path(image.manifest.digest))
    assert lamella("fsck", check=False).returncode == 1
    assert "CACHED" in lamella("build", "-t", "bb", tmp_path / "base").stderr
    assert found(stored, base) == image
    lamella("fsck")


def test_loading_again_lifts_it(lamella: Lamella, base: str, stored: Store, tmp_path: Path) -> None:
    lamella("save", "-o", tmp_path / "x.tar", base)
    image = found(stored, base)
    spoil(some_file(stored, image))
    lamella("fsck", check=False)
    lamella("load", "-i", tmp_path / "x.tar")
    assert bottom(stored, image).damaged is None
    lamella("fsck")


def test_a_layer_below_a_running_container_is_not_taken_away(
    lamella: Lamella, base: str, stored: Store, registry: str
) -> None:
    name = f"{registry}/bb:1"
    lamella("tag", base, name)
    lamella("push", name)
    image = found(stored, base)
    lamella("run", "-d", "--name", "web", base, "sleep", "1000")
    try:
        spoil(directory(stored, image) / "etc/group")
        said = lamella("fsck", "--repair", check=False)
        assert said.returncode == 1 and "container web is using it; stop it first" in said.stdout
        pulled = lamella("pull", name, check=False)
        assert pulled.returncode and "container web is using it" in pulled.stderr
        assert lamella("exec", "web", "true").returncode == 0
    finally:
        lamella("rm", "-f", "web")
    lamella("fsck", "--repair")
    lamella("fsck")
    assert "lamella" not in lamella("run", "--rm", base, "cat", "/etc/group").stderr
