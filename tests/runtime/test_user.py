"""Users of a root file system that nobody vouches for."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import NotFound
from runtime.user import lookup
from tests.suites.unopened import unopened


class TestLookup:
    def test_a_link_to_the_hosts_file_finds_nobody(self, tmp_path: Path) -> None:
        (tmp_path / "passwd").write_text("evil:x:42:42::/:/bin/sh\n")
        (tmp_path / "root/etc").mkdir(parents=True)
        (tmp_path / "root/etc/passwd").symlink_to(tmp_path / "passwd")
        with pytest.raises(NotFound, match="unable to find user evil"):
            lookup(tmp_path / "root", "evil")

    def test_a_device_in_its_place_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        with unopened(tmp_path / "etc/passwd"):
            assert lookup(tmp_path, "7").uid == 7

    @pytest.mark.parametrize(
        ("text", "groups"), [("web", (50, 1001)), ("1000", (50, 1001)), ("web:50", (50,)), ("7:8", (8,)), ("7", (0,)), ("", (0,))]
    )  # fmt: skip
    def test_the_group_is_among_the_groups(self, rootfs: Path, text: str, groups: tuple[int, ...]) -> None:
        assert lookup(rootfs, text).groups == groups


def test_thousands_of_digits_are_no_number_unless_they_are_zeros(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"odd:x:{'1' * 5000}:1::/:/bin/sh\n")
    assert lookup(tmp_path, "0" * 5000 + "7").uid == 7
    for text in ("1" * 5000, "odd", "0:" + "1" * 5000):
        with pytest.raises(NotFound):
            lookup(tmp_path, text)
