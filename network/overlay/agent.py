"""The agent: one small process for a store while its containers are on overlay networks.

It renews the lease that this host's keys in etcd hang on, follows what other hosts write, and tells the kernel and the steward.
The keys of endpoints are written and deleted by those who attach and detach them; the agent only mends what they could not do,
because etcd was away or they were killed. When no container is on an overlay network any more, it gives the lease up and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from core.closing import Closing
from core.errors import Conflict, LamellaError, Unavailable
from core.files import write_file
from core.locks import FileLock
from network.hub import Hub
from network.model import Endpoint
from network.overlay import LEASE, views
from network.overlay.driver import read_lease
from network.overlay.etcd import Etcd, EtcdRefused, Item, absent, delete, present, put, unchanged
from network.overlay.records import ALL, DRIVER, ENDPOINTS, HOSTS, NETWORKS, host_of, records
from network.overlay.settings import Cluster

GATE = "agent.gate"  # in the run-time directory: a lock that all share who need the agent to stay
_SILENCE = 60.0  # seconds after which a watch that says nothing is begun anew
_AGAIN = 1.0  # seconds between two tries to reach etcd
Batch = list[tuple[bool, Item]]
# etcd is away or not in its right mind, or the kernel or the disk would not: what was not done is done with the next try.
_UNABLE = (LamellaError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Agent(Closing):
    """`alive` tells whether the container with an ID runs. `run` returns when there is nothing left to do."""

    def __init__(self, root: Path, state: Path, cluster: Cluster, alive: Callable[[str], bool]) -> None:
        self._hub = Hub(root, state)
        self._state = state
        self._cluster = cluster
        self._alive = alive
        self._etcd = Etcd(cluster)
        self._lease = 0
        self._view = views.View(state, cluster.id)
        self._news: queue.SimpleQueue[Batch | None] | None = None
        self._period = cluster.seconds / 3
        self._next = 0.0
        self._idle = False

    def close(self) -> None:
        """Harmless to repeat."""
        self._etcd.close()
        self._hub.close()

    def begin(self) -> None:
        """Take the lease, and learn what there is. Raises Conflict where another host has this one's address, Unavailable."""
        self._take_lease()
        self._follow()
        self._next = time.monotonic() + self._period

    def run(self) -> None:
        """After `begin`, or instead of it where there is an agent to replace: then etcd may be away as well. Whatever it does,
        containers go on with what was last known."""
        while not self._ended():
            try:
                self._attend()
            except _UNABLE:
                self._news, self._next = None, 0.0
                time.sleep(_AGAIN)

    def _attend(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._period
            self._renew()
        if self._news is None:
            self._follow()
        else:
            self._hear(self._news)

    def _hear(self, news: queue.SimpleQueue[Batch | None]) -> None:
        try:
            batch = news.get(timeout=max(0.0, self._next - time.monotonic()))
        except queue.Empty:
            return
        if batch is None:
            self._news = None
        else:
            with self._hub.locked():
                self._view.change(batch)

    # The lease.

    def _take_lease(self) -> None:
        """A new one, with everything of this host's on it; what still hangs on the former was of nobody any more."""
        self._lease = self._etcd.grant(self._cluster.seconds)
        self._register()
        with self._hub.locked():
            former = 0
            with contextlib.suppress(Unavailable):
                former = read_lease(self._state)
            write_file(self._state / LEASE, json.dumps({"lease": self._lease}).encode(), mode=0o600)
            self._view.load(self._etcd.under(ALL)[0])
            self._mend()
            if former:
                with contextlib.suppress(EtcdRefused):
                    self._etcd.revoke(former)

    def _register(self) -> None:
        """Write this host down under its address. Raises Conflict where that is another's."""
        key = f"{HOSTS}{self._cluster.underlay}"
        value = json.dumps({"id": self._cluster.id, "name": socket.gethostname()}, separators=(",", ":"))
        found = self._etcd.get(key)
        there = host_of(found) if found else None
        if there and there[0] != self._cluster.id:
            self._etcd.revoke(self._lease)
            raise Conflict(
                f"the underlay address {self._cluster.underlay} is another host's, {there[1]}",
                "give each its own: lamella network cluster --address",
            )
        condition = unchanged(key, found.revision if found else 0)
        if not self._etcd.commit([condition], [put(key, value, self._lease)]):
            raise Unavailable(f"somebody else has just taken {self._cluster.underlay}", "try again")

    def _renew(self) -> None:
        self._hub.clear(self._alive)
        if self._lease and self._etcd.renew(self._lease):
            with self._hub.locked():
                self._mend()
        else:
            self._news = None  # what it was told before is not what it knows now
            self._take_lease()

    def _endpoints(self) -> list[Endpoint]:
        networks = self._hub.networks
        return [e for network in networks.all() if network.driver == DRIVER for e in networks.endpoints(network)]

    def _mend(self) -> None:
        """Let etcd say of this host's endpoints what the catalog says. Under the lock: nobody is coming or going."""
        wanted = {key: value for one in self._endpoints() for key, value in records(self._cluster, one).items()}
        own = self._view.own
        for key, value in wanted.items():
            there = own.get(key)
            if there is None:
                network = NETWORKS + key.removeprefix(ENDPOINTS).partition("/")[0]
                self._etcd.commit([absent(key), present(network)], [put(key, value, self._lease)])
            elif there.value != value or there.lease != self._lease:
                self._etcd.commit([unchanged(key, there.revision)], [put(key, value, self._lease)])
        for key, there in own.items():
            if key not in wanted:
                self._etcd.commit([unchanged(key, there.revision)], [delete(key)])

    # What others write.

    def _follow(self) -> None:
        """Learn all anew, and then what changes."""
        items, revision = self._etcd.under(ALL)
        with self._hub.locked():
            self._view.load(items)
            self._view.show_all()
        self._news = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(self._cluster, revision + 1, self._news), daemon=True).start()

    # The end.

    def _ended(self) -> bool:
        """Whether nobody has needed the agent for a whole period, and it has given up everything."""
        if time.monotonic() < self._next:
            return False
        if self._endpoints():
            self._idle = False
            return False
        if not self._idle:
            self._idle = True
            return False
        gate = FileLock(self._state / GATE)
        if not gate.acquire(wait=False):
            return False
        try:
            if not self._endpoints():
                self._give_up()
                return True
        finally:
            gate.release()
        return False

    def _give_up(self) -> None:
        with contextlib.suppress(LamellaError):  # its own time ends it
            self._etcd.revoke(self._lease)
        (self._state / LEASE).unlink(missing_ok=True)
        self._view.forget()


def _listen(cluster: Cluster, revision: int, news: queue.SimpleQueue[Batch | None]) -> None:
    with Etcd(cluster) as etcd, contextlib.suppress(*_UNABLE):
        for batch in etcd.watch(ALL, revision, _SILENCE):
            news.put(batch)
    news.put(None)


def settle_down(keep: Iterable[int]) -> None:
    """Away from the terminal, the directory and the files of whoever began this."""
    top = max(map(int, os.listdir("/proc/self/fd"))) + 1
    kept = sorted(keep)
    for first, last in zip([3, *(fd + 1 for fd in kept)], [*kept, top], strict=True):
        os.closerange(first, last)
    os.chdir("/")
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("lamella-agent")
