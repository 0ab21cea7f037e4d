"""Push, pull, login and logout as a user types them, against our registry and another's, with strangers looking on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Lamella, needs
from tests.registry.client.servers import run_docker_registry
from tests.registry.client.shelf import Shelf

HTPASSWD = "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"  # whose password is secret


@pytest.fixture(params=["lamella", "docker-registry"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Our registry, and another's."""
    if request.param == "lamella":
        yield request.getfixturevalue("registry")
        return
    with run_docker_registry("/usr/bin/docker-registry", tmp_path) as found:
        yield found


@pytest.fixture
def busybox(store_root: Path, rootfs: Path) -> Callable[[str], str]:
    """`busybox(name)` puts an image of the busybox root into the store that `lamella` uses."""

    def put(name: str, *more: dict[str, bytes]) -> str:
        import shutil

        shelf = Shelf(store_root)
        directory = shelf.store.layer_path("busybox")
        shutil.copytree(rootfs, directory, symlinks=True)
        from layer.pack import pack

        base = shelf.layers.adopt("busybox", pack(directory))
        top = [shelf.layer(files) for files in more or ({"hello": b"hello from a layer\n"},)]
        shelf.publish(name, [base, *top], ("/bin/cat", "/hello"))
        shelf.close()
        return name

    return put


def test_what_push_and_pull_print(lamella: Lamella, address: str, busybox: Callable[[str], str]) -> None:
    name = busybox(f"{address}/team/app:1.0")
    pushed = lamella("push", name).stdout.splitlines()
    assert pushed[0] == f"The push refers to repository [{address}/team/app]"
    assert sorted(line.partition(": ")[2] for line in pushed[1:-1]) == ["Pushed", "Pushed"]
    found = re.fullmatch(r"1\.0: digest: (sha256:[0-9a-f]{64}) size: \d+", pushed[-1])
    assert found
    again = lamella("push", name).stdout.splitlines()
    assert again[-1] == pushed[-1]
    assert [line.partition(": ")[2] for line in again[1:-1]] == ["Layer already exists"] * 2

    lamella("rmi", name)
    pulled = lamella("pull", name).stdout.splitlines()
    assert pulled[0] == "1.0: Pulling from team/app"
    assert pulled[-3:] == [f"Digest: {found[1]}", f"Status: Downloaded newer image for {name}", name]
    assert lamella("pull", name).stdout.splitlines()[-2] == f"Status: Image is up to date for {name}"
    assert lamella("pull", "-q", name).stdout == f"{name}\n"
    assert lamella("push", "-q", name).stdout == f"{name}\n"


def test_a_pulled_image_goes_on_with_its_digest(lamella: Lamella, address: str, busybox: Callable[[str], str]) -> None:
    first, second = busybox(f"{address}/a:1"), f"{address}/b:1"
    digest = lamella("push", first).stdout.split()[-3]
    lamella("rmi", first)
    lamella("pull", first)
    lamella("tag", first, second)
    out = lamella("push", second).stdout
    assert out.split()[-3] == digest
    assert "Mounted from a" in out


def test_a_pull_by_digest_needs_no_tag(lamella: Lamella, address: str, busybox: Callable[[str], str]) -> None:
    name = busybox(f"{address}/a:1")
    digest = lamella("push", name).stdout.split()[-3]
    lamella("rmi", name)
    out = lamella("pull", f"{address}/a@{digest}").stdout
    assert out.splitlines()[-1] == f"{address}/a@{digest}"


def test_all_tags_move_together(lamella: Lamella, address: str, busybox: Callable[[str], str]) -> None:
    name = busybox(f"{address}/a:1")
    lamella("tag", name, f"{address}/a:2")
    lamella("push", "-a", f"{address}/a")
    lamella("rmi", name, f"{address}/a:2")
    names = sorted(lamella("pull", "-q", "-a", f"{address}/a").stdout.split())
    assert names == [f"{address}/a:1", f"{address}/a:2"]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_every_compression_comes_back(
    lamella: Lamella, registry: str, busybox: Callable[[str], str], compression: str
) -> None:
    name = busybox(f"{registry}/a:1")
    lamella("push", "--compression", compression, name)
    lamella("rmi", name)
    lamella("pull", name)
    lamella("fsck")


@needs("skopeo", "podman")
def test_podman_runs_what_we_pushed(
    lamella: Lamella, address: str, busybox: Callable[[str], str], tmp_path: Path
) -> None:
    name = busybox(f"{address}/team/app:1.0")
    lamella("push", name)
    copied = tmp_path / "copied"
    _run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{copied}")
    assert (
        json.loads((copied / "manifest.json").read_text())["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    )
    with tempfile.TemporaryDirectory(prefix="lamella-", dir="/tmp") as home:  # podman takes no long path
        said = _podman(Path(home), "run", "--rm", "--network", "none", "--tls-verify=false", name)
    assert said == "hello from a layer\n"


def _podman(home: Path, *command: str) -> str:
    (home / "containers.conf").write_text("[containers]\ndefault_ulimits = []\n")
    places = ("--root", f"{home}/root", "--runroot", f"{home}/run", "--storage-driver", "vfs")
    kind = ("--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none")
    return _run("podman", *places, *kind, *command, CONTAINERS_CONF=f"{home}/containers.conf")


@needs("skopeo")
@pytest.mark.parametrize(
    "form", [("--format", "v2s2"), ("--format", "oci"), ("--dest-compress-format", "zstd", "--format", "oci")]
)
def test_we_pull_what_skopeo_pushed(
    lamella: Lamella, registry: str, busybox: Callable[[str], str], tmp_path: Path, form: tuple[str, ...]
) -> None:
    name, copy = busybox(f"{registry}/a:1"), f"{registry}/copied/by-skopeo:1"
    lamella("push", name)
    lamella("rmi", name)
    _run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/copy")
    _run("skopeo", "copy", "--dest-tls-verify=false", *form, f"dir:{tmp_path}/copy", f"docker://{copy}")
    before = _run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{copy}")
    lamella("pull", copy)
    lamella("fsck")
    lamella("tag", copy, f"{registry}/onward:1")
    lamella("push", f"{registry}/onward:1")
    assert _run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/onward:1") == before


@needs("docker-registry")
def test_logging_in_opens_what_is_guarded(lamella: Lamella, tmp_path: Path, busybox: Callable[[str], str]) -> None:
    env = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    with run_docker_registry("/usr/bin/docker-registry", tmp_path, HTPASSWD) as address:
        name = busybox(f"{address}/a:1")
        refused = lamella("push", name, env=env, check=False)
        assert refused.returncode == 1 and f"lamella login {address}" in refused.stderr
        wrong = lamella("login", "-u", "ann", "--password-stdin", address, env=env, input="wrong", check=False)
        assert wrong.returncode == 1 and "Succeeded" not in wrong.stdout
        right = lamella("login", "-u", "ann", "--password-stdin", address, env=env, input="secret\n")
        assert right.stdout == "Login Succeeded\n" and "unencrypted" in right.stderr
        lamella("push", name, env=env)
        assert lamella("logout", address, env=env).stdout == f"Removing login credentials for {address}\n"
        assert lamella("logout", address, env=env).stdout == f"Not logged in to {address}\n"
        assert lamella("pull", name, env=env, check=False).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pull", "127.0.0.1:1/nobody/home"), "nothing listens at http://127.0.0.1:1: connection refused"),
        (("push", "127.0.0.1:1/nobody/home"), "no image here is called 127.0.0.1:1/nobody/home:latest"),
        (("pull", "Upper/Case"), "must be lowercase"),
        (("pull", "a:b:c"), "invalid"),
        (("pull", "-a", "app:1"), "cannot be combined with --all-tags"),
        (("login", "--password-stdin", "h"), "needs --username"),
        (("login", "a b"), "invalid registry"),
        (("pull", "--platform", "a/b/c/d", "x"), "invalid platform"),
    ],
)
def test_bad_input_gets_one_clear_line(lamella: Lamella, arguments: tuple[str, ...], words: str) -> None:
    failed = lamella(*arguments, check=False)
    assert failed.returncode in (1, 2) and words in failed.stderr and "Traceback" not in failed.stderr


def test_what_is_not_there_is_named(lamella: Lamella, registry: str, store_root: Path) -> None:
    failed = lamella("pull", f"{registry}/no/such:tag", check=False)
    assert failed.returncode == 1
    assert f"the manifest of {registry}/no/such:tag: {registry} does not have it" in failed.stderr
    assert failed.stdout == ""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_pulls_leave_the_store_whole(
    lamella: Lamella, registry: str, busybox: Callable[..., str], tmp_path: Path, kill: signal.Signals
) -> None:
    name = busybox(f"{registry}/a:1", *({f"f{i}": os.urandom(2_000_000)} for i in range(4)))
    lamella("push", name)
    root = tmp_path / "killed"
    command = [sys.executable, "-m", "lamella", "--root", str(root), "pull", "-q", name]
    for number in range(8):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.25 + 0.09 * number)
        process.send_signal(kill)
        assert process.wait(10) in (-kill, 130, 0)
        lamella("--root", root, "fsck")
    lamella("--root", root, "pull", "-q", name)
    lamella("--root", root, "fsck")


def test_two_pulls_at_once_agree(
    lamella: Lamella, registry: str, busybox: Callable[[str], str], tmp_path: Path
) -> None:
    name = busybox(f"{registry}/a:1")
    lamella("push", name)
    command = [sys.executable, "-m", "lamella", "--root", str(tmp_path / "both"), "pull", "-q", name]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == [f"{name}\n"] * 2
    lamella("--root", tmp_path / "both", "fsck")


def _run(*command: str, **env: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **env})
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout
