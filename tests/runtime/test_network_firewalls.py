"""Published ports beside other people's firewalls, in a network namespace that stands for a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.network_flags import FIREWALLD_WARNING
from tests.conftest import ROOT, needs
from tests.runtime.test_networks import SERVE
from tests.suites.apart import apart

# `own` is a copy of ufw's settings. `ask` asks from a neighbour, `here` on the machine itself, until the answer is the expected one.
UFW = r"""
mount --make-rprivate / && cp -a /etc/ufw/. own && mount --bind own /etc/ufw && ip link set lo up
ip link add near type veth peer name far
exec 9< <(exec unshare -n sh -c 'echo ready; exec sleep 300'); neighbour=$!; read -r _ <&9
trap 'ufw --force disable; kill $neighbour; lamella rm -f web; lamella network rm na' EXIT
ip link set far netns $neighbour; ip addr add 198.19.0.1/30 dev near; ip link set near up
nsenter -t $neighbour -n sh -c 'ip addr add 198.19.0.2/30 dev far; ip link set far up; ip route add default via 198.19.0.1'
ask() { until nsenter -t $neighbour -n timeout 2 busybox wget -qO- http://198.19.0.1:8080/; do [ $SECONDS -lt 90 ] || return; done; }
refused() { ! nsenter -t $neighbour -n timeout 3 busybox wget -qO- http://198.19.0.1:8080/; }
here() { timeout 5 busybox wget -qO- http://127.0.0.1:8080/; }
lamella network create na
lamella run -d --name web --hostname web --network na -p 8080:80 bb sh -c "$SERVE"
echo before; ask
ufw --force enable
echo behind; refused && here
ufw allow 8080/tcp
echo input; refused && here
ufw route allow proto tcp to any port 80
echo routed; ask
"""


@needs("ufw", "iptables", "ip", "nsenter", "busybox", "nft", "crun", "conmon")
def test_with_ufw_a_port_is_for_this_machine_until_ufw_lets_it_through(
    bb: str, store_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    script = f'lamella() {{ "{sys.executable}" -m lamella "$@"; }}\n{UFW}'
    env = {
        **os.environ,
        "LAMELLA_ROOT": str(store_root),
        "SERVE": SERVE,
        "PYTHONPATH": f"{ROOT}",
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "-c", script],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        timeout=150,
    )
    words = [word for word in done.stdout.split() if word in ("before", "behind", "input", "routed", "web")]
    told = ["before", "web", "behind", "web", "input", "web", "routed", "web"]
    assert words[: len(told)] == told, done.stdout + done.stderr


@needs("nft", "ip", "crun", "conmon")
@pytest.mark.parametrize(
    ("ports", "warned"), [(("-p", "0:80"), True), (("-P",), True), (("-p", "127.0.0.1:0:80"), False), ((), False)]
)
def test_beside_firewalld_which_lets_all_that_is_published_through_nobody_publishes_unawares(
    bb: str, store_root: Path, ports: tuple[str, ...], warned: bool
) -> None:
    env = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": f"{ROOT}"}
    words = [sys.executable, "-m", "lamella", "create", "--network", "bridge", *ports, bb, "true"]
    with apart() as there:
        for table, expected in (("other", False), ("firewalld", warned)):
            subprocess.run([*there, "nft", "add", "table", "inet", table], check=True)
            done = subprocess.run([*there, *words], capture_output=True, text=True, env=env, check=True)
            assert (FIREWALLD_WARNING in done.stderr) == expected
