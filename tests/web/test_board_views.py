"""What gadget and pages show of boards as time goes by, over HTTP on both engines: friends, seasons, past periods, the
player's own date, cursors that have become stale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from homeserver.model import Board, Counts, Season, Ties
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, GUIDE_APPDATA, JANE
from homeserver.services.moderation import Moderation
from homeserver.storage import people
from homeserver.storage.database import open_database
from tests.clock import NOON_MS, Clock
from tests.conftest import Place, sweep
from tests.web.conftest import Gadget, Stack, running_stack
from tests.web.test_pages import page, texts, values

DAY_MS: Final = 86_400_000
SPRING: Final = Season("spring", "Spring Cup", NOON_MS - DAY_MS, NOON_MS + 3 * DAY_MS)
SUMMER: Final = Season("summer", "Summer Cup", NOON_MS + 5 * DAY_MS, NOON_MS + 9 * DAY_MS)
LETTERS: Final = Board("letters", "Letters", "letters", date_field="last_letter_date", seasons=(SPRING, SUMMER))
GAINED: Final = Board("gained", "Letters gained", "letters", counts=Counts.GAINED, ties=Ties.DENSE)
FASTEST: Final = Board("fastest", "Fastest", "best_time", decimals=1)
CAREFUL: Final = Board("careful", "Careful", "words", largest_step=10)


@pytest.fixture
async def stack(folder: Path, borrowed_place: Place, database_kind: str, clock: Clock) -> AsyncIterator[Stack]:
    """The whole product with boards of this file, on each engine, by a clock that the test moves."""
    if database_kind == "postgresql":
        await sweep(borrowed_place.url, borrowed_place.schema)
    database = {"url": SecretStr(borrowed_place.url), "schema_name": borrowed_place.schema}
    boards = (LETTERS, GAINED, FASTEST, CAREFUL)
    async with running_stack(folder, now_ms=clock.now_ms, boards=boards, database=database) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Operators:
    """Operators beside the running server, as a command would be."""

    place: Place
    clock: Clock

    async def act(self, name: str, user_id: str) -> None:
        """Hide, remove or restore on the board of letters."""
        async with open_database(self.place.url, self.place.schema) as database:
            player = await database.read(lambda reader: people.find_player(reader, "sandbox", user_id))
            assert player is not None
            act = getattr(Moderation(database, self.clock.now_ms), name)
            await act(player, board_id="letters", actor="maria", reason="too good")

    async def decide(self, name: str) -> None:
        """Approve or reject the only claim that waits on the careful board."""
        async with open_database(self.place.url, self.place.schema) as database:
            moderation = Moderation(database, self.clock.now_ms)
            (claim,) = await moderation.review("careful")
            await getattr(moderation, name)("careful", claim.event, actor="maria", reason="seen")


@pytest.fixture
def operators(borrowed_place: Place, clock: Clock) -> Operators:
    return Operators(borrowed_place, clock)


async def read(gadget: Gadget, path: str) -> Any:
    reply = await gadget.call("GET", path)
    assert reply.status == 200, reply.text
    return reply.json


async def write(gadget: Gadget, value: str, board: str = "letters", **more: str) -> Any:
    reply = await gadget.call("POST", "scores", {"board": board, "value": value, **more})
    assert reply.status == 201, reply.text
    return reply.json


# --- friends ----------------------------------------------------------------------------------------------------------


async def test_friends_have_a_place_among_friends_and_one_among_all(stack: Stack) -> None:
    stranger = stack.sandbox.container
    stranger.add_person("77", "Best", "Of All")
    stranger.set_appdata("77", {"letters": "100000"})
    await stack.open_gadget("77")
    gadget = await stack.open_gadget()
    everybody = await read(gadget, "boards/letters/entries?limit=100")
    assert {(entry["friend_rank"], entry["friend_tied"]) for entry in everybody["entries"]} == {(None, False)}
    assert everybody["friends"] is None

    friends = await read(gadget, "boards/letters/entries?friends=true&limit=100")
    scores = [int(entry["score"]) for entry in friends["entries"]]
    assert friends["friends"] == len(scores) < friends["total"]
    for entry, score in zip(friends["entries"], scores, strict=True):
        assert entry["friend_rank"] == 1 + sum(other > score for other in scores)
        assert entry["friend_tied"] == (scores.count(score) > 1)
    assert (friends["entries"][0]["friend_rank"], friends["entries"][0]["rank"]) == (1, 2)
    second = await read(gadget, "boards/letters/entries?friends=true&limit=5")
    second = await read(gadget, f"boards/letters/entries?friends=true&limit=5&cursor={second['next']}")
    assert second["entries"] == friends["entries"][5:10]

    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?friends=true&limit=100"))
    shown = texts(tree, "//tbody//td[@class='rank']")
    assert shown == [f"{'=' * entry['friend_tied']}{entry['friend_rank']}" for entry in friends["entries"]]
    assert "2 of all" in texts(tree, "(//tbody/tr)[1]//small")[0]
    (caption,) = texts(tree, "//caption")
    assert caption == f"Places among you and your friends, {len(scores)} of {friends['total']} players"


# --- around me --------------------------------------------------------------------------------------------------------


async def test_around_me_is_a_full_page_at_both_edges(stack: Stack) -> None:
    for person, letters in (("77", "100000"), ("78", "0")):
        stack.sandbox.container.add_person(person, "At", "The Edge")
        stack.sandbox.container.set_appdata(person, {"letters": letters})
    await stack.open_gadget()
    first, last = await stack.open_gadget("77"), await stack.open_gadget("78")
    whole = (await read(first, "boards/letters/entries?limit=100"))["entries"]
    for gadget, mine, others in ((first, 0, slice(None, 7)), (last, -1, slice(-7, None))):
        around = await read(gadget, "boards/letters/entries?around=me&limit=7")
        assert [entry["player"] for entry in around["entries"]] == [entry["player"] for entry in whole[others]]
        assert [entry["me"] for entry in around["entries"]].count(True) == 1
        assert around["entries"][mine]["me"]
        assert (around["previous"] is None, around["next"] is None) == (mine == 0, mine == -1)


# --- time goes by -----------------------------------------------------------------------------------------------------


async def test_who_played_last_week_only_is_in_its_final_list_alone(stack: Stack, clock: Clock) -> None:
    """T54 of the reference."""
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    await write(elizabeth, "50")
    await write(jane, "60")
    clock.advance(days=1)  # a Monday
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    await write(jane, "70")

    this_week = await read(elizabeth, "boards/letters/entries?period=week")
    assert [entry["player"]["name"] for entry in this_week["entries"]] == ["Jane Bennet"]
    places = {(each["board"], each["period"]["id"]): each for each in (await read(elizabeth, "me"))["places"]}
    assert places["letters", "week:2026-W48"]["rank"] is None
    last_week = await read(elizabeth, "boards/letters/entries?period=week:2026-W47")
    assert [(entry["rank"], entry["score"], entry["me"]) for entry in last_week["entries"]] == [
        (1, "60", False),
        (2, "50", True),
    ]
    weeks = (await read(elizabeth, "boards/letters/periods?span=week"))["periods"]
    assert [(each["id"], each["total"], each["current"], each["mine"] and each["mine"]["rank"]) for each in weeks] == [
        ("week:2026-W48", 1, True, None),
        ("week:2026-W47", 2, False, 2),
    ]
    assert weeks[1]["mine"] == {"rank": 2, "tied": False, "score": "50", "display": "50", "state": "visible"}
    nobody = await read(await stack.open_gadget(None), "boards/letters/periods?span=week")
    assert [each["mine"] for each in nobody["periods"]] == [None, None]

    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?period=week"))
    assert texts(tree, "//ul[@class='periods']/li") == ["16 \u2013 22 Nov 2026 you: place 2 of 2"]
    assert set(values(tree, "//input[@name='period']/@value")) == {"week"}
    tree = page(await browser.get(values(tree, "//ul[@class='periods']/li/a/@href")[0]))
    assert texts(tree, "//caption")[0].endswith("16 \u2013 22 Nov 2026, final")
    assert set(values(tree, "//input[@name='period']/@value")) == {"week:2026-W47"}
    assert len(texts(tree, "//tbody/tr")) == 2


async def test_a_period_that_ends_while_somebody_pages_can_be_read_to_its_end(stack: Stack, clock: Clock) -> None:
    """T56 of the reference."""
    people = (ELIZABETH, JANE, CHARLOTTE)
    gadgets = [await stack.open_gadget(person) for person in people]
    for gadget, value in zip(gadgets, ("50", "60", "70"), strict=True):
        await write(gadget, value)
    browser = await stack.player()
    clock.set(NOON_MS + DAY_MS // 2 - 1)
    gadget = await stack.open_gadget()
    first = await read(gadget, "boards/letters/entries?period=day&limit=1")
    shown = page(await browser.get("/boards/letters?period=day&limit=1"))
    clock.advance(ms=1)

    stale = await gadget.call("GET", f"boards/letters/entries?period=day&limit=5&cursor={first['next']}")
    assert (stale.status, stale.json["code"], stale.json["field"]) == (400, "stale_cursor", "cursor")
    path = f"boards/letters/entries?period={first['period']['id']}&limit=5&cursor={first['next']}"
    assert [entry["score"] for entry in (await read(gadget, path))["entries"]] == ["60", "50"]
    (further,) = values(shown, "//a[@rel='next']/@href")
    rest = page(await browser.get(further))
    assert texts(rest, "//tbody//td[@class='num']") == ["60", "50"]
    assert "final" in texts(rest, "//caption")[0]


async def test_forged_and_foreign_cursors_are_no_cursors(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    cursor = (await read(gadget, "boards/letters/entries?limit=3"))["next"]
    for path in (
        f"boards/letters/entries?cursor={cursor[:-1]}{'B' if cursor[-1] == 'A' else 'A'}",
        "boards/letters/entries?cursor=made-up",
        f"boards/gained/entries?cursor={cursor}",
        f"boards/letters/entries?friends=true&cursor={cursor}",
        f"boards/letters/entries?period=week&cursor={cursor}",
    ):
        refused = await gadget.call("GET", path)
        assert (refused.status, refused.json["code"]) == (400, "bad_cursor")


# --- seasons ----------------------------------------------------------------------------------------------------------


async def test_seasons_are_periods_like_others(stack: Stack, clock: Clock) -> None:
    elizabeth = await stack.open_gadget()
    await write(elizabeth, "50")
    (board, *_) = (await read(elizabeth, "boards"))["boards"]
    assert board["periods"] == ["all", "season", "month", "week", "day"]
    assert [(each["id"], each["title"]) for each in board["seasons"]] == [
        ("season:spring", "Spring Cup"),
        ("season:summer", "Summer Cup"),
    ]
    places = {(each["board"], each["period"]["id"]): each for each in (await read(elizabeth, "me"))["places"]}
    spring = places["letters", "season:spring"]
    assert (spring["rank"], spring["total"], spring["period"]["title"]) == (1, 1, "Spring Cup")
    assert spring["period"]["ends"] == iso(SPRING.ends_ms)
    assert ("letters", "season:summer") not in places

    clock.set(SPRING.ends_ms)  # between the two
    elizabeth = await stack.open_gadget()
    await write(elizabeth, "60")
    between = await read(elizabeth, "boards/letters/entries?period=season")
    assert [(entry["rank"], entry["score"]) for entry in between["entries"]] == [(1, "50")]
    clock.set(SUMMER.starts_ms)
    jane = await stack.open_gadget(JANE)
    await write(jane, "55")
    now = await read(jane, "boards/letters/entries?period=season")
    assert (now["period"]["id"], [entry["score"] for entry in now["entries"]]) == ("season:summer", ["55"])
    listed = (await read(jane, "boards/letters/periods?span=season"))["periods"]
    assert [(each["id"], each["current"], each["total"]) for each in listed] == [
        ("season:summer", True, 1),
        ("season:spring", False, 1),
    ]

    browser = await stack.player(ELIZABETH)
    tree = page(await browser.get("/boards/letters?period=season"))
    assert "Season" in texts(tree, "//nav[@class='tabs']/a[@aria-current]")
    assert "1 player · Summer Cup · ends in 4 days" in texts(tree, "//caption")
    assert "Spring Cup you: place 1 of 1" in texts(tree, "//ul[@class='periods']/li")
    final = page(await browser.get("/boards/letters?period=season:spring"))
    assert texts(final, "//caption")[0] == "1 player · Spring Cup, final"
    assert set(values(final, "//input[@name='period']/@value")) == {"season:spring"}
    (mine,) = values(tree, "//a[@class='me']/@href")
    assert "Summer Cup" in texts(page(await browser.get(mine)), "(//section)[1]//tbody/tr[2]")[0]


# --- the player's own date --------------------------------------------------------------------------------------------


def iso(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


async def test_a_claimed_date_is_shown_as_it_is_said(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    jane = (await read(gadget, "boards/letters/entries?search=jane+ben"))["entries"][0]
    assert jane["claimed_date"] == "2008-10-15T10:01:00Z"
    assert jane["reached"] == iso(NOON_MS)
    tree = page(await (await stack.player()).get("/boards/letters?search=jane+ben"))
    assert "says 15 Oct 2008, 10:01 UTC" in texts(tree, "//tbody//small")[0]
    other = await read(gadget, "boards/fastest/entries?limit=100")
    assert {entry["claimed_date"] for entry in other["entries"]} == {None}


async def test_absurd_dates_are_not_shown_and_none_decides_about_anything(stack: Stack) -> None:
    """T65 of the reference."""
    dates = ("2026-11-22T12:06:00Z", "9999-12-31", "0001-01-01", "yesterday", "", "2008-10-30", "1e9", "<b>")
    for number, date in enumerate(dates):
        person = f"9{number}"
        stack.sandbox.container.add_person(person, f"P{number}", "Claims")
        stack.sandbox.container.set_appdata(person, {"letters": "5000", "last_letter_date": date})
        gadget = await stack.open_gadget(person)
    found = (await read(gadget, "boards/letters/entries?limit=8"))["entries"]
    assert [entry["player"]["name"] for entry in found] == [f"P{number} Claims" for number in range(8)]
    assert {entry["reached"] for entry in found} == {iso(NOON_MS)}
    assert [entry["claimed_date"] for entry in found] == [None] * 5 + ["2008-10-30"] + [None] * 2
    today = await read(gadget, "boards/letters/entries?period=day")
    assert today["entries"] == []  # what a first reading brought may be old, whatever it says of itself


async def test_a_score_may_say_when_in_one_write(stack: Stack, clock: Clock) -> None:
    gadget = await stack.open_gadget()
    placed = await write(gadget, "5", date="2026-11-22T11:59:58Z")
    assert placed["value"] == "5"
    assert stack.sandbox.container.appdata_of(ELIZABETH) == {
        **GUIDE_APPDATA[ELIZABETH],
        "letters": "5",
        "last_letter_date": "2026-11-22T11:59:58Z",
    }
    (mine,) = (await read(gadget, "boards/letters/entries?period=day"))["entries"]
    assert (mine["claimed_date"], mine["reached"]) == ("2026-11-22T11:59:58Z", iso(clock.now_ms()))
    gained = (await read(gadget, "boards/letters/entries?period=day&around=me"))["entries"]
    assert gained[0]["claimed_date"] == "2026-11-22T11:59:58Z"

    await write(gadget, "4", date="2026-11-22T12:00:00Z")  # what stands is the earlier one, which the date is not of
    (mine,) = (await read(gadget, "boards/letters/entries?period=day"))["entries"]
    assert (mine["score"], mine["claimed_date"]) == ("5", None)


@pytest.mark.parametrize("date", ["2026-11-22T12:06:00Z", "2026-11-24", "1969-07-20", "soon", "", 5, "2026-02-29"])
async def test_a_wrong_date_writes_nothing(stack: Stack, date: object) -> None:
    gadget = await stack.open_gadget()
    held = stack.sandbox.container.appdata_of(ELIZABETH)
    refused = await gadget.call("POST", "scores", {"board": "letters", "value": "5", "date": date})
    assert (refused.status, refused.json["code"], refused.json["field"]) == (400, "bad_input", "date")
    undated = await gadget.call("POST", "scores", {"board": "fastest", "value": "5.0", "date": "2008-10-30"})
    assert (undated.status, undated.json["field"]) == (400, "date")
    assert stack.sandbox.container.appdata_of(ELIZABETH) == held


# --- gains ------------------------------------------------------------------------------------------------------------


async def test_gains_are_shown_as_what_they_are(stack: Stack) -> None:
    """T55 of the reference: the base is taken lazily, and whoever wrote nothing is not there."""
    gadget = await stack.open_gadget()
    board = (await read(gadget, "boards"))["boards"][1]
    assert (board["id"], board["counts"], board["ties"]) == ("gained", "gained", "dense")
    await write(gadget, "10", "gained")
    placed = await write(gadget, "9", "gained")
    by_period = {each["period"]["id"]: each for each in placed["changes"]}
    assert (by_period["all"]["score"], by_period["day:2026-11-22"]["score"]) == ("10", "7")
    today = await read(gadget, "boards/gained/entries?period=day")
    assert [(entry["score"], entry["me"]) for entry in today["entries"]] == [("7", True)]
    tree = page(await (await stack.player()).get("/boards/gained?period=day"))
    assert "by how much the score has grown since 22 Nov 2026, 00:00 UTC" in texts(tree, "//p[@class='lede']")[0]


# --- what waits to be looked at ---------------------------------------------------------------------------------------


async def scores_of(reader: Gadget, player: str) -> list[tuple[str, str]]:
    history = await read(reader, f"players/{player}/history?board=careful")
    return [(past["score"], past["state"]) for past in history["scores"]]


async def test_a_doubtful_score_waits_and_only_its_player_sees_it(stack: Stack, clock: Clock) -> None:
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    browser, other = await stack.player(), await stack.player(JANE)
    assert (await write(elizabeth, "5", "careful"))["pending"] is None
    clock.advance(days=1)
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    placed = await write(elizabeth, "500", "careful")
    waits = {"score": "500", "display": "500", "since": iso(clock.now_ms()), "reason": "step"}
    assert placed["pending"] == waits
    assert [(each["period"]["id"], each["score"], each["is_best"]) for each in placed["changes"]][:1] == [
        ("all", "5", False)
    ]
    assert stack.sandbox.container.appdata_of(ELIZABETH)["words"] == "500"

    me = await read(elizabeth, "me")
    places = {each["period"]["id"]: each for each in me["places"] if each["board"] == "careful"}
    assert {id_: (each["score"], each["state"], each["pending"]) for id_, each in places.items()} == {
        "all": ("5", "pending", waits),
        "month:2026-11": ("5", "pending", waits),
        "week:2026-W48": (None, "pending", waits),
        "day:2026-11-23": (None, "pending", waits),
    }
    days = (await read(elizabeth, "boards/careful/periods?span=day"))["periods"]
    assert days[1]["mine"] == {"rank": 1, "tied": False, "score": "5", "display": "5", "state": "visible"}
    assert {each["state"] for each in (await read(jane, "me"))["places"]} == {"visible"}
    seen = await read(jane, "boards/careful/entries")
    assert [(entry["score"], entry["me"]) for entry in seen["entries"]] == [("5", False)]

    player = me["me"]["id"]
    assert await scores_of(elizabeth, player) == [("500", "pending"), ("5", "visible")]
    assert await scores_of(jane, player) == [("5", "visible")]
    for address in ("/boards/careful", f"/players/{player}"):
        (mine,) = texts(page(await browser.get(address)), "//main")
        (others,) = texts(page(await other.get(address)), "//main")
        assert "500 waits to be looked at" in mine
        assert "500" not in others
    (aside,) = texts(page(await browser.get("/boards/careful?period=day")), "//aside")
    assert "not placed yet 500 waits to be looked at" in aside  # and nobody tells them to play for the first time

    placed = await write(elizabeth, "8", "careful")  # given up for one that nobody doubts
    assert (placed["pending"], placed["changes"][0]["score"], placed["changes"][0]["is_best"]) == (None, "8", True)
    assert await scores_of(elizabeth, player) == [("8", "visible"), ("500", "removed"), ("5", "visible")]
    assert await scores_of(jane, player) == [("8", "visible"), ("5", "visible")]
    assert {each["state"] for each in (await read(elizabeth, "me"))["places"]} == {"visible"}


@pytest.mark.parametrize(
    ("decision", "score", "theirs", "others"),
    [
        ("approve", "500", [("500", "visible"), ("5", "visible")], [("500", "visible"), ("5", "visible")]),
        ("reject", "5", [("500", "removed"), ("5", "visible")], [("5", "visible")]),
    ],
)
async def test_a_score_that_was_looked_at_waits_no_more(
    *,
    stack: Stack,
    operators: Operators,
    decision: str,
    score: str,
    theirs: list[tuple[str, str]],
    others: list[tuple[str, str]],
) -> None:
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    for value in ("5", "500"):
        await write(elizabeth, value, "careful")
    await operators.decide(decision)
    me = await read(elizabeth, "me")
    found = {(each["score"], each["state"], each["pending"]) for each in me["places"] if each["board"] == "careful"}
    assert found == {(score, "visible", None)}
    assert await scores_of(elizabeth, me["me"]["id"]) == theirs
    assert await scores_of(jane, me["me"]["id"]) == others


# --- what only they see themselves ------------------------------------------------------------------------------------


async def own_of(gadget: Gadget, period: str = "all") -> Any:
    me = await read(gadget, "me")
    return next(each for each in me["places"] if (each["board"], each["period"]["id"]) == ("letters", period))


@pytest.mark.parametrize(("act", "state"), [("hide", "hidden"), ("remove", "removed")])
async def test_whom_operators_take_off_a_board_sees_it_and_is_seen_by_nobody(
    stack: Stack, operators: Operators, act: str, state: str
) -> None:
    """T68 of the reference."""
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    await write(elizabeth, "50")
    before, listed = await own_of(elizabeth), await read(jane, "boards/letters/entries?limit=100")
    day, others = await own_of(elizabeth, "day:2026-11-22"), await own_of(jane)
    assert (before["rank"], before["state"]) == (1, "visible")
    path = f"players/{(await read(elizabeth, 'me'))['me']['id']}/history?board=letters"
    history = (await read(jane, path))["scores"]

    await operators.act(act, ELIZABETH)
    assert await own_of(elizabeth) == before | {"state": state}
    assert await own_of(elizabeth, "day:2026-11-22") == day | {"state": state}
    (today,) = (await read(elizabeth, "boards/letters/periods?span=day"))["periods"]
    assert (today["total"], today["mine"]["rank"], today["mine"]["state"]) == (0, 1, state)
    seen = await read(jane, "boards/letters/entries?limit=100")
    assert [entry["score"] for entry in seen["entries"]] == [entry["score"] for entry in listed["entries"][1:]]
    assert seen["total"] == listed["total"] - 1
    assert (await own_of(jane))["rank"] == others["rank"] - 1
    assert sum(each["count"] for each in (await read(jane, "boards/letters/distribution"))["classes"]) == seen["total"]
    assert (await read(jane, path))["scores"] == []
    card = path.partition("/history")[0]
    theirs, own = [(await read(reader, card))["places"][0] for reader in (jane, elizabeth)]
    assert (theirs["rank"], theirs["score"], theirs["total"]) == (None, None, seen["total"])
    assert (own["rank"], own["state"]) == (1, state)
    assert [past["score"] for past in (await read(elizabeth, path))["scores"]] == [past["score"] for past in history]
    mine = texts(page(await (await stack.player()).get("/boards/letters")), "//aside")[0]
    assert mine.startswith("Your place · All time 1 ")
    assert "Only you see this: an operator of this site has" in mine

    await operators.act("restore", ELIZABETH)
    assert await own_of(elizabeth) == before
    assert (await read(jane, "boards/letters/entries?limit=100"))["entries"] == listed["entries"]
    assert (await read(jane, path))["scores"] == history


async def test_what_is_reached_after_a_score_was_removed_is_seen(stack: Stack, operators: Operators) -> None:
    elizabeth, jane = await stack.open_gadget(), await stack.open_gadget(JANE)
    await write(elizabeth, "50")
    await operators.act("remove", ELIZABETH)
    placed = await write(elizabeth, "4")
    assert (placed["changes"][0]["score"], placed["changes"][0]["state"]) == ("4", "visible")
    assert (await own_of(elizabeth))["state"] == "visible"
    path = f"players/{(await read(elizabeth, 'me'))['me']['id']}/history?board=letters"
    assert [(past["score"], past["state"]) for past in (await read(elizabeth, path))["scores"]] == [
        ("4", "visible"),
        ("50", "removed"),
        ("3", "removed"),
    ]
    assert [past["score"] for past in (await read(jane, path))["scores"]] == ["4"]
