"""`--change`: a config after a few instructions."""

from __future__ import annotations

import pytest

from builder.change import changed
from builder.dockerfile.source import DockerfileError
from image.config import ContainerConfig

BASE = ContainerConfig(
    env=("PATH=/bin", "A=1"), cmd=("old",), entrypoint=("entry",), working_dir="/srv", labels={"x": "1"}
)

CASES: list[tuple[list[str], dict[str, object]]] = [
    ([], {}),
    (["CMD new"], {"cmd": ("/bin/sh", "-c", "new"), "args_escaped": True}),
    (['CMD ["a", "b"]', "USER web"], {"cmd": ("a", "b"), "user": "web", "args_escaped": True}),
    (['ENTRYPOINT ["e"]'], {"entrypoint": ("e",), "cmd": None}),
    (['CMD ["c"]', 'ENTRYPOINT ["e"]'], {"entrypoint": ("e",), "cmd": ("c",), "args_escaped": True}),
    (["ENV A=2 B=$A"], {"env": ("PATH=/bin", "A=2", "B=1")}),
    (["ENV A=2\nENV B=$A$NOT"], {"env": ("PATH=/bin", "A=2", "B=2")}),
    (["EXPOSE 80 53/udp"], {"exposed_ports": ("53/udp", "80/tcp")}),
    (["LABEL y=2"], {"labels": {"x": "1", "y": "2"}}),
    (["ONBUILD RUN make"], {"on_build": ("RUN make",)}),
    (["STOPSIGNAL SIGINT", "VOLUME /data"], {"stop_signal": "SIGINT", "volumes": ("/data",)}),
    (["WORKDIR sub", "WORKDIR $A"], {"working_dir": "/srv/sub/1"}),
    (["workdir /x"], {"working_dir": "/x"}),
]


@pytest.mark.parametrize(("lines", "fields"), CASES)
def test_instructions_change_the_config(lines: list[str], fields: dict[str, object]) -> None:
    assert vars(changed(BASE, lines)) == vars(BASE) | fields


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("RUN true", "RUN is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("COPY a b", "COPY is not a valid change command"),
        ("CDM x", "unknown instruction: CDM"),
        ("ENV", "ENV"),
    ],
)
def test_what_is_no_change_is_refused_with_its_place(line: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said) as refused:
        changed(BASE, ["USER web", line])
    assert str(refused.value).startswith("--change:2: ")
