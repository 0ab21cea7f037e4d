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
    ([["a", "d/x"]], ["-a", "-b", "d/", "-z"], "D /a, C /d"),
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
