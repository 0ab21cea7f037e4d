"""Which network a container is on where nobody says: the default bridge, and the host's where there can be none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Lamella, needs
from tests.runtime.test_networks import _nothing_of_networks_is_left  # noqa: F401

pytestmark = needs("nft", "crun", "conmon", "setpriv")
NO_NFT = "mount --bind /dev/null $(command -v nft)"
FAILING_NFT = "printf '#!/bin/sh\\nexit 9\\n' >nft && chmod 755 nft && mount --bind nft $(command -v nft)"
LINKS = ("busybox", "ls", "/sys/class/net")


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMELLA_NETWORK")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")


def hampered(
    store_root: Path, tmp_path: Path, how: str, *words: str, within: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """`lamella WORDS` after the shell commands `how`, with mounts of its own."""
    program = f'{how}; exec "$@"'
    command = ["unshare", "--mount", *within, "sh", "-c", program, "sh", sys.executable, "-m", "lamella", *words]
    environ = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_it_is_the_default_bridge(lamella: Lamella, bb: str) -> None:
    lamella("run", "-d", "--name", "web", bb, "sh", "-c", "mkdir /w; echo hi >/w/index.html; exec httpd -f -p 80 -h /w")
    told = "{{.HostConfig.NetworkMode}} {{.NetworkSettings.Networks.bridge.IPAddress}}"
    mode, address = lamella("inspect", "-f", told, "web").stdout.split()
    assert mode == "bridge"
    done = lamella("run", "--rm", bb, "sh", "-c", f"ls /sys/class/net; timeout 9 wget -qO- http://{address}/")
    assert done.stdout == "eth0\nlo\nhi\n" and done.stderr == ""
    assert lamella("create", "--name", "later", bb).stderr == ""
    assert lamella("inspect", "-f", "{{.HostConfig.NetworkMode}}", "later").stdout == "bridge\n"


@pytest.mark.parametrize(
    ("how", "within", "why"),
    [
        (NO_NFT, (), "nft is not installed"),
        ("true", ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"), "CAP_NET_ADMIN"),
        (
            "echo 0 >/proc/sys/net/ipv4/ip_forward; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
            ("unshare", "--net", "--"),
            "/proc/sys/net/ipv4/ip_forward is off and cannot be written",
        ),
        ("true", ("unshare", "--user", "--map-root-user", "--"), "the kernel refuses bridges (Operation not permitted)"),
    ],
)  # fmt: skip
def test_where_there_can_be_none_it_is_the_host_s_and_that_is_said(
    bb: str, store_root: Path, tmp_path: Path, how: str, within: tuple[str, ...], why: str
) -> None:
    done = hampered(store_root, tmp_path, how, "create", "--name", "box", bb, within=within)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("WARNING: the container has the host's network, since ") and why in done.stderr
    assert done.stderr.count("\n") == 1 and "LAMELLA_NETWORK" in done.stderr
    told = hampered(store_root, tmp_path, "true", "inspect", "-f", "{{.HostConfig.NetworkMode}}", "box")
    assert told.stdout == "host\n"


def test_a_container_without_a_bridge_runs_with_the_host_s_interfaces(
    bb: str, store_root: Path, tmp_path: Path
) -> None:
    done = hampered(store_root, tmp_path, NO_NFT, "run", "--rm", bb, *LINKS)
    assert done.stdout.split() == sorted(os.listdir("/sys/class/net")) and done.stderr.startswith("WARNING: ")


def test_ports_do_not_fall_back(bb: str, store_root: Path, tmp_path: Path) -> None:
    done = hampered(store_root, tmp_path, NO_NFT, "run", "--rm", "-p", "80", bb, "true")
    assert done.returncode == 125 and "nft is not installed" in done.stderr


def test_the_environment_names_another(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "app")
    for name, expected in (("none", "none"), ("host", "host"), ("app", "app"), ("", "bridge")):
        lamella("create", "--name", "box", bb, env={"LAMELLA_NETWORK": name})
        assert lamella("inspect", "-f", "{{.HostConfig.NetworkMode}}", "box").stdout == f"{expected}\n"
        lamella("rm", "box")
    lamella("create", "--name", "box", "-p", "80", bb, env={"LAMELLA_NETWORK": "host"})  # what cannot have ports
    assert lamella("inspect", "-f", "{{.HostConfig.NetworkMode}}", "box").stdout == "bridge\n"


def test_that_bridges_work_is_tried_once(bb: str, store_root: Path, tmp_path: Path, lamella: Lamella) -> None:
    lamella("create", bb)
    done = hampered(store_root, tmp_path, FAILING_NFT, "create", "--name", "box", bb)
    assert done.stderr == ""


def test_where_the_bridge_is_there_nobody_waits_for_nft(
    bb: str, store_root: Path, tmp_path: Path, lamella: Lamella
) -> None:
    lamella("run", "-d", "--name", "web", bb, "sleep", "300")
    assert hampered(store_root, tmp_path, FAILING_NFT, "run", "--rm", bb, *LINKS).stdout == "eth0\nlo\n"
    done = hampered(store_root, tmp_path, FAILING_NFT, "run", "--rm", "-p", "80", bb, "true")
    assert done.returncode == 125 and "nft cannot change the firewall" in done.stderr


@pytest.fixture(autouse=True)
def _nothing_runs_on(lamella: Lamella) -> Iterator[None]:
    yield
    lamella("rm", "-f", "web", check=False)
