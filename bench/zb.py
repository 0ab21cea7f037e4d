"""The workloads of zb, the benchmark of the zot registry, from their description: what many clients at once get done.

A push is an image: a layer of the size named, a config, a manifest, into a repository of its own. A pull asks for the
manifest (HEAD, then GET), the config and the layer. Clients are processes, each with one connection.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench.wire import Body, Connection

MIB = 1_000_000  # zb counts in powers of ten
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
_content: dict[int, bytes] = {}


def content(size: int) -> bytes:
    """The same bytes of that size in every process: made before the first fork."""
    if size not in _content:
        _content[size] = random.Random(size).randbytes(size)
    return _content[size]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    """One connection to one registry."""

    def __init__(self, address: str) -> None:
        self._connection = Connection(address)

    def ask(self, method: str, path: str, body: Body | None = None, *statuses: int, kind: str = "") -> str:
        """The Location of an answer that must have one of `statuses`; its body is read to the end."""
        headers = {"Content-Type": kind} if kind else {}
        status, location = self._connection.ask(method, path, body, {**headers, "Accept": MANIFEST})
        if status not in (statuses or (200,)):
            raise RuntimeError(f"{method} {path}: {status}")
        return location

    def push_blob(self, name: str, data: bytes | bytearray, digest: str, pieces: int) -> None:
        """By one PUT, or by so many PATCHes of unsaid range and an empty PUT."""
        place = _path(self.ask("POST", f"/v2/{name}/blobs/uploads/", None, 202))
        view, step = memoryview(data), -(-len(data) // pieces) if pieces else 0
        for start in range(0, len(data), step) if step else ():
            place = _path(self.ask("PATCH", place, view[start : start + step], 202, kind="application/octet-stream"))
        last = None if pieces else data
        self.ask(
            "PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", last, 201, kind="application/octet-stream"
        )

    def push(self, name: str, size: int, pieces: int = 0) -> None:
        """An image with a layer of `size` bytes, tagged `latest`."""
        self._push(name, content(size), *manifest(size), pieces)

    def push_new(self, name: str, size: int) -> None:
        """The same with a layer that nobody has pushed before."""
        layer = new_content(size)
        digest = new_digest(layer)
        self._push(name, layer, image(digest, size), digest, 0)

    def _push(self, name: str, layer: bytes | bytearray, raw: bytes, digest: str, pieces: int) -> None:
        self.push_blob(name, layer, digest, pieces)
        self.push_blob(name, CONFIG, sha256(CONFIG), 0)
        self.ask("PUT", f"/v2/{name}/manifests/latest", raw, 201, kind=MANIFEST)

    def pull(self, name: str, size: int) -> None:
        _, digest = manifest(size)
        for method, path in (
            ("HEAD", "manifests/latest"), ("GET", "manifests/latest"), ("GET", f"blobs/{sha256(CONFIG)}"), ("GET", f"blobs/{digest}"),
        ):  # fmt: skip
            self.ask(method, f"/v2/{name}/{path}")


_manifests: dict[int, tuple[bytes, str]] = {}


def manifest(size: int) -> tuple[bytes, str]:
    """The manifest of the image with that layer, and the layer's digest."""
    if size not in _manifests:
        digest = sha256(content(size))
        _manifests[size] = image(digest, size), digest
    return _manifests[size]


def image(digest: str, size: int) -> bytes:
    """The manifest of an image with one layer."""
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": sha256(CONFIG),
        "size": len(CONFIG),
    }
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).encode()


TAIL = 16
_new: dict[int, bytearray] = {}
_heads: dict[int, Any] = {}


def new_content(size: int) -> bytearray:
    """`size` bytes of which the last ones are new; the same buffer each time in one process."""
    layer = _new.setdefault(size, bytearray(content(size)))
    layer[-TAIL:] = os.urandom(TAIL)
    return layer


def new_digest(layer: bytearray) -> str:
    """Its digest, for which the bytes that do not change are hashed once."""
    size = len(layer)
    if size not in _heads:
        _heads[size] = hashlib.sha256(memoryview(layer)[:-TAIL])
    whole = _heads[size].copy()
    whole.update(layer[-TAIL:])
    return f"sha256:{whole.hexdigest()}"


def _path(location: str) -> str:
    parts = urlsplit(location)
    return parts.path + (f"?{parts.query}" if parts.query else "")


class Step(Protocol):
    """One request of a workload, or one image: the `number`-th of all."""

    def __call__(self, client: Client, number: int, choose: random.Random) -> None: ...


@dataclass(frozen=True)
class Workload:
    """`count` steps in all at full length."""

    title: str
    step: Step
    count: int
    reads: bool = False  # nothing but images, so that a server of files can answer as well


def _push(size: int, pieces: int = 0) -> Step:
    return lambda client, number, choose: client.push(f"zb/push-{choose.getrandbits(48):x}-{number}", size, pieces)


def _push_new(size: int) -> Step:
    return lambda client, number, choose: client.push_new(f"zb/new-{choose.getrandbits(48):x}-{number}", size)


def _pull(size: int) -> Step:
    return lambda client, number, choose: client.pull(f"zb/pull-{size}", size)


def _mixed(*parts: tuple[int, Step]) -> Step:
    """Each step one of `parts`, as often as its weight says."""
    weights, steps = [weight for weight, _ in parts], [step for _, step in parts]

    def step(client: Client, number: int, choose: random.Random) -> None:
        choose.choices(steps, weights)[0](client, number, choose)

    return step


def _catalog(client: Client, number: int, choose: random.Random) -> None:
    client.ask("GET", "/v2/_catalog")


SIZES = (1, 10, 100)


def workloads() -> list[Workload]:
    """The sixteen that need no upstream; the two of syncing on demand wait for the pull-through cache. zb pushes one layer
    of each size again and again: three more push layers that are new."""
    counts = {1: 200, 10: 60, 100: 20}
    thirds = {1: 33, 10: 33, 100: 33}
    usual = {1: 20, 10: 70, 100: 10}
    return [
        Workload("Get Catalog", _catalog, 2000),
        *(Workload(f"Push Monolith {n}MB", _push(n * MIB), counts[n]) for n in SIZES),
        *(Workload(f"Push Monolith {n}MB, each layer new", _push_new(n * MIB), counts[n]) for n in SIZES),
        *(Workload(f"Push Chunk Streamed {n}MB", _push(n * MIB, 10), counts[n]) for n in SIZES),
        *(Workload(f"Pull {n}MB", _pull(n * MIB), 2 * counts[n], reads=True) for n in SIZES),
        Workload("Pull Mixed 20% 1MB, 70% 10MB, 10% 100MB", _mixed(*((usual[n], _pull(n * MIB)) for n in SIZES)), 80, reads=True),
        Workload("Push Monolith Mixed 20% 1MB, 70% 10MB, 10% 100MB", _mixed(*((usual[n], _push(n * MIB)) for n in SIZES)), 40),
        Workload("Push Chunk Mixed 33% 1MB, 33% 10MB, 33% 100MB", _mixed(*((thirds[n], _push(n * MIB, 10)) for n in SIZES)), 30),
        *(
            Workload(f"Pull 75% and Push 25% Mixed {n}MB", _mixed((75, _pull(n * MIB)), (25, _push(n * MIB))), counts[n])
            for n in SIZES
        ),
    ]  # fmt: skip


def run(address: str, workload: Workload, clients: int, part: float) -> dict[str, Any]:
    """Steps a second by so many clients, and the latency that half and 99 % of them stay within, in milliseconds."""
    each = max(1, int(workload.count * part) // clients)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(clients + 1), context.SimpleQueue()
    children = [
        context.Process(target=_client, args=(address, workload.step, each, number, barrier, results), daemon=True)
        for number in range(clients)
    ]
    for child in children:
        child.start()
    barrier.wait(60)
    begun = time.perf_counter()
    taken = [result for _ in children for result in _received(results.get())]
    seconds = time.perf_counter() - begun
    for child in children:
        child.join()
    return {"rate": round(len(taken) / seconds, 1), "p50": percentile(taken, 50), "p99": percentile(taken, 99)}


def _client(address: str, step: Step, count: int, number: int, barrier: Any, results: Any) -> None:
    try:
        client, choose, taken = Client(address), random.Random(), []
        client.ask("GET", "/v2/")
        barrier.wait(60)
        for turn in range(count):
            begun = time.perf_counter()
            step(client, number * count + turn, choose)
            taken.append(time.perf_counter() - begun)
        results.put(taken)
    except Exception as error:
        results.put(str(error))


def _received(result: Sequence[float] | str) -> Sequence[float]:
    if isinstance(result, str):
        raise RuntimeError(result)
    return result


def percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    return round(sorted(seconds)[min(len(seconds) - 1, len(seconds) * percent // 100)] * 1000, 2)


class Place(Protocol):
    """What is measured; one that takes no pushes is asked for images alone."""

    name: str
    address: str
    takes_pushes: bool

    def hold(self, name: str, size: int) -> None: ...


def measure(
    places: Sequence[Place], workloads: Sequence[Workload], say: Callable[[str], None], *, clients: int = 10, part: float = 1.0
) -> list[dict[str, Any]]:  # fmt: skip
    """Each workload at each place in turn."""
    for place in places if workloads else ():
        for size in SIZES:
            place.hold(f"zb/pull-{size * MIB}", size * MIB)
            new_digest(new_content(size * MIB))  # before the first fork
    rows = []
    for workload in workloads:
        row: dict[str, Any] = {"title": workload.title, "by": {}}
        for place in places:
            if place.takes_pushes or workload.reads:
                os.sync()  # who waits for the disk is not to wait for what others left in memory
                row["by"][place.name] = run(place.address, workload, clients, part)
        rows.append(row)
        say(f"{workload.title:50} " + "  ".join(f"{n} {r['rate']}/s p99 {r['p99']} ms" for n, r in row["by"].items()))
    return rows
