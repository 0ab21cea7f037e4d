"""Whatever is wrong with a Dockerfile or an ignore file, `lamella build` says it once: file, line, the source, exit code 1."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

pytestmark = needs("busybox")

CASES = sorted((ROOT / "testdata/dockerfile").glob("bad-*"))
Lamella = Callable[..., subprocess.CompletedProcess[str]]

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
    with tarfile.open(context / "cut.tar", "w") as tar:
        tar.add(context / "file", "file")
    (context / "cut.tar").write_bytes((context / "cut.tar").read_bytes()[:1000])
    with tarfile.open(context / "out.tar", "w") as tar:
        tar.add(context / "file", "../../out")
    answer = said(lamella("build", "-q", context, check=False))
    assert part in answer
    assert not line or (f"Dockerfile:{line}: " in answer and text.splitlines()[line - 2] in answer), answer


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
@pytest.mark.parametrize("call", ["build", "check"])
def test_a_directory_is_no_list_of_what_to_leave_out(lamella: Lamella, tmp_path: Path, name: str, call: str) -> None:
    context = tmp_path / "context"
    (context / name).mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    done = lamella("build", "-q", f"--call={call}", context, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"lamella: failed to read {name}: is a directory\n")
