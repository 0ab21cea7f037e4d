"""oras-py and python-dxf, Python's own clients, against our registry."""

from __future__ import annotations

import hashlib
from pathlib import Path

import oras.client
import pytest
from dxf import DXF
from dxf.exceptions import DXFUnauthorizedError
from requests import HTTPError

from tests.suites.served import Served


@pytest.mark.parametrize("chunked", [False, True])
def test_oras_py_pushes_and_pulls(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_bytes(b"content " * 10_000)
    client = oras.client.OrasClient(hostname=f"127.0.0.1:{served.port}", insecure=True)
    target = f"127.0.0.1:{served.port}/oras-py/{'chunked' if chunked else 'whole'}:1"
    answer = client.push(target, files=["file.txt"], do_chunked=chunked, chunk_size=30_000, quiet=True)
    assert answer.status_code == 201
    (got,) = client.pull(target, outdir=str(tmp_path / "out"))
    assert Path(got).read_bytes() == b"content " * 10_000
    assert client.get_tags(target) == ["1"]
    assert client.get_manifest(target)["layers"][0]["size"] == 80_000


def test_dxf_pushes_mounts_names_and_deletes(served: Served, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"blob " * 100_000)
    digest = "sha256:" + hashlib.sha256(b"blob " * 100_000).hexdigest()
    client, other = (DXF(f"127.0.0.1:{served.port}", f"dxf/{name}", insecure=True) for name in ("one", "two"))
    assert client.push_blob(filename=str(tmp_path / "blob")) == digest
    assert client.blob_size(digest) == 500_000
    assert b"".join(client.pull_blob(digest)) == b"blob " * 100_000
    assert other.mount_blob("dxf/one", digest) == digest
    client.set_alias("first", digest)
    assert client.get_alias("first") == [digest] and client.list_aliases() == ["first"]
    assert served.ask("GET", "/v2/dxf/one/manifests/first").json["layers"][0]["digest"] == digest
    assert "dxf/one" in client.list_repos()
    client.del_alias("first")
    with pytest.raises((HTTPError, DXFUnauthorizedError)):
        client.get_alias("first")
    other.del_blob(digest)
    with pytest.raises(HTTPError):
        other.blob_size(digest)
