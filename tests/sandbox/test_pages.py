"""The container's own pages, and the keys and settings behind them."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from yarl import URL

from homeserver.sandbox import Sandbox
from homeserver.sandbox.pages import draw_picture
from homeserver.sandbox.people import ELIZABETH, JANE, SandboxPerson
from homeserver.sandbox.settings import load_or_create_signing_key
from tests.clock import Clock
from tests.sandbox.home import query_of, text_of
from tests.sandboxes import Client, sandbox_settings


async def test_the_list_shows_everybody_and_trusts_no_name(browser: Client, sandbox: Sandbox) -> None:
    response = await browser.get("/")
    text = await text_of(response)
    assert text.count('class="id"') == len(sandbox.container.people) == 120
    assert "&lt;b&gt;Tom&lt;/b&gt; &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert "(no name)" in text
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_list_can_be_searched(browser: Client) -> None:
    assert "Charlotte Lucas" in await text_of(await browser.get("/?q=CHARLOTTE"))
    assert (await text_of(await browser.get("/?q=07365476160138082838"))).count('class="id"') == 1
    assert "Nobody is called “&lt;i&gt;”" in await text_of(await browser.get("/?q=<i>"))


async def test_the_page_around_the_gadget_frames_it_with_a_token(browser: Client, sandbox: Sandbox, token: str) -> None:
    page = await text_of(await browser.get(f"/play?viewer={JANE}&owner={ELIZABETH}&view=profile&lang=pt-BR"))
    address = page.partition('<iframe id="gadget" src="')[2].partition('"')[0].replace("&amp;", "&")
    query = query_of(address)
    assert (query["view"], query["lang"], query["country"]) == ("profile", "pt", "BR")
    assert query["st"].startswith(f"{ELIZABETH}:{JANE}:")
    assert (await browser.get(URL(address, encoded=True))).status == 200
    guest = await text_of(await browser.get(f"/play?owner={ELIZABETH}&bpc=1"))
    assert "Seen by a guest" in guest
    assert "nocache=1" in guest


@pytest.mark.parametrize(
    "query", ["", "viewer=nobody", f"viewer={ELIZABETH}&view=attic", f"viewer={ELIZABETH}&lang=xx"]
)
async def test_a_page_of_nobody_is_refused(browser: Client, query: str) -> None:
    assert (await browser.get(f"/play?{query}")).status == 400


async def test_every_person_s_page_opens(browser: Client, sandbox: Sandbox) -> None:
    for person_id in sandbox.container.people:
        assert (await browser.get("/play", params={"viewer": person_id})).status == 200
        assert (await browser.get(f"/pictures/{person_id}.svg")).status == 200
    assert (await browser.get("/pictures/nobody.svg")).status == 404


def test_a_picture_escapes_what_it_shows() -> None:
    picture = draw_picture(SandboxPerson("1", '"><script>', "& Co"))
    assert "<script>" not in picture
    assert "&amp; Co" in picture


async def test_the_certificate_is_the_signing_key_s(browser: Client, sandbox: Sandbox) -> None:
    response = await browser.get(f"/opensocial/certificates/{sandbox.settings.key_name}")
    text = await text_of(response)
    assert text == sandbox.certificate_pem
    key = x509.load_pem_x509_certificate(text.encode()).public_key()
    assert key == sandbox.settings.signing_key.public_key()
    assert (await browser.get("/opensocial/certificates/other.cer")).status == 404


def test_the_signing_key_is_made_once(tmp_path: Any) -> None:
    path = tmp_path / "keys" / "sandbox.pem"
    first = load_or_create_signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_signing_key(path).private_numbers() == first.private_numbers()
    other = tmp_path / "other.pem"
    other.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(ValueError, match="PEM"):
        load_or_create_signing_key(other)


def test_settings_do_not_show_their_secrets() -> None:
    settings = sandbox_settings(Clock().now_ms)
    assert settings.consumer_secret not in repr(settings)
    assert settings.service_password not in repr(settings)
    assert settings.home_url == "http://127.0.0.1:8080"
    assert settings.derive_key("a") != settings.derive_key("b")
