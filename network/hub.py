"""All networks of one store on this machine: the catalog's word, the drivers' work, and the lock that keeps them together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from core.clock import now
from core.closing import Closing
from core.errors import Conflict, InvalidInput, LamellaError, NotFound, Unavailable
from core.locks import FileLock
from core.value import replace
from core.words import is_name
from network import ipam
from network.drivers import make_driver
from network.model import DEFAULT_IPAM, PREDEFINED, Endpoint, Network, Port
from network.protocol import NetworkDriver
from network.tables import Networks, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from network.lender import Lender
    from network.sandbox import Sandbox

_NAME = "[a-zA-Z0-9][a-zA-Z0-9_.-]"


class Hub(Closing):
    """A context manager. `state` is the store's run-time directory, `proc` where the host's processes are to be seen. Not for
    a process that has forked since."""

    def __init__(self, root: Path, state: Path, *, sync: bool = True, proc: str = "/proc") -> None:
        self.networks = Networks(root, sync=sync)
        self.state = state
        self._proc = proc
        self._drivers: dict[str, NetworkDriver] = {}

    def driver(self, network: Network) -> NetworkDriver:
        """The one that does the network's work. Raises NotFound where it is not here."""
        if network.driver not in self._drivers:
            self._drivers[network.driver] = make_driver(network.driver, self.networks, self.state, self._proc)
        return self._drivers[network.driver]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """For the block, nobody else changes what this store's networks have on the machine."""
        with FileLock(self.state / "network.lock").held():
            yield

    def create(self, network: Network) -> Network:
        """Write a new network down; `id` and `created` are made here. Raises Conflict, InvalidInput, Unavailable."""
        if not is_name(network.name, len(network.name)):
            raise InvalidInput(
                f"invalid network name: {network.name!r}, only {_NAME} are allowed" if network.name else
                "network name cannot be empty",
                "choose another name",
            )  # fmt: skip
        if network.name in (*PREDEFINED, "default"):  # `--network default` is the default bridge
            raise Conflict(f"operation is not permitted on predefined {network.name} network", "choose another name")
        network = replace(network, id=new_id(), created=now())
        with self.locked():  # and not in a transaction: a driver may ask others, and wait for them
            others = self.networks.all()
            if any(other.name == network.name for other in others):
                raise Conflict(f"network with name {network.name} already exists", "choose another name")
            driver = self.driver(network)
            lender = self._lender(network)
            if lender is not None:
                network = self._with_pools(lender, network, driver)
            try:
                network = ipam.settle(driver.create(network), others, gateways=driver.gateways)
                self.networks.add(network)
            except BaseException:
                if lender is not None:
                    lender.release_pools(network)
                raise
        self._note(network, "create")
        return network

    def _lender(self, network: Network) -> Lender | None:
        """Who gives the network's addresses out, if not we."""
        if network.ipam == DEFAULT_IPAM:
            return None
        from network.lender import Lender

        return Lender(network.ipam, self.state)

    def _with_pools(self, lender: Lender, network: Network, driver: NetworkDriver) -> Network:
        if hasattr(driver, "claim"):  # a `SharedDriver`
            text = f"networks of the driver {network.driver} get their addresses from what all hosts share"
            raise InvalidInput(text, "leave --ipam-driver out")
        return lender.pools(network, gateways=driver.gateways)

    def _note(self, network: Network, action: str, **attributes: str) -> None:
        """Tell the store's log of events."""
        from store.events import note

        known = {"name": network.name, "type": network.driver, **attributes}
        note(self.networks.root, "network", action, network.id, known)

    def remove(self, network: Network, *, force: bool = False) -> None:
        """Forget the network, with all that was made for it; `force`: also where its driver is not here, or does not answer.

        Raises Conflict for one in use, or predefined; NotFound and Unavailable for the driver.
        """
        if network.predefined:
            raise Conflict(f"{network.name} is a pre-defined network and cannot be removed", "it costs nothing")
        with self.locked():
            self.networks.check_unused(network)
            with contextlib.suppress(NotFound, Unavailable) if force else contextlib.nullcontext():
                self.driver(network).clear(network)  # first: a bridge that no row tells of would stay for ever
                self.driver(network).remove(network)
            self.networks.delete(network)
            lender = self._lender(network)
            if lender is not None:
                lender.release_pools(network)
        self._note(network, "destroy")

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox, wanted: Iterable[str] = ()) -> Endpoint:
        """Hang a container on the network: the endpoint as it then is. `wanted`: the addresses it must have.

        Raises as `ipam.take` and the driver; nothing is left then.
        """
        driver = self.driver(network)
        with self.locked(), contextlib.ExitStack() as until_there:
            network = self._with_subnets(network, driver, until_there)
            self._evict(endpoint.ports)
            endpoint = self._take(network, endpoint, wanted)
            try:
                if endpoint.gateways:
                    endpoint = replace(endpoint, gateways=gateways(network))
                    self.networks.put_endpoint(endpoint)
                driver.attach(network, endpoint, sandbox)
            except BaseException:
                driver.detach(network, endpoint)
                self._forget(network, endpoint)
                raise
        self._note(network, "connect", container=endpoint.container)
        return endpoint

    def _take(self, network: Network, endpoint: Endpoint, wanted: Iterable[str]) -> Endpoint:
        """The endpoint with addresses that it alone has, also on the other machines that have the network."""
        driver, wanted, taken = self.driver(network), list(wanted), set[str]()
        lender = self._lender(network)
        if lender is not None:
            return self._lent(lender, network, endpoint, wanted)
        while True:
            found = ipam.take(self.networks, network, endpoint, wanted, taken)
            claim: Callable[[Network, Endpoint], Collection[str]] | None = getattr(driver, "claim", None)
            if claim is None:  # no `SharedDriver`
                return found
            try:
                others = claim(network, found)
            except BaseException:
                driver.detach(network, found)
                self.networks.delete_endpoint(found)
                raise
            if not others:
                return found
            self.networks.delete_endpoint(found)
            taken |= set(others)

    def _lent(self, lender: Lender, network: Network, endpoint: Endpoint, wanted: Iterable[str]) -> Endpoint:
        """The endpoint with addresses that the IPAM driver gives it."""
        endpoint, given = lender.addresses(network, endpoint, wanted)
        try:
            return ipam.take(self.networks, network, endpoint, given)
        except BaseException:
            lender.release(network, replace(endpoint, addresses=tuple(given)))
            raise

    def _forget(self, network: Network, endpoint: Endpoint) -> None:
        """Free the endpoint's addresses, and cross it out."""
        lender = self._lender(network)
        if lender is not None and self.networks.holds(endpoint):  # or they may be another's by now
            lender.release(network, endpoint)
        self.networks.delete_endpoint(endpoint)

    def _evict(self, ports: Sequence[Port]) -> None:
        """Take off the endpoints that still claim one of these ports: who comes with them holds them, so the others' keepers
        have been killed."""
        for other in list(self.networks.every_endpoint()) if ports else ():
            if any(port.meets(one) for port in ports for one in other.ports):
                self._detach(other)

    def _with_subnets(self, network: Network, driver: NetworkDriver, until_there: contextlib.ExitStack) -> Network:
        """The network with the addresses it has on this machine now: where nothing of it is up, what lamella chose when
        it was created may have become another's. Then no other store chooses any `until_there` are routes that tell."""
        network = self.networks.get(network.id) or network
        if all(subnet.chosen for subnet in network.subnets) and network.subnets:
            return network
        if network.subnets and (driver.inspect(network) or self.networks.endpoints(network)):
            return network
        until_there.enter_context(FileLock(self.state.parent / "addresses.lock").held())
        own = [ipam.parse_range(subnet.network, "subnet") for subnet in network.subnets]
        if own and not any(ipam.touches(one, ipam.routes()) for one in own):
            return network
        network = ipam.settle(network, self.networks.all(), gateways=driver.gateways)
        self.networks.change(network)
        return network

    def detach(self, endpoint: Endpoint) -> None:
        """Take a container off a network, but for what is in its sandbox. Harmless to repeat."""
        with self.locked():
            self._detach(endpoint)

    def _detach(self, endpoint: Endpoint) -> None:
        network = self.networks.get(endpoint.network)
        if network is None:
            self.networks.delete_endpoint(endpoint)
            return
        self.driver(network).detach(network, endpoint)
        self._forget(network, endpoint)
        self._note(network, "disconnect", container=endpoint.container)

    def release(self, container: str) -> None:
        """Take a container that does not run any more off all its networks. Harmless to repeat."""
        for endpoint in self.networks.endpoints_of(container):
            self.detach(endpoint)

    def clear(self, alive: Callable[[str], bool]) -> bool:
        """Finish what killed processes left: endpoints of containers that are not `alive`, and what was made for networks that
        nobody is on. Whether anybody is left. Harmless to repeat."""
        for endpoint in list(self.networks.every_endpoint()):
            if not alive(endpoint.container):
                self.detach(endpoint)
        with self.locked():
            for network in self.networks.all():
                if not self.networks.endpoints(network):
                    with contextlib.suppress(LamellaError):  # a driver that is not here has nothing to clear here
                        self.driver(network).clear(network)
            if any(self.state.glob("lent.*")):
                from network.lender import catch_up

                catch_up(self.state)
            if any(self.state.glob("told.*")):
                from network.remote import tell_of_ends

                tell_of_ends(self.networks, self.state)
        return self.networks.used()

    def close(self) -> None:
        """Harmless to repeat."""
        for driver in self._drivers.values():
            if isinstance(driver, Closing):
                driver.close()
        self.networks.close()


def gateways(network: Network, endpoint: Endpoint | None = None) -> tuple[str, ...]:
    """Where a default route on this network goes, or on this endpoint of it; nowhere from an internal one."""
    if endpoint is not None and endpoint.way_out is not None:
        return () if network.internal else endpoint.way_out
    return () if network.internal else tuple(subnet.gateway for subnet in network.subnets if subnet.gateway)
