"""Ways out through files: links in images under what is mounted, volumes where the kernel's own files are, and the
caller's terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Lamella, needs
from tests.runtime.test_escape import rootfs  # noqa: F401
from tests.suites.terminal import Terminal

pytestmark = needs("crun", "conmon", "gcc")
MakeImage = Callable[..., str]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host's that links lead to."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "marker").write_text("the host")
    return path


@pytest.fixture
def image(make_image: MakeImage, store_root: Path) -> Callable[..., str]:
    """image({path: target}, …): an image with those links, in the place of what is there."""

    def make(links: dict[str, str], **config: Any) -> str:
        name = make_image("links", **config)
        (layer,) = (path for path in (store_root / "layers").iterdir() if (path / "bin/attempt").exists())
        for path, target in links.items():
            place = layer / path.lstrip("/")
            if place.is_dir() and not place.is_symlink():
                place.rename(layer / f"was-{place.name}")
            place.unlink(missing_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        return name

    return make


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["marker"] and (outside / "marker").read_text() == "the host"


class TestLinksInImages:
    @pytest.mark.parametrize("up", ["", "../../../../../../../.."], ids=["absolute", "relative"])
    @pytest.mark.parametrize("flags", [(), ("--runtime", "runc"), ("-d",)], ids=" ".join)
    def test_what_is_mounted_stays_inside(
        self, lamella: Lamella, image: Callable[..., str], outside: Path, flags: tuple[str, ...], up: str
    ) -> None:
        name = image({"/etc/hosts": f"{up}{outside}/hosts", "/etc/resolv.conf": f"{up}{outside}/marker", "/deep": f"{up}{outside}",
                      "/work": f"{up}{outside}/work", "/mnt": f"{up}{outside}", "/tmp": f"{up}{outside}"})  # fmt: skip
        mounts = ("-v", f"{outside.parent}/volume:/mnt/inner", "--tmpfs", "/deep/tmpfs", "-v", "/deep/anonymous", "--device",
                  "/dev/null:/deep/null")  # fmt: skip
        lamella("run", "--network", "none", *flags, *mounts, "-w", "/work/here", name, "sh", "-c", "echo x > /mnt/inner/x; true", check=False,
                timeout=60)  # fmt: skip
        assert untouched(outside)

    @pytest.mark.parametrize("path", ["/proc", "/sys", "/dev"])
    def test_the_kernel_s_own_places_are_no_links(
        self, lamella: Lamella, image: Callable[..., str], outside: Path, path: str
    ) -> None:
        done = lamella("run", "--rm", "--network", "none", image({path: str(outside)}), "true", check=False)
        assert (
            done.returncode == 125
            and f"{path} of the root file system is no directory" in done.stderr
            and untouched(outside)
        )

    def test_users_are_not_read_from_the_host(self, lamella: Lamella, image: Callable[..., str], outside: Path) -> None:
        (outside / "marker").write_text("spy:x:4711:4711::/:/bin/sh\n")
        name = image({"/etc/passwd": f"../../../../../../../..{outside}/marker"})
        done = lamella("run", "--rm", "--network", "none", "-u", "spy", name, "true", check=False)
        assert done.returncode == 125 and "unable to find user spy" in done.stderr

    def test_a_working_directory_behind_a_link_to_a_process(self, lamella: Lamella, image: Callable[..., str]) -> None:
        name = image({"/w": "/proc/self/fd"}, working_dir="/w/7")
        for flags in ((), ("--runtime", "runc")):
            done = lamella("run", "--rm", "--network", "none", *flags, name, "true", check=False)
            assert done.returncode == 125 and "is below a process of /proc" in done.stderr, flags


class TestVolumesOverTheKernel:
    """CVE-2019-16884 and CVE-2025-31133: an image that brings its own /proc, or a /dev/null that is a link."""

    @pytest.mark.parametrize("path", ["/proc", "/proc/self", "/sys", "/sys/kernel", "/dev", "/x/../proc"])
    def test_an_image_cannot_have_one_there(self, lamella: Lamella, make_image: MakeImage, path: str) -> None:
        done = lamella("run", "--rm", "--network", "none", make_image("v", volumes=(path,)), "true", check=False)
        assert done.returncode == 125 and "it would hide what the kernel has there" in done.stderr

    def test_nor_the_user_one_that_an_image_fills(self, lamella: Lamella, bb: str) -> None:
        assert lamella("run", "--rm", "-v", "/dev", bb, "true", check=False).returncode == 125

    @pytest.mark.parametrize("runtime", ["crun", "runc"])
    def test_a_null_device_that_is_a_link(self, lamella: Lamella, bb: str, tmp_path: Path, runtime: str) -> None:
        dev = tmp_path / "dev"
        dev.mkdir()
        (dev / "null").symlink_to("../proc/sys/kernel/core_pattern")
        done = lamella("run", "--rm", "--runtime", runtime, "-v", f"{dev}:/dev", bb, "sh", "-c", "(exec 3>>/proc/kcore) && echo open",
                       check=False)  # fmt: skip
        assert done.returncode == 125 and "cannot be /dev" in done.stderr
        os.unlink(dev / "null")
        os.mknod(dev / "null", 0o020666, os.makedev(1, 3))
        assert lamella("run", "--rm", "--runtime", runtime, "-v", f"{dev}:/dev", bb, "echo", "in").stdout == "in\n"

    @pytest.mark.parametrize("runtime", ["crun", "runc"])
    @pytest.mark.parametrize("name", ["console", "pts", "ptmx"])
    @pytest.mark.parametrize("target", ["../proc/sys/kernel/core_pattern", "../../../../outside/marker"])
    def test_a_console_that_is_a_link(
        self, bb: str, store_root: Path, outside: Path, tmp_path: Path, runtime: str, name: str, target: str
    ) -> None:
        """CVE-2025-52565: what is bound as /dev/console, or bound over, is another file."""
        dev = tmp_path / "dev"
        dev.mkdir()
        os.mknod(dev / "null", 0o020666, os.makedev(1, 3))
        (dev / "pts").mkdir()
        (dev / "ptmx").symlink_to("pts/ptmx")
        if name == "pts":
            (dev / name).rmdir()
        (dev / name).unlink(missing_ok=True)
        (dev / name).symlink_to(target)
        script = "echo x >/dev/console; (exec 3>>/proc/sys/kernel/core_pattern && ! test -t 3 && echo la''id bare)"
        words = ("--rm", "-t", "--network", "none", "--runtime", runtime, "-v", f"{dev}:/dev")
        with Terminal(store_root, "run", *words, bb, "sh", "-c", script) as terminal:
            terminal.exit_code()
        assert b"laid bare" not in terminal.seen and untouched(outside)


class TestTerminals:
    """Who was given no -t has not got the caller's terminal, whose descriptors could be read and typed into."""

    SCRIPT = "attempt overhear; attempt inject; read x; echo got $x"

    @pytest.mark.parametrize("flags", [("--rm",), ()], ids=["rm", "kept"])
    def test_of_run(self, store_root: Path, bb: str, flags: tuple[str, ...]) -> None:
        with Terminal(store_root, "run", *flags, "-i", "--network", "none", bb, "sh", "-c", self.SCRIPT) as terminal:
            terminal.expect("ENOTTY\r\nENOTTY\r\n")
            terminal.type("typed\n")
            terminal.expect("got typed")
            assert terminal.exit_code() == 0

    def test_of_exec(self, lamella: Lamella, store_root: Path, bb: str) -> None:
        id = lamella("run", "-d", "--network", "none", bb, "sleep", "100").stdout.strip()
        with Terminal(store_root, "exec", "-i", id, "sh", "-c", self.SCRIPT) as terminal:
            terminal.expect("ENOTTY\r\nENOTTY\r\n")
            terminal.type("typed\n")
            terminal.expect("got typed")
            assert terminal.exit_code() == 0

    def test_output_and_exit_code_come_through_all_the_same(self, store_root: Path, bb: str) -> None:
        with Terminal(
            store_root, "run", "--rm", "--network", "none", bb, "sh", "-c", "seq 20000; echo end >&2; exit 3"
        ) as terminal:
            terminal.expect("20000\r\n")
            terminal.expect("end")
            assert terminal.exit_code() == 3
