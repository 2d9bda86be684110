"""The storage stand-in's sign-in, portal, consent page and list of what arrived, over real HTTP."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from zlib import compress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from lxml import html

from homeserver.protocol.saml import Rules, read_answer, request_url
from homeserver.protocol.saml_metadata import IdentityProvider, ServiceProvider, read_metadata
from homeserver.sandbox.mesdonnees_pages import readable_size
from homeserver.sandbox.mesdonnees_space import Consent
from tests.clock import Clock
from tests.saml_kit import key
from tests.storage_site import HOME, SERVICE_ID, Site, envelope, storage_app

CERTIFICATE = key(0).certificate
AiohttpClient = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def site(aiohttp_client: AiohttpClient, clock: Clock) -> Site:
    app, storage, faults = storage_app(clock.now_ms)
    return Site(await aiohttp_client(app), storage, faults)


async def test_expired_tokens_are_refused_and_new_ones_are_not(site: Site) -> None:
    query = "action=getContentUploadURL&content_name=a&content_size=1&token="
    old = quote(site.storage.token_for("marie"), safe="")
    paul = quote(site.storage.token_for("chloe"), safe="")
    site.storage.expire_tokens("marie")
    assert (await site.ask_raw(query + old))[0] == 401
    assert (await site.ask_raw(query + paul))[0] == 500
    assert (await site.ask())[0] == 200


def request_of(site: Site, target: str, **changes: str) -> dict[str, str]:
    """What a site's address carries to the sign-in."""
    provider = IdentityProvider("x", f"{site.storage.public_url}/mesdonnees/sso", (CERTIFICATE,))
    service = ServiceProvider("https://home.example/metadata", target)
    url = request_url(provider, service, request_id="_r1", now_ms=0, extra={"personalApi": "true"})
    return {**dict(parse_qsl(urlsplit(url).query)), "RelayState": "s t&", **changes}


async def test_signing_in_is_told_to_the_site_that_asked(site: Site, clock: Clock) -> None:
    given = request_of(site, f"{HOME}/back?x=1")
    status, page = await site.get("/mesdonnees/sso?" + urlencode(given))
    assert status == 200
    assert "Marie Dupont" in page
    async with await site.post("/mesdonnees/sso", **given, user="chloe") as reply:
        (form,) = html.fromstring(await reply.text()).iter("form")
    assert form.get("action") == f"{HOME}/back?x=1"
    fields = {field.get("name", ""): field.get("value", "") for field in form.iter("input")}
    assert fields["RelayState"] == "s t&"
    provider = read_metadata(site.storage.identity_provider.metadata())
    service = ServiceProvider("https://home.example/metadata", f"{HOME}/back?x=1")
    said = read_answer(fields, provider, service, now_ms=clock.now_ms(), rules=Rules())
    assert said.request_id == "_r1"
    assert said.attributes["displayName"] == ("Chloé Bernard",)
    assert site.storage.tokens.user_of(said.attributes["OrangeAPIToken"][0]) == "chloe"


async def test_the_identifier_is_the_same_each_time_and_another_for_each_site(site: Site) -> None:
    provider, marie = site.storage.identity_provider, site.storage.users["marie"]
    assert provider.name_id(marie, "https://a.example") == provider.name_id(marie, "https://a.example")
    assert provider.name_id(marie, "https://a.example") != provider.name_id(marie, "https://b.example")
    assert provider.name_id(marie, "https://a.example") != provider.name_id(
        site.storage.users["paul"], "https://a.example"
    )


async def test_a_token_comes_only_where_it_is_asked_for(site: Site) -> None:
    given = request_of(site, f"{HOME}/back")
    del given["personalApi"]
    async with await site.post("/mesdonnees/sso", **given, user="chloe") as reply:
        (form,) = html.fromstring(await reply.text()).iter("form")
    answer = b64decode(next(iter(form.iter("input"))).get("value", "")).decode()
    assert "displayName" in answer
    assert "OrangeAPIToken" not in answer


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/files",
        "http://127.0.0.1:8081/",
        "http://127.0.0.1:80800/",
        "https://127.0.0.1:8080/",
        "http://127.0.0.1:8080.evil.example/",
        "http://127.0.0.1:8080@evil.example/",
        "http://evil.example@127.0.0.1:8080/",
        "http://evil.example\\@127.0.0.1:8080/",
        "http://evil.example/?http://127.0.0.1:8080/",
        "http://127.0.0.1:8080/\r\nX: y",
        "http://127.0.0.1:8080/\\evil.example",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "//127.0.0.1:8080/",
        "javascript:alert(1)//127.0.0.1:8080/",
        f"{HOME}/{'x' * 2048}",
    ],
)
async def test_people_are_sent_nowhere_else(site: Site, target: str) -> None:
    if target.isprintable():  # anything else cannot stand in a request at all
        given = request_of(site, target)
        assert (await site.get("/mesdonnees/sso?" + urlencode(given)))[0] == 400
        assert (await site.post("/mesdonnees/sso", **given, user="marie")).status == 400
    consent = {"user": "chloe", "serviceId": SERVICE_ID, "urlRetour": target}
    if target:
        assert (await site.get("/mesdonnees/consent?" + urlencode(consent)))[0] == 400
        assert (await site.post("/mesdonnees/consent", choice="always", **consent)).status == 400
        assert await site.code("chloe") == "-3"


async def test_other_origins_can_be_allowed(site: Site) -> None:
    site.storage.return_origins.add("https://[::1]")
    given = request_of(site, "https://[::1]:443/x")
    assert (await site.post("/mesdonnees/sso", **given, user="marie")).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "nobody"},
        {"user": ""},
        {"RelayState": "x" * 513},
        {"SAMLRequest": ""},
        {"SAMLRequest": "junk!"},
        {"SAMLRequest": "AAAA"},
        {"SAMLRequest": b64encode(compress(b"<a/>", wbits=-15)).decode()},
        {"SAMLRequest": b64encode(compress(b"x" * 20_000, wbits=-15)).decode()},
    ],
)
async def test_a_sign_in_that_makes_no_sense(site: Site, changes: dict[str, str]) -> None:
    given = {**request_of(site, f"{HOME}/x"), "user": "marie", **changes}
    assert (await site.post("/mesdonnees/sso", **given)).status == 400


async def test_a_request_for_somebody_else(site: Site) -> None:
    elsewhere = IdentityProvider("x", "https://elsewhere.example/sso", (CERTIFICATE,))
    url = request_url(elsewhere, ServiceProvider("y", f"{HOME}/x"), request_id="_r", now_ms=0)
    given = dict(parse_qsl(urlsplit(url).query))
    assert (await site.post("/mesdonnees/sso", **given, user="marie")).status == 400


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_the_portal_activates(site: Site) -> None:
    body = (await site.ask("paul"))[1]
    match = re.search(r"<url> (\S+) </url>", body)
    assert match
    address = urlsplit(match[1])
    portal = f"{address.path}?{address.query}"
    status, page = await site.get(portal)
    assert status == 200
    assert "Paul Martin" in page
    assert "Activate my space" in page
    assert await site.code("paul") == "MD804"  # looking changes nothing

    reply = await site.post("/mesdonnees/portal", user="paul")
    page = await reply.text()
    assert reply.status == 200
    assert f'href="{HOME}/files"' in page
    assert "Activate my space" not in page
    assert (await site.ask("paul"))[0] == 200


async def test_the_portal_activates_nobody_else(site: Site) -> None:
    for user, standing in [("ines", "deactivated"), ("hugo", "suspended")]:
        assert standing in await (await site.post("/mesdonnees/portal", user=user)).text()
        assert site.storage.users[user].standing.value == standing
    assert (await site.post("/mesdonnees/portal", user="x")).status == 400
    assert (await site.get("/mesdonnees/portal"))[0] == 400


async def consent_url(site: Site) -> str:
    match = re.search(r"<url>(\S+)</url>", (await site.ask("chloe"))[1])
    assert match
    address = urlsplit(match[1].replace("&amp;", "&"))
    return f"{address.path}?{address.query}"


@pytest.mark.parametrize(
    ("choice", "first", "second"), [("once", 200, 500), ("always", 200, 200), ("refuse", 500, 500)]
)
async def test_consent(site: Site, choice: str, first: int, second: int) -> None:
    back = f"{HOME}/files?from=consent&n=1"
    status, page = await site.get(f"{await consent_url(site)}&urlRetour={quote(back, safe='')}")
    assert status == 200
    assert "Chloé Bernard" in page
    assert "127.0.0.1:8080" in page
    reply = await site.post("/mesdonnees/consent", user="chloe", urlRetour=back, choice=choice)
    assert (reply.status, reply.headers["Location"]) == (303, back)
    assert (await site.ask("chloe", name=""))[0] == 500  # a refused name uses up no consent
    assert (await site.ask("chloe"))[0] == first
    assert (await site.ask("chloe"))[0] == second


async def test_consent_without_a_way_back(site: Site) -> None:
    assert (await site.get(await consent_url(site)))[0] == 200
    reply = await site.post("/mesdonnees/consent", user="chloe", choice="always")
    assert (reply.status, "Your choice is saved" in await reply.text()) == (200, True)
    assert site.storage.users["chloe"].consent is Consent.ALWAYS


async def test_consent_that_makes_no_sense(site: Site) -> None:
    assert (await site.get("/mesdonnees/consent?user=chloe&serviceId=other"))[0] == 400
    assert (await site.get(f"/mesdonnees/consent?user=x&serviceId={SERVICE_ID}"))[0] == 400
    assert (await site.post("/mesdonnees/consent", user="chloe", choice="x")).status == 400
    assert (await site.post("/mesdonnees/consent", user="x", choice="once")).status == 400


async def test_what_arrived_is_shown_and_escaped(site: Site) -> None:
    assert "Nothing yet" in (await site.get("/mesdonnees/"))[1]
    for name in ("first.txt", "<script>alert(1)<.txt"):
        await site.upload(await site.url(name=name, size=5), envelope(b"hello"))
    status, page = await site.get("/mesdonnees/")
    assert status == 200
    assert "<script" not in page
    assert page.index("&lt;script&gt;alert(1)&lt;.txt") < page.index("first.txt")
    assert hashlib.sha256(b"hello").hexdigest()[:12] in page
    assert "Marie Dupont" in page
    assert "5 bytes" in page
    assert "22 Nov 2026, 12:00:00 UTC" in page


async def test_pages_escape_what_an_address_brings(site: Site) -> None:
    target = f"{HOME}/x?'y"
    for path in (
        "/mesdonnees/sso?" + urlencode(request_of(site, target, RelayState='"><script>', other="x?'y")),
        f"{await consent_url(site)}&urlRetour={quote(target, safe='')}",
    ):
        status, page = await site.get(path)
        assert status == 200
        assert "<script" not in page
        assert "x?&#39;y" in page


async def test_pages_carry_their_headers(site: Site) -> None:
    async with site.client.get("/mesdonnees/") as reply:
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert f"form-action 'self' {HOME};" in policy
        assert reply.headers["Cache-Control"] == "no-store"
    async with site.client.get("/mesdonnees/style.css") as reply:
        assert (reply.status, reply.content_type) == (200, "text/css")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (31163, "31.2 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (1 << 30, "1.1 GB")],
)  # fmt: skip
def test_readable_sizes(size_bytes: int, text: str) -> None:
    assert readable_size(size_bytes) == text
