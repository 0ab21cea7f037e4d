"""Docker's config.json and the credential helpers behind it."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from core.errors import InvalidInput, NotFound, Unavailable
from registry.client.credentials import HUB_KEY, Credential, Credentials

ANN = base64.b64encode(b"ann:se:cret").decode()


def written(path: Path, **config: object) -> Credentials:
    path.write_text(json.dumps(config))
    return Credentials(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("localhost:5000", "localhost:5000"),
        ("https://example.com/v1/", "example.com"),
        ("http://example.com:80", "example.com:80"),
        (HUB_KEY, "docker.io"),
        ("docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
    ],
)
def test_a_key_means_its_host_however_it_is_spelled(path: Path, key: str, registry: str) -> None:
    assert written(path, auths={key: {"auth": ANN}}).get(registry) == Credential("ann", "se:cret")


def test_another_host_gets_nothing(path: Path) -> None:
    known = written(path, auths={"example.com": {"auth": ANN}})
    assert known.get("example.com.evil.org") is None
    assert known.get("example.com:5000") is None


def test_no_file_is_anonymous(path: Path) -> None:
    assert Credentials(path).get("docker.io") is None
    assert Credentials(None).get("docker.io") is None
    assert Credentials(path).erase("docker.io") is False


def test_an_identity_token_is_found(path: Path) -> None:
    entry = {"auth": base64.b64encode(b"ann:").decode(), "identitytoken": "lasting"}
    assert written(path, auths={"h": entry}).get("h") == Credential("ann", "", "lasting")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"h": {"auth": "\\u00e4"}}}'])
def test_a_damaged_file_is_named(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        Credentials(path).get("h")


def test_storing_keeps_everything_else_and_the_file_private(path: Path) -> None:
    known = written(path, psFormat="x", auths={"other": {"auth": ANN}, "https://h/v2/": {"auth": ANN}})
    known.store("h", Credential("bob", "pw"))
    assert json.loads(path.read_text()) == {
        "psFormat": "x",
        "auths": {"other": {"auth": ANN}, "h": {"auth": base64.b64encode(b"bob:pw").decode()}},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert known.get("h") == Credential("bob", "pw")


def test_a_linked_config_stays_a_link(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "real.json"
    target.write_text("{}")
    path.symlink_to(target)
    Credentials(path).store("h", Credential("bob", "pw"))
    assert path.is_symlink() and "auths" in target.read_text()


def test_storing_for_the_hub_uses_dockers_key(path: Path) -> None:
    Credentials(path).store("docker.io", Credential("bob", "pw"))
    assert list(json.loads(path.read_text())["auths"]) == [HUB_KEY]


def test_erasing_tells_whether_there_was_anything(path: Path) -> None:
    known = written(path, auths={"h": {"auth": ANN}})
    assert known.erase("h") is True
    assert known.erase("h") is False
    assert known.get("h") is None


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper that keeps one credential in a file beside it."""
    program = tmp_path / "bin/docker-credential-box"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
read -r input
case $1 in
  get) if [ -f {tmp_path}/kept ]; then cat {tmp_path}/kept; else echo "credentials not found in native keychain"; exit 1; fi;;
  store) echo "$input" > {tmp_path}/kept;;
  erase) rm {tmp_path}/kept; echo "$input" > {tmp_path}/erased;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_a_helper_keeps_gives_and_forgets(path: Path, helper: Path) -> None:
    known = written(path, credsStore="box")
    assert known.get("docker.io") is None
    assert known.store("docker.io", Credential("ann", "secret")) == "docker-credential-box"
    assert json.loads((helper / "kept").read_text()) == {"ServerURL": HUB_KEY, "Username": "ann", "Secret": "secret"}
    assert known.get("docker.io") == Credential("ann", "secret")
    assert known.erase("docker.io") is True
    assert (helper / "erased").read_text().strip() == HUB_KEY
    assert "auths" not in json.loads(path.read_text())


def test_a_helper_gives_an_identity_token(path: Path, helper: Path) -> None:
    known = written(path, credHelpers={"h": "box"})
    known.store("h", Credential("ann", "", "lasting"))
    assert known.get("h") == Credential("", "", "lasting")


def test_a_helper_is_only_asked_for_its_registry(path: Path, helper: Path) -> None:
    (helper / "kept").write_text('{"Username": "a", "Secret": "b"}')
    assert written(path, credHelpers={"h": "box"}).get("other") is None


def test_a_missing_helper_is_named(path: Path) -> None:
    with pytest.raises(NotFound, match="docker-credential-nowhere is not installed"):
        written(path, credsStore="nowhere").get("h")


def test_a_helper_that_fails_says_why(path: Path, helper: Path) -> None:
    (helper / "bin/docker-credential-box").write_text("#!/bin/sh\necho locked; exit 3\n")
    with pytest.raises(Unavailable, match="locked"):
        written(path, credsStore="box").get("h")


def test_a_helper_cannot_be_a_path(path: Path) -> None:
    with pytest.raises(InvalidInput, match="invalid credential helper"):
        written(path, credsStore="../../evil").get("h")
