"""Docker's config.json: who we are at which registry, in the file itself or behind a credential helper."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, NotFound, Unavailable

HUB_KEY = "https://index.docker.io/v1/"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HELPER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Credential:
    """`identity_token` is a refresh token that stands in for the password where it is set."""

    user: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class Credentials:
    """What one config.json says. Nothing is read before it is asked for; a missing file is an empty one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def get(self, registry: str) -> Credential | None:
        """The credential for `registry`, as names spell it (`docker.io`, `localhost:5000`); None for anonymous access.

        Raises InvalidInput for a file that makes no sense, NotFound or Unavailable where its helper fails.
        """
        config = self._read()
        helper = _helper(config, registry)
        if helper:
            found = _ask(helper, registry)
            if found:
                return found
        for key, entry in _section(config, "auths").items():
            if _host(key) in _names(registry) and isinstance(entry, dict):
                found = _decode(entry, key, self._path)
                if found:
                    return found
        return None

    def store(self, registry: str, credential: Credential) -> str:
        """Remember `credential`, in the helper where one is set up; returns where it went, for people. Harmless to repeat."""
        config = self._read()
        helper, key = _helper(config, registry), _key(registry)
        if helper:
            secret = credential.identity_token or credential.password
            user = "<token>" if credential.identity_token else credential.user
            _run(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}))
            return f"docker-credential-{helper}"
        plain = f"{credential.user}:{'' if credential.identity_token else credential.password}"
        entry = {"auth": base64.b64encode(plain.encode()).decode()}
        if credential.identity_token:
            entry["identitytoken"] = credential.identity_token
        auths = {k: v for k, v in _section(config, "auths").items() if _host(k) not in _names(registry)}
        self._write(config | {"auths": auths | {key: entry}})
        return str(self._path)

    def erase(self, registry: str) -> bool:
        """Forget the credential; False where there was none."""
        config = self._read()
        helper, auths = _helper(config, registry), _section(config, "auths")
        had = bool(helper and _ask(helper, registry))
        if helper and had:
            _run(helper, "erase", _key(registry))
        kept = {k: v for k, v in auths.items() if _host(k) not in _names(registry)}
        if len(kept) < len(auths):
            self._write(config | {"auths": kept})
            had = True
        return had

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            data = json.loads(self._path.read_bytes() or b"{}")
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{self._path} is not JSON: {error}", "correct or remove the file") from error
        if not isinstance(data, dict):
            raise InvalidInput(f"{self._path} is not a JSON object", "correct or remove the file")
        return data

    def _write(self, config: dict[str, Any]) -> None:
        if self._path is None:
            raise InvalidInput("there is no place to keep credentials", "set HOME or DOCKER_CONFIG")
        from core.files import write_file

        path = self._path.resolve()  # people link this file into place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, (json.dumps(config, indent="\t") + "\n").encode(), mode=0o600)


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _names(registry: str) -> frozenset[str]:
    return HUB_NAMES if registry in HUB_NAMES else frozenset({registry.lower()})


def _key(registry: str) -> str:
    return HUB_KEY if registry in HUB_NAMES else registry


def _host(key: str) -> str:
    """`https://HOST/v1/` and `HOST` are the same key."""
    return key.partition("://")[2].partition("/")[0].lower() if "://" in key else key.partition("/")[0].lower()


def _decode(entry: dict[str, Any], key: str, path: Path | None) -> Credential | None:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            text = base64.b64decode(str(entry["auth"])).decode()
        except ValueError as error:
            raise InvalidInput(
                f"{path}: the entry for {key} is damaged", f"run 'lamella login {_host(key)}'"
            ) from error
        user, _, password = text.rstrip("\0").partition(":")
    token = str(entry.get("identitytoken") or "")
    return Credential(user, password, token) if user or token else None


def _helper(config: dict[str, Any], registry: str) -> str:
    helpers = _section(config, "credHelpers")
    chosen = next((v for k, v in helpers.items() if _host(k) in _names(registry)), config.get("credsStore"))
    if chosen and not re.fullmatch(r"[A-Za-z0-9._-]+", str(chosen)):
        raise InvalidInput(f"invalid credential helper {str(chosen)[:80]!r}", "correct config.json")
    return str(chosen or "")


def _ask(helper: str, registry: str) -> Credential | None:
    answer = _run(helper, "get", _key(registry))
    if answer is None:
        return None
    try:
        data = json.loads(answer)
        user, secret = str(data["Username"]), str(data["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"docker-credential-{helper} gave an answer that is no credential") from error
    return Credential("", "", secret) if user == "<token>" else Credential(user, secret)


def _run(helper: str, action: str, text: str) -> str | None:
    """What the helper answers; None where it says that it has nothing (its protocol puts errors on stdout)."""
    import subprocess

    from core.process import find_program

    program = find_program(f"docker-credential-{helper}")
    if program is None:
        raise NotFound(f"docker-credential-{helper} is not installed", "install it, or take it out of config.json")
    try:
        done = subprocess.run([program, action], input=text, capture_output=True, text=True, timeout=HELPER_SECONDS)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Unavailable(f"docker-credential-{helper} {action} failed: {error}") from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stdout + done.stderr).strip()
    if action == "get" and "not found" in said:
        return None
    raise Unavailable(f"docker-credential-{helper} {action} failed: {said[:300] or done.returncode}")
