"""Directories that outlive builds: who gets which, what a kill leaves, and their end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from store.cache import entries, kept, prune
from store.caches import Caches, Sharing
from store.store import Store


@pytest.fixture
def caches(store: Store) -> Caches:
    return Caches(store.root)


def nothing(new: Path) -> None:
    """Starts empty."""


def never() -> None:
    raise AssertionError("it is taken")


def use(caches: Caches, sharing: Sharing = "shared", fill: Callable[[Path], None] = nothing):
    return caches.used("name", "/id", sharing, fill, never)


def test_what_is_written_is_there_the_next_time_and_filled_once(caches: Caches) -> None:
    with use(caches, fill=lambda new: (new / "start").write_text("1") and None) as data:  # type: ignore[func-returns-value]
        (data / "more").write_text("2")
    with use(caches, fill=lambda _: never()) as data:
        assert sorted(os.listdir(data)) == ["more", "start"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("shared", "shared", True),
        ("shared", "private", False),
        ("private", "private", False),
        ("locked", "private", False),
    ],
)
def test_two_users_at_once_share_or_do_not(caches: Caches, first: Sharing, second: Sharing, same: bool) -> None:
    with use(caches, first) as one, use(caches, second) as two:
        assert (one == two) == same
    with use(caches, second) as again:
        assert again == one  # what is free is taken before a new one is made


@pytest.mark.parametrize(
    ("first", "second"), [("locked", "shared"), ("shared", "locked"), ("locked", "locked"), ("private", "locked")]
)
def test_others_wait(caches: Caches, first: Sharing, second: Sharing) -> None:
    waited = threading.Event()
    got: list[Path] = []

    def waiting() -> None:
        waited.set()
        time.sleep(0.01)

    def second_user() -> None:
        with caches.used("name", "/id", second, nothing, waiting) as data:
            got.append(data)

    thread = threading.Thread(target=second_user)
    with use(caches, first) as data:
        thread.start()
        assert waited.wait(10) and not got
    thread.join(10)
    assert got == [data]


def test_who_waits_can_be_called_away(caches: Caches) -> None:
    with use(caches, "locked"), pytest.raises(AssertionError, match="it is taken"), use(caches, "locked"):
        pass


def test_a_kill_while_it_is_filled_or_used_leaves_it_usable(caches: Caches) -> None:
    def half(new: Path) -> None:
        (new / "half").touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def killed_inside() -> None:
        with use(caches, "locked") as data:
            (data / "whole").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    for work in (lambda: use(caches, fill=half).__enter__(), killed_inside):
        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with use(caches, "locked") as data:
        assert os.listdir(data) == ["whole"]


def test_an_error_while_it_is_filled_leaves_none(caches: Caches) -> None:
    def refuse(new: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), use(caches, fill=refuse):
        pass
    assert caches.all() == []
    with use(caches, "locked") as data:
        assert os.listdir(data) == []


def test_they_are_counted_and_pruned_but_for_those_in_use(store: Store, caches: Caches) -> None:
    with use(caches) as data:
        (data / "big").write_bytes(b"x" * 100_000)
    with caches.used("other", "other", "shared", nothing, never) as data:
        found = entries(store)
        assert [(one.key, one.mount, one.in_use, one.kind) for one in found] == [
            ("name", "/id", False, "exec.cachemount"), ("other", "other", True, "exec.cachemount"),
        ]  # fmt: skip
        assert found[0].size > 100_000 and kept(store) >= 100_000
        assert [one.key for one in prune(store, dry_run=True).entries] == ["name"]
        assert prune(store, kinds=("regular",)).entries == [] and prune(store, before=1).entries == []
        done = prune(store)
        assert [one.key for one in done.entries] == ["name"] and done.reclaimed > 100_000
        assert data.is_dir() and os.listdir(store.root / "caches") == ["other"]
        assert caches.remove("other") == 0 and caches.remove("nobody") == 0
    assert (
        prune(store).reclaimed > 0 and os.listdir(store.root / "caches") == [] and os.listdir(store.root / "tmp") == []
    )


def test_what_was_used_last_is_kept_up_to_a_size(store: Store, caches: Caches) -> None:
    for number in range(3):
        with caches.used(f"c{number}", "c", "shared", nothing, never) as data:
            (data / "big").write_bytes(b"x" * 100_000)
    assert [one.key for one in prune(store, keep=150_000).entries] == ["c0", "c1"]


def test_using_and_pruning_at_once_harms_neither(store: Store, caches: Caches) -> None:
    failed: list[BaseException] = []
    end = time.monotonic() + 1.0

    def user(sharing: Sharing) -> None:
        try:
            while time.monotonic() < end:
                with caches.used("name", "/id", sharing, nothing, lambda: time.sleep(0.001)) as data:
                    mark = data / f"{threading.get_ident()}"
                    mark.touch()
                    assert mark.exists()
                    mark.unlink()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=user, args=(sharing,)) for sharing in ("shared", "locked", "private", "shared")]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        caches.all()
        caches.remove("name")
    for thread in threads:
        thread.join()
    assert not failed
