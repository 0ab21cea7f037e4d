"""docker-registry-client (PyPI), an old client that knows Docker's registry alone, finds its way."""

from __future__ import annotations

import pytest
from docker_registry_client import DockerRegistryClient
from requests import HTTPError

from tests.suites.served import Served, sha256


def test_it_lists_reads_and_deletes(served: Served) -> None:
    raw = served.image("old/client", "1", b"layer")
    client = DockerRegistryClient(f"http://127.0.0.1:{served.port}")
    assert client.api_version == 2
    assert "old/client" in client.repositories()
    repository = client.repository("old/client")
    assert repository.tags() == ["1"]
    manifest, digest = repository.manifest("1")
    assert digest == sha256(raw) and manifest["schemaVersion"] == 2
    repository.delete_manifest(digest)
    with pytest.raises(HTTPError, match="404"):
        repository.manifest("1")
