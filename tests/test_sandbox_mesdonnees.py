"""The storage stand-in's API over real HTTP. What is compared is bytes: it exists to be odd in the guide's way."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from homeserver.sandbox import mesdonnees_xml as xml
from homeserver.sandbox.mesdonnees_space import Consent
from tests.clock import Clock
from tests.storage_site import API, SERVICE_ID, Site, envelope, storage_app

AiohttpClient = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def site(aiohttp_client: AiohttpClient, clock: Clock) -> Site:
    app, storage, faults = storage_app(clock.now_ms)
    return Site(await aiohttp_client(app), storage, faults)


async def test_success_is_the_guides_sample(site: Site) -> None:
    status, body = await site.ask()
    assert status == 200
    pattern = re.escape(
        """\
<?xml version="1.0" encoding="UTF-8"?>
<getContentUploadURLResponse>
     <url><![CDATA[ url_value ]]></url>
    <cookie>
        <name>downloadUploadKey</name>
        <value>cookie_value</value>
    </cookie>
</getContentUploadURLResponse>
"""
    )
    pattern = pattern.replace("url_value", r"http://localhost:8081/mesdonnees/upload/[\w-]{32}")
    assert re.fullmatch(pattern.replace("cookie_value", r"[A-Za-z0-9+/]{24}/\+="), body)
    assert site.storage.urls_issued == 1


async def test_the_service_must_show_its_pair(site: Site) -> None:
    query = f"action=getContentUploadURL&token={quote(site.storage.token_for('marie'))}&content_name=a&content_size=1"
    assert (await site.ask_raw(query))[0] == 200
    assert (await site.ask_raw(query, scheme="basic"))[0] == 200
    assert (await site.ask_raw(query, scheme="Bearer"))[0] == 401
    assert (await site.ask_raw(query, password="pass:word e"))[0] == 401
    assert (await site.ask_raw(query, password=None))[0] == 401
    async with site.client.get(f"{API}?{query}", headers={"Authorization": "Basic é"}) as reply:
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="Personal APIs"'


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
async def test_step_one_is_get_only(site: Site, method: str) -> None:
    assert (await site.ask_raw("action=getContentUploadURL", method=method))[0] == 405


async def test_a_token_must_be_percent_encoded(site: Site) -> None:
    """`+` in a query is a blank: an unencoded token is another token."""
    token = site.storage.token_for("marie")
    rest = "&action=getContentUploadURL&content_name=a&content_size=1"
    assert (await site.ask_raw(f"token={token}{rest}"))[0] == 401
    assert (await site.ask_raw(f"token={quote(token, safe='')}%20{rest}"))[0] == 401  # the blank of the guide's example
    assert (await site.ask_raw(f"token={quote(token, safe='')}{rest}"))[0] == 200


async def test_missing_and_doubled_parameters(site: Site) -> None:
    token = f"token={quote(site.storage.token_for('marie'), safe='')}"
    action, name, size = "action=getContentUploadURL", "content_name=a", "content_size=1"
    for parts, status, text in [
        ((action, name, size), 401, "token"),
        ((token, token, action, name, size), 401, "token"),
        ((token, name, size), 500, "PA900"),
        ((token, "action=other", name, size), 500, "PA900"),
        ((token, action, size), 500, "PA003"),
        ((token, action, name, "content_name=b", size), 500, "PA003"),
        ((token, action, name), 500, "PA004"),
        ((token, action, name, size, *["x=1"] * 40), 401, "token"),
    ]:
        assert (reply := await site.ask_raw("&".join(parts)))[0] == status
        assert text in reply[1]


@pytest.mark.parametrize(
    ("user", "code"),
    [("paul", "MD804"), ("chloe", "-3"), ("luc", "MD327"), ("ines", "MD113"), ("hugo", "MD803")],
)
async def test_what_a_person_is_decides_the_code(site: Site, user: str, code: str) -> None:
    assert await site.code(user) == code
    assert site.storage.urls_issued == 0


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "a\x7fb", "a\x85b", "\0", "x" * 256, "a\uffff"])
async def test_pa003_for_a_name(site: Site, name: str) -> None:
    assert await site.code(name=name) == "PA003"


async def test_pa003_for_a_name_that_is_not_utf8(site: Site) -> None:
    token = quote(site.storage.token_for("marie"), safe="")
    query = f"action=getContentUploadURL&token={token}&content_name=%E9t%E9.jpg&content_size=1"
    assert "PA003" in (await site.ask_raw(query))[1]


@pytest.mark.parametrize(
    "name", ["x" * 255, "été à la plage.jpg", 'a "b" \\ &<>.txt', "100%.txt", "a+b.txt", "日本.txt"]
)
async def test_names_that_are_taken(site: Site, name: str) -> None:
    url = await site.url(name=name, size=5)
    assert (await site.upload(url, envelope(b"hello")))[0] == 200
    assert site.storage.files[name].size_bytes == 5


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "", "1e3", "%2B5", "0x10", "٣", "000", "9" * 19, "1_0"])
async def test_pa004_for_a_size(site: Site, size: str) -> None:
    assert await site.code(size=quote(size, safe="%")) == "PA004"


async def test_the_guides_error_layout(site: Site) -> None:
    detail = 'Your "Mes donnees" service account has been deactivated. Please contact the service administrator.'
    assert await site.ask("ines") == (
        500,
        f"""\
<?xml version="1.0"? encoding="UTF-8" >
<getContentUploadURLResponse>
  <error>
    <code> MD113 </code>
    <detail> {detail} </detail>
  </error>
</getContentUploadURLResponse>
""",
    )


async def test_md804_brings_the_portals_address(site: Site) -> None:
    sample = """\
<?xml version="1.0"? encoding="UTF-8" >
<getContentUploadURLResponse>
  <error>
    <code> MD804 </code>
    <detail> User unknown. The Orange user should activate first their "Mes Données" service. </detail>
  </error>

    <url> http://localhost:8081/mesdonnees/portal?user=paul </url>
</getContentUploadURLResponse>
"""
    assert await site.ask("paul") == (500, sample)
    site.storage.md804_url_inside = True
    status, inside = await site.ask("paul")
    assert status == 500
    assert inside == sample.replace("  </error>\n\n", "").replace("</url>\n", "</url>\n  </error>\n")


async def test_the_captured_consent_answer(site: Site) -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><error><!--Warning : operation non autorisee--><code>-3</code>'
        "<detail>PrivacyAccessDeniedException</detail><url>http://localhost:8081/mesdonnees/consent?family=content&amp;"
        f"serviceId={SERVICE_ID}&amp;attributes=%2Cadd&amp;user=chloe</url></error>"
    )
    assert await site.ask("chloe") == (500, body)


@pytest.mark.parametrize(("code", "detail"), xml.STEP_ONE_DETAILS.items())
async def test_every_code_by_script(site: Site, code: str, detail: str) -> None:
    site.storage.fail_next(code, times=2)
    for _ in range(2):
        status, body = await site.ask()
        assert status == 500
        assert re.search(rf"<code>\s*{code}\s*</code>", body)
        assert detail.format(inner="500") in body
        assert ("<url>" in body) == (code in {"MD804", "-3"})
    assert (await site.ask())[0] == 200
    assert site.faults.pending == 0


async def test_a_code_that_no_guide_knows(site: Site) -> None:
    site.storage.fail_next("XX1", "Maintenance <b>& more</b>")
    assert (
        "<code> XX1 </code>\n    <detail> Maintenance &lt;b&gt;&amp; more&lt;/b&gt; </detail>" in (await site.ask())[1]
    )


async def test_what_scripts_do_to_people(site: Site) -> None:
    site.storage.activate("paul")
    site.storage.consent("chloe", Consent.ONCE)
    assert (await site.ask("paul"))[0] == 200
    assert [(await site.ask("chloe"))[0] for _ in range(2)] == [200, 500]
