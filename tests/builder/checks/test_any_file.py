"""The checks on files that nobody would write: they find something or nothing, and take no longer than reading does."""

from __future__ import annotations

import contextlib
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import LamellaError
from tests.suites.checked import findings

NAMES = ["FROM", "from", "From", "ARG", "ENV", "env", "COPY", "ADD", "CMD", "ENTRYPOINT", "HEALTHCHECK", "EXPOSE", "WORKDIR",
         "LABEL", "MAINTAINER", "USER", "ONBUILD", "SHELL", "VOLUME", "STOPSIGNAL", "RUN", "#", "# check=", ""]  # fmt: skip
WORDS = ["scratch", "a", "A", "$a", "${a:-b}", "${", "'", '"', "as", "AS", "b", "--platform=$TARGETPLATFORM", "--platform=linux/amd64",
         "--from=a", "a=1", "a=$b", "TOKEN=x", "80/TCP", "1:2:3", "/x", "..", "*", "[]", '["x"]', "NONE", "CMD", "\\", "skip=all",
         "experimental=all", "<<E", ":", "é", "\x00"]  # fmt: skip
LINES = st.builds(
    lambda name, words: " ".join([name, *words]), st.sampled_from(NAMES), st.lists(st.sampled_from(WORDS), max_size=4)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=8), st.lists(st.sampled_from(["a", "*", "!b", "**"]), max_size=3))
def test_any_file_is_checked_or_refused(lines: list[str], ignored: list[str]) -> None:
    with contextlib.suppress(LamellaError):
        text = "FROM scratch\n" + "\n".join(lines)
        for finding in findings(text, ignored=ignored):
            assert 1 <= finding.span.line <= finding.span.end_line <= text.count("\n") + 1


def test_many_findings_take_no_longer_than_many_instructions() -> None:
    def seconds(count: int) -> float:
        text = "".join(f"ARG A{n}\n" for n in range(count // 10)) + "FROM scratch AS a\n" + "MAINTAINER me\n" * count
        began = time.process_time()
        assert len(findings(text, target="a")) == count
        return time.process_time() - began

    few, many = seconds(500), seconds(5000)
    assert many < 30 * few + 1
