"""Containers on two hosts, which are network namespaces joined by a wire: what lies between them, and what a start costs.

No peer has such networks without a swarm; the yardsticks are a bare VXLAN device on the same wire, and lamella's own bridge.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.cases import quietly
from bench.ground import Ground
from bench.measure import Command, Failed, seconds
from bench.runners import NETWORK, LamellaRunner

PROGRAMS = ("etcd", "iperf3", "ip")
_SHARED, _ETCD, _BARE = "everywhere", "http://192.0.2.1:2379", "198.51.100"
Measure = Callable[[Command], float]


def overlay(
    area: Path, contexts: Sequence[Path], gigabits: Measure, length: int, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Gbit/s of TCP, and milliseconds of `run --rm`, each by what they were measured on. `contexts` are the base image's and
    that of the image `iperf`."""
    with contextlib.ExitStack() as stack:
        near, far = (stack.enter_context(_host(area / name, contexts)) for name in ("near", "far"))
        near.ground.wired(far.ground)
        stack.enter_context(_etcd(near.ground, area / "etcd"))
        for host in (near, far):
            host.said("network", "cluster", "--etcd", _ETCD)
        near.said("network", "create", "-d", "overlay", "--attachable", _SHARED)
        near.said("run", "-d", "--name", "server", "--network", _SHARED, "iperf", "iperf3", "-s")
        far.said("run", "-d", "--name", "client", "--network", _SHARED, "iperf", "sleep", "36000")
        there = far.words("exec", "client", *iperf("server", length))
        with _bare_vxlan(near.ground, far.ground) as address:
            bare = Command(iperf(address, length), {}, ground=far.ground)
            found: dict[str, dict[str, list[float]]] = {"TCP": {}, "start": {}}
            for _ in range(rounds):
                for name, command in (("lamella", there), ("a bare VXLAN device", bare)):
                    found["TCP"].setdefault(name, []).append(gigabits(command))
                for name, network in (("lamella", _SHARED), ("its own bridge", NETWORK)):
                    taken = seconds(far.words("run", "--rm", "--network", network, "base", "true"))
                    found["start"].setdefault(name, []).append(round(taken * 1000, 1))
        far.remove("client")
        near.remove("server")
    return found


@contextlib.contextmanager
def _host(area: Path, contexts: Sequence[Path]) -> Iterator[LamellaRunner]:
    area.mkdir()
    host = LamellaRunner(area)
    host.start()
    try:
        for context, name in zip(contexts, ("base", "iperf"), strict=True):
            quietly(host.build(context, name))
        host.ready()
        yield host
    finally:
        host.stop()


@contextlib.contextmanager
def _etcd(ground: Ground, directory: Path) -> Iterator[None]:
    peer = "http://192.0.2.1:2380"
    command = [
        "etcd", "--name", "own", "--data-dir", str(directory), "--listen-client-urls", _ETCD, "--advertise-client-urls", _ETCD,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"own={peer}",
    ]  # fmt: skip
    with ground.entered():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while Command(["curl", "-sf", "-m", "2", f"{_ETCD}/health"], {}, ground=ground).run().returncode:
            if time.monotonic() > end:
                raise Failed("etcd does not answer")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _bare_vxlan(near: Ground, far: Ground) -> Iterator[str]:
    """A device on either side, and an iperf3 that listens at the address."""
    for ground, own, other in ((near, 1, 2), (far, 2, 1)):
        ends = f"local 192.0.2.{own} remote 192.0.2.{other} dev wire"
        ground.run("ip", *f"link add bare type vxlan id 99 dstport 4790 {ends}".split())
        ground.run("ip", *f"address add {_BARE}.{own}/24 dev bare".split())
        ground.run("ip", *["link", "set", "bare", "up"])
    with near.entered():
        server = subprocess.Popen(
            ["iperf3", "-s", "-B", f"{_BARE}.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    try:
        time.sleep(0.5)
        yield f"{_BARE}.1"
    finally:
        server.terminate()
        server.wait()


def iperf(server: str, length: int) -> list[str]:
    """A client's words."""
    return ["iperf3", "-c", server, "-J", "-t", str(length)]
