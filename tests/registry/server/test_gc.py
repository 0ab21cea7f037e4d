"""Space comes back by itself, from real servers, and never what anybody needs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import InvalidInput
from image.digest import Digest
from registry.server.collector import Collector
from registry.server.data import open_data
from registry.server.intake import finish
from registry.server.policy import Policy
from registry.server.registry import Registry
from tests.suites.served import OCI_MANIFEST, ROOT, Served, manifest, sha256

Start = Callable[..., Served]


def gc(data: Path, *options: str) -> str:
    command = [sys.executable, "-m", "lamella", "registry", "gc", "--data", str(data), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fates(data: Path, *options: str) -> dict[str, tuple[str, str]]:
    """Of each name: what would be done, and why."""
    rows = [json.loads(line) for line in gc(data, "--dry-run", "--format", "json", *options).splitlines()]
    return {row["Name"]: (row["Action"], row["Why"]) for row in rows}


def stored(data: Path) -> set[str]:
    return {f"{path.parent.parent.name}:{path.name}" for path in (data / "blobs").glob("*/*/*")}


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_running_registry_gives_space_back_by_itself(start: Start, data: Path, workers: str) -> None:
    server = start("--gc-delay", "0", "--gc-interval", "50ms", "--workers", workers)
    old = json.loads(server.image("a/b", "1", b"old layer", b"shared"))
    new = server.image("a/b", "1", b"new layer", b"shared")
    gone = {layer["digest"] for layer in old["layers"]} - {layer["digest"] for layer in json.loads(new)["layers"]}
    eventually(lambda: not gone & stored(data))
    for layer in json.loads(new)["layers"]:
        assert sha256(server.ask("GET", f"/v2/a/b/blobs/{layer['digest']}").body) == layer["digest"]
    assert server.ask("DELETE", f"/v2/a/b/manifests/{sha256(new)}").status == 202
    eventually(lambda: not stored(data))
    assert server.ask("GET", "/v2/a/b/tags/list").status == 404
    assert server.ask("GET", "/v2/_catalog").json == {"repositories": []}
    assert server.stop() == 0 and server.said == ""


def test_nothing_goes_before_the_delay_is_over(start: Start, data: Path) -> None:
    server = start("--gc-interval", "50ms")
    raw = server.image("a", "1", b"layer")
    server.ask("DELETE", f"/v2/a/manifests/{sha256(raw)}")
    loose = server.blob("a", b"loose")
    time.sleep(0.4)
    assert {sha256(b"layer"), loose} < stored(data)
    assert (
        "1h"
        in subprocess.run(
            [sys.executable, "-m", "lamella", "registry", "serve", "--help"], capture_output=True, text=True, cwd=ROOT
        ).stdout
    )
    assert gc(data).splitlines()[-1] == "Total reclaimed space: 0B"
    gc(data, "--delay", "0")
    assert stored(data) == set()


def test_a_dry_run_says_of_each_blob_why_it_stays_and_removes_nothing(start: Start, data: Path) -> None:
    server = start()
    raw = server.image("team/app", "1.0", b"needed")
    loose, orphan = server.blob("team/app", b"loose"), sha256(b"orphan")
    deleted = server.blob("other", b"deleted")
    server.ask("DELETE", f"/v2/other/blobs/{deleted}")
    place = data / f"blobs/sha256/{orphan[7:9]}/{orphan[7:]}"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"orphan")
    untagged = json.loads(server.image("team/app", "2.0", b"of an untagged one"))["layers"][0]["digest"]
    server.ask("DELETE", "/v2/team/app/manifests/2.0")
    before = stored(data)
    found = fates(data)
    assert found[untagged][0] == "keep" and ", which nothing names: to go in" in found[untagged][1]
    config = json.loads(raw)["config"]["digest"]
    assert found[sha256(b"needed")] == found[config] == ("keep", "needed by team/app:1.0")
    assert (
        found[loose][0] == "keep"
        and "no manifest of team/app needs it, pushed less than a second ago: to go in" in found[loose][1]
    )
    assert found[deleted][0] == "keep" and found[deleted][1].startswith("no repository has it, released")
    assert found[orphan] == ("keep", "no repository has it: a push is ending, or a crash left it; it will be reviewed")
    at_once = fates(data, "--delay", "0")
    assert [at_once[name][0] for name in (sha256(b"needed"), loose, deleted, untagged)] == ["keep", *["delete"] * 3]
    assert stored(data) == before
    assert "Deleted 0 tags, 3 manifests and blobs of repositories, 4 blobs." in gc(data, "--delay", "0")
    assert stored(data) == {sha256(b"needed"), config}


def test_who_asks_for_a_blob_may_rely_on_it(start: Start, data: Path) -> None:
    server = start("--gc-delay", "1s", "--gc-interval", "50ms")
    server.image("a", "1", b"layer")
    raw = manifest(b"layer", ())
    server.ask("DELETE", "/v2/a/manifests/1")
    end = time.monotonic() + 3
    while time.monotonic() < end:  # a client that has been told that the blob is there, and takes its time
        assert server.ask("HEAD", f"/v2/a/blobs/{sha256(b'layer')}").status == 200
        time.sleep(0.2)
    got = server.ask("PUT", "/v2/a/manifests/2", raw, content_type=OCI_MANIFEST)
    assert got.status == 201 and "warning" not in got.headers
    time.sleep(1.5)
    assert server.ask("GET", f"/v2/a/blobs/{sha256(b'layer')}").body == b"layer"


def test_retention_runs_and_says_before_what_it_would_do(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "registry.toml").write_text('[[retention]]\nrepositories = "team/*"\nkeep = 2\nalways = ["latest"]\n')
    server = start()
    for number in range(5):
        server.image("team/app", f"v{number}", str(number).encode())
    server.image("team/app", "latest", b"0")
    server.image("else/app", "v0", b"x")
    found = fates(data)
    assert found["team/app:latest"] == ("keep", "its name is always kept")
    assert found["team/app:v4"] == ("keep", "it is number 2 of the 2 newest")
    assert found["team/app:v0"][0] == "delete" and "else/app:v0" not in found
    assert len(server.ask("GET", "/v2/team/app/tags/list").json["tags"]) == 6
    assert gc(data).startswith("Deleted 4 tags")
    assert server.ask("GET", "/v2/team/app/tags/list").json["tags"] == ["latest", "v4"]
    assert server.ask("GET", "/v2/else/app/tags/list").json["tags"] == ["v0"]


def test_what_is_pulled_is_remembered_over_a_restart(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "registry.toml").write_text('[[retention]]\npulled_within = "7d"\n')
    server = start()
    raw = [server.image("a", tag, tag.encode()) for tag in ("1", "2", "3")]
    server.ask("GET", "/v2/a/manifests/1")
    server.ask("GET", f"/v2/a/manifests/{sha256(raw[1])}")
    server.stop()
    found = fates(data)
    assert [found[f"a:{tag}"][0] for tag in ("1", "2", "3")] == ["keep", "keep", "delete"]
    assert found["a:1"][1] == "pulled less than a second ago" or "pulled" in found["a:1"][1]


def test_an_immutable_tag_stays_where_it_is(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "registry.toml").write_text('[[immutable]]\ntags = ["v*"]\n')
    server = start()
    raw = server.image("a", "v1", b"one")
    assert server.ask("PUT", "/v2/a/manifests/v1", raw, content_type=OCI_MANIFEST).status == 201
    for method, reference, body in (
        ("PUT", "v1", manifest(b"{}")), ("DELETE", "v1", None), ("DELETE", sha256(raw), None),
        ("PUT", f"{sha256(manifest())}?tag=x&tag=v1", manifest()),
    ):  # fmt: skip
        got = server.ask(method, f"/v2/a/manifests/{reference}", body, content_type=OCI_MANIFEST)
        assert (got.status, got.code) == (403, "DENIED") and "immutable" in got.json["errors"][0]["message"]
    assert server.ask("GET", "/v2/a/manifests/v1").body == raw
    assert server.ask("GET", "/v2/a/tags/list").json["tags"] == ["v1"]
    server.image("a", "latest", b"one")
    server.image("a", "latest", b"two")


def test_a_quota_says_what_is_used_and_allowed(start: Start, data: Path) -> None:
    data.mkdir()
    (data / "registry.toml").write_text(
        '[quota]\nrepository = "10k"\nregistry = "15k"\n[quota.repositories]\n"big/*" = "1M"\n'
    )
    server = start()
    content = os.urandom(8000)
    server.blob("a", content)
    for path, method in (
        (f"{server.upload('a')}?digest={sha256(bytes(4000))}", "PUT"),
        (server.upload("a"), "PATCH"),
        (f"/v2/a/blobs/uploads/?digest={sha256(bytes(4000))}", "POST"),
        (server.upload("big/a"), "PATCH"),
    ):
        got = server.ask(method, path, bytes(4000 if "big" not in path else 8000))
        detail = got.json["errors"][0]["detail"]
        assert (got.status, got.code) == (403, "DENIED"), got
        assert detail["allowed"] in (10240, 15360) and detail["used"] == 8000
        assert "quota of" in got.json["errors"][0]["message"]
    connection, place = server.connect(), server.upload("a")  # a length that nobody announced
    connection.request("PATCH", place, iter([bytes(4000)]), encode_chunked=True)
    assert connection.getresponse().status == 202
    connection.close()
    assert server.ask("PUT", f"{place}?digest={sha256(bytes(4000))}").code == "DENIED"
    assert server.ask("HEAD", f"/v2/a/blobs/{sha256(bytes(4000))}").status == 404
    big = manifest(note="x" * 3000)
    assert server.ask("PUT", "/v2/a/manifests/1", big, content_type=OCI_MANIFEST).code == "DENIED"
    assert server.ask("POST", f"/v2/big/b/blobs/uploads/?mount={sha256(content)}&from=a").status == 201
    server.ask("DELETE", f"/v2/big/b/blobs/{sha256(content)}")
    server.ask("DELETE", f"/v2/a/blobs/{sha256(content)}")
    assert server.blob("a", bytes(4000))
    gc(data, "--delay", "0")
    assert stored(data) == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "registry.toml"), ("[gc]\nnothing = 1", "gc has no key 'nothing'"), ("[other]", "no key 'other'"),
        ('[gc]\ndelay = "x"', "gc.delay: invalid duration"), ('[gc]\ndelay = "-1h"', "is negative"),
        ("[gc]\nuntagged = 1", "gc.untagged must be true or false"), ('[quota]\nregistry = "many"', "quota.registry: invalid size"),
        ("[[retention]]\ntags = 'x'", "retention[1] keeps nothing at all"), ("[[retention]]\nkeep = -1", "retention[1].keep must be"),
        ("[[immutable]]\ntags = []", "immutable[1].tags must be"), ("retention = 1", "retention must be a list"),
        ("gc = 1", "gc must be a table"), ("[quota]\nrepositories = 1", "quota.repositories must be a table"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_said_so(data: Path, text: str, said: str) -> None:
    from cli.registry_config import read_policy

    data.mkdir()
    (data / "registry.toml").write_text(text)
    with pytest.raises(InvalidInput) as error:
        read_policy(data, None)
    assert "registry.toml" in error.value.message and said in error.value.message


def test_without_a_configuration_all_has_defaults(data: Path) -> None:
    from cli.registry_config import read_policy

    assert read_policy(data, None) == Policy()
    with pytest.raises(InvalidInput, match="cannot read"):
        read_policy(data, data / "absent.toml")


def test_the_configuration_is_read(data: Path) -> None:
    from cli.registry_config import read_policy

    data.mkdir()
    (data / "x.toml").write_text(
        '[gc]\ndelay = "1w2d3h"\ninterval = "5s"\nuntagged = false\n[uploads]\nexpire = "1d"\n'
    )
    policy = read_policy(data, data / "x.toml")
    assert policy.delay == (9 * 24 + 3) * 3600 * 10**9
    assert (policy.interval, policy.untagged, policy.uploads_expire) == (5, False, 86400)


def test_a_collector_never_comes_between_a_blob_and_its_link(data: Path) -> None:
    """In the moment when the bytes are in place and no row names them, bytes that are due stay."""
    metadata, blobs = open_data(data, sync=False)
    collector = Collector(metadata, blobs, Policy(delay=0, unreferenced=0))
    content = b"x" * 1000
    digest = Digest.of(content)
    link, seen = metadata.link_blob, []

    def late(*args: object) -> None:
        metadata.adopt([digest])
        other, others = open_data(data, sync=False)
        collector.collect()
        Collector(other, others, Policy(delay=0, unreferenced=0)).collect()
        other.close()
        seen.append(blobs.stat(digest))
        link(*args)  # type: ignore[arg-type]

    metadata.link_blob = late  # type: ignore[method-assign]
    upload = blobs.resume("a", blobs.start("a"))
    assert upload is not None
    upload.append([content])
    finish(Registry(metadata, blobs), "a", upload, digest)
    upload.release()
    assert seen == [1000] and blobs.stat(digest) == 1000 and metadata.blob_size("a", digest) == 1000
    assert collector.collect().blobs == 1 and blobs.stat(digest) is None
    metadata.close()


@dataclass
class Pusher:
    """A client that pushes, moves, mounts and deletes images of few blobs, which all pushers share, under its own tags."""

    server: Served
    number: int
    end: float
    live: dict[tuple[str, str], bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    done: int = 0

    def run(self) -> None:
        choose = random.Random(self.number)
        while time.monotonic() < self.end:
            name, tag = choose.choice("abc"), f"t{self.number}.{choose.randrange(3)}"
            if (name, tag) in self.live and choose.random() < 0.4:
                raw = self.live.pop((name, tag))
                got = self.server.ask("DELETE", f"/v2/{name}/manifests/{choose.choice([tag, sha256(raw)])}")
                assert got.status in (202, 404), got
            else:
                self.push(name, tag, [f"content {choose.randrange(6)}".encode() * 50 for _ in range(2)])
            self.done += 1
            self.check()

    def push(self, name: str, tag: str, parts: list[bytes]) -> None:
        """Until the registry has the manifest and all that it refers to (a warning says that something is missing)."""
        config = b'{"pusher": %d}' % self.number
        raw = manifest(config, tuple(parts), annotations={"tag": tag})  # one digest a tag
        self.live.pop((name, tag), None)
        for _ in range(50):
            for part in (config, *parts):
                mount = f"/v2/{name}/blobs/uploads/?mount={sha256(part)}"
                if self.server.ask("POST", mount).status != 201:
                    self.server.blob(name, part)
            got = self.server.ask("PUT", f"/v2/{name}/manifests/{tag}", raw, content_type=OCI_MANIFEST)
            assert got.status == 201, got
            if "warning" not in got.headers:
                self.live[name, tag] = raw
                return
        raise AssertionError("no push came through")

    def check(self) -> None:
        for (name, tag), raw in self.live.items():
            if self.server.ask("GET", f"/v2/{name}/manifests/{tag}").body != raw:
                self.lost.append(f"{name}:{tag}")
            data = json.loads(raw)
            for digest in [data["config"]["digest"], *(one["digest"] for one in data["layers"])]:
                got = self.server.ask("GET", f"/v2/{name}/blobs/{digest}")
                if got.status != 200 or sha256(got.body) != digest:
                    self.lost.append(f"{name}@{digest}: {got.status}")


def test_nothing_that_is_needed_is_ever_lost(start: Start, data: Path) -> None:
    """Pushes, mounts, deletions and collections, with no delay at all, in four processes at once."""
    server = start("--workers", "2", "--gc-delay", "0", "--gc-interval", "10ms", "--config", str(without_delay(data)))
    end = time.monotonic() + 8
    pushers = [Pusher(server, number, end) for number in range(6)]
    threads = [threading.Thread(target=one.run) for one in pushers]
    for thread in threads:
        thread.start()
    rounds = 0
    while time.monotonic() < end:
        gc(data, "--delay", "0")
        rounds += 1
    for thread in threads:
        thread.join()
    for one in pushers:
        one.check()
    assert [one.lost for one in pushers] == [[]] * 6
    assert all(one.done > 5 for one in pushers) and rounds > 2
    for one in pushers:
        for name, tag in one.live:
            server.ask("DELETE", f"/v2/{name}/manifests/{tag}")
    eventually(lambda: not stored(data))


def without_delay(data: Path) -> Path:
    data.mkdir(exist_ok=True)
    path = data / "none.toml"
    path.write_text('[gc]\ndelay = "0"\nunreferenced = "0"\n')
    return path


def test_the_configuration_in_the_documentation_is_one(data: Path) -> None:
    from cli.registry_config import read_policy

    page = (ROOT / "docs/registry.md").read_text()
    data.mkdir()
    (data / "registry.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    policy = read_policy(data, None)
    defaults = Policy()
    same = ("delay", "unreferenced", "interval", "untagged", "uploads_expire")
    assert [getattr(policy, name) for name in same] == [getattr(defaults, name) for name in same]
    assert policy.quota_of("team/big/a") == 100 << 30 and policy.quota_of("other") == 20 << 30
    assert policy.is_immutable("release/a/b", "v1") and policy.retention[0].keep == 10
