"""What hosts tell each other through etcd: what is believed of it, and how it is asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, Unavailable, Unsupported
from core.value import replace
from network.hub import Hub
from network.model import Endpoint, Network, Subnet
from network.overlay import agent, settings
from network.overlay.allocation import allocate, learn, remove, shared
from network.overlay.driver import Overlay
from network.overlay.etcd import Etcd, EtcdAway, EtcdRefused, Item, absent, delete, put
from network.overlay.records import ENDPOINTS, NETWORKS, belongs, network_of, records, remote_of
from network.overlay.settings import Cluster
from network.tables import new_id
from runtime import overlaying
from tests.conftest import free_port, needs
from tests.suites.certificates import authority
from tests.suites.etcds import OwnEtcd

ID, HOST = "a" * 64, "b" * 32
GOOD = {"endpoint": ID, "host": HOST, "underlay": "192.0.2.9", "mac": "02:42:0a:00:01:05", "names": ["web"]}
NETWORK = Network(
    ID, "ov", "overlay", "2026-01-01T00:00:00Z", (Subnet("10.0.1.0/24", "10.0.1.1"),),
    options={"com.docker.network.driver.overlay.vxlanid_list": "4096"},
)  # fmt: skip


def item(data: Any, key: str = f"{ENDPOINTS}{ID}/10.0.1.5") -> Item:
    return Item(key, data if isinstance(data, bytes) else json.dumps(data).encode(), 1)


def test_what_a_host_writes_of_an_endpoint_is_what_the_others_read() -> None:
    endpoint = Endpoint(
        ID, ID, "c" * 64, "eth0", "02:42:0A:00:01:05", ("10.0.1.5/24", "fd00::5/64"), names=("web", "shop")
    )
    written = records(Cluster((), "192.0.2.9", HOST), endpoint)
    read = [remote_of(Item(key, value, 1)) for key, value in written.items()]
    assert [one and (one.address, one.mac, one.names, one.underlay) for one in read] == [
        (address, "02:42:0a:00:01:05", ("web", "shop"), "192.0.2.9") for address in ("10.0.1.5", "fd00::5")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"mac": "01:00:5e:00:00:01"}, {"mac": "02:42"}, {"mac": 5}, {"underlay": "127.0.0.1"}, {"underlay": "224.0.0.1"},
        {"underlay": "0.0.0.0"}, {"underlay": "moon"}, {"host": "x"}, {"endpoint": None}, {"names": 7}, {"names": [["web"]]},
        {"names": None},
    ],
)  # fmt: skip
def test_nonsense_of_an_endpoint_is_not_believed(change: dict[str, Any]) -> None:
    assert remote_of(item(GOOD)) is not None
    assert remote_of(item(GOOD | change)) is None


def test_neither_are_other_things_that_are_no_endpoint() -> None:
    for value in (
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'"x"',
        b"{}",
        json.dumps(GOOD | {"more": "x" * 70_000}).encode(),
    ):
        assert remote_of(item(value)) is None, value[:20]
    for key in (
        f"{ENDPOINTS}{ID}/moon",
        f"{ENDPOINTS}x/10.0.1.5",
        f"{ENDPOINTS}{ID}/10.0.1.05",
        f"{ENDPOINTS}{ID}/fd00::5%x",
        ENDPOINTS,
        "other",
    ):
        assert remote_of(item(GOOD, key)) is None, key
    named = remote_of(item(GOOD | {"names": ["good", "bad name", "a\nb", "", "x" * 300]}))
    assert named and named.names == ("good",)


def test_an_address_that_is_none_of_the_network_s_is_left_out() -> None:
    for address, mac, good in (
        ("10.0.1.5", "02:42:0a:00:01:05", True), ("10.0.2.5", "02:42:0a:00:01:05", False),
        ("10.0.1.1", "02:42:0a:00:01:05", False), ("10.0.1.5", "02:42:0a:00:01:01", False),
    ):  # fmt: skip
        found = remote_of(item(GOOD | {"mac": mac}, f"{ENDPOINTS}{ID}/{address}"))
        assert found and belongs(NETWORK, found) == good


@pytest.mark.parametrize(
    "change",
    [
        {"id": "c" * 64}, {"name": "../x"}, {"name": "host"}, {"driver": "bridge"}, {"subnets": []}, {"options": {}},
        {"subnets": [{"network": "0.0.0.0/0"}]}, {"subnets": [{"network": "127.0.0.0/8"}]}, {"subnets": "10.0.0.0/8"},
        {"subnets": [{"network": "10.0.1.0/24", "gateway": "192.0.2.1"}]}, {"subnets": [{"network": "10.0.1.0/24", "gateway": 5}]},
        {"options": {"com.docker.network.driver.overlay.vxlanid_list": "16777216"}}, {"internal": "no"}, {"labels": {"a": 1}},
        {"options": {"com.docker.network.driver.overlay.vxlanid_list": "9", "com.docker.network.driver.mtu": "x"}}, {"unknown": 1},
    ],
)  # fmt: skip
def test_nonsense_of_a_network_is_not_believed(change: dict[str, Any]) -> None:
    data = json.loads(NETWORK.encode())
    assert network_of(item(data, NETWORKS + ID)) == NETWORK
    assert network_of(item(data | change, NETWORKS + ID)) is None


@pytest.mark.parametrize(
    "url", ["10.0.0.1:2379", "ftp://x", "http://", "http://x/path", "http://a:b@x", "http://x:99999"]
)
def test_an_address_of_etcd_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        settings.check_urls([url])


@pytest.mark.parametrize("text", ["127.0.0.1", "224.0.0.5", "0.0.0.0", "moon", "lo"])
def test_an_address_where_no_host_can_reach_us_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        settings.underlay_of(text, ["http://127.0.0.1:2379"])


def test_a_network_may_be_learnt_while_it_is_still_being_written_down_where_it_was_made(hub: Hub) -> None:
    network = Network(new_id(), "ov", "overlay", "")
    for _ in range(2):
        hub.networks.add(network)
    with pytest.raises(Conflict):
        hub.networks.add(replace(network, id=new_id()))
    assert [one.id for one in hub.networks.all() if one.name == "ov"] == [network.id]


def test_without_an_etcd_there_are_no_overlay_networks(hub: Hub) -> None:
    with pytest.raises(Unsupported, match="does not know one") as caught:
        hub.create(Network("", "ov", "overlay", ""))
    assert "lamella network cluster --etcd" in str(caught.value.hint)


@pytest.mark.parametrize("trouble", [OSError(19, "No such device"), RecursionError(), AttributeError()])
def test_an_agent_outlives_what_a_kernel_a_disk_or_an_etcd_may_say(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(agent, "_AGAIN", 0.0)
    tries: list[int] = []

    class Unlucky(agent.Agent):
        def _ended(self) -> bool:
            return len(tries) == 2

        def _attend(self) -> None:
            tries.append(1)
            raise trouble

    with Unlucky(hub.networks.root, hub.state, Cluster(("http://127.0.0.1:1",), "192.0.2.9", HOST), bool) as unlucky:
        unlucky.run()
    assert len(tries) == 2


@needs("etcd", "curl")
class TestAsking:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[OwnEtcd]:
        with OwnEtcd(tmp_path) as own:
            yield own

    @pytest.fixture
    def etcd(self, own: OwnEtcd) -> Iterator[Etcd]:
        with Etcd(Cluster((f"http://127.0.0.1:{free_port()}", own.url), "192.0.2.9", HOST)) as made:
            yield made

    def test_any_of_several_servers_will_do_and_one_that_is_away_is_passed_by(self, etcd: Etcd) -> None:
        assert etcd.commit([absent("/lamella/x")], [put("/lamella/x", "1")])
        assert not etcd.commit([absent("/lamella/x")], [put("/lamella/x", "2")])
        found = etcd.get("/lamella/x")
        assert found and found.value == b"1" and etcd.get("/lamella/y") is None

    def test_what_hangs_on_a_lease_goes_with_it(self, etcd: Etcd) -> None:
        lease = etcd.grant(60)
        etcd.commit([], [put("/lamella/x", "1", lease)])
        found = etcd.get("/lamella/x")
        assert found and found.lease == lease and etcd.renew(lease)
        for _ in range(2):
            etcd.revoke(lease)
        assert etcd.get("/lamella/x") is None and not etcd.renew(lease)
        with pytest.raises(EtcdRefused) as caught:
            etcd.commit([], [put("/lamella/x", "1", lease)])
        assert caught.value.missing

    def test_a_watch_tells_what_comes_and_goes_and_ends_with_etcd(self, own: OwnEtcd, etcd: Etcd) -> None:
        _, revision = etcd.under("/lamella/")
        for change in (put("/lamella/x", "1"), delete("/lamella/x")):
            etcd.commit([], [change])
        with Etcd(Cluster((own.url,), "192.0.2.9", HOST)) as other:
            watch = other.watch("/lamella/", revision + 1, 20)
            told: list[tuple[bool, str]] = []
            while len(told) < 2:
                told += [(there, one.key) for there, one in next(watch)]
            assert told == [(True, "/lamella/x"), (False, "/lamella/x")]
            own.stop()
            with pytest.raises(EtcdAway, match="etcd does not answer"):
                next(watch)

    def test_two_hosts_that_choose_at_once_agree_on_who_was_first(self, own: OwnEtcd, etcd: Etcd) -> None:
        class Slow(Etcd):
            """One that another host is always a moment faster than, once."""

            beaten = False

            def commit(self, *given: Any) -> bool:
                if not self.beaten:
                    self.beaten = True
                    allocate(etcd, Network(new_id(), "first", "overlay", "now"), ())
                return super().commit(*given)

        with Slow(Cluster((own.url,), "192.0.2.8", HOST)) as other:
            second = allocate(other, Network(new_id(), "second", "overlay", "now"), ())
        first = next(one for one in shared(etcd) if one.name == "first")
        assert first.subnets[0].network == "10.0.1.0/24" and second.subnets[0].network == "10.0.2.0/24"
        assert len({*first.options.values(), *second.options.values()}) == 2

    def test_names_ranges_and_identifiers_that_are_taken_are_refused(self, etcd: Etcd) -> None:
        vni = {"com.docker.network.driver.overlay.vxlanid_list": "77"}
        allocate(etcd, Network(new_id(), "one", "overlay", "now", (Subnet("10.7.0.0/16"),), options=vni), ())
        for name, subnet, options in (
            ("one", "10.8.0.0/16", {}),
            ("two", "10.7.1.0/24", {}),
            ("two", "10.8.0.0/16", vni),
        ):
            with pytest.raises(Conflict):
                allocate(etcd, Network(new_id(), name, "overlay", "now", (Subnet(subnet),), options=options), ())
        assert [network.name for network in shared(etcd)] == ["one"]

    def test_an_address_in_use_anywhere_keeps_its_network(self, etcd: Etcd) -> None:
        made = allocate(etcd, Network(new_id(), "one", "overlay", "now"), ())
        key = f"{ENDPOINTS}{made.id}/10.0.1.5"
        etcd.commit([], [put(key, json.dumps(GOOD))])
        with pytest.raises(Conflict, match="active endpoints on other hosts"):
            remove(etcd, made)
        etcd.commit([], [delete(key)])
        for _ in range(2):
            remove(etcd, made)
        assert shared(etcd) == []

    def test_a_catalog_learns_what_came_and_went_and_keeps_its_own_names(self, hub: Hub, etcd: Etcd) -> None:
        hub.create(Network("", "mine", "bridge", ""))
        made = [allocate(etcd, Network(new_id(), name, "overlay", "now"), ()) for name in ("mine", "ours")]
        etcd.commit([], [put(NETWORKS + "c" * 64, "nonsense")])
        learn(hub.networks, etcd)
        assert {n.name: n.driver for n in hub.networks.all() if not n.predefined} == {
            "mine": "bridge",
            "ours": "overlay",
        }
        remove(etcd, made[1])
        learn(hub.networks, etcd)
        assert [n.name for n in hub.networks.all() if not n.predefined] == ["mine"]

    def test_an_address_that_another_host_has_is_not_taken(self, hub: Hub, own: OwnEtcd, etcd: Etcd) -> None:
        settings.write(hub.networks.root, Cluster((own.url,), "192.0.2.8", HOST))
        (hub.state / "agent.lease").write_text(json.dumps({"lease": etcd.grant(60)}))
        network = hub.create(Network("", "ov", "overlay", ""))
        for last in (2, 3, 5):
            etcd.commit([], [put(f"{ENDPOINTS}{network.id}/10.0.1.{last}", json.dumps(GOOD))])
        driver = Overlay(hub.networks, hub.state)
        with driver:
            mine = Endpoint(new_id(), network.id, new_id(), "eth0", "02:42:0a:00:01:02", ("10.0.1.2/24",))
            assert driver.claim(network, mine) == {"10.0.1.2", "10.0.1.3", "10.0.1.5"}
            free = Endpoint(new_id(), network.id, new_id(), "eth0", "02:42:0a:00:01:04", ("10.0.1.4/24",))
            for _ in range(2):  # an answer may have been lost
                assert not driver.claim(network, free)
            driver.detach(network, mine)
            driver.detach(network, free)
        left = [one.key.rpartition("/")[2] for one in etcd.under(f"{ENDPOINTS}{network.id}/")[0]]
        assert left == ["10.0.1.2", "10.0.1.3", "10.0.1.5"]


@needs("etcd", "curl")
def test_etcd_s_certificate_is_checked_and_a_user_is_let_in_by_a_password(tmp_path: Path) -> None:
    ca, _ = authority(tmp_path)
    with OwnEtcd(tmp_path, certificates=(ca, tmp_path / "server.pem")) as own:
        with Etcd(Cluster((own.url,), "192.0.2.9", HOST)) as stranger, pytest.raises(EtcdAway, match="certificate"):
            stranger.get("/lamella/x")
        with Etcd(Cluster((own.url,), "192.0.2.9", HOST, ca=str(ca))) as root:
            root.call("/v3/auth/role/add", {"name": "root"})
            for name in ("root", "lamella"):
                root.call("/v3/auth/user/add", {"name": name, "password": f"{name}'s"})
            root.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
            root.call("/v3/auth/enable", {})
        told = Cluster((own.url,), "192.0.2.9", HOST, ca=str(ca), user="root", password="root's")
        with Etcd(told) as etcd:
            assert etcd.commit([absent("/lamella/x")], [put("/lamella/x", "1")]) and etcd.get("/lamella/x")
            etcd._token = "a.0"  # as after a restart of etcd, which has forgotten it
            assert etcd.get("/lamella/x")
        for user, password in (("root", "wrong"), ("", ""), ("lamella", "lamella's")):
            with Etcd(replace(told, user=user, password=password)) as other, pytest.raises(EtcdRefused):
                other.get("/lamella/x")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"])
def test_an_etcd_that_only_trickles_is_away(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr("network.overlay.etcd._SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=trickle, args=(server, head), daemon=True).start()
        began = time.monotonic()
        with Etcd(Cluster((f"http://127.0.0.1:{server.getsockname()[1]}",), "192.0.2.9", HOST)) as etcd:
            with pytest.raises(EtcdAway, match=r"no answer in time|timed out"):
                etcd.get("/lamella/x")
            with pytest.raises(EtcdAway):
                list(etcd.watch("/lamella/", 1, 0.5))
        assert time.monotonic() - began < 60  # the trickle goes on for longer


def trickle(server: socket.socket, head: bytes) -> None:
    """Answer each caller with a byte now and then."""
    with contextlib.suppress(OSError):
        while True:
            caller, _ = server.accept()
            threading.Thread(target=drip, args=(caller, head), daemon=True).start()


def drip(caller: socket.socket, head: bytes) -> None:
    with caller, contextlib.suppress(OSError):
        caller.recv(1000)
        caller.sendall(head or b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(1000):
            caller.sendall(b"x")
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo one >&2; echo 'no such library' >&2; exit 127", "cannot begin: no such library"),
        ("kill -9 $$", "cannot begin: it was killed"),
    ],
)
def test_an_agent_that_fails_at_once_is_told_by_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(Unavailable, match=said):
        overlaying.start(tmp_path, tmp_path)


def test_an_agent_that_may_not_begin_says_why_itself(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot begin: overlay networks need etcd"):
        overlaying.start(tmp_path, tmp_path)
