"""The log of what happened: whole lines, bounded, followed across a rotation, whatever else is written at once."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from store import events
from store.events import Event, follow, note, note_all, read


def test_what_is_noted_is_read_in_order(tmp_path: Path) -> None:
    note(tmp_path, "image", "tag", "sha256:1", {"name": "app:1"})
    note_all(tmp_path, [Event("container", "start", "2", {}), Event("container", "die", "2", {"exitCode": "3"}, 5)])
    found = list(read(tmp_path))
    assert [(one.kind, one.action, one.id, one.attributes) for one in found] == [
        ("image", "tag", "sha256:1", {"name": "app:1"}), ("container", "start", "2", {}), ("container", "die", "2", {"exitCode": "3"}),
    ]  # fmt: skip
    assert found[2].time == 5 and found[0].time > 10**18


def test_it_is_bounded_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT", 1000)
    for number in range(100):
        note(tmp_path, "volume", "create", str(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    ids = [int(one.id) for one in read(tmp_path)]
    assert ids == list(range(ids[0], 100)) and len(ids) > 10


def test_a_piece_that_was_not_finished_spoils_no_line(tmp_path: Path) -> None:
    note(tmp_path, "volume", "create", "1")
    with (tmp_path / events.NAME).open("ab") as file:
        file.write(b'["volume","cre')
    note(tmp_path, "volume", "create", "2")
    assert [one.id for one in read(tmp_path)] == ["1", "2"]


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    note(tmp_path / "nowhere", "volume", "create", "1")


def test_whoever_follows_misses_nothing_when_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT", 4000)
    monkeypatch.setattr(events, "PAUSE", 0.0)
    note(tmp_path, "volume", "create", "past")
    seen, ready = [], threading.Event()

    def listen() -> None:
        with contextlib.closing(follow(tmp_path, past=False)) as following:
            for event in following:
                ready.set()
                if event:
                    seen.append(event.id)
                    if event.id == "149":
                        return

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait(5)
    for number in range(150):
        note(tmp_path, "volume", "create", str(number))
        if number % 20 == 0:
            threading.Event().wait(0.02)
    listener.join(10)
    assert seen == [str(number) for number in range(150)]


def test_whoever_follows_looks_again_when_nothing_has_the_name(tmp_path: Path) -> None:
    """As it is for a moment when a full file has given it up."""
    note(tmp_path, "volume", "create", "1")
    with contextlib.closing(follow(tmp_path, past=True)) as following:
        assert (event := next(following)) and event.id == "1"
        os.rename(tmp_path / events.NAME, tmp_path / events.BEFORE)
        assert next(following) is None and next(following) is None
        note(tmp_path, "volume", "create", "2")
        assert [event.id for event in (next(following), next(following)) if event] == ["2"]


def test_following_ends_at_the_instant_named(tmp_path: Path) -> None:
    note(tmp_path, "volume", "create", "1")
    assert [one.id for one in follow(tmp_path, past=True, until=1) if one] == ["1"]


def test_many_processes_write_whole_lines(tmp_path: Path) -> None:
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(50):
                note(tmp_path, "volume", "create", f"{child}.{number}", {"padding": "x" * 300})
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert sorted(one.id for one in read(tmp_path)) == sorted(f"{c}.{n}" for c in range(4) for n in range(50))
