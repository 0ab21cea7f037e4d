"""Paths inside a root, whoever made the tree."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from core.paths import open_regular
from tests.suites.unopened import unopened


class TestOpenRegular:
    def read(self, root: Path, path: str) -> bytes:
        with os.fdopen(open_regular(root, path), "rb") as file:
            return file.read()

    def test_links_are_followed_inside_the_root_only(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").write_text("inside")
        (tmp_path / "passwd").write_text("outside")
        (root / "absolute").symlink_to("/etc/passwd")
        (root / "up").symlink_to("../../../etc/passwd")
        (root / "out").symlink_to(f"{tmp_path}/passwd")
        assert {self.read(root, name) for name in ("/etc/passwd", "/absolute", "up")} == {b"inside"}
        with pytest.raises(FileNotFoundError):
            open_regular(root, "/out")

    def test_what_is_no_regular_file_is_not_even_opened(self, tmp_path: Path) -> None:
        with unopened(tmp_path / "fifo"), pytest.raises(OSError, match="not a regular file"):
            open_regular(tmp_path, "/fifo")

    def test_a_tree_that_changes_meanwhile_never_leads_outside(self, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/passwd").write_text("outside")
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").write_text("inside")
        (root / "link").symlink_to(tmp_path / "outside")
        done = threading.Event()

        def exchange() -> None:
            while not done.is_set():
                for old, new in (("etc", "kept"), ("link", "etc"), ("etc", "link"), ("kept", "etc")):
                    (root / old).rename(root / new)

        thread = threading.Thread(target=exchange)
        thread.start()
        try:
            for _ in range(2000):
                with contextlib.suppress(FileNotFoundError):
                    assert self.read(root, "/etc/passwd") == b"inside"
        finally:
            done.set()
            thread.join()
