"""What fields become once expanded, and what is refused then: mounts, ports, signals, triggers."""

from __future__ import annotations

import pytest

from builder.dockerfile.expand import Expander
from builder.dockerfile.instructions import Copy, Env, Expose, Instruction, Onbuild, Run, Stopsignal, Volume
from builder.dockerfile.parser import parse, parse_trigger
from builder.dockerfile.source import DockerfileError, Span

VARIABLES = {"x": "value", "port": "80 90/udp", "mode": "0750", "signal": "SIGHUP", "user": "me:us"}
EXPANDER = Expander(VARIABLES.get)


def only(text: str) -> Instruction:
    return parse(b"FROM a\n" + text.encode(), "Dockerfile").stages[0].instructions[0]


def expanded(text: str) -> Instruction:
    return only(text).expanded(EXPANDER)


def test_ports_are_spelled_out_and_sorted() -> None:
    found = expanded("EXPOSE 8080-8082 $port 53/UDP 127.0.0.1:5000:80 [::1]:1:2")
    assert isinstance(found, Expose)
    assert found.ports == ("2/tcp", "53/udp", "80/tcp", "90/udp", "8080/tcp", "8081/tcp", "8082/tcp")


@pytest.mark.parametrize("port", ["x", "80/http", "70000", "9-8", "1-2:5-9:", "5-9:1-3", "a:80:80", "80-", "²"])
def test_a_wrong_port_is_refused(port: str) -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:2: "):
        expanded(f"EXPOSE {port}")


@pytest.mark.parametrize("signal", ["SIGTERM", "term", "9", "SIGRTMIN+3", "$signal"])
def test_signals_have_names_and_numbers(signal: str) -> None:
    assert isinstance(expanded(f"STOPSIGNAL {signal}"), Stopsignal)


@pytest.mark.parametrize(("signal", "hint"), [("SIGTREM", "did you mean TERM"), ("0", "1 to 64"), ("65", "1 to 64")])
def test_an_unknown_signal_is_refused(signal: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        expanded(f"STOPSIGNAL {signal}")
    assert hint in (caught.value.hint or "")


def test_a_mount_is_read_again_with_its_variables() -> None:
    before, after = only("RUN --mount=type=cache,target=/c/$x,mode=$mode x"), None
    after = before.expanded(EXPANDER)
    assert isinstance(before, Run) and before.mounts[0].target == ""
    assert isinstance(after, Run) and (after.mounts[0].target, after.mounts[0].mode) == ("/c/value", 0o750)


def test_a_mount_that_is_wrong_once_expanded_is_refused() -> None:
    with pytest.raises(DockerfileError, match="mode=value in --mount is not an octal"):
        expanded("RUN --mount=type=cache,target=/c,mode=$x x")


def test_copy_expands_all_but_from_and_exclude() -> None:
    found = expanded("COPY --chown=$user --chmod=$mode --exclude=$x <<a <<'b' $x*/ /${x}/\n$x\na\n$x\nb\n")
    assert isinstance(found, Copy)
    assert (found.sources, found.destination, found.owner, found.mode) == (("value*/",), "/value/", "me:us", "0750")
    assert found.exclude == ("$x",)
    assert [doc.body for doc in found.heredocs] == ["value\n", "$x\n"]


def test_env_sees_the_variables_from_before() -> None:
    found = expanded('ENV x=new y="$x" "z"=${x}')
    assert isinstance(found, Env)
    assert [(pair.key, pair.value) for pair in found.pairs] == [("x", "new"), ("y", "value"), ("z", "value")]


def test_run_text_is_not_expanded() -> None:
    found = expanded("RUN echo $x <<E\n$x\nE\n")
    assert isinstance(found, Run) and found.shell_text == "echo $x <<E\n$x\nE"


def test_a_heredoc_that_is_the_whole_command_is_its_script() -> None:
    found = only("RUN <<-E\n\techo hi\n\tE\n")
    assert isinstance(found, Run) and found.script and found.shell_text == "echo hi\n"
    found = only("RUN <<E sh\necho hi\nE\n")
    assert isinstance(found, Run) and not found.script and found.shell_text == "<<E sh\necho hi\nE"


def test_a_volume_must_not_become_empty() -> None:
    assert isinstance(expanded("VOLUME $x"), Volume)
    with pytest.raises(DockerfileError, match="this one is empty"):
        expanded("VOLUME /a $nope")


def test_an_error_of_expansion_points_at_the_lines() -> None:
    with pytest.raises(DockerfileError) as caught:
        expanded("COPY a \\\n  ${x:?y\n")
    assert caught.value.message == (
        "Dockerfile:2: a substitution is not finished: '}' is missing\n    2 | COPY a \\\n    3 |   ${x:?y"
    )
    assert caught.value.span == Span("Dockerfile", 2, 3)


def test_a_trigger_is_parsed_from_its_stored_text() -> None:
    stored = only("ONBUILD COPY <<a <<b /x/\none\na\ntwo\nb\n")
    assert isinstance(stored, Onbuild)
    found = parse_trigger(stored.trigger, Span("Dockerfile", 7, 7))
    assert isinstance(found, Copy) and [doc.body for doc in found.heredocs] == ["one\n", "two\n"]
    assert found.span.line == 7


@pytest.mark.parametrize("text", ["FROM a", "ONBUILD RUN x", "MAINTAINER me", "BOGUS", "", "RUN a\nRUN b", "COPY a"])
def test_a_wrong_trigger_points_at_the_from(text: str) -> None:
    with pytest.raises(DockerfileError, match=r"Dockerfile:7: .*ONBUILD"):
        parse_trigger(text, Span("Dockerfile", 7, 7))
