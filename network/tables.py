"""What is written down about networks, in tables of their own in `catalog.db`.

An endpoint's row is there before anything of it is made, and goes after everything of it is gone: whatever is killed in
between, the row says what to look for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from core import sqlite
from core.clock import now
from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from network.model import PREDEFINED, Endpoint, Network

OWNER = "network"
MIGRATIONS = (
    """
    CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, data TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE network_endpoints (
        id TEXT PRIMARY KEY, network TEXT NOT NULL REFERENCES networks, container TEXT NOT NULL, data TEXT NOT NULL,
        UNIQUE (network, container)
    ) WITHOUT ROWID;
    CREATE INDEX network_endpoints_by_container ON network_endpoints (container);
    CREATE TABLE network_addresses (
        network TEXT NOT NULL, address TEXT NOT NULL, endpoint TEXT NOT NULL REFERENCES network_endpoints ON DELETE CASCADE,
        PRIMARY KEY (network, address)
    ) WITHOUT ROWID;
    CREATE INDEX network_addresses_by_endpoint ON network_addresses (endpoint);
    CREATE TABLE network_last (subnet TEXT PRIMARY KEY, address TEXT NOT NULL) WITHOUT ROWID;
    """,
)


class NetworkNotFound(NotFound):
    """Nothing has this ID or name."""

    def __init__(self, text: str) -> None:
        super().__init__(f"network {text} not found", "`lamella network ls` lists what is here")


class Networks:
    """The networks and endpoints of one store. A connection of its own: never call it inside the store's transactions."""

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self.root = root
        self.database = Database(root / "catalog.db", OWNER, MIGRATIONS, sync=sync)

    def close(self) -> None:
        """Harmless to repeat."""
        self.database.close()

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[sqlite.Connection]:
        """Everything inside happens at once, or not at all."""
        return self.database.write(durable=durable)

    def all(self) -> list[Network]:
        """Every network, by name; the predefined ones are always there."""
        rows = self._rows("SELECT data FROM networks ORDER BY name")
        if len(rows) < len(PREDEFINED):
            self._predefine()
            rows = self._rows("SELECT data FROM networks ORDER BY name")
        return [Network.decode(row[0]) for row in rows]

    def find(self, text: str) -> Network:
        """By full ID, name, or the unique beginning of an ID. Raises NetworkNotFound, and InvalidInput if ambiguous."""
        row = self._row("SELECT data FROM networks WHERE id = ? OR name = ?", (text, text))
        if row:
            return Network.decode(row[0])
        found = [network for network in self.all() if network.name == text or (text and network.id.startswith(text))]
        if len(found) > 1:
            raise InvalidInput(
                f"network {text} is ambiguous ({len(found)} matches found on ID prefix)", "give more digits"
            )
        if not found:
            raise NetworkNotFound(text)
        return found[0]

    def get(self, id: str) -> Network | None:
        """The network with exactly this ID."""
        row = self._row("SELECT data FROM networks WHERE id = ?", (id,))
        return Network.decode(row[0]) if row else None

    def add(self, network: Network) -> None:
        """Write a new network down, which this host may just have learnt from the others. Raises Conflict where the name is
        taken."""
        try:
            with self.transaction() as connection:
                values = (network.id, network.name, network.encode())
                same = "ON CONFLICT (id) DO UPDATE SET data = excluded.data"
                connection.execute(f"INSERT INTO networks VALUES (?, ?, ?) {same}", values)
        except sqlite.IntegrityError as error:
            raise Conflict(f"network with name {network.name} already exists", "choose another name") from error

    def change(self, network: Network) -> None:
        """Put the network in place of the one with its ID."""
        with self.transaction(durable=False) as connection:
            connection.execute("UPDATE networks SET data = ? WHERE id = ?", (network.encode(), network.id))

    def check_unused(self, network: Network) -> None:
        """Raises Conflict where a container hangs on the network."""
        endpoints = self.endpoints(network)
        if endpoints:
            names = ", ".join(f'name:"{one.names[0] if one.names else one.container[:12]}"' for one in endpoints)
            raise Conflict(
                f"error while removing network: network {network.name} has active endpoints ({names})",
                "stop these containers, or `lamella network disconnect` them",
            )

    def delete(self, network: Network) -> None:
        """Forget a network without endpoints. Raises Conflict where it has some."""
        with self.transaction() as connection:
            self.check_unused(network)
            connection.execute("DELETE FROM networks WHERE id = ?", (network.id,))
            connection.executemany(
                "DELETE FROM network_last WHERE subnet = ?", [(f"{network.id} {s.network}",) for s in network.subnets]
            )

    def endpoints(self, network: Network) -> list[Endpoint]:
        """Who hangs on the network now."""
        rows = self._rows("SELECT data FROM network_endpoints WHERE network = ? ORDER BY id", (network.id,))
        return [Endpoint.decode(row[0]) for row in rows]

    def linking(self, network: Network) -> list[Endpoint]:
        """Those on the network that have links. One look, whoever else is there."""
        query = "SELECT data FROM network_endpoints WHERE network = ? AND data NOT LIKE '%\"links\":[]%'"
        return [Endpoint.decode(row[0]) for row in self._rows(query, (network.id,))]

    def endpoints_of(self, container: str) -> list[Endpoint]:
        """Where the container with this ID hangs now, eth0 first."""
        rows = self._rows("SELECT data FROM network_endpoints WHERE container = ?", (container,))
        found = [Endpoint.decode(row[0]) for row in rows]
        return sorted(found, key=lambda endpoint: (len(endpoint.interface), endpoint.interface))

    def every_endpoint(self) -> Iterator[Endpoint]:
        """All of them."""
        return (Endpoint.decode(row[0]) for row in self._rows("SELECT data FROM network_endpoints ORDER BY id"))

    def used(self) -> bool:
        """Whether any container hangs on any network."""
        return self._row("SELECT 1 FROM network_endpoints LIMIT 1", ()) is not None

    def holds(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint is written down."""
        return self._row("SELECT 1 FROM network_endpoints WHERE id = ?", (endpoint.id,)) is not None

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Write the endpoint down, in place of one with its ID. Its addresses are `network.ipam`'s to take."""
        with self.transaction(durable=False) as connection:
            connection.execute(
                "INSERT INTO network_endpoints VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
                (endpoint.id, endpoint.network, endpoint.container, endpoint.encode()),
            )

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Forget the endpoint and free its addresses. Harmless to repeat."""
        with self.transaction(durable=False) as connection:
            connection.execute("DELETE FROM network_endpoints WHERE id = ?", (endpoint.id,))

    def _predefine(self) -> None:
        drivers = {"bridge": "bridge", "host": "host", "none": "null"}
        with self.transaction() as connection:
            for name in PREDEFINED:
                network = Network(new_id(), name, drivers[name], now())
                connection.execute(
                    "INSERT OR IGNORE INTO networks VALUES (?, ?, ?)", (network.id, name, network.encode())
                )

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite.Row]:
        return self.database.read().execute(query, values).fetchall()

    def _row(self, query: str, values: tuple[object, ...]) -> sqlite.Row | None:
        row: sqlite.Row | None = self.database.read().execute(query, values).fetchone()
        return row


def new_id() -> str:
    """An ID for a network or an endpoint: 64 hex digits."""
    import os

    return os.urandom(32).hex()
