"""What was fetched of git repositories is kept for the next build; no server can send more than may come."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from builder.sources.address import GitAddress, parse_address
from builder.sources.git import Git
from builder.sources.program import TooMuch
from builder.sources.web import MAX_BYTES, Outside
from core.errors import InvalidInput
from store.caches import Caches
from store.temporary import Temporaries
from tests.conftest import ROOT, needs
from tests.suites.fileserver import Files, Handler, serving
from tests.suites.repositories import Repository, daemon, http_backend

pytestmark = needs("git")
Make = Callable[..., Git]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("tmp", "caches"):
        (tmp_path / "store" / name).mkdir(parents=True)
    return tmp_path / "store"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repositories/app.git")
    repository.commit({"README": "one\n", "sub/file": "deep\n"})
    return repository


@pytest.fixture
def make(root: Path) -> Make:
    def git(limit: int = MAX_BYTES, check: Callable[[], None] = lambda: None, **bounds: int) -> Git:
        outside = Outside(lambda: pytest.fail("no file is to be fetched"), {"PATH": "/usr/bin:/bin"}, limit=limit)
        return Git(outside, Temporaries(root), Caches(root), lambda: time.sleep(0.01), check, **bounds)

    return git


@pytest.fixture
def site(repository: Repository) -> Iterator[Files]:
    """A web server that runs `git http-backend`."""
    with serving() as site:
        site.other = lambda handler: http_backend(repository.path.parent, handler)
        yield site


def address(site: Files, name: str = "bare.git", more: str = "") -> GitAddress:
    found = parse_address(f"{site.url}/{name}{more}")
    assert isinstance(found, GitAddress)
    return found


def served(repository: Repository) -> None:
    """Show `app.git`'s objects to the web server, as `bare.git`."""
    link = repository.path.parent / "bare.git"
    if not link.exists():
        link.symlink_to("app.git/.git")


def taken_out(git: Git, where: GitAddress, commit: str, target: Path) -> dict[str, str]:
    target.mkdir()
    git.checkout(where, commit, target)
    return {str(path.relative_to(target)): path.read_text() for path in sorted(target.rglob("*")) if path.is_file()}


def test_what_is_here_is_not_asked_for_again(make: Make, site: Files, repository: Repository, tmp_path: Path) -> None:
    served(repository)
    commit = repository.git("rev-parse", "HEAD")
    first = taken_out(make(), address(site), commit, tmp_path / "a")
    asked = len(site.asked)
    assert (
        taken_out(make(), address(site), commit, tmp_path / "b") == first == {"README": "one\n", "sub/file": "deep\n"}
    )
    assert len(site.asked) == asked > 0


def test_only_what_is_new_comes(make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path) -> None:
    served(repository)
    old = repository.commit({"large": secrets.token_hex(1 << 20)})
    taken_out(make(), address(site), old, tmp_path / "a")
    new = repository.commit({"README": "two\n"})
    assert taken_out(make(), address(site), new, tmp_path / "b")["README"] == "two\n"
    sizes = sorted(path.stat().st_size for path in root.glob("caches/*/data/objects/pack/*.pack"))
    assert len(sizes) == 2 and sizes[0] < 2000 and sizes[1] > 1 << 20


def test_a_whole_commit_among_the_checksums_is_had_without_a_network(
    make: Make, site: Files, repository: Repository, tmp_path: Path
) -> None:
    served(repository)
    commit = repository.git("rev-parse", "HEAD")
    pinned = address(site, more=f"?ref=main&commit={commit}")
    git = make()
    taken_out(git, pinned, git.resolve(pinned), tmp_path / "a")
    repository.commit({"README": "two\n"})
    asked = len(site.asked)
    assert taken_out(git, pinned, git.resolve(pinned), tmp_path / "b")["README"] == "one\n" and len(site.asked) == asked


def test_an_annotated_tags_own_id_is_its_commit(
    make: Make, site: Files, repository: Repository, tmp_path: Path
) -> None:
    served(repository)
    repository.git("tag", "-a", "v1", "-m", "v1")
    tag = repository.git("rev-parse", "v1")
    assert taken_out(make(), address(site, more=f"?tag=v1&commit={tag}"), tag, tmp_path / "a")["README"] == "one\n"


@pytest.mark.parametrize("damage", ["objects", "refs", "config", "all"])
def test_what_is_damaged_is_fetched_anew(
    make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path, damage: str
) -> None:
    served(repository)
    commit = repository.git("rev-parse", "HEAD")
    taken_out(make(), address(site), commit, tmp_path / "a")
    (data,) = root.glob("caches/*/data")
    (pack,) = data.glob("objects/pack/*.pack")
    match damage:
        case "objects":
            pack.chmod(0o600)
            pack.write_bytes(pack.read_bytes()[:40] + bytes(len(pack.read_bytes()) - 40))
        case "refs":
            next(data.glob("refs/kept/*")).write_text("nonsense\n")
        case "config":
            (data / "shallow").write_text("nonsense\n")
        case "all":
            subprocess.run(["rm", "-r", *data.iterdir()], check=True)
    assert taken_out(make(), address(site), commit, tmp_path / "b")["README"] == "one\n"


def test_what_somebody_who_was_killed_has_left_is_removed(
    make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path
) -> None:
    served(repository)
    taken_out(make(), address(site), repository.git("rev-parse", "HEAD"), tmp_path / "a")
    (data,) = root.glob("caches/*/data")
    for name in ("shallow.lock", "packed-refs.lock", "objects/pack/tmp_pack_x"):
        (data / name).write_text("")
    assert taken_out(make(), address(site), repository.commit({"README": "two\n"}), tmp_path / "b")["README"] == "two\n"
    assert not (data / "objects/pack/tmp_pack_x").exists()


def test_many_at_once_share_one(make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path) -> None:
    served(repository)
    commits = [repository.commit({"README": f"{number}\n"}) for number in range(4)]

    def one(number: int) -> str:
        return taken_out(make(), address(site), commits[number % 4], tmp_path / str(number))["README"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(12))) == [f"{number % 4}\n" for number in range(12)]
    assert len(list((root / "caches").iterdir())) == 1


@needs("crun")
def test_a_kill_while_it_is_fetched_leaves_it_usable(
    build: Callable[..., Any], base: str, site: Files, repository: Repository, store_root: Path, context: Path
) -> None:
    served(repository)
    reached, go = threading.Event(), threading.Event()
    answer = site.other
    assert answer

    def slowly(handler: Handler) -> int:
        if handler.command == "POST" and not go.is_set():
            reached.set()
            go.wait(30)
        return answer(handler)

    site.other = slowly
    (context / "Dockerfile").write_text(f"FROM bb\nADD {site.url}/bare.git /a\nRUN cat /a/README\n")
    words = [sys.executable, "-m", "lamella", "--root", store_root, "build", context]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    assert reached.wait(30)
    process.kill()
    process.wait()
    go.set()
    assert build((context / "Dockerfile").read_text()).printed() == ["one"]


@needs("crun")
def test_builder_shows_and_prunes_it(
    build: Callable[..., Any], lamella: Callable[..., subprocess.CompletedProcess[str]], site: Files,
    repository: Repository, store_root: Path,
) -> None:  # fmt: skip
    served(repository)
    build(f"FROM bb\nADD {site.url}/bare.git /a\n")
    rows = [json.loads(line) for line in lamella("builder", "du", "--format", "json").stdout.splitlines()]
    (row,) = (row for row in rows if row["CacheType"] == "source.git.checkout")
    assert row["Description"] == f"git repository {site.url}/bare.git"
    lamella("builder", "prune", "-f", "--filter", "type=source.git.checkout")
    assert not list((store_root / "caches").iterdir())


def test_more_bytes_than_may_come_are_refused_and_not_kept(
    make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path
) -> None:
    served(repository)
    (repository.path / "large").write_bytes(secrets.token_bytes(3 << 20))
    commit = repository.commit({})
    with pytest.raises(TooMuch, match=r"bare\.git has more than 1000000 bytes") as caught:
        taken_out(make(limit=1_000_000), address(site), commit, tmp_path / "a")
    assert "LAMELLA_FETCH_LIMIT" in (caught.value.hint or "")
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 100_000


def test_a_small_pack_that_becomes_large_files_is_refused(
    make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path
) -> None:
    served(repository)
    (repository.path / "zeros").write_bytes(bytes(30 << 20))
    commit = repository.commit({})
    with pytest.raises(TooMuch, match="more than 5000000 bytes"):
        taken_out(make(limit=5_000_000), address(site), commit, tmp_path / "a")
    assert not list((root / "tmp").iterdir())


def test_a_tree_that_names_itself_ever_again_is_refused(
    make: Make, site: Files, repository: Repository, root: Path, tmp_path: Path
) -> None:
    """A few objects that are 10,000,000,000 files."""
    served(repository)
    repository.commit({"f": ""})
    tree = repository.git("rev-parse", "HEAD^{tree}")
    for _ in range(9):
        lines = "".join(f"040000 tree {tree}\td{n}\n" for n in range(10))
        made = subprocess.run(
            ["git", "-C", repository.path, "mktree"], input=lines, capture_output=True, text=True, check=True
        )
        tree = made.stdout.strip()
    commit = repository.git("commit-tree", "-m", "bomb", tree)
    repository.git("update-ref", "refs/heads/main", commit)
    started = time.monotonic()
    with pytest.raises(TooMuch, match="more than 2000 files"):
        taken_out(make(files=2000), address(site), commit, tmp_path / "a")
    assert time.monotonic() - started < 60 and not list((root / "tmp").iterdir())


def test_submodules_nest_only_so_deep(make: Make, repository: Repository, tmp_path: Path) -> None:
    top = repository.path.parent
    name, commit = "app", repository.git("rev-parse", "HEAD")
    for outer in ("one", "two", "three"):
        one = Repository(top / f"{outer}.git")
        (one.path / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = in/x\n\turl = ../{name}.git\n')
        one.git("update-index", "--add", "--cacheinfo", f"160000,{commit},in/x")
        one.git("add", ".gitmodules")
        one.git("commit", "-q", "-m", "m")
        name, commit = outer, one.git("rev-parse", "HEAD")
    with daemon(top) as server:
        where = parse_address(f"{server}/three.git")
        assert isinstance(where, GitAddress)
        assert taken_out(make(depth=3), where, commit, tmp_path / "a")["in/x/in/x/in/x/README"] == "one\n"
        with pytest.raises(TooMuch, match="submodules more than 2 levels deep"):
            taken_out(make(depth=2), where, commit, tmp_path / "b")


def test_a_failure_elsewhere_ends_a_fetch(make: Make, site: Files, repository: Repository, tmp_path: Path) -> None:
    served(repository)
    go = threading.Event()
    site.other = lambda handler: int(go.wait(20))

    def check() -> None:
        raise InvalidInput("another stage has failed")

    with pytest.raises(InvalidInput, match="another stage"):
        make(check=check).resolve(address(site))
    go.set()


def test_it_is_made_once_for_a_git_daemon_too(make: Make, repository: Repository, tmp_path: Path) -> None:
    commit = repository.git("rev-parse", "HEAD")
    with daemon(repository.path.parent) as server:
        where = parse_address(f"{server}/app.git")
        assert isinstance(where, GitAddress)
        first = taken_out(make(), where, commit, tmp_path / "a")
    assert taken_out(make(), where, commit, tmp_path / "b") == first
