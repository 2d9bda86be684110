"""The gadget in its frame, in a browser too, and who is told of those who add or remove it."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from playwright.async_api import expect

from homeserver.sandbox import Sandbox
from homeserver.sandbox.gadgets import SPEC_LIFETIME_MS
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from tests.browser.conftest import opened_browser
from tests.clock import Clock
from tests.sandbox.home import SPEC, Home, frame_path, query_of, text_of, verify
from tests.sandboxes import Client

# --- the frame -------------------------------------------------------------------------------------------------------


async def test_the_frame_shows_the_content_of_its_view(browser: Client, sandbox: Sandbox, token: str) -> None:
    canvas = await browser.get(frame_path(sandbox, token))
    text = await text_of(canvas)
    assert canvas.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert '<p id="big">Hello &lt;red&gt; 0</p>' in text
    assert "<title>Letters &amp; Co</title>" in text
    profile = await text_of(await browser.get(frame_path(sandbox, token, view="profile")))
    assert '<p id="small">' in profile
    assert '<p id="big">' not in profile
    brazil = await text_of(await browser.get(frame_path(sandbox, token, lang="pt", country="BR")))
    assert ">Olá " in brazil


async def test_opening_the_gadget_is_running_the_application(
    browser: Client, sandbox: Sandbox, token: str, clock: Clock
) -> None:
    assert not sandbox.container.is_online(ELIZABETH)
    await browser.get(frame_path(sandbox, token))
    assert sandbox.container.is_online(ELIZABETH)
    clock.advance(ms=sandbox.settings.online_for_ms)
    assert not sandbox.container.is_online(ELIZABETH)


async def test_the_frame_needs_its_token(browser: Client, sandbox: Sandbox, home: Home, token: str) -> None:
    for path in (
        frame_path(sandbox, ""),
        frame_path(sandbox, token + "0"),
        frame_path(sandbox, token, url=f"{home.origin}/other.xml"),
    ):
        assert (await browser.get(path)).status == 403
    assert home.spec_asked == 0


async def test_a_changed_specification_shows_after_a_minute_or_at_once(
    browser: Client, sandbox: Sandbox, home: Home, token: str, clock: Clock
) -> None:
    await browser.get(frame_path(sandbox, token))
    home.spec = home.spec.replace(b"small", b"tiny").replace(b'id="big"', b'id="new"')
    assert 'id="big"' in await text_of(await browser.get(frame_path(sandbox, token)))
    assert 'id="new"' in await text_of(await browser.get(frame_path(sandbox, token, nocache="1")))
    home.spec = home.spec.replace(b'id="new"', b'id="newer"')
    clock.advance(ms=SPEC_LIFETIME_MS)
    assert 'id="newer"' in await text_of(await browser.get(frame_path(sandbox, token)))
    assert home.spec_asked == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<Module>", '<!DOCTYPE Module [<!ENTITY x SYSTEM "file:///etc/passwd">]><Module>', "document type"),
        ("</Module>", "", "well-formed"),
        ('feature="dynamic-height"', 'feature="flash"', "does not have the feature flash"),
        ("Module>", "Modules>", "needs a Module"),
        ('title="Letters &amp; Co"', "", "needs a Module"),
        ("Content", "Contents", "has no Content"),
        ('view="profile, home"', 'type="java"', "well-formed"),
        ('<Content type="html">', '<Content type="html" view="home">', "no Content for the view canvas"),
        ('<Content type="html">', '<Content type="flash">', "has the type flash"),
    ],
)
async def test_a_specification_that_cannot_be_used_is_explained(
    browser: Client, sandbox: Sandbox, home: Home, token: str, *, old: str, new: str, words: str
) -> None:
    home.spec = home.spec.decode().replace(old, new).encode()
    response = await browser.get(frame_path(sandbox, token))
    text = await text_of(response)
    assert (response.status, words in text) == (502, True), text
    assert "root:" not in text


async def test_a_specification_that_cannot_be_had_is_explained(
    browser: Client, sandbox: Sandbox, home: Home, token: str
) -> None:
    home.spec_status = 500
    assert "answered 500" in await text_of(await browser.get(frame_path(sandbox, token)))
    home.spec_status, home.spec = 200, b" " * (512 * 1024 + 1)
    assert "larger than" in await text_of(await browser.get(frame_path(sandbox, token)))
    await home.server.close()
    assert "no usable answer" in await text_of(await browser.get(frame_path(sandbox, token)))


async def test_a_content_may_be_an_address(browser: Client, sandbox: Sandbox, home: Home, token: str) -> None:
    address = f'<Content type="url" href="{home.origin}/page">'
    home.spec = home.spec.replace(b'<Content type="html">', address.encode())
    response = await browser.get(frame_path(sandbox, token), allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, f"{home.origin}/page")


async def test_settings_in_the_frame_cannot_end_their_script(browser: Client, sandbox: Sandbox, home: Home) -> None:
    home.spec = home.spec.replace(b"&lt;red&gt;", b"&lt;/script&gt;&lt;script&gt;alert(1)")
    text = await text_of(await browser.get(frame_path(sandbox, sandbox.gadgets.token_for(JANE, None))))
    told = text.partition('id="gadget-settings">')[2].partition("</script>")[0]
    assert json.loads(told)["preferences"] == {"colour": "</script><script>alert(1)"}


# --- who has the application -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ("", ("GET", "/gadget/lifecycle")),
        ('<Link rel="event" href="%HOME%/told"/>', ("GET", "/told")),
        ('<Link rel="event" href="%HOME%/told"/><Link rel="event.removeapp" href="%HOME%/gone?x=1" method="POST"/>',
         ("POST", "/gone?x=1&")),
    ],
)  # fmt: skip
async def test_the_home_server_is_told_who_removed_the_application(
    browser: Client, sandbox: Sandbox, home: Home, links: str, expected: tuple[str, str]
) -> None:
    home.spec = SPEC.replace("%LINKS%", links.replace("%HOME%", home.origin)).encode()
    response = await browser.post(f"/people/{CHARLOTTE}/application", data={"action": "remove"})
    assert "The home server was told (200)" in await text_of(response)
    assert not sandbox.container.has_app(CHARLOTTE)
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    method, target, _, body = home.calls[-1]
    assert (method, target.startswith(expected[1])) == (expected[0], True)
    said = query if method == "GET" else dict(parse_qsl(body.decode()))
    assert (said["eventtype"], said["id"]) == ("event.removeapp", "07365476160138082838")


async def test_adding_the_application_is_told_too(browser: Client, sandbox: Sandbox, home: Home) -> None:
    sandbox.container.remove_app(JANE)
    page = await text_of(await browser.get(f"/play?viewer={JANE}"))
    assert "has not added the application" in page
    assert "<iframe" not in page
    page = await text_of(await browser.post(f"/people/{JANE}/application", data={"action": "add"}))
    assert sandbox.container.has_app(JANE)
    assert "<iframe" in page
    assert query_of(home.calls[-1][1])["eventtype"] == "event.addapp"
    assert [(told.event, told.person_id, told.status) for told in sandbox.gadgets.told] == [("event.addapp", JANE, 200)]


async def test_a_home_server_that_cannot_be_told_stops_nobody(browser: Client, sandbox: Sandbox, home: Home) -> None:
    home.answer = web.Response(status=401)
    page = await text_of(await browser.post(f"/people/{JANE}/application", data={"action": "remove"}))
    assert "answered 401" in page
    await home.server.close()
    page = await text_of(await browser.post(f"/people/{CHARLOTTE}/application", data={"action": "remove"}))
    assert "could not be told: no usable answer" in page
    assert not sandbox.container.has_app(CHARLOTTE)


async def test_an_unknown_change_is_refused(browser: Client) -> None:
    assert (await browser.post(f"/people/{JANE}/application", data={"action": "sell"})).status == 400
    assert (await browser.post("/people/nobody/application", data={"action": "add"})).status == 404


# --- in a browser ----------------------------------------------------------------------------------------------------

SCRIPT = """<div id="out" style="height: 700px; margin: 20px 0"></div><script>
gadgets.util.registerOnLoadHandler(function () {
  var parameters = {}, P = gadgets.io.RequestParameters;
  parameters[P.AUTHORIZATION] = gadgets.io.AuthorizationType.SIGNED;
  parameters[P.METHOD] = gadgets.io.MethodType.POST;
  parameters[P.CONTENT_TYPE] = gadgets.io.ContentType.JSON;
  parameters[P.POST_DATA] = gadgets.io.encodeValues({a: "b c", "\\u00e9": "&"});
  parameters[P.HEADERS] = {"X-Mine": "1"};
  gadgets.io.makeRequest("%HOME%/session", function (answer) {
    gadgets.io.makeRequest("http://example.com/", function (refused) {
      document.getElementById("out").textContent = JSON.stringify([
        answer.rc, answer.data, answer.errors, refused.rc, refused.errors.length > 0,
        gadgets.views.getCurrentView().getName(), gadgets.util.escapeString("<&\\"'>"),
        gadgets.util.unescapeString("&#60;&#128522;"), new gadgets.Prefs().getString("colour"),
        new gadgets.Prefs().getMsg("hello"), new gadgets.Prefs().getLang()
      ]);
      gadgets.window.setTitle("Letters");
      gadgets.window.adjustHeight();
    });
  }, parameters);
});
</script>"""


@pytest.mark.chromium
@pytest.mark.usefixtures("browser")
async def test_a_gadget_runs_in_a_real_browser(sandbox: Sandbox, home: Home) -> None:
    content = f'<p id="big">__MSG_hello__</p>{SCRIPT.replace("%HOME%", home.origin)}'
    home.spec = home.spec.replace(b'<p id="big">__MSG_hello__ __UP_colour__ __MODULE_ID__</p>', content.encode())
    async with opened_browser() as chromium:
        page = await chromium.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{sandbox.settings.public_url}/play?viewer={JANE}&owner={ELIZABETH}&lang=pt-BR")
        out = page.frame_locator("#gadget").locator("#out")
        await expect(out).to_contain_text("canvas")
        said = json.loads(await out.inner_text())
        await expect(page.locator("#gadget")).to_have_attribute("title", "Letters")
        height_px = int(await page.locator("#gadget").get_attribute("height") or 0)
    assert said == [
        200, {"ok": True}, [], 403, True, "canvas", "&#60;&#38;&#34;&#39;&#62;", "<\N{SMILING FACE WITH SMILING EYES}",
        "<red>", "Olá", "pt",
    ]  # fmt: skip
    assert 740 <= height_px <= 860
    assert complaints == []
    query = verify(home, sandbox.settings, sandbox.certificate_pem)
    assert (query["opensocial_owner_id"], query["opensocial_viewer_id"]) == (ELIZABETH, JANE)
    _, _, headers, body = home.calls[-1]
    assert (body, headers["X-Mine"]) == (b"a=b%20c&%C3%A9=%26&", "1")
