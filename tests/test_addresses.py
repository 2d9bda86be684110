"""Which addresses a remote service may send us, or a browser, to."""

from __future__ import annotations

import pytest

from homeserver.protocol.addresses import is_allowed

HOSTS = ("upload.example", ".orange.fr")


@pytest.mark.parametrize(
    "address",
    [
        "https://upload.example/a?b=c#d",
        "https://UPLOAD.example:8443/",
        "https://a.orange.fr/x%20y",
        "https://a.b.orange.fr",
    ],
)
def test_https_on_an_allowed_host(address: str) -> None:
    assert is_allowed(address, HOSTS)
    assert not is_allowed(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "upload.example",
        "//upload.example/",
        "http://upload.example/",
        "ftp://upload.example/",
        "javascript:alert(1)//upload.example",
        "https://x.upload.example/",
        "https://orange.fr/",
        "https://evilorange.fr/",
        "https://.orange.fr/",
        "https://a.orange.fr.evil.example/",
        "https://a.orange.fr./",
        "https://a.orange.fr@evil.example/",
        "https://user:pass@upload.example/",
        "https://evil.example/?https://upload.example/",
        "https://evil.example\\@upload.example/",
        "https://evil.example\\.orange.fr/",
        "https://evil.example#.orange.fr/",
        "https://upload.example:port/",
        "https://upload.example:99999/",
        "https://upload.example/a b",
        "https://upload.example/\r\nX: y",
        "\thttps://upload.example/",
        "https://upload.examplé/",
        "https://[::1/",
        "https://upload.example/" + "a" * 5000,
        "http://127.0.0.1/",
    ],
)
def test_anything_else_is_refused(address: str) -> None:
    assert not is_allowed(address, HOSTS)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8081/a", "http://localhost:8081/a", "http://[::1]:8081/a"])
def test_http_on_this_machine_only_when_asked_for(address: str) -> None:
    assert is_allowed(address, (), http_loopback=True)
    assert not is_allowed(address, ("localhost", "127.0.0.1", "::1"))


@pytest.mark.parametrize("address", ["http://10.0.0.1/", "http://a.localhost/", "http://localhost.evil.example/"])
def test_http_elsewhere_never(address: str) -> None:
    assert not is_allowed(address, ("10.0.0.1", ".localhost", ".evil.example"), http_loopback=True)


def test_http_on_an_allowed_host_only_for_pages_that_a_person_looks_at() -> None:
    """The consent address in the capture from life is plain http."""
    assert is_allowed("http://privacy.orange.fr/urm-gui/interaction.do?family=contact", HOSTS, plain_http=True)
    assert not is_allowed("http://privacy.orange.fr/urm-gui/interaction.do?family=contact", HOSTS)
    assert not is_allowed("http://evil.example/", HOSTS, plain_http=True)
    assert not is_allowed("http://127.0.0.1/", HOSTS, plain_http=True)
