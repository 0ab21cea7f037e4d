"""Which networks a container is on, and what it finds there: several, later ones, other containers', links, files."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from tests.conftest import Lamella, needs
from tests.runtime.test_networks import Serve, _nothing_of_networks_is_left, address, ask, serve

__all__ = ["_nothing_of_networks_is_left", "serve"]

pytestmark = needs("nft", "crun", "conmon")


def test_a_container_on_two_networks_has_an_interface_and_names_on_each(lamella: Lamella, serve: Serve) -> None:
    for name in ("na", "nb"):
        lamella("network", "create", name)
    serve("web", "--network", "nb", "--network", "name=na,alias=second")
    assert ask(lamella, "nb", "http://web/") == "web" and ask(lamella, "na", "http://second/") == "web"
    assert ask(lamella, "nb", "http://second/") == ""
    said = lamella("exec", "web", "ip", "route").stdout
    gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
    assert f"default via {gateway} dev eth1" in said
    assert lamella("ps", "--format", "{{.Networks}}").stdout == "na,nb\n"


def test_connecting_and_disconnecting_takes_hold_at_once_and_lasts(lamella: Lamella, serve: Serve) -> None:
    for name in ("na", "nb"):
        lamella("network", "create", name)
    serve("web", "--network", "na")
    lamella("network", "connect", "--alias", "late", "nb", "web")
    assert ask(lamella, "nb", "http://late/") == "web"
    again = lamella("network", "connect", "nb", "web", check=False)
    assert "already exists in network nb" in again.stderr and again.returncode == 1
    lamella("network", "disconnect", "na", "web")
    assert ask(lamella, "na", "http://web/") == ""
    said = lamella("exec", "web", "ip", "route").stdout
    assert "dev eth1" in said and "default" in said and "eth0" not in said
    lamella("stop", "-t", "0", "web")
    lamella("start", "web")
    assert list(json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Networks}}", "web").stdout)) == ["nb"]
    assert ask(lamella, "nb", "http://late/") == "web"
    for word in ("connect", "disconnect"):
        lamella("network", word, "na" if word == "connect" else "nb", "web")
    assert ask(lamella, "na", "http://web/") == "web"


def test_a_container_of_the_default_bridge_has_names_once_it_is_connected_to_a_network(
    lamella: Lamella, serve: Serve
) -> None:
    lamella("network", "create", "na")
    serve("web", "--network", "na")
    serve("old", "--network", "bridge")
    lamella("network", "connect", "na", "old")
    assert lamella("exec", "old", "wget", "-qO-", "http://web/").stdout == "web\n"
    assert ask(lamella, "na", "http://old/") == "old"


def test_a_stopped_container_can_be_connected(lamella: Lamella, bb: str) -> None:
    for name in ("na", "nb"):
        lamella("network", "create", name)
    lamella("create", "--name", "box", "--network", "na", bb, "sleep", "60")
    lamella("network", "connect", "nb", "box")
    lamella("start", "box")
    assert address(lamella, "box", "na") and address(lamella, "box", "nb")


def test_a_sandbox_is_shared(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "na")
    serve("web", "--network", "na")
    for flags in (("--rm",), ()):
        said = lamella("run", *flags, "--network", "container:web", "bb", "wget", "-qO-", "http://127.0.0.1/")
        assert said.stdout == "web\n"
    assert "web" in lamella("run", "--rm", "--network", "container:web", "bb", "cat", "/etc/hosts").stdout
    said = lamella("run", "--rm", "--network", "container:web", "-p", "80:80", "bb", "true", check=False)
    assert "conflicting options: port publishing and the container type network mode" in said.stderr
    lamella("rm", "-f", "web")
    said = lamella("run", "--rm", "--network", "container:web", "bb", "true", check=False)
    assert said.returncode == 125 and "No such container: web" in said.stderr


def test_addresses_can_be_asked_for(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "--subnet", "10.231.7.0/24", "--subnet", "fd12:3456:7::/64", "na")
    flags = ("--ip", "10.231.7.9", "--ip6", "fd12:3456:7::9", "--mac-address", "02:42:00:00:00:09")
    said = lamella("run", "--rm", "--network", "na", *flags, bb, "ip", "addr", "show", "eth0").stdout
    assert "10.231.7.9/24" in said and "fd12:3456:7::9/64" in said and "02:42:00:00:00:09" in said
    lamella("run", "-d", "--network", "na", "--ip", "10.231.7.9", bb, "sleep", "60")
    said = lamella("run", "--rm", "--network", "na", "--ip", "10.231.7.9", bb, "true", check=False)
    assert said.returncode == 125 and "Address already in use" in said.stderr


def test_ipv6_reaches_names_too(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "--ipv6", "na")
    serve("web", "--network", "na")
    there = lamella("inspect", "-f", "{{.NetworkSettings.Networks.na.GlobalIPv6Address}}", "web").stdout.strip()
    assert there.startswith("fd") and ask(lamella, "na", f"http://[{there}]/") == "web"
    assert there in lamella("run", "--rm", "--network", "na", "bb", "nslookup", "-type=aaaa", "web", check=False).stdout


def test_hosts_and_resolv_conf_are_docker_s(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "na")
    flags = ("--add-host", "here:host-gateway", "--add-host", "there:10.1.2.3", "--hostname", "box")
    said = lamella("run", "--rm", "--network", "na", *flags, bb, "cat", "/etc/hosts").stdout.splitlines()
    gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
    assert f"{gateway}\there" in said and "10.1.2.3\tthere" in said and said[-1].endswith("\tbox")
    assert said[-1].startswith("172.") or said[-1].startswith("192.168.")


def test_the_host_s_gateway_is_where_the_network_has_moved_to(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "na")
    words = ("network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}}{{end}}", "na")
    before, link = lamella(*words).stdout.strip(), f"lm{os.getpid()}"
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    try:  # somebody else has those addresses meanwhile
        for change in (["link", "set", link, "up"], ["addr", "add", f"{before}/16", "dev", link]):
            subprocess.run(["ip", *change], check=True)
        flags = ("--network", "na", "--add-host", "here:host-gateway")
        said = lamella("run", "--rm", *flags, bb, "cat", "/etc/hosts").stdout.splitlines()
        assert lamella(*words).stdout.strip() != before and f"{lamella(*words).stdout.strip()}\there" in said
    finally:
        subprocess.run(["ip", "link", "delete", link], check=True)


def test_links_write_hosts_and_variables_and_say_that_they_are_old(lamella: Lamella, serve: Serve) -> None:
    serve("db", "--network", "bridge", "--expose", "5432", "-e", "SECRET=x")
    script = "cat /etc/hosts; env; wget -qO- http://data/"
    said = lamella("run", "--rm", "--name", "app", "--network", "bridge", "--link", "db:data", "bb", "sh", "-c", script)
    there = address(lamella, "db", "bridge")
    assert said.stderr.startswith("WARNING: --link is a legacy feature") and "lamella network create" in said.stderr
    lines = said.stdout.splitlines()
    short = lamella("ps", "-q", "--filter", "name=db").stdout.strip()
    assert f"{there}\tdata {short} db" in lines and lines[-1] == "db"
    assert {
        "DATA_NAME=/app/data", f"DATA_PORT=tcp://{there}:5432", f"DATA_PORT_5432_TCP_ADDR={there}",
        "DATA_PORT_5432_TCP_PORT=5432", "DATA_PORT_5432_TCP_PROTO=tcp", "DATA_ENV_SECRET=x",
    } <= set(lines)  # fmt: skip
    lamella("rm", "-f", "db")
    lamella("create", "--name", "asleep", "--network", "bridge", "bb")
    for name, complaint in (
        ("nobody", "could not get container for nobody: No such container: nobody"),
        ("asleep", "Cannot link to a non running container: /asleep AS /app/asleep"),
    ):
        words = ("run", "--rm", "--name", "app", "--network", "bridge", "--link", name, "bb", "true")
        said = lamella(*words, check=False)
        assert said.returncode == 125 and complaint in said.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--network", "host", "--ip", "10.1.1.1"),
            "user specified IP address is supported on user defined networks only",
        ),
        (("--network", "bridge", "--network-alias", "x"), "only supported for user-defined networks"),
        (("--network", "na", "--network", "host"), "cannot attach both user-defined and non-user-defined"),
        (("--network", "moon"), "network moon not found"),
        (("--network", "name=na,color=red"), "invalid field key color"),
        (("--network", "na", "-p", "x:80"), "invalid hostPort: x"),
        (("--network", "na", "--mac-address", "x"), "is not a valid mac address"),
        (("--network", "na", "--ip", "172.18.0.9"), "only when connecting to networks with user configured subnets"),
    ],
)
def test_what_cannot_be_is_refused(lamella: Lamella, bb: str, flags: tuple[str, ...], said: str) -> None:
    lamella("network", "create", "na")
    done = lamella("run", "--rm", *flags, bb, "true", check=False)
    assert done.returncode == 125 and said in done.stderr


def test_fifty_containers_on_one_bridge_all_hear_each_other(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "na")
    serve("web", "--network", "na")
    for number in range(49):
        lamella("run", "-d", "--name", f"c{number}", "--network", "na", "--network-alias", "all", "bb", "sleep", "120")
    script = "for i in $(seq 0 48); do ping -c 1 -W 1 c$i >/dev/null || echo c$i; done; nslookup -type=a all | grep -c Address"  # what 512 bytes hold, and the server's own
    begun = time.monotonic()
    said = lamella("run", "--rm", "--network", "na", "bb", "sh", "-c", script).stdout.split()
    assert said == ["31"] and time.monotonic() - begun < 20


def test_what_connect_was_told_is_what_inspect_shows(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "--subnet", "10.231.9.0/24", "na")
    lamella("run", "-d", "--name", "box", "--network", "bridge", bb, "sleep", "300")
    setting = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"
    flags = ("--ip", "10.231.9.9", "--alias", "crate", "--gw-priority", "5", "--driver-opt", setting)
    lamella("network", "connect", *flags, "na", "box")
    found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Networks.na}}", "box").stdout)
    assert found["IPAMConfig"] == {"IPv4Address": "10.231.9.9"} and found["Aliases"] == ["crate"]
    assert found["GwPriority"] == 5 and found["DriverOpts"] == dict([setting.split("=", 1)])
    assert lamella("exec", "box", "cat", "/proc/sys/net/ipv4/conf/eth1/log_martians").stdout == "1\n"
    lamella("network", "disconnect", "na", "box")
    for bad in ("net.core.somaxconn=1", "net.ipv4.conf.all.forwarding=1", "net.ipv4.conf.IFNAME.nonesuch=1"):
        words = ("--driver-opt", f"com.docker.network.endpoint.sysctls={bad}", "na", "box")
        assert "sysctl" in lamella("network", "connect", *words, check=False).stderr
    assert "eth1" not in lamella("exec", "box", "ls", "/sys/class/net").stdout


def test_a_link_of_connect_is_a_name_of_its_own(lamella: Lamella, serve: Serve, bb: str) -> None:
    lamella("network", "create", "na")
    serve("db", "--network", "na")
    for name in ("app", "other"):
        lamella("run", "-d", "--name", name, "--network", "bridge", bb, "sleep", "300")
        lamella("network", "connect", *(("--link", "db:data") if name == "app" else ()), "na", name)
    script = ("timeout", "2", "wget", "-qO-", "http://data/")
    assert (
        lamella("exec", "app", *script).stdout == "db\n" and lamella("exec", "other", *script, check=False).returncode
    )
    assert lamella("inspect", "-f", "{{.NetworkSettings.Networks.na.Links}}", "app").stdout == "[db:data]\n"
    lamella("restart", "-t", "0", "app")
    assert lamella("exec", "app", *script).stdout == "db\n"


def test_links_follow_the_other_to_its_new_address(lamella: Lamella, serve: Serve, bb: str) -> None:
    serve("db", "--network", "bridge")
    lamella(
        "run",
        "-d",
        "--name",
        "app",
        "--network",
        "bridge",
        "--link",
        "db:data",
        "--add-host",
        "far:192.0.2.9",
        bb,
        "sleep",
        "300",
    )
    before = address(lamella, "db", "bridge")
    lamella("stop", "-t", "0", "db")
    lamella("run", "-d", "--name", "between", "--network", "bridge", bb, "sleep", "300")
    lamella("start", "db")
    after = address(lamella, "db", "bridge")
    lines = lamella("exec", "app", "cat", "/etc/hosts").stdout.splitlines()
    short = lamella("ps", "-q", "--filter", "name=db").stdout.strip()
    assert (
        before != after and f"{after}\tdata {short} db" in lines and not any(line.startswith(before) for line in lines)
    )
    assert "192.0.2.9\tfar" in lines and lines[0] == "127.0.0.1\tlocalhost"


def test_a_bridge_without_the_host_s_address_leaves_the_gateway_to_another(lamella: Lamella, bb: str) -> None:
    option = "com.docker.network.bridge.inhibit_ipv4=true"
    id = lamella("network", "create", "--subnet", "10.231.12.0/24", "-o", option, "na").stdout.strip()
    lamella("run", "-d", "--name", "box", "--network", "na", bb, "sleep", "300")
    shown = subprocess.run(
        ["ip", "-4", "addr", "show", f"br-{id[:12]}"], capture_output=True, text=True, check=True
    ).stdout
    assert "inet " not in shown
    assert "default via 10.231.12.1" in lamella("exec", "box", "ip", "route").stdout
