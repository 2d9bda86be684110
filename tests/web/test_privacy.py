"""The page of what is kept: counted, taken along, ended, erased; by whom it concerns, and nobody else."""

from __future__ import annotations

import json

from homeserver.sandbox.people import ELIZABETH, JANE
from tests.web.conftest import Stack
from tests.web.test_pages import page, texts, values


async def test_a_stranger_is_told_that_nobody_is_known(stack: Stack) -> None:
    tree = page(await stack.browser().get("/privacy"))
    assert texts(tree, "//dl") == []
    assert values(tree, "//main//form/@action") == []
    assert values(tree, "//a[@download]") == []


async def test_a_player_sees_counts_and_takes_everything_along(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/privacy"))
    counted = dict(zip(texts(tree, "(//dl)[1]//dt"), texts(tree, "(//dl)[1]//dd"), strict=True))
    assert counted["your name, picture address and id in the network"] == "1"
    assert int(counted["friends of yours who play"]) > 5
    assert "at Orange" not in " ".join(texts(tree, "//tbody"))

    (address,) = values(tree, "//a[@download]/@href")
    reply = await browser.get(address)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    assert reply.headers["Cache-Control"] == "no-store"
    document = json.loads(reply.body)
    assert document["player"]["profile"][0]["user_id"] == ELIZABETH
    assert len(document["player"]["friends"]) == int(counted["friends of yours who play"])
    assert browser.cookies["hs"] not in reply.text


async def test_both_halves_are_shown_and_the_page_speaks_the_language(stack: Stack) -> None:
    browser = await stack.player()
    await browser.sign_in_to_storage("marie")
    await browser.post("/language", {"language": "fr"})
    tree = page(await browser.get("/privacy"))
    assert texts(tree, "//h1") == ["Ce qui est conservé sur vous"]
    assert [heading for heading in texts(tree, "//h2") if heading] == [
        "En tant que joueur",
        "Chez Mes Données",
        "Qui vous voit",
        "Emporter mes données",
        "Non liés",
        "M’effacer en tant que joueur",
    ]
    document = json.loads((await browser.get("/privacy/export")).body)
    assert document["storage"] == {"uploads": []}


async def test_erasing_needs_a_tick_and_takes_the_player_off_every_board(stack: Stack) -> None:
    browser, other = await stack.player(), await stack.player(JANE)
    assert "Elizabeth Bennet" in (await other.get("/boards/letters?limit=100")).text
    assert (await browser.post("/privacy/erase")).status == 400
    assert (await browser.post("/privacy/erase", {"sure": "yes"}, Origin="https://evil.example")).status == 403
    assert "Elizabeth Bennet" in (await other.get("/boards/letters?limit=100")).text

    erased = await browser.post("/privacy/erase", {"sure": "yes"})
    assert (erased.status, erased.location) == (303, "/privacy?done=erased")
    tree = page(await browser.get(erased.location))
    assert texts(tree, "//p[@role='status']") == [
        "You are erased here as a player. What is left is taken away in the next moments."
    ]
    assert values(tree, "//main//form/@action") == []
    assert "Elizabeth Bennet" not in (await other.get("/boards/letters?limit=100")).text
    assert (await browser.get("/boards/letters")).status == 401
    # Only they themselves bring them back, and begin anew.
    again = await stack.player()
    assert "Elizabeth Bennet" in (await again.get("/")).text


async def test_another_browser_is_signed_out_from_here(stack: Stack) -> None:
    here, elsewhere, stranger = await stack.player(), await stack.player(), await stack.player(JANE)
    tree = page(await here.get("/privacy"))
    assert texts(tree, "//tr[@aria-current]//b") == ["This browser"]
    (other,) = values(tree, "//form[@action='/privacy/sessions/end']/input/@value")
    assert (await stranger.post("/privacy/sessions/end", {"session": other})).status == 404
    assert (await elsewhere.get("/boards/letters")).status == 200
    ended = await here.post("/privacy/sessions/end", {"session": other})
    assert (ended.status, ended.location) == (303, "/privacy?done=ended")
    assert (await elsewhere.get("/boards/letters")).status == 401
    assert (await here.get("/boards/letters")).status == 200
    assert (await here.post("/privacy/sessions/end", {"session": other})).status == 404


async def test_the_gadget_is_signed_out_from_here(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    browser = await stack.player()
    assert (await gadget.call("GET", "me")).status == 200
    assert "The gadget" in texts(page(await browser.get("/privacy")), "//tbody//b")
    assert (await browser.post("/privacy/gadget/end")).status == 303
    assert (await gadget.call("GET", "me")).status == 401
    assert "The gadget" not in texts(page(await browser.get("/privacy")), "//tbody//b")
