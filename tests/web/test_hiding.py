"""Players who hide themselves, on pages and in the gadget's calls: what they see, what others do, the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from yarl import URL

from homeserver.model import Role
from homeserver.sandbox.people import ELIZABETH, JANE
from tests.web.admin_desk import desk
from tests.web.conftest import Stack
from tests.web.test_admin_pages import player_page
from tests.web.test_pages import page, texts, values

NAME = "Elizabeth Bennet"
SAID = "You have hidden yourself. Others do not see you here."


async def owner_of(stack: Stack, *, owner: str, viewer: str | None) -> Mapping[str, Any] | None:
    """Whose page it is, as the handshake says it."""
    url = URL(stack.signed("POST", "/gadget/session", owner=owner, viewer=viewer), encoded=True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with stack.http.post(url, headers=form, data=b"") as response:
        assert response.status == 200
        opened: dict[str, Any] = await response.json()
        found: Mapping[str, Any] | None = opened["owner"]
        return found


async def test_one_button_hides_from_all_others_and_shows_again(stack: Stack) -> None:
    browser, other = await stack.player(), await stack.player(JANE)
    tree = page(await browser.get("/privacy"))
    assert values(tree, "//section[@id='seen']//form/@action") == ["/privacy/hide"]
    assert texts(tree, "//section[@id='seen']//button") == ["Hide me"]
    own = values(page(await browser.get("/")), "//a[@class='me']/@href")[0]
    assert NAME in (await other.get(own)).text

    hidden = await browser.post("/privacy/hide")
    assert (hidden.status, hidden.location) == (303, "/privacy?done=hidden")
    tree = page(await browser.get(hidden.location))
    assert texts(tree, "//p[@role='status']") == ["You are hidden: nobody else sees you on any board now."]
    assert texts(tree, "//section[@id='seen']//b") == [SAID]
    assert values(tree, "//section[@id='seen']//form/@action") == ["/privacy/show"]
    assert texts(tree, "//section[@id='seen']//time") != []

    for path in ("/", "/boards/letters", "/boards/letters?period=week", own):
        tree = page(await browser.get(path))
        notice = f"//div[@class='notice'][p='{SAID}']"  # once, whatever the number of boards
        assert values(tree, f"{notice}//form/@action") == ["/privacy/show"], path
        assert texts(tree, f"{notice}//button") == ["Show me again"]
    board = page(await browser.get("/boards/letters"))
    assert texts(board, "//aside//div[@class='big']") != ["–"], "the place that they would have"
    (near,) = [way for way in values(board, "//aside//p/a/@href") if "around=me" in way]
    assert texts(board, f"//aside//a[@href='{near}']")[-1] == "Show the places around mine"
    there = page(await browser.get(near))  # where nothing leads to a row that is not there
    assert [way for way in values(there, "//@href") if way.endswith("#me")] == []
    assert not any("around=me" in way for way in values(there, "//aside//p/a/@href"))
    for path in ("/", "/boards/letters?limit=100", "/boards/letters?friends=true", "/boards/letters?search=elizabeth"):
        found = await other.get(path)
        assert (found.status, NAME in found.text) == (200, False), path
        assert SAID not in found.text
    assert (await other.get(own)).status == 404

    shown = await browser.post("/privacy/show")
    assert (shown.status, shown.location) == (303, "/privacy?done=shown")
    assert texts(page(await browser.get(shown.location)), "//p[@role='status']") == [
        "Others see you again. Where an operator of this site has hidden you, that stays."
    ]
    assert SAID not in (await browser.get("/")).text
    assert NAME in (await other.get("/boards/letters?limit=100")).text
    assert NAME in (await other.get(own)).text


async def test_only_the_player_decides_on_our_pages(stack: Stack) -> None:
    browser, stranger = await stack.player(), stack.browser()
    await stranger.sign_in_to_storage("marie")
    assert "/privacy/hide" not in (await stranger.get("/privacy")).text
    for path in ("/privacy/hide", "/privacy/show"):
        assert (await browser.post(path, Origin="https://evil.example")).status == 403
        assert (await stranger.post(path)).status == 401
        assert (await stack.browser().post(path)).status == 401
        assert (await browser.get(path)).status == 405
    assert SAID not in (await browser.get("/privacy")).text


@pytest.mark.parametrize(
    ("language", "said", "button"),
    [
        ("pt-BR", "Você se ocultou. Os outros não veem você aqui.", "Mostrar-me de novo"),
        ("fr", "Vous vous êtes masqué. Les autres ne vous voient pas ici.", "Me montrer de nouveau"),
    ],
)
async def test_it_is_said_in_the_readers_language(stack: Stack, language: str, said: str, button: str) -> None:
    browser = await stack.player()
    await browser.post("/privacy/hide")
    await browser.post("/language", {"language": language})
    for path in ("/privacy", "/boards/letters"):
        text = (await browser.get(path)).text
        assert said in text
        assert button in text


async def test_the_gadget_learns_it_of_oneself_and_nothing_of_others(stack: Stack) -> None:
    gadget, other = await stack.open_gadget(), await stack.open_gadget(JANE, owner=ELIZABETH)
    browser = await stack.player()
    me = (await gadget.call("GET", "me")).json
    id_ = me["me"]["id"]
    assert {place["state"] for place in me["places"]} == {"visible"}
    assert await owner_of(stack, owner=ELIZABETH, viewer=JANE) == me["me"]
    await browser.post("/privacy/hide")

    after = (await gadget.call("GET", "me")).json
    assert {place["state"] for place in after["places"]} == {"withdrawn"}
    assert [{**place, "state": "visible"} for place in after["places"]] == me["places"]
    for path in (f"players/{id_}", f"players/{id_}/history?board=letters"):
        assert (await gadget.call("GET", path)).status == 200
        refused = await other.call("GET", path)
        assert (refused.status, refused.json["code"]) == (404, "not_found")
    for viewer in (JANE, None):
        assert await owner_of(stack, owner=ELIZABETH, viewer=viewer) is None
    assert await owner_of(stack, owner=ELIZABETH, viewer=ELIZABETH) == me["me"]
    for query in ("limit=100", "friends=true", "search=elizabeth", "around=me"):
        assert id_ not in (await other.call("GET", f"boards/letters/entries?{query}")).text, query

    await browser.post("/privacy/show")
    assert (await gadget.call("GET", "me")).json == me
    assert (await other.call("GET", f"players/{id_}")).status == 200


async def test_a_link_from_the_gadget_leads_to_where_it_is_changed(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    for query, leads_to in (("?to=privacy", "/privacy"), ("?to=//evil.example", "/"), ("", "/")):
        path = urlsplit((await gadget.call("POST", "page-links")).json["url"]).path + query
        browser = stack.browser()
        tree = page(await browser.get(path))
        assert values(tree, "//main//form/@action") == [], "the form goes to the address that the page has"
        followed = await browser.post(path)
        assert (followed.status, followed.location) == (303, leads_to)


async def test_operators_see_who_hides_and_change_nothing_about_it(stack: Stack) -> None:
    browser, other = await stack.player(), await stack.player(JANE)
    await browser.post("/privacy/hide")
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    assert "hidden by themselves since" in " ".join(at.texts("//dl[@class='facts']//dd"))
    assert set(at.texts("//section/table/caption/span")) == {"hidden by themselves"}
    assert at.texts("//form[contains(@action, '/restore')]") == []
    address = at.address
    await at.act("/hide", reason="too good")
    assert set(at.texts("//section/table/caption/span")) == {"hidden"}, "what an operator has decided goes first"
    await at.act("/restore", reason="after all")
    await at.open(address)
    assert set(at.texts("//section/table/caption/span")) == {"hidden by themselves"}
    assert NAME not in (await other.get("/boards/letters?limit=100")).text

    await at.open("/admin/boards/letters?state=withdrawn")
    assert at.texts("//*[@id='entries']//td//a[contains(@href, '/admin/players/')]") == [NAME]
    await at.open("/admin/audit")
    assert "off the lists: hidden by themselves" in at.texts("//main//tbody//b")
    assert "by themselves, on the privacy page" in at.texts("//main")[0]


async def test_the_decision_is_in_what_one_takes_along(stack: Stack) -> None:
    browser = await stack.player()
    await browser.post("/privacy/hide")
    (profile,) = json.loads((await browser.get("/privacy/export")).body)["player"]["profile"]
    assert profile["withdrawn"] is not None
    counted = texts(page(await browser.get("/privacy")), "(//dl)[1]//dt")
    assert "notes that you are on no board: hidden by yourself, or without the application" in counted
