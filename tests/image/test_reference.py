"""Names are normalised as Docker does; malformed ones are refused with the reason."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput
from image.digest import Digest
from image.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("team/app", "docker.io/team/app", "team/app"),
        ("index.docker.io/library/x", "docker.io/library/x", "x"),
        ("docker.io/x", "docker.io/library/x", "x"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("ghcr.io/o/p__q-r.s:V_1.0", "ghcr.io/o/p__q-r.s:V_1.0", "ghcr.io/o/p__q-r.s:V_1.0"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
        (f"app:1@{DIGEST}", f"docker.io/library/app:1@{DIGEST}", f"app:1@{DIGEST}"),
        ("Host/app", "Host/app", "Host/app"),
    ],
)
def test_a_name_has_one_full_and_one_familiar_form(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid reference format"),
        ("UPPER", "lowercase"),
        ("a//b", "invalid reference format"),
        ("a:", "the tag in"),
        ("a:-x", "the tag in"),
        ("a:" + "t" * 129, "the tag in"),
        ("a b", "invalid reference format"),
        ("../etc", "invalid reference format"),
        ("a@sha256:12", "invalid digest"),
        ("a@", "invalid digest"),
        ("h.example/" + "n" * 256, "longer than 255"),
        ("f" * 64, "cannot specify 64-byte"),
        ("-a", "invalid reference format"),
        ("a\n", "invalid reference format"),
    ],
)
def test_a_malformed_name_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Reference.parse(text)


def test_latest_is_only_added_where_nothing_else_is_said() -> None:
    assert Reference.parse("a").tagged().tag == "latest"
    assert Reference.parse("a:1").tagged().tag == "1"
    assert Reference.parse(f"a@{DIGEST}").tagged().tag == ""
    assert str(Reference.parse("a:1").with_digest(Digest(DIGEST))) == f"docker.io/library/a@{DIGEST}"
