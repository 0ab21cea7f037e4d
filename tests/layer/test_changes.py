"""What an upper directory changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from layer.changes import changes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def layer(path: Path, *names: str) -> Path:
    """`-x` a whiteout of x, `x/` a directory, `x/!` makes x opaque, else a file."""
    path.mkdir()
    for name in names:
        place = path / name.removeprefix("-").removesuffix("!")
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("-"):
            os.mknod(place, stat.S_IFCHR, 0)
        elif name.endswith(("/", "!")):
            place.mkdir(exist_ok=True)
            if name.endswith("!"):
                os.setxattr(place, "trusted.overlay.opaque", b"y")
        else:
            place.write_text(name)
    return path


CASES: list[tuple[list[list[str]], list[str], str]] = [
    ([], ["a", "d/x"], "A /a, A /d, A /d/x"),
    ([["a", "d/x"]], ["a", "d/y"], "C /a, C /d, A /d/y"),
    ([["a", "d/x"]], ["-a", "-b", "d/", "-z"], "D /a"),
    ([["d/s/x", "e/x"]], ["d/s/", "e/s/", "e/y"], "C /e, A /e/s, A /e/y"),
    ([["d/s/t/x"]], ["d/s/t/u/y"], "C /d, C /d/s, C /d/s/t, A /d/s/t/u, A /d/s/t/u/y"),
    ([["d/x", "dd/x"]], ["d/", "dd/y"], "C /dd, A /dd/y"),
    ([["d/s/x"]], ["-d/s"], "C /d, D /d/s"),
    ([["a"], ["-a"]], ["a"], "A /a"),
    ([["d/x"], ["-d"]], ["d/x"], "A /d, A /d/x"),
    ([["d/x", "d/y"], ["d/!", "d/z"]], ["d/x"], "C /d, A /d/x"),
    ([["d/s/x", "d/s/y"]], ["d/!", "d/s/x"], "C /d, C /d/s, D /d/s/y, C /d/s/x"),
    ([["d/x", "d/y"], ["-d/x"]], ["d/!", "d/y"], "C /d, C /d/y"),
    ([["d/x", "d/y"]], ["d/!", "d/n"], "C /d, D /d/x, D /d/y, A /d/n"),
    ([["d/x"], ["d"]], ["d/x"], "C /d, A /d/x"),
]


@pytest.mark.parametrize(("lowers", "upper", "expected"), CASES)
def test_changes(lowers: list[list[str]], upper: list[str], expected: str, tmp_path: Path) -> None:
    below = [layer(tmp_path / f"lower{number}", *names) for number, names in enumerate(lowers)]
    found = changes(layer(tmp_path / "upper", *upper), below)
    assert ", ".join(f"{change.kind} {change.path}" for change in found) == expected


def test_what_was_only_copied_up_is_no_change(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path / "lower", "a", "b", "c", "d/", "e/"), layer(tmp_path / "upper", "d/", "e/")
    for name in "abc":
        (upper / name).write_text(name)
        status = (lower / name).stat()
        os.utime(upper / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    (upper / "b").chmod(0o600)
    os.setxattr(upper / "c", "user.new", b"1")
    os.setxattr(upper / "d", "trusted.overlay.origin", b"1")
    os.chown(upper / "e", 1, 1)
    assert [str(change.path) for change in changes(upper, [lower])] == ["/b", "/c", "/e"]


def test_times_that_were_set_back_hide_nothing(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path / "lower", "a"), layer(tmp_path / "upper")
    (upper / "a").write_text("b")
    status = (lower / "a").stat()
    os.utime(upper / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [str(change.path) for change in changes(upper, [lower])] == ["/a"]


def test_mount_points_that_an_engine_made_are_passed_over(tmp_path: Path) -> None:
    stubs = {b"etc", b"etc/hosts", b"dev", b"proc"}
    lower = layer(tmp_path / "lower", "dev/x")
    made = layer(tmp_path / "made", "etc/", "dev/", "proc/")
    (made / "etc/hosts").touch()
    assert list(changes(made, [lower], stubs)) == []
    used = layer(tmp_path / "used", "etc/hosts", "proc/x", "dev/")
    found = ", ".join(f"{change.kind} {change.path}" for change in changes(used, [lower], stubs))
    assert found == "A /etc, A /etc/hosts, A /proc, A /proc/x"
