"""What most tests need: a busybox root file system, a private store, the command line, a registry."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.ordinary import Ordinary

ROOT = Path(__file__).parent.parent
# Containers of tests that are not about networks do without one of their own; `LAMELLA_NETWORK=bridge make test` gives each one.
os.environ.setdefault("LAMELLA_NETWORK", "host")
Lamella = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several workers share the tests, a file stays with one, and so does all that needs the host's one network."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path.relative_to(ROOT))))


def _group(path: Path) -> str:
    if path.parent.name == "compat":
        return "other people's engines"
    return "networks" if "network" in str(path) else str(path)


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of `programs` is missing (CI installs them all) or we are not root."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [p for p in programs if not shutil.which(p, path=path)]
    return pytest.mark.skipif(bool(missing) or os.geteuid() != 0, reason=f"needs root and {', '.join(programs)}")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a real root file system: static busybox and its links."""
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("needs busybox-static")
    root = tmp_path_factory.mktemp("rootfs")
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/home/web:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
    )
    (root / "etc/group").write_text("root:x:0:\nweb:x:1001:\nstaff:x:50:web\nnogroup:x:65534:\n")
    return root


@pytest.fixture(scope="session")
def rootfs_tar(rootfs: Path) -> Path:
    """The same as `rootfs.tar.gz`."""
    path = rootfs.parent / "rootfs.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        tar.add(rootfs, arcname=".")
    return path


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """Where a test keeps its images."""
    return tmp_path / "store"


@pytest.fixture
def lamella(store_root: Path) -> Lamella:
    """The command line as a process of its own on a private store; raises unless `check=False`."""

    def run(*args: object, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "LAMELLA_ROOT": str(store_root), **options.pop("env", {})}  # type: ignore[dict-item]
        done = subprocess.run(
            [sys.executable, "-m", "lamella", *map(str, args)], capture_output=True, text=True, cwd=options.pop("cwd", ROOT),  # type: ignore[call-overload]
            env={**env, "PYTHONPATH": str(ROOT)}, **{"timeout": 120, "stdin": subprocess.DEVNULL, **options} if "input" not in options else {"timeout": 120, **options},
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"lamella {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    return run


@pytest.fixture
def base(lamella: Lamella, rootfs_tar: Path, tmp_path: Path) -> str:
    """An image `bb` in the private store, built FROM scratch on the busybox root."""
    context = tmp_path / "base"
    context.mkdir()
    shutil.copy(rootfs_tar, context)
    (context / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar.gz /\nCMD ["/bin/sh"]\n')
    lamella("build", "-q", "-t", "bb", context)
    return "bb"


@pytest.fixture
def ordinary() -> Iterator[Ordinary]:
    """An ordinary user with an empty store."""
    user = Ordinary()
    yield user
    user.close()


@pytest.fixture(scope="session")
def base_archive(tmp_path_factory: pytest.TempPathFactory, rootfs_tar: Path) -> Path:
    """An archive of the image `bb`, the busybox root."""
    place = tmp_path_factory.mktemp("bb")
    shutil.copy(rootfs_tar, place)
    (place / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar.gz /\nCMD ["/bin/sh"]\n')
    for words in (("build", "-q", "-t", "bb", place), ("save", "-o", place / "bb.tar", "bb")):
        command = [sys.executable, "-m", "lamella", "--root", place / "store", *words]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return place / "bb.tar"


@pytest.fixture
def user(ordinary: Ordinary, base_archive: Path) -> Ordinary:
    """An ordinary user with the image `bb`."""
    with base_archive.open("rb") as archive:
        ordinary.lamella("load", "-q", stdin=archive)
    return ordinary


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry of our own, started for this test."""
    address = f"127.0.0.1:{free_port()}"
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lamella", "registry", "serve", "--listen", address, "--data", tmp_path / "registry"],
            stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(f"http://{address}/v2/")
            yield address
        finally:
            process.terminate()
            process.wait(10)


def wait_for(url: str, seconds: float = 10) -> None:
    """Until `url` answers at all."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
