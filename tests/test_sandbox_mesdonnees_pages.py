"""The storage stand-in's sign-in, portal, consent page and list of what arrived, over real HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from aiohttp import ClientResponse, encode_basic_auth, web
from aiohttp.test_utils import TestClient

from homeserver.sandbox.mesdonnees_pages import readable_size
from homeserver.sandbox.mesdonnees_space import Consent
from tests.clock import Clock
from tests.storage_site import HOME, PASSWORD, SERVICE_ID, Site, envelope, storage_app

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


async def sign_in(site: Site, target: str = f"{HOME}/sign-in/return", state: str = "s t&") -> ClientResponse:
    status, page = await site.get("/mesdonnees/sign-in?" + urlencode({"return": target, "state": state}))
    assert status == 200
    assert "Marie Dupont" in page
    return await site.post("/mesdonnees/sign-in", **{"return": target, "state": state, "user": "chloe"})


async def redeem(site: Site, code: str, password: str = PASSWORD) -> ClientResponse:
    headers = {"Authorization": encode_basic_auth(SERVICE_ID, password)}
    return await site.client.post("/mesdonnees/sign-in/redeem", data={"code": code}, headers=headers)


async def test_signing_in(site: Site) -> None:
    reply = await sign_in(site, target=f"{HOME}/back?x=1")
    assert reply.status == 303
    location = urlsplit(reply.headers["Location"])
    assert location.geturl().startswith(f"{HOME}/back?x=1&code=")
    query = parse_qs(location.query)
    assert query["state"] == ["s t&"]
    [code] = query["code"]

    assert (await redeem(site, code, password="wrong")).status == 401  # and the code is still good
    answer = await redeem(site, code)
    assert answer.status == 200
    values = await answer.json()
    assert values.keys() == {"user", "name", "token"}
    assert (values["user"], values["name"]) == ("chloe", "Chloé Bernard")
    assert site.storage.tokens.user_of(values["token"]) == "chloe"
    again = await redeem(site, code)
    assert (again.status, await again.json()) == (400, {"error": "invalid_code"})


@pytest.mark.parametrize(("after_ms", "status"), [(59_999, 200), (60_000, 400)])
async def test_a_code_is_good_for_a_minute(site: Site, clock: Clock, after_ms: int, status: int) -> None:
    location = (await sign_in(site)).headers["Location"]
    clock.advance(ms=after_ms)
    assert (await redeem(site, parse_qs(urlsplit(location).query)["code"][0])).status == status


async def test_codes_that_nobody_issued(site: Site) -> None:
    assert (await redeem(site, "x")).status == 400
    assert (await redeem(site, "")).status == 400


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
    assert (await site.get("/mesdonnees/sign-in?" + urlencode({"return": target, "state": "s"})))[0] == 400
    reply = await site.post("/mesdonnees/sign-in", **{"return": target, "state": "s", "user": "marie"})
    assert reply.status == 400
    consent = {"user": "chloe", "serviceId": SERVICE_ID, "urlRetour": target}
    if target:
        assert (await site.get("/mesdonnees/consent?" + urlencode(consent)))[0] == 400
        assert (await site.post("/mesdonnees/consent", choice="always", **consent)).status == 400
        assert await site.code("chloe") == "-3"


async def test_other_origins_can_be_allowed(site: Site) -> None:
    site.storage.return_origins.add("https://[::1]")
    assert (await sign_in(site, target="https://[::1]:443/x")).status == 303


async def test_a_sign_in_that_makes_no_sense(site: Site) -> None:
    good = {"return": f"{HOME}/x", "state": "s"}
    assert (await site.post("/mesdonnees/sign-in", **good, user="nobody")).status == 400
    assert (await site.post("/mesdonnees/sign-in", **good)).status == 400
    assert (await site.post("/mesdonnees/sign-in", **{**good, "state": "x" * 513}, user="marie")).status == 400


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
        "/mesdonnees/sign-in?" + urlencode({"return": target, "state": '"><script>'}),
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
