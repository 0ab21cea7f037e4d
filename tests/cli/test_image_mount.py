"""`image mount`: what is shown is the image, held until it is unmounted, and nothing stays."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.state import state_directory
from tests.conftest import Lamella, needs

pytestmark = needs("mount")


@pytest.fixture
def app(lamella: Lamella, base: str, tmp_path: Path) -> str:
    """An image of several layers that hides things of the lower ones."""
    context = tmp_path / "app"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM bb\nRUN rm /etc/group; echo x > /new\nRUN rm -r /root && mkdir /root\n")
    lamella("build", "-q", "-t", "app", context)
    return "app"


@pytest.fixture(autouse=True)
def _unmounted(lamella: Lamella, store_root: Path) -> Iterator[None]:
    yield
    lamella("image", "unmount", "-af")
    assert str(state_directory(store_root)) not in Path("/proc/mounts").read_text()
    assert os.listdir(state_directory(store_root) / "images") == ["lock"]


def test_the_image_is_shown_read_only(lamella: Lamella, app: str) -> None:
    path = Path(lamella("image", "mount", app).stdout.strip())
    assert (path / "new").read_text() == "x\n" and (path / "etc/passwd").exists() and not (path / "etc/group").exists()
    with pytest.raises(OSError, match="Read-only"):
        (path / "x").touch()


def test_an_image_of_one_layer_too(lamella: Lamella, base: str) -> None:
    path = Path(lamella("image", "mount", base).stdout.strip())
    assert (path / "bin/busybox").exists() and sorted(os.listdir(path)) == [
        "bin", "dev", "etc", "proc", "root", "sys", "tmp"
    ]  # fmt: skip


def test_what_is_mounted_is_listed(lamella: Lamella, app: str) -> None:
    assert lamella("image", "mount").stdout == ""
    path = lamella("image", "mount", app).stdout.strip()
    assert lamella("image", "mount").stdout == f"app:latest {path}\n"
    found = json.loads(lamella("image", "mount", "--format", "json").stdout)
    assert [(one["Repositories"], one["mountpoint"]) for one in found] == [(["app:latest"], path)]
    several = lamella("image", "mount", "-a").stdout.splitlines()
    assert sorted(line.split()[0] for line in several) == ["app:latest", "bb:latest"]


def test_it_stays_as_often_as_it_was_asked_for(lamella: Lamella, app: str) -> None:
    path = Path(lamella("image", "mount", app).stdout.strip())
    assert lamella("image", "mount", app).stdout.strip() == str(path)
    id = lamella("image", "unmount", app).stdout
    assert id == lamella("images", "-q", "--no-trunc", app).stdout.removeprefix("sha256:") and path.is_mount()
    lamella("image", "umount", app)
    assert not path.exists()
    done = lamella("image", "unmount", app, check=False)
    assert done.returncode == 1 and "is not mounted" in done.stderr


def test_a_mounted_image_is_not_removed(lamella: Lamella, app: str) -> None:
    path = Path(lamella("image", "mount", app).stdout.strip())
    done = lamella("rmi", app, check=False)
    assert done.returncode == 1 and "lamella image unmount app" in done.stderr
    lamella("rmi", "-f", app)
    lamella("image", "prune", "-af")
    assert (path / "new").read_text() == "x\n"
    lamella("image", "unmount", "-a")
    assert lamella("image", "prune", "-f").stdout.startswith("Deleted Images:")


def test_after_a_restart_of_the_machine_nothing_is_mounted(lamella: Lamella, app: str, store_root: Path) -> None:
    for _ in range(2):
        path = lamella("image", "mount", app).stdout.strip()
    subprocess.run(["umount", path], check=True)
    os.rmdir(path)
    assert lamella("image", "mount").stdout == ""
    lamella("image", "mount", app)
    subprocess.run(["umount", path], check=True)
    assert "Untagged: app:latest" in lamella("rmi", app).stdout


def test_what_still_reads_there_does_not_hinder(lamella: Lamella, app: str) -> None:
    path = lamella("image", "mount", app).stdout.strip()
    with open(f"{path}/new", encoding="ascii") as file:
        lamella("image", "unmount", app)
        assert file.read() == "x\n" and not os.path.exists(path)


def test_copies_are_shown_where_overlays_do_not_work(lamella: Lamella, app: str, store_root: Path) -> None:
    (store_root / "snapshotter").write_text((store_root / "snapshotter").read_text().replace("overlay", "copying"))
    path = Path(lamella("image", "mount", app).stdout.strip())
    assert (path / "new").read_text() == "x\n" and not path.is_mount()
    lamella("image", "prune", "-f")
    assert lamella("image", "mount").stdout == f"app:latest {path}\n" and (path / "new").exists()
    lamella("image", "unmount", app)
    assert not path.exists() and os.listdir(store_root / "snapshots") == []
