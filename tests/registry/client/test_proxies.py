"""Which requests go through a proxy."""

from __future__ import annotations

import pytest

from registry.client.proxies import proxy_for

PROXIES = {"http": "http://proxy:3128", "https": "proxy:3129"}


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("http://example.com/v2/", (), {"http": "http://proxy:3128"}),
        ("https://example.com/v2/", (), {"https": "http://proxy:3129"}),
        ("http://localhost:5000/v2/", (), {}),
        ("http://127.0.0.2/v2/", (), {}),
        ("http://[::1]:5000/v2/", (), {}),
        ("https://example.com/v2/", ("*",), {}),
        ("https://example.com/v2/", ("example.com",), {}),
        ("https://a.example.com/v2/", ("example.com",), {}),
        ("https://a.example.com/v2/", (".example.com",), {}),
        ("https://a.example.com/v2/", ("*.example.com",), {}),
        ("https://badexample.com/v2/", ("example.com",), {"https": "http://proxy:3129"}),
        ("https://example.com:444/v2/", ("example.com:443",), {"https": "http://proxy:3129"}),
        ("https://example.com/v2/", ("example.com:443",), {}),
        ("https://10.1.2.3/v2/", ("10.0.0.0/8",), {}),
        ("https://11.1.2.3/v2/", ("10.0.0.0/8",), {"https": "http://proxy:3129"}),
    ],
)
def test_no_proxy_and_loopback_are_reached_directly(
    url: str, no_proxy: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert proxy_for(url, PROXIES, no_proxy) == expected


def test_without_proxies_everything_is_direct() -> None:
    assert proxy_for("https://example.com/", {}, ()) == {}
