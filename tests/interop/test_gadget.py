"""Our whole server behind Shindig: the gadget renders there, its handshake opens a session, scores reach AppData."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from aiohttp import ClientResponse
from playwright.async_api import Browser, expect
from yarl import URL

from tests.browser.conftest import PATIENCE_MS, SCREENSHOTS
from tests.interop import MARKS
from tests.interop.society import (
    CROWD,
    ELIZABETH,
    FRIENDS,
    HAS_APP,
    HMAC_SERVICE,
    JANE,
    LETTERS,
    LYDIA,
    NAMES,
    OUTSIDER,
)
from tests.interop.world import Answer, World

pytestmark = MARKS


async def shake_hands(world: World, owner: str, viewer: str | None = None, **parameters: Any) -> Answer:
    """What the gadget's first request brings back."""
    return await world.make_request(
        f"{world.home_url}/gadget/session", "POST", owner=owner, viewer=viewer, **parameters
    )


async def token_of(world: World, owner: str, viewer: str | None = None, **parameters: Any) -> str:
    """A good token, once our server has read whatever it wanted to read of its viewer."""
    answer = await shake_hands(world, owner, viewer, **parameters)
    assert answer.status == 200, answer
    await world.synced()
    token: str = json.loads(answer.text)["token"]
    return token


async def call(world: World, token: str, method: str, path: str, content: object = None) -> tuple[int, Any]:
    """One of the gadget's own requests: status and JSON."""
    headers = {"Authorization": f"Bearer {token}", "Origin": world.shindig.origin}
    url = f"{world.home_url}/gadget/v1/{path}"
    async with world.session.request(method, url, headers=headers, json=content) as response:
        assert response.headers["Access-Control-Allow-Origin"] == world.shindig.origin
        return response.status, await response.json(content_type=None)


async def again(world: World, method: str, target: str, headers: dict[str, str] | None = None) -> ClientResponse:
    """A call to our server that somebody else makes, with whatever they overheard."""
    async with world.session.request(method, f"{world.home_url}{target}", headers=headers) as response:
        await response.read()
        return response


# --- the handshake --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signing", [{}, {"OAUTH_SERVICE_NAME": HMAC_SERVICE}], ids=["RSA-SHA1", "HMAC-SHA1"])
async def test_a_handshake_opens_a_session_for_its_viewer_alone(world: World, signing: dict[str, str]) -> None:
    names = {}
    for viewer in (JANE, LYDIA):
        token = await token_of(world, ELIZABETH, viewer, **signing)
        status, me = await call(world, token, "GET", "me")
        assert status == 200
        names[viewer] = me["me"]["name"]
        scores = {place["period"]["id"]: place["score"] for place in me["places"]}
        assert scores["all"] == LETTERS[viewer]
    assert names == {viewer: " ".join(NAMES[viewer]) for viewer in names}


async def test_the_board_shows_friends_who_have_the_application(world: World) -> None:
    token = await token_of(world, ELIZABETH)
    status, page = await call(world, token, "GET", "boards/letters/entries?friends=true&limit=100")
    assert status == 200
    shown = {entry["player"]["name"]: entry["score"] for entry in page["entries"]}
    having = [user_id for user_id in (ELIZABETH, *FRIENDS[ELIZABETH]) if HAS_APP[user_id] and user_id in LETTERS]
    expected = {" ".join(NAMES.get(user_id, ("Number", user_id[-3:]))): LETTERS[user_id] for user_id in having}
    assert CROWD[1] in having
    assert CROWD[0] not in having
    assert shown == expected


async def test_a_score_is_written_into_the_container(world: World) -> None:
    """And the rest of the player's AppData stays as it was."""
    player = next(world.writers)
    client = world.client()
    await client.update_appdata(player, {"letters": "7", "note": "<&amp;> \"'", "empty": ""})
    token = await token_of(world, player)
    status, placed = await call(world, token, "POST", "scores", {"board": "letters", "value": "9007199254740993"})
    assert (status, placed["value"]) == (201, "9007199254740993")
    item = {"letters": "9007199254740993", "note": "<&amp;> \"'", "empty": ""}
    assert await client.appdata(player, "@self") == {player: item}
    _, page = await call(world, token, "GET", "boards/letters/entries?around=me&limit=3")
    assert [entry["score"] for entry in page["entries"] if entry["me"]] == ["9007199254740993"]


async def test_a_first_score_creates_the_item(world: World) -> None:
    player = next(world.writers)
    token = await token_of(world, player)
    status, _ = await call(world, token, "POST", "scores", {"board": "letters", "value": "1"})
    assert status == 201
    assert await world.client().appdata(player, "@self") == {player: {"letters": "1"}}


async def test_without_a_viewer_the_gadget_only_reads(world: World) -> None:
    token = await token_of(world, ELIZABETH, JANE, signViewer="false")
    assert (await call(world, token, "GET", "me"))[1] == {"me": None, "places": []}
    assert (await call(world, token, "GET", "boards/letters/entries"))[0] == 200
    status, _ = await call(world, token, "POST", "scores", {"board": "letters", "value": "1000"})
    assert status == 403
    assert (await world.client().appdata(JANE, "@self"))[JANE]["letters"] == LETTERS[JANE]


# --- what must be refused -------------------------------------------------------------------------------------------


async def test_another_gadget_is_refused_though_its_signature_is_right(world: World) -> None:
    """The container signs for every gadget with one key."""
    answer = await shake_hands(world, JANE, app_url=world.capture.other_gadget)
    assert answer.status == 401
    call = await world.captured(f"{world.capture.origin}/x", owner=JANE, app_url=world.capture.other_gadget)
    assert world.verified(call).call.app_url == world.capture.other_gadget
    # Its secret is another's too: what asks for ours by name is signed with the container's own key.
    answer = await shake_hands(world, JANE, app_url=world.capture.other_gadget, OAUTH_SERVICE_NAME=HMAC_SERVICE)
    assert answer.status == 401


async def test_a_call_that_names_nobody_names_no_gadget_either(world: World) -> None:
    """With a key that signs for our gadget alone it is ours all the same, and opens the board for reading."""
    nobody = {"signOwner": "false", "signViewer": "false"}
    assert (await shake_hands(world, JANE, **nobody)).status == 401
    token = await token_of(world, JANE, OAUTH_SERVICE_NAME=HMAC_SERVICE, **nobody)
    assert (await call(world, token, "GET", "me"))[1] == {"me": None, "places": []}
    assert (await call(world, token, "GET", "boards"))[0] == 200


async def test_a_replayed_handshake_is_refused(world: World) -> None:
    assert (await shake_hands(world, JANE)).status == 200
    overheard = world.handshakes[-1]
    headers = {"Content-Type": overheard.headers["content-type"]}
    response = await again(world, "POST", overheard.target, headers)
    assert response.status == 401
    assert (await shake_hands(world, JANE)).status == 200


async def test_a_handshake_that_was_changed_on_its_way_is_refused(world: World) -> None:
    """By the server as a whole, from what travels over HTTP."""
    assert (await shake_hands(world, JANE)).status == 200
    overheard = world.handshakes[-1]
    headers = {"Content-Type": overheard.headers["content-type"]}
    path, _, query = overheard.target.partition("?")
    new_nonce = re.sub("oauth_nonce=[0-9]+", "oauth_nonce=1", query)
    assert new_nonce != query
    for target in (
        f"{path}?{new_nonce}",
        f"{path}?{new_nonce.replace(JANE, ELIZABETH)}",
        f"{path}?{new_nonce}&opensocial_viewer_id={ELIZABETH}",
        f"/gadget/lifecycle?{new_nonce}&eventtype=event.removeapp&id={JANE}",
    ):
        assert (await again(world, "POST", target, headers)).status == 401, target


# --- people who add and remove the application ----------------------------------------------------------------------


async def test_lifecycle_calls_of_one_and_of_many(world: World) -> None:
    """Shindig sends none by itself; signed by it they are heard, and another gadget's are not."""
    url = f"{world.home_url}/gadget/lifecycle"
    token = await token_of(world, OUTSIDER)
    assert (await call(world, token, "GET", "me"))[0] == 200
    for method in ("GET", "POST"):
        query = f"eventtype=event.addapp&id={OUTSIDER}&id={LYDIA}&id={OUTSIDER}"
        assert (await world.make_request(f"{url}?{query}", method, owner=OUTSIDER)).status == 204
    removed = f"{url}?eventtype=event.removeapp&id={OUTSIDER}"
    other = await world.make_request(removed, owner=OUTSIDER, app_url=world.capture.other_gadget)
    assert other.status == 401
    assert (await call(world, token, "GET", "me"))[0] == 200
    assert (await world.make_request(removed, owner=OUTSIDER)).status == 204
    assert (await call(world, token, "GET", "me"))[0] == 401


# --- the gadget, rendered -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["canvas", "profile", "home"])
async def test_the_specification_renders(world: World, view: str) -> None:
    """The container accepts it, and puts its own address before our script's: the script still knows ours."""
    async with world.session.get(world.frame_url(ELIZABETH, ELIZABETH, view)) as response:
        page = await response.text()
    assert response.status == 200, page
    assert f'data-base="{world.home_url}"' in page
    assert f'data-view="{view}"' in page
    [source] = re.findall(r'<script src="([^"]*/gadgets/concat[?][^"]*)"', page)
    async with world.session.get(URL(f"http:{html.unescape(source)}", encoded=True)) as response:
        served = await response.text()
    assert response.status == 200
    assert "/gadget/session" in served


@pytest.mark.parametrize(("language", "title"), [("fr", "Lettres"), ("pt", "Letters"), ("en", "Letters")])
async def test_the_title_is_in_the_readers_language(world: World, language: str, title: str) -> None:
    """As the container's directory shows it."""
    asked = {
        "context": {"country": "ALL", "language": language, "view": "canvas", "container": "default"},
        "gadgets": [{"url": world.gadget_url, "moduleId": 1}],
    }
    async with world.session.post(f"{world.shindig.origin}/gadgets/metadata", json=asked) as response:
        [found] = (await response.json(content_type=None))["gadgets"]
    assert found["title"] == title


@pytest.mark.chromium
async def test_the_gadget_in_a_browser(world: World, browser: Browser) -> None:
    """In a frame of the container's page: names and places are there, a score is written, the container has it.

    A score that comes from elsewhere is seen in the gadget, and on the board's page by whoever comes by its link.
    """
    player = next(world.writers)
    client = world.client()
    await client.update_appdata(player, {"letters": "41", "note": "<kept>"})
    context = await browser.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = await context.new_page()
    await page.goto(world.capture.page(world.frame_url(player, player)))
    gadget = page.frame_locator("iframe")
    mine = gadget.locator("tr.mine")
    await expect(gadget.get_by_role("table")).to_be_visible()
    await expect(mine).to_contain_text(f"Number {player[-3:]} (you)")
    await expect(mine.locator("td.num")).to_have_text("41")
    await gadget.get_by_role("button", name="Write a letter").click()
    await expect(gadget.get_by_role("status")).to_contain_text("Saved: 42.")
    await expect(mine.locator("td.num")).to_have_text("42")
    assert await client.appdata(player, "@self") == {player: {"letters": "42", "note": "<kept>"}}
    await expect(gadget.locator(".pulse.on")).to_have_text("Live")
    status, _ = await call(world, await token_of(world, player), "POST", "scores", {"board": "letters", "value": "43"})
    assert status == 201
    await expect(mine.locator("td.num")).to_have_text("43")
    async with context.expect_page() as opened:
        await gadget.get_by_role("button", name="Open my page").click()
    own = await opened.value
    await own.get_by_role("button", name=f"Yes, continue as Number {player[-3:]}").click()
    await expect(own).to_have_url(f"{world.home_url}/")
    await own.goto(f"{world.home_url}/boards/letters")
    await expect(own.locator("tr.mine td.num").first).to_have_text("43")
    await own.goto("about:blank")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"gadget-in-shindig-{world.shindig.version}.png")
    await context.close()
    assert errors == []
