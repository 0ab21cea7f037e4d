"""Whatever is wrong with a Dockerfile or an ignore file, `lamella build` says it once: file, line, the source, exit code 1."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

pytestmark = needs("busybox")

CASES = sorted((ROOT / "testdata/dockerfile").glob("bad-*"))
Lamella = Callable[..., subprocess.CompletedProcess[str]]

DIGITS = "1" * 5000  # Python itself reads no more than 4,300
# What stands in the Dockerfile after `FROM scratch`, the line that is wrong, and a part of what is said.
LATER = {
    "an unfinished substitution": ("ENV a=${b\n", 2, "a substitution is not finished"),
    "an unknown modifier": ("ENV a=1\nENV b=${a:x}\n", 3, "unsupported modifier ':x'"),
    "an open quote": ('LABEL a="b\n', 2, "a double quote is not closed"),
    "a required variable": ("ARG a\nUSER ${a:?is needed}\n", 3, "is needed"),
    "a pattern's escape": ("ENV a=b\nENV c=${a#\\x}\n", 3, "invalid escape"),
    "an unknown signal": ("STOPSIGNAL SIGTREM\n", 2, "unknown signal"),
    "a port too high": ("EXPOSE 70000\n", 2, "invalid port"),
    "an empty volume": ('ARG a\nVOLUME "$a"\n', 3, "VOLUME needs a path"),
    "a source that is not there": ("COPY nope /\n", 2, "nope"),
    "a source that is left out": ("COPY hidden /\n", 2, ".dockerignore"),
    "a mode that is none": ("COPY --chmod=999 file /\n", 2, "999"),
    "an owner that is unknown": ("COPY --chown=nobodyknows file /\n", 2, "nobodyknows"),
    "several for one": ("COPY file Dockerfile /x\n", 2, "several sources need a directory"),
    "a stage that is not there": ("COPY --from=3 /a /\n", 2, "3"),
    "an unknown image": ("COPY --from=127.0.0.1:1/no/such /a /\n", 2, "127.0.0.1:1"),
    "a cut-off archive": ("ADD cut.tar /x/\n", 2, "cut"),
    "an archive that leads out": ("ADD out.tar /x/\n", 2, "out"),
    "a directory in a file's place": ("COPY file /a\nCOPY file /a/b\n", 3, "/a is not a directory"),
    "a source that leads out": ("COPY out /\n", 2, "out: a symbolic link to /etc, which is not in the build context"),
    "an owner that cannot be": ("COPY --chown=4294967296 file /\n", 2, "unable to find user 4294967296"),
    "an owner of a thousand digits": (f"COPY --chown={DIGITS} file /\n", 2, "unable to find user 111"),
    "a stage of a thousand digits": (f"COPY --from={DIGITS} /a /\n", 2, "does not come before this one"),
    "a signal of a thousand digits": (f"STOPSIGNAL {DIGITS}\n", 2, "invalid signal number"),
    "an id of a thousand digits": (f"RUN --mount=type=cache,target=/x,uid={DIGITS} x\n", 2, "is not a number"),
    "a size of a thousand digits": (f"RUN --mount=type=tmpfs,target=/x,size={DIGITS} x\n", 2, "size out of range"),
    "a time of a thousand digits": (f"HEALTHCHECK --interval={DIGITS}h CMD x\n", 2, "duration out of range"),
    "a value made of itself": (f"ENV a={'x' * 9000}\n" + 9 * f"ENV a={'$a' * 50}\n", 4, "longer than 1 MiB"),
    "many long values": (f"ENV a={'x' * 9000}\n" + 80 * f"ENV b={'$a' * 99}\n", 78, "together are longer than 64 MiB"),
    "a directory that is too deep": (f"WORKDIR {'/a' * 3000}\n", 2, "file name too long"),
    "a destination that is too long": (f"COPY file /{'a' * 300}\n", 2, "file name too long"),
    "a source that is too long": (f"COPY {'a' * 300} /\n", 2, "file name too long"),
    "a rule that is none": ("#\nCOPY file /\n", 0, ".dockerignore:2: malformed pattern"),
}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed build wrote; it has one error and no traceback."""
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert sum(line.startswith("lamella: ") for line in done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_every_malformed_case_is_one_error_with_its_line(lamella: Lamella) -> None:
    def build(case: Path) -> str:
        return said(lamella("build", "-q", case, check=False))

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(CASES, pool.map(build, CASES), strict=True))
    assert len(answers) > 40
    for case, answer in answers.items():
        message, _, hint = (case / "error.txt").read_text().replace("\0", "?").rpartition("hint: ")
        assert message.strip() in answer, case.name
        assert hint.strip() == "None" or hint.strip() in answer, case.name


@pytest.mark.parametrize("name", LATER)
def test_what_is_found_later_is_one_error_with_its_line(lamella: Lamella, tmp_path: Path, name: str) -> None:
    import tarfile

    text, line, part = LATER[name]
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM scratch\n{text}")
    (context / ".dockerignore").write_text("hidden\n[a\n" if name == "a rule that is none" else "hidden\n")
    for file in ("file", "hidden"):
        (context / file).write_text("x" * 2000)
    (context / "out").symlink_to("/etc")
    with tarfile.open(context / "cut.tar", "w") as tar:
        tar.add(context / "file", "file")
    (context / "cut.tar").write_bytes((context / "cut.tar").read_bytes()[:1000])
    with tarfile.open(context / "out.tar", "w") as tar:
        tar.add(context / "file", "../../out")
    answer = said(lamella("build", "-q", context, check=False))
    assert part in answer
    assert not line or (f"Dockerfile:{line}: " in answer and text.splitlines()[line - 2][:100] in answer), answer


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
@pytest.mark.parametrize("call", ["build", "check"])
def test_a_directory_is_no_list_of_what_to_leave_out(lamella: Lamella, tmp_path: Path, name: str, call: str) -> None:
    context = tmp_path / "context"
    (context / name).mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    done = lamella("build", "-q", f"--call={call}", context, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"lamella: failed to read {name}: is a directory\n")


@pytest.mark.parametrize("kind", ["fifo", "leads out", "leads nowhere"])
def test_what_cannot_be_read_is_no_list_either(lamella: Lamella, tmp_path: Path, kind: str) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "rules").write_text("*\n")
    rules, why = (
        context / ".dockerignore",
        "is no regular file" if kind == "fifo" else "leads to nothing in the context",
    )
    if kind == "fifo":
        os.mkfifo(rules)
    else:
        rules.symlink_to("../rules" if kind == "leads out" else "nothing")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    assert f"failed to read .dockerignore: {why}" in said(lamella("build", "-q", context, check=False))


def test_a_list_may_be_a_link_inside(lamella: Lamella, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*\n")
    (tmp_path / ".dockerignore").symlink_to("rules")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY rules /\n")
    assert "excluded by rules line 1" in said(lamella("build", "-q", tmp_path, check=False))
