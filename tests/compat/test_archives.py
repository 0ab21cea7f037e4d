"""docker, podman, skopeo and umoci read what `save` writes, and lamella what they write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compat.conftest import Run
from tests.conftest import Lamella, needs
from tests.suites.archives import LAYER, legacy, tar

pytestmark = needs("podman", "skopeo", "umoci", "dockerd", "busybox", "runc")
Words = tuple[object, ...]
Engine = Callable[..., str]


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """docker on a daemon of its own, with nothing in it."""
    with tempfile.TemporaryDirectory(prefix="dockerd") as short:
        place = Path(short)
        socket = f"unix://{place}/socket"
        words = ["dockerd", "--data-root", place / "data", "--exec-root", place / "exec", "-H", socket, "--pidfile", place / "pid",
                 "--bridge=none", "--iptables=false", "--storage-driver", "vfs"]  # fmt: skip
        path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        with (place / "log").open("wb") as log:
            daemon = subprocess.Popen(list(map(str, words)), stdout=log, stderr=log, env=path, start_new_session=True)

        def call(*command: object, input: bytes | None = None) -> str:
            done = subprocess.run(
                ["/usr/bin/docker", "-H", socket, *map(str, command)], capture_output=True, input=input, timeout=60
            )
            assert done.returncode == 0, f"{command}: {done.stdout!r}{done.stderr!r}"
            return done.stdout.decode()

        try:
            for _ in range(200):
                if subprocess.run(["/usr/bin/docker", "-H", socket, "version"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            yield call
        finally:
            daemon.terminate()
            daemon.wait(30)


@pytest.fixture
def podman(tmp_path: Path, run: Run) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="pod") as short:
        runc = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin")
        words = ("podman", "--root", tmp_path / "podman", "--runroot", short, "--storage-driver", "vfs", "--runtime", runc,
                 "--cgroup-manager", "cgroupfs")  # fmt: skip
        yield lambda *command: run(*words, *command)


@pytest.fixture
def saved(lamella: Lamella, base: str, tmp_path: Path) -> Path:
    """What lamella saves of an image of two layers with two names; `lamella` has it still."""
    context = tmp_path / "app"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {base}\nRUN echo hi >/greeting && ln /greeting /again && rm /etc/group\n"
    )
    lamella("build", "-q", "-t", "app:1", "-t", "app:2", context)
    lamella("save", "-o", tmp_path / "saved.tar", "app")
    return tmp_path / "saved.tar"


@pytest.fixture
def id(lamella: Lamella, saved: Path) -> str:
    return lamella("images", "-q", "--no-trunc", "app:1").stdout.strip()


@pytest.fixture
def elsewhere(lamella: Lamella, tmp_path: Path) -> Callable[..., str]:
    """lamella on another, empty store."""
    return lambda *words: lamella("--root", tmp_path / "elsewhere", *words).stdout


def test_docker_loads_it_under_the_same_id(docker: Engine, saved: Path, id: str) -> None:
    assert docker("load", "-i", saved) == "Loaded image: app:1\nLoaded image: app:2\n"
    assert docker("images", "-q", "--no-trunc", "app:2").strip() == id


def test_what_docker_saved_is_loaded_and_costs_no_more(
    docker: Engine, saved: Path, id: str, elsewhere: Callable[..., str], tmp_path: Path
) -> None:
    docker("load", "-i", saved)
    docker("save", "-o", tmp_path / "docker.tar", "app:1", "app:2")
    assert elsewhere("load", "-i", tmp_path / "docker.tar") == "Loaded image: app:1\nLoaded image: app:2\n"
    assert elsewhere("images", "-q", "--no-trunc", "app:1").strip() == id
    assert elsewhere("run", "--rm", "--network", "none", "app:1", "cat", "/again") == "hi\n"
    elsewhere("fsck")


def test_dockers_oldest_form_gets_dockers_id(docker: Engine, elsewhere: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_bytes(tar(*legacy(LAYER, LAYER, names={"old": {"1": "l1"}})))
    docker("load", "-i", tmp_path / "old.tar")
    elsewhere("load", "-i", tmp_path / "old.tar")
    assert elsewhere("images", "-q", "--no-trunc", "old:1") == docker("images", "-q", "--no-trunc", "old:1")


def test_podman_loads_it_and_runs_it(podman: Engine, saved: Path, id: str) -> None:
    podman("load", "-q", "-i", saved)
    assert id == "sha256:" + json.loads(podman("image", "inspect", "app:1"))[0]["Id"]
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    assert podman("run", "--rm", "--network", "none", *limits, "app:2", "cat", "/again") == "hi\n"


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_what_podman_saved_is_loaded(
    podman: Engine, saved: Path, elsewhere: Callable[..., str], tmp_path: Path, form: str
) -> None:
    podman("load", "-q", "-i", saved)
    podman("save", "-q", "--format", form, "-o", tmp_path / "made", "app:1")
    name = elsewhere("load", "-i", tmp_path / "made").removeprefix("Loaded image: ").strip()
    assert elsewhere("run", "--rm", "--network", "none", name, "cat", "/again") == "hi\n"
    elsewhere("fsck")


@pytest.mark.parametrize("source", ["docker-archive:{}:app:1", "oci-archive:{}:1"])
def test_skopeo_copies_out_of_it_and_the_id_stays(
    run: Run, saved: Path, id: str, elsewhere: Callable[..., str], tmp_path: Path, source: str
) -> None:
    run("skopeo", "copy", source.format(saved), f"docker-archive:{tmp_path}/skopeo.tar:app:9")
    assert elsewhere("load", "-i", tmp_path / "skopeo.tar") == "Loaded image: app:9\n"
    assert elsewhere("images", "-q", "--no-trunc", "app:9").strip() == id


def test_skopeo_and_image_cp_read_each_other(run: Run, lamella: Lamella, saved: Path, tmp_path: Path) -> None:
    digest = lamella("image", "cp", "app:1", f"oci:{tmp_path}/layout:1").stdout.strip()
    run("skopeo", "copy", f"oci:{tmp_path}/layout:1", f"oci-archive:{tmp_path}/skopeo.tar:1")
    assert json.loads(run("skopeo", "inspect", f"oci:{tmp_path}/layout:1"))["Digest"] == digest
    assert lamella("image", "cp", f"oci-archive:{tmp_path}/skopeo.tar:1", "back:1").stdout.startswith("sha256:")


def test_umoci_unpacks_it(run: Run, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    run("tar", "-C", tmp_path / "layout", "-xf", saved)
    assert run("umoci", "ls", "--layout", tmp_path / "layout").split() == ["1", "2"]
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/again").read_text() == "hi\n"
    assert not (tmp_path / "bundle/rootfs/etc/group").exists()
