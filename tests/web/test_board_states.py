"""What a board's page says in each of its states, without a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeserver.model import Board, Change, Origin, Span
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.board_states import BoardStates
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import people
from homeserver.storage.database import Transaction, open_database
from tests.clock import NOON_MS, Clock
from tests.web.conftest import Stack, running_stack
from tests.web.test_pages import page, texts, values
from tests.writing import apply_changes

DAY_MS = 86_400_000
LETTERS = Board("letters", "Letters", "letters", spans=(Span.ALL, Span.MONTH, Span.DAY))


@pytest.fixture
async def stack(folder: Path, clock: Clock) -> AsyncIterator[Stack]:
    async with running_stack(folder, now_ms=clock.now_ms, boards=(LETTERS,)) as running:
        yield running


async def give(stack: Stack, at_ms: int, **scores: int) -> None:
    """Scores of people by their user ids, who may be nobody's friends."""

    async def work(tx: Transaction) -> None:
        changes = []
        for number, (user, score) in enumerate(scores.items()):
            player = await people.player_of(tx, "sandbox", user.removeprefix("u"))
            changes.append(Change(player, "letters", None, str(score), at_ms + number, Origin.READ))
        await apply_changes(tx, changes, at_ms)

    async with open_database(stack.settings.database_url) as database:
        await database.write(work)


async def test_my_row_stands_above_the_list_and_leads_to_where_i_am(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?limit=5"))
    (pinned,) = texts(tree, "//tbody[@class='pinned']/tr")
    assert "Elizabeth Bennet" in pinned
    assert "more for place" in pinned
    (mine,) = values(tree, "//tbody[@class='pinned']//td[@class='rank']/a/@href")
    path, _, anchor = mine.partition("#")
    there = page(await browser.get(path))
    assert texts(there, f"//tbody[@id='rows']/tr[@id='{anchor}']//a[@class='name']") == ["Elizabeth Bennet"]
    assert values(there, "//div[@class='big']/a/@href") == ["#me"]
    first = page(await browser.get("/boards/letters?at_score=3&limit=5"))
    assert texts(first, "//tbody[@class='pinned']") == []  # in sight anyway


async def test_what_changed_since_the_last_period_is_said_in_words(stack: Stack) -> None:
    browser = await stack.player()
    assert texts(page(await browser.get("/boards/letters?period=day")), "//th[text()='Change']") == []
    await give(stack, NOON_MS - DAY_MS, **{f"u{ELIZABETH}": 5, f"u{JANE}": 6, f"u{CHARLOTTE}": 7})
    await give(stack, NOON_MS, u1=9, **{f"u{ELIZABETH}": 9, f"u{JANE}": 8, f"u{CHARLOTTE}": 7})
    tree = page(await browser.get("/boards/letters?period=day"))
    assert texts(tree, "//tbody[@id='rows']//td[@class='num hide-s']") == ["new", "▲ up 2", "▼ down 1", "▼ down 3"]
    assert texts(tree, "//tbody[@id='rows']//small/span[@class='only-s']")[1] == "▲ up 2"  # where there is no room
    assert texts(page(await browser.get("/boards/letters?period=all")), "//th[text()='Change']") == []


async def test_a_period_that_has_just_begun_shows_how_the_last_one_ended(stack: Stack, clock: Clock) -> None:
    browser = await stack.player()
    await give(stack, NOON_MS, u1=9, u2=8, u3=7, u4=6)
    clock.advance(hours=12, s=1)
    tree = page(await browser.get("/boards/letters?period=day"))
    assert "it has just begun" in texts(tree, "//caption")[0]
    assert texts(tree, "//section[@id='list']//tbody//td[@class='num']") == ["9", "8", "7", "6"]
    assert len(texts(tree, "//ol[@class='winners']/li")) == 3
    assert values(tree, "//section[@id='list']/p[contains(@class, 'hint')]/a/@href") == ["/boards/letters?period=month"]


async def test_who_is_not_placed_and_who_has_no_friends_learn_what_to_do(stack: Stack) -> None:
    stack.sandbox.container.add_person("99", "Mary", "Alone")
    alone = await stack.player("99")
    tree = page(await alone.get("/boards/letters?friends=true"))
    assert "Invite them in your network" in texts(tree, "//section[@id='list']/p")[0]
    (aside,) = texts(tree, "//aside")
    assert "not placed yet" in aside
    assert "Open the gadget and play" in aside
    with_friends = await stack.player()
    nobody = page(await with_friends.get("/boards/letters?friends=true&period=day"))
    assert "Neither you nor your friends" in texts(nobody, "//section[@id='list']/p")[0]


async def test_a_closed_board_invites_nobody_to_play(stack: Stack, clock: Clock) -> None:
    browser = await stack.player()
    stack.sandbox.container.add_person("99", "Mary", "Alone")
    alone = await stack.player("99")
    nowhere = "//section[.//a[@href='/boards/letters']]/div[@class='panel mine']"
    assert texts(page(await alone.get("/")), nowhere) == [
        "You have no place here yet. A score brings you onto the board."
    ]
    async with open_database(stack.settings.database_url) as database:
        states = BoardStates(database, Rebuilds(database, clock.now_ms), clock.now_ms)
        await states.close("letters", actor="configure", reason="a pause")
    assert texts(page(await alone.get("/")), nowhere) == ["You have no place here yet."]
    (aside,) = texts(page(await browser.get("/boards/letters?period=day")), "//aside")
    assert "not placed yet" in aside
    assert "Open the gadget and play" not in aside


async def test_who_hides_where_nobody_else_is_does_not_read_that_nobody_is_there(stack: Stack) -> None:
    browser, gadget = await stack.player(), await stack.open_gadget()
    assert (await gadget.call("POST", "scores", {"board": "letters", "value": "9"})).status == 201
    await browser.post("/privacy/hide")
    tree = page(await browser.get("/boards/letters?period=day"))
    assert texts(tree, "//section[@id='list']/p[@class='empty']") == ["Nobody else is on this board yet."]
    assert texts(tree, "//aside//div[@class='big']") == ["1"]
    assert [way for way in values(tree, "//aside//p/a/@href") if "around=me" in way] == []


async def test_a_score_is_gone_to_as_it_is_written_on_the_board(stack: Stack) -> None:
    await give(stack, NOON_MS, u1=1032, u2=1031)
    browser = await stack.player()
    typed = await browser.get("/boards/letters?period=day&at_score=1,031", Accept_Language="en")
    assert (typed.status, typed.location) == (303, "/boards/letters?period=day&at_score=1031")
    assert texts(page(await browser.get(typed.location)), "//tbody[@id='rows']/tr/td[last()]") == ["1,031"]
    refused = await browser.get("/boards/letters?at_score=many", Accept_Language="fr")
    assert refused.status == 400
    assert "Ce n’est pas un score" in refused.text
    assert '<a class="button" href="/boards/letters">' in refused.text


async def test_what_was_looked_for_is_said_with_how_many_there_are(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?search=eliz"))
    assert texts(tree, "//caption")[0].startswith("Names with “eliz”, among ")
    assert texts(tree, "/html/head/title") == ["Letters · All time · Letters"]


async def test_old_data_says_its_age(stack: Stack, clock: Clock) -> None:
    browser = await stack.player()
    assert "last read from the network" not in (await browser.get("/boards/letters")).text
    clock.advance(hours=5)
    assert "last read from the network 5 hours ago" in (await browser.get("/boards/letters")).text
    async with open_database(stack.settings.database_url) as database:
        await database.write(lambda tx: tx.execute("UPDATE containers SET halted_ms = $1", NOON_MS))
    said = texts(page(await browser.get("/boards/letters")), "//p[@class='notice']")
    assert said == [
        "The network has not let us read scores since 22 Nov 2026, 12:00 UTC: what is shown is what was there before."
    ]


async def test_the_first_page_says_what_happened_lately(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    browser = await stack.player()
    assert texts(page(await browser.get("/")), "//ul[@class='news']/li") == []
    await gadget.call("POST", "scores", {"board": "letters", "value": "4321"})
    (news,) = texts(page(await browser.get("/")), "//ul[@class='news']/li")
    assert "Elizabeth Bennet" in news
    assert "You Letters · place 1 ·" in news
    assert news.endswith("4,321")
    (leads,) = values(page(await browser.get("/")), "//ul[@class='news']//small/a/@href")
    assert texts(page(await browser.get(leads)), "(//tbody[@id='rows']//a[@class='name'])[1]") == ["Elizabeth Bennet"]


async def test_a_player_page_names_the_friends_nearby(stack: Stack) -> None:
    browser = await stack.player()
    (mine,) = values(page(await browser.get("/")), "//a[@class='me']/@href")
    near = texts(page(await browser.get(mine)), "//ol[@class='winners']/li")
    assert 3 <= len(near) <= 5
    (own,) = [each for each in near if "Elizabeth Bennet" in each]
    assert "You" in own


async def test_a_closed_board_says_so(stack: Stack, clock: Clock) -> None:
    browser, gadget = await stack.player(), await stack.open_gadget()
    assert texts(page(await browser.get("/boards/letters")), "//p[@class='notice']") == []
    assert {board["closed"] for board in (await gadget.call("GET", "boards")).json["boards"]} == {None}
    async with open_database(stack.settings.database_url) as database:
        states = BoardStates(database, Rebuilds(database, clock.now_ms), clock.now_ms)
        await states.close("letters", actor="maria", reason="the cup is over")
    (said,) = texts(page(await browser.get("/boards/letters")), "//p[@class='notice']")
    assert said.startswith("This board is closed since 22 Nov 2026, 12:00")
    closed = {board["id"]: board["closed"] for board in (await gadget.call("GET", "boards")).json["boards"]}
    assert closed == {"letters": "2026-11-22T12:00:00.000Z"}
