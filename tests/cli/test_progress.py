"""How a build shows its progress: on a terminal, and in lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.progress import shown
from tests.conftest import needs
from tests.suites.terminal import Terminal

WIDTH = 60


@pytest.fixture
def building(base, store_root, tmp_path: Path):
    """Builds `RUN COMMAND` on a terminal of 60 columns; what the terminal got, and the exit code."""

    def build(command: str) -> tuple[str, int]:
        (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN {command}\n")
        with Terminal(
            store_root, "build", "--progress=tty", "--network=none", str(tmp_path), term="xterm", columns=WIDTH
        ) as terminal:
            code = terminal.exit_code()
            return terminal.seen.decode(), code

    return build


def rows(seen: str) -> list[str]:
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", seen).replace("\r", "\n").split("\n")


@needs("crun")
def test_a_step_with_a_long_name_shows_how_long_it_took(building):
    seen, code = building("true " + "a-long-name " * 20)
    step = [row for row in rows(seen) if "RUN true" in row][-1]
    assert code == 0 and re.fullmatch(r" => \[2/2\] RUN true a-long-name .*… \d+\.\ds", step) and len(step) == WIDTH


@needs("crun")
def test_what_a_step_prints_is_seen_while_it_runs(building):
    seen, code = building("echo from the step; sleep 1")
    assert code == 0 and any(re.match(" => => # from the step *$", row) for row in rows(seen))
    assert "from the step" not in rows(seen)[-3:]


@needs("crun")
def test_a_step_that_fails_stays_with_its_reason(building):
    seen, code = building("echo the reason; exit 3")
    failed = next(row for row in rows(seen) if "ERROR" in row)
    assert code == 1 and failed.startswith(" => ERROR [2/2] RUN echo the reason") and "exit code: 3" in seen


@needs("crun")
def test_a_step_does_not_command_the_terminal(building):
    seen, code = building(r"printf '\033]0;mine\007\033[2J\033[31mred\033[0m\033]52;c;aGk=\007\n'; sleep 1")
    assert code == 0 and "red" in seen and "mine" not in "".join(re.findall(r"\x1b\][^\x07]*", seen))
    assert "\x1b[2J" not in seen and "\x1b]" not in seen


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain\ttext", "plain\ttext"),
        (b"50%\r100%", "100%"),
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        (b"\x1b[2J\x1b[H\x1b[?1049hclear", "clear"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]52;c;aGk=\x1b\\text", "text"),
        (b"\x1bPdcs\x1b\\text", "text"),
        (b"\x1bctext\x1b(0", "text"),
        (b"\x1b]0;never ended", ""),
        ("\x9b2J\x9d0;t".encode(), "2J0;t"),
        (b"bell\x07 back\x08 del\x7f", "bell back del"),
        (b"\xff\xfe", "��"),
        (b"ends in \x1b", "ends in "),
    ],
)
def test_only_colours_are_left_of_what_a_terminal_obeys(line, text):
    assert shown(line) == text
