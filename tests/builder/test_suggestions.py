"""`did you mean X?` for whatever is misspelt in a Dockerfile."""

from __future__ import annotations

import pytest

from builder.dockerfile.source import DockerfileError, suggestion
from core.errors import InvalidInput
from tests.suites.checked import findings

MISSPELT = [
    ("FRM scratch", "FROM"),
    ("FROM scratch\nCPOY a /", "COPY"),
    ("FROM scratch\nentrypint a", "ENTRYPOINT"),
    ("FROM --platfrom=x scratch", "--platform"),
    ("FROM scratch\nCOPY --form=a a /", "--from"),
    ("FROM scratch\nCOPY --chwon=a a /", "--chown"),
    ("FROM scratch\nADD --kep-git-dir a /", "--keep-git-dir"),
    ("FROM scratch\nRUN --mont=type=bind x", "--mount"),
    ("FROM scratch\nRUN --mount=tpye=bind,target=/x x", "type"),
    ("FROM scratch\nRUN --mount=type=cahce,target=/x x", "cache"),
    ("FROM scratch\nRUN --mount=type=cache,target=/x,sharing=lockd x", "locked"),
    ("FROM scratch\nHEALTHCHECK --intervall=3s CMD x", "--interval"),
    ("FROM scratch\nSTOPSIGNAL SIGTREM", "TERM"),
    ("FROM scratch AS builder\nFROM scratch\nCOPY --from=Buildr a /", "builder"),
    ("FROM scratch AS builder\nFROM scratch\nRUN --mount=from=Buildr,target=/b x", "builder"),
    ("FROM scratch AS builder\nFROM Bulder", "builder"),
    ("FROM scratch\nONBUILD CPOY a /", "COPY"),
]


@pytest.mark.parametrize(("text", "meant"), MISSPELT)
def test_what_is_misspelt_is_told_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        findings(text + "\n")
    assert caught.value.hint == f"did you mean {meant}?"
    assert caught.value.span.line == text.count("\n") + 1


def test_nothing_is_suggested_for_itself() -> None:
    assert suggestion("app", ["app"]) is None and suggestion("app", ["app", "apps"]) == "did you mean apps?"


def test_a_target_is_suggested_too() -> None:
    with pytest.raises(InvalidInput) as caught:
        findings("FROM scratch AS builder\n", target="bilder")
    assert caught.value.hint == "did you mean builder?"
