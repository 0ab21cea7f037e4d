"""The commands of docs/store.md's last section, run as they stand there, save what they say they save."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.images import Image
from store.store import Store
from tests.conftest import ROOT, Lamella, needs
from tests.registry.client.shelf import Shelf
from tests.suites.damage import found

pytestmark = needs("sqlite3", "tar")
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/store.md").read_text(), re.S)
WHICH, FILES, CONFIG, LAYOUT, RECOVER = BLOCKS


def by_hand(*blocks: str, **variables: object) -> str:
    """What the shell says, in a mount namespace that ends with it."""
    given = "".join(f"{name}='{value}'\n" for name, value in variables.items())
    script = f"set -eu\n{given}{''.join(blocks)}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stored(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root, sync=False) as opened:
        yield opened


@pytest.fixture
def image(stored: Store, lamella: Lamella, registry: str) -> Image:
    """Two layers, the upper of which changes and adds; pulled as `REGISTRY/app:1`, built as `app:1`."""
    shelf = Shelf(stored.root)
    for name in ("app:1", f"{registry}/app:1"):
        shelf.image(name, {"both": b"below", "one": b"1"}, {"both": b"above", "two": b"2"}, cmd=("/start", "me"))
    shelf.close()
    lamella("push", f"{registry}/app:1")
    return found(stored, "app:1")


@pytest.mark.parametrize("layers", [1, 2])
def test_files_and_settings_come_out_of_the_directories(
    lamella: Lamella, stored: Store, image: Image, tmp_path: Path, layers: int
) -> None:
    name = "docker.io/library/app:1"
    if layers == 1:
        shelf = Shelf(stored.root)
        shelf.image("single", {"both": b"above", "one": b"1", "two": b"2"}, cmd=("/start", "me"))
        shelf.close()
        name = "docker.io/library/single:latest"
    said = by_hand(WHICH, FILES, CONFIG, root=stored.root, name=name, out=tmp_path / "out")
    assert f"{name}|sha256:" in said and json.loads(said.splitlines()[-1])["config"]["Cmd"] == ["/start", "me"]
    lamella("--root", tmp_path / "new", "import", tmp_path / "out/rootfs.tar", "rescued")
    with Store.open(tmp_path / "new") as new:
        [layer] = new.layers.all()
        files = {path.name: path.read_bytes() for path in new.layer_path(layer.directory).iterdir()}
    assert files == {"both": b"above", "one": b"1", "two": b"2"}


def test_a_pulled_image_comes_out_of_its_blobs_alone(
    lamella: Lamella, stored: Store, image: Image, registry: str, tmp_path: Path
) -> None:
    lamella("rmi", f"{registry}/app:1", "app:1")
    lamella("pull", f"{registry}/app:1")
    pulled = found(stored, f"{registry}/app:1")
    said = by_hand(LAYOUT, root=stored.root, out=tmp_path / "out", manifest=pulled.manifest.digest.hex)
    assert str(stored.blobs.path(pulled.manifest.digest)) in said
    for sha256, name in re.findall(r"^([0-9a-f]{64})  ([0-9a-f]{64})$", said, re.M):
        assert sha256 == name
    loaded = lamella("--root", tmp_path / "new", "load", "-i", tmp_path / "out/image.tar").stdout
    assert pulled.id in loaded
    lamella("--root", tmp_path / "new", "fsck")


def test_a_catalog_that_is_torn_is_read_as_far_as_it_goes(lamella: Lamella, store_root: Path, tmp_path: Path) -> None:
    shelf = Shelf(store_root)
    for number in range(60):
        shelf.image(f"app:{number}", {"file": b"%d" % number})
    shelf.close()
    names = lamella("images", "--format", "{{.Tag}} {{.ID}}").stdout
    lose_a_page(store_root / "catalog.db", "images")
    said = lamella("fsck", check=False)
    assert said.returncode == 1 and "How to recover by hand" in said.stderr and "Traceback" not in said.stderr
    by_hand(RECOVER, root=store_root, out=tmp_path / "out")
    said = lamella("fsck", "--repair", check=False)
    assert said.returncode == 0 and "entered it again" in said.stdout, said
    assert sorted(lamella("images", "--format", "{{.Tag}} {{.ID}}").stdout.split("\n")) == sorted(names.split("\n"))
    lamella("fsck")


def lose_a_page(path: Path, table: str) -> None:
    """Zeros where a leaf of `table` was."""
    ask = (
        f"PRAGMA wal_checkpoint(TRUNCATE); SELECT max(pageno) FROM dbstat WHERE name = '{table}' AND pagetype = 'leaf'"
    )
    said = subprocess.run(["sqlite3", path, ask], capture_output=True, text=True, check=True).stdout
    with path.open("r+b") as file:
        file.seek((int(said.split()[-1]) - 1) * 4096)
        file.write(bytes(4096))
