"""The registry by itself: reads at full speed, lists out of a million, start, memory, and collecting beside pushes."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from bench.registries import LamellaRegistry, Nginx, Registry
from bench.zb import MANIFEST, MIB, Client, content, manifest, percentile
from image.digest import Digest
from registry.server.data import open_data
from registry.server.metadata.protocol import ManifestRecord

Row = dict[str, Any]
TAGS, REPOSITORIES, GARBAGE = 1_000_000, 100_000, 20_000


def reads(registries: Sequence[Registry], seconds: int, say: Callable[[str], None]) -> list[Row]:
    """Requests a second by wrk with 32 connections, and p99 in ms with 10: manifests and a blob of 4 KiB; and HEADs."""
    rows: list[Row] = []
    size, script = 4096, registries[0].work.parent / "head.lua"
    script.write_text(f'wrk.headers["Accept"] = "{MANIFEST}"\n')
    for registry in registries:
        registry.hold("bench/small", size)
    for title, path in (("manifest GET", "manifests/latest"), ("blob GET, 4 KiB", f"blobs/{manifest(size)[1]}")):
        row: Row = {"title": title, "by": {}}
        for registry in registries:
            url = f"http://{registry.address}/v2/bench/small/{path}"
            rate, _ = _wrk(url, script, seconds, 32)
            _, p99 = _wrk(url, script, seconds, 10)
            row["by"][registry.name] = {"rate": rate, "p99": p99}
        rows.append(row)
    rows.append(
        {"title": "manifest HEAD, 10 connections", "by": {one.name: _heads(one.address, seconds) for one in registries}}
    )
    for row in rows:
        say(f"{row['title']:20} {row['by']}")
    return rows


def _heads(address: str, seconds: float, connections: int = 10) -> Row:
    """As wrk does it, which waits for a body that HEAD does not have: each connection asks again when it was answered."""
    asking = f"HEAD /v2/bench/small/manifests/latest HTTP/1.1\r\nHost: {address}\r\nAccept: {MANIFEST}\r\n\r\n".encode()
    host, _, port = address.rpartition(":")
    taken: list[float] = []
    with contextlib.ExitStack() as stack:
        ready = stack.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection((host, int(port))))
            sock.sendall(asking)
            ready.register(sock, selectors.EVENT_READ, [time.perf_counter()])
        begun = time.perf_counter()
        while (now := time.perf_counter()) < begun + seconds:
            for key, _ in ready.select(1):
                sock = cast(socket.socket, key.fileobj)
                answer = sock.recv(4096)
                if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")):
                    raise RuntimeError(f"HEAD of a manifest: {answer!r}")
                now = time.perf_counter()
                taken.append(now - key.data[0])
                key.data[0] = now
                sock.sendall(asking)
    return {"rate": round(len(taken) / (now - begun), 1), "p99": percentile(taken, 99)}


def _wrk(url: str, script: Path, seconds: int, connections: int) -> tuple[float, float]:
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(script), url]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rate, p99 = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout), re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if "Non-2xx" in done.stdout or not rate or not p99:
        raise RuntimeError(f"{url}: {done.stdout}")
    return float(rate[1]), round(float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], 2)


def large(
    registries: Sequence[Registry], say: Callable[[str], None], size: int = 1 << 30, rounds: int = 3
) -> list[Row]:
    """Seconds of one PUT, of chunks, and of a GET of 1 GiB, medians; the server's peak of resident memory. Each pushes bytes
    that nobody has pushed before."""
    body = bytearray((content(64 * MIB) * (size // (64 * MIB) + 1))[:size])
    taken: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        for registry in registries:
            for title, seconds in _large(registry, body, turn).items():
                taken.setdefault(title, {}).setdefault(registry.name, []).append(seconds)
            say(f"{registry.name}: { {title: row.get(registry.name) for title, row in taken.items()} }")
    rows = [{"title": t, "by": {n: round(statistics.median(s), 2) for n, s in row.items()}} for t, row in taken.items()]
    peaks = {r.name: _status(r.process.pid, "VmHWM") // 1024 for r in registries if r.process and r.takes_pushes}
    return [*rows, {"title": "peak memory, MiB", "by": peaks}]


def _large(registry: Registry, body: bytearray, turn: int) -> dict[str, float]:
    """Seconds of what one registry does; where it has no place for blobs, of the GET alone."""
    client, found, digest = Client(registry.address), {}, ""
    for title, pieces in (("PATCH 1 GiB in 16", 16), ("PUT 1 GiB", 0)):
        body[:8] = bytes([turn, pieces, *os.urandom(6)])
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if not registry.takes_pushes:
            continue
        os.sync()
        begun = time.perf_counter()
        client.push_blob("bench/large", body, digest, pieces)
        found[title] = time.perf_counter() - begun
    if isinstance(registry, Nginx):
        registry.keep(f"bench/large/blobs/{digest}", body)
    begun = time.perf_counter()
    client.ask("GET", f"/v2/bench/large/blobs/{digest}")
    return {**found, "GET 1 GiB": time.perf_counter() - begun}


def _status(pid: int, key: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{key}:\s+(\d+) kB", text)
    assert found, text
    return int(found[1])


def grown(area: Path, say: Callable[[str], None]) -> list[Row]:
    """lamella alone on a store that is filled without HTTP."""
    registry = LamellaRegistry(area / "grown")
    data = registry.work / "data"
    data.mkdir(parents=True)
    fill(data)
    begun = time.perf_counter()
    registry.start()
    rows: list[Row] = [{"title": "start, ms", "value": round((time.perf_counter() - begun) * 1000), "aim": "≤ 500"}]
    assert registry.process is not None
    idle = _status(registry.process.pid, "VmRSS") // 1024
    try:
        tag, name = (lambda n: f"v{n:07}"), (lambda n: f"many/r{n:06}")
        rows += [
            {"title": "tags, 1,000 of 1,000,000: p99, ms", "value": _pages(registry, "/v2/big/app/tags/list", TAGS, tag), "aim": "≤ 20"},
            {"title": "catalog, 1,000 of 100,000: p99, ms", "value": _pages(registry, "/v2/_catalog", REPOSITORIES, name), "aim": "≤ 20"},
            {"title": "memory when idle, MiB", "value": idle, "aim": "≤ 100"},
        ]  # fmt: skip
        quiet = _push_latency(registry, 3.0)
        begun = time.perf_counter()
        words = [Path(sys.executable).with_name("lamella"), "registry", "gc", "--data", data, "--delay", "0"]
        collector = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True)
        ended: list[float] = []

        def wait() -> None:
            collector.wait()
            ended.append(time.perf_counter())

        waiter = threading.Thread(target=wait)
        waiter.start()
        busy = _push_latency(registry, 3.0, waiter)
        waiter.join()
        rows += [
            {"title": f"collecting {GARBAGE:,} blobs: blobs a second", "value": round(GARBAGE / (ended[0] - begun)), "aim": "≥ 1,000"},
            {"title": "p99 of pushing a small blob, ms", "value": quiet, "aim": ""},
            {"title": "the same during a collection", "value": busy, "aim": "≤ 2 ×"},
        ]  # fmt: skip
    finally:
        registry.stop()
        shutil.rmtree(registry.work)
    for row in rows:
        say(f"{row['title']:45} {row['value']} {row['aim']}")
    return rows


def fill(data: Path) -> None:
    """A repository of a million tags, 100,000 repositories, and blobs that nobody needs."""
    metadata, blobs = open_data(data, sync=False)
    raw = b'{"schemaVersion":2}'
    record = ManifestRecord(Digest.of(raw), MANIFEST, raw)
    metadata.put_manifest("big/app", record, [])
    with metadata._database.write() as db:
        db.executemany(
            "INSERT INTO tags (repository, name, digest, updated) SELECT id, ?, ?, 1 FROM repositories WHERE name = 'big/app'",
            ((f"v{n:07}", record.digest) for n in range(TAGS)),
        )
        db.executemany(
            "INSERT INTO repositories (name, created) VALUES (?, 1)", ((f"many/r{n:06}",) for n in range(REPOSITORIES))
        )
        db.execute(
            "INSERT INTO manifests (repository, digest, media_type, content, artifact_type, annotations, created) "
            "SELECT id, ?, ?, ?, '', '{}', 1 FROM repositories WHERE name LIKE 'many/%'", (record.digest, MANIFEST, raw),
        )  # fmt: skip
        made = [(blobs.add(f"garbage {n}".encode()), 12) for n in range(GARBAGE)]
        db.executemany("INSERT INTO reviews VALUES (2, 0, ?, 1, 0)", ((digest,) for digest, _ in made))
    metadata.close()


def _pages(registry: Registry, path: str, count: int, name: Callable[[int], str]) -> float:
    connection, taken = http.client.HTTPConnection(registry.address), []
    for _ in range(300):
        begun = time.perf_counter()
        connection.request("GET", f"{path}?n=1000&last={name(random.randrange(count - 1000))}")
        body = connection.getresponse().read()
        taken.append(time.perf_counter() - begun)
        assert body.count(b",") >= 999
    return round(sorted(taken)[296] * 1000, 2)


def _push_latency(registry: Registry, seconds: float, beside: threading.Thread | None = None) -> float:
    """p99 in ms of pushes of small blobs one after the other, for `seconds`, or as long as `beside` goes on."""
    client, taken, end = Client(registry.address), [], time.perf_counter() + seconds
    while beside.is_alive() if beside else time.perf_counter() < end:
        data = os.urandom(1000)
        begun = time.perf_counter()
        client.push_blob("bench/latency", data, "sha256:" + hashlib.sha256(data).hexdigest(), 0)
        taken.append(time.perf_counter() - begun)
    return round(sorted(taken)[len(taken) * 99 // 100] * 1000, 2)
