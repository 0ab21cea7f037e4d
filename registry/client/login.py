"""Log in: try the credentials, and keep them only when the registry takes them."""

from __future__ import annotations

from urllib.parse import urlsplit

from registry.client.answers import expect
from registry.client.challenge import choose
from registry.client.credentials import Credential, Credentials
from registry.client.errors import Denied
from registry.client.remote import Remote
from registry.client.tokens import Tokens, basic
from registry.client.transport import Request, drain


def login(remote: Remote, credentials: Credentials, user: str, password: str) -> str:
    """Check `user` and `password` at `remote`, keep them, and return where. Harmless to repeat. Raises Denied.

    A token server may give an identity token, which is then kept instead of the password.
    """
    base, _ = remote.connection()
    parts = urlsplit(base)
    root = f"{parts.scheme}://{parts.netloc}"
    credential = Credential(user, password)
    kept = credential
    ping = Request("GET", f"{root}/v2/")
    wire = remote.plain()
    answer = wire.send(ping)
    drain(answer)
    if answer.status == 401:
        challenge = choose(answer.headers.get("www-authenticate", ""))
        if challenge is None:
            raise Denied(f"{remote.name} asks for credentials in a way we do not know")
        header = basic(credential)
        if challenge.scheme == "bearer":
            token = Tokens(wire).fetch(challenge, root, frozenset(), credential, offline=True)
            header = f"Bearer {token.value}"
            kept = Credential(user, password, token.refresh)
        request = Request("GET", ping.url, {"Authorization": header})
        # Some registries' tokens without a scope are not good for /v2/: having been given one is proof enough.
        allowed = (200, 401, 403, 404) if challenge.scheme == "bearer" else (200, 404)
        drain(expect(wire.send(request), request, f"login of {user}", *allowed))
    else:
        expect(answer, ping, "login", 200, 404)
    return credentials.store(remote.name, kept)
