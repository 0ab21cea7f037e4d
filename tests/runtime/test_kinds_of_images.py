"""The three kinds of images there are: a whole distribution, a busybox, a lone static program without a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from image.config import ContainerConfig
from tests.conftest import Lamella, needs
from tests.suites.rooted import publish_root

pytestmark = needs("crun", "conmon")
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words) {
    char place[256] = "";
    struct stat status;
    getcwd(place, sizeof place);
    printf("%d %s %s %s %s\n", getuid(), place, getenv("HOME"), count > 1 ? words[1] : "-", getenv("A"));
    printf("%d %d\n", stat("/proc/self/status", &status), stat("/etc/resolv.conf", &status));
    return count > 1 ? atoi(words[1]) : 0;
}
"""


class TestDistroless:
    """Nothing but the program: no shell, no /etc/passwd, not one directory."""

    @pytest.fixture
    def image(self, store_root: Path, tmp_path: Path) -> str:
        if not shutil.which("gcc"):
            pytest.skip("needs gcc")
        root = tmp_path / "lone"
        root.mkdir()
        subprocess.run(["gcc", "-static", "-x", "c", "-", "-o", root / "app"], input=PROGRAM, text=True, check=True)
        publish_root(
            store_root,
            root,
            "lone",
            ContainerConfig(entrypoint=("/app",), env=("A=1",), user="65532:65532", working_dir="/home/app"),
        )
        return "lone"

    @pytest.mark.parametrize("flags", [(), ("--read-only",), ("--runtime", "runc"), ("--runtime", "chroot"), ("-m", "16m"), ("--init",)],
                             ids=" ".join)  # fmt: skip
    def test_it_runs(self, lamella: Lamella, image: str, flags: tuple[str, ...]) -> None:
        done = lamella("run", "--rm", "--network", "none", *flags, image, "7", check=False)
        if "--init" in flags and "install catatonit" in done.stderr:
            pytest.skip("needs catatonit or tini")
        assert (done.returncode, done.stdout) == (7, "65532 /home/app / 7 1\n0 0\n")

    def test_in_the_background_with_logs(self, lamella: Lamella, image: str) -> None:
        id = lamella("run", "-d", "--network", "none", image).stdout.strip()
        assert lamella("wait", id).stdout == "0\n" and lamella("logs", id).stdout == "65532 /home/app / - 1\n0 0\n"

    def test_what_it_has_not_is_said(self, lamella: Lamella, image: str) -> None:
        done = lamella("run", "--rm", "--network", "none", "--entrypoint", "sh", image, check=False)
        assert done.returncode == 127 and '"sh"' in done.stderr
        done = lamella("run", "--rm", "--network", "none", "-u", "web", image, check=False)
        assert done.returncode == 125 and "unable to find user web" in done.stderr

    def test_nothing_of_its_mount_points_stays(self, lamella: Lamella, image: str) -> None:
        lamella("run", "--name", "kept", "--network", "none", image)
        assert lamella("diff", "kept").stdout.split() == ["A", "/home", "A", "/home/app"]


class TestBusybox:
    @pytest.mark.parametrize(
        "flags", [(), ("--read-only",), ("--runtime", "runc"), ("-m", "16m"), ("-u", "web")], ids=" ".join
    )
    def test_it_runs(self, lamella: Lamella, bb: str, flags: tuple[str, ...]) -> None:
        assert (
            lamella("run", "--rm", "--network", "none", *flags, bb, "sh", "-c", "echo $((6*7)) | tr 4 x").stdout
            == "x2\n"
        )


class TestDebian:
    """A real one, made by `scripts/rootfs debian FILE` and named by LAMELLA_DEBIAN."""

    @pytest.fixture
    def image(self, lamella: Lamella, tmp_path: Path) -> str:
        tar = os.environ.get("LAMELLA_DEBIAN", "")
        if not tar:
            pytest.skip("needs LAMELLA_DEBIAN")
        lamella("import", "-c", 'CMD ["bash"]', tar, "debian", timeout=300)
        return "debian"

    def test_its_tools_work_as_root_and_as_a_user(self, lamella: Lamella, image: str) -> None:
        script = "dpkg -l | grep -c ^ii; id -un; su web -c 'id -un; echo $HOME'; perl -e 'print 6*7'; apt-get --version | head -1"
        for flags in ((), ("--runtime", "runc"), ("-m", "64m", "--pids-limit", "50")):
            words = lamella("run", "--rm", "--network", "none", *flags, image, "bash", "-c", script).stdout.split()
            assert int(words[0]) > 50 and words[1:5] == ["root", "web", "/home/web", "42apt"], flags

    def test_a_package_is_installed_and_removed_in_it(self, lamella: Lamella, image: str) -> None:
        script = "cd /tmp && dpkg-deb -b pkg && dpkg -i pkg.deb && cat /usr/share/thing && dpkg -r thing"
        prepare = "mkdir -p /tmp/pkg/DEBIAN /tmp/pkg/usr/share; echo it > /tmp/pkg/usr/share/thing; printf 'Package: thing\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' > /tmp/pkg/DEBIAN/control"
        done = lamella("run", "--rm", "--network", "none", image, "bash", "-ec", f"{prepare}; {script}")
        assert "it\n" in done.stdout and "Removing thing" in done.stdout
