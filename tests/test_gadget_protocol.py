"""What the gadget says and hears: strict reading, exact writing, a specification that containers can use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from homeserver.errors import BadInput, TooLarge
from homeserver.model import (
    Board,
    DetailedPlace,
    Distribution,
    Entry,
    EntryPage,
    History,
    ListedPeriod,
    ListedPeriods,
    NextPlace,
    OpenedGadget,
    Origin,
    OwnClass,
    PastScore,
    Period,
    Place,
    PlaceChange,
    Placed,
    PlayerCard,
    ScoreClass,
    Season,
    Span,
    SyncState,
)
from homeserver.protocol import gadget, gadget_queries
from homeserver.protocol.gadget_queries import EntriesQuery, HistoryQuery, PeriodsQuery, Submission
from homeserver.protocol.gadget_spec import GadgetSpec, Wording, gadget_xml
from tests.clock import NOON_MS

BOARD = Board(id="letters", title="Letters written", field="letters", spans=(Span.ALL, Span.WEEK), zone="Europe/Paris")
ALL = Period("all", Span.ALL, None, None, "Europe/Paris")
WEEK = Period("week:2026-W47", Span.WEEK, NOON_MS - 1, NOON_MS + 86_400_000, "Europe/Paris")
JANE = PlayerCard("p_jane", "Jane <Bennet>", "")


# --- the query of an entries call -----------------------------------------------------------------------------------


def test_an_empty_query_means_the_top_of_all_time() -> None:
    assert gadget_queries.parse_entries_query([]) == EntriesQuery("all", 20, None, False, False, None, None)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("period", "week:2026-W47"), ("limit", "100")], EntriesQuery("week:2026-W47", 100)),
        ([("around", "me"), ("limit", "1")], EntriesQuery(limit=1, around=True)),
        ([("friends", "true"), ("cursor", "eyJ.a-b_c~")], EntriesQuery(friends=True, cursor="eyJ.a-b_c~")),
        ([("at_rank", "1284310")], EntriesQuery(at_rank=1_284_310)),
        ([("at_score", "-12.50")], EntriesQuery(at_score="-12.50")),
        ([("search", "  Łukasz O'Neil ")], EntriesQuery(search="Łukasz O'Neil")),
    ],
)
def test_each_way_of_choosing_entries(pairs: list[tuple[str, str]], expected: EntriesQuery) -> None:
    assert gadget_queries.parse_entries_query(pairs) == expected


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "101")], "limit"),
        ([("limit", "+5")], "limit"),
        ([("limit", "٣")], "limit"),
        ([("limit", "")], "limit"),
        ([("period", "week'--")], "period"),
        ([("period", "")], "period"),
        ([("around", "you")], "around"),
        ([("friends", "1")], "friends"),
        ([("at_rank", "0")], "at_rank"),
        ([("at_rank", "-1")], "at_rank"),
        ([("at_rank", "9" * 19)], "at_rank"),
        ([("at_score", "")], "at_score"),
        ([("at_score", "1" * 65)], "at_score"),
        ([("search", "   ")], "search"),
        ([("search", "x" * 101)], "search"),
        ([("cursor", "a b")], "cursor"),
        ([("limit", "5"), ("limit", "5")], "limit"),
        ([("colour", "red")], "colour"),
        ([("around", "me"), ("friends", "true")], "friends"),
        ([("at_rank", "3"), ("search", "x")], "search"),
        ([("at_score", "3"), ("at_rank", "3")], "at_score"),
        ([("around", "me"), ("cursor", "abc")], "cursor"),
        ([("at_score", "3"), ("cursor", "abc")], "cursor"),
        ([("search", "x"), ("cursor", "abc")], "cursor"),
    ],
)
def test_what_is_wrong_with_a_query_is_named(pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        gadget_queries.parse_entries_query(pairs)
    assert refused.value.field == field


@given(
    st.lists(
        st.tuples(st.sampled_from(["period", "limit", "cursor", "around", "at_rank", "at_score", "search"]), st.text())
    )
)
def test_any_query_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        asked = gadget_queries.parse_entries_query(pairs)
    except BadInput:
        return
    assert 1 <= asked.limit <= 100


def test_the_queries_of_the_other_views() -> None:
    assert gadget_queries.parse_period_query([]) == "all"
    assert gadget_queries.parse_period_query([("period", "day:2026-11-22")]) == "day:2026-11-22"
    assert gadget_queries.parse_periods_query([]) == PeriodsQuery(None, 20)
    assert gadget_queries.parse_periods_query([("span", "week"), ("limit", "3")]) == PeriodsQuery(Span.WEEK, 3)
    assert gadget_queries.parse_history_query([("board", "letters")]) == HistoryQuery("letters", 20)


@pytest.mark.parametrize(
    ("parse", "pairs", "field"),
    [
        (gadget_queries.parse_period_query, [("period", "?")], "period"),
        (gadget_queries.parse_period_query, [("limit", "5")], "limit"),
        (gadget_queries.parse_periods_query, [("span", "year")], "span"),
        (gadget_queries.parse_periods_query, [("span", "")], "span"),
        (gadget_queries.parse_periods_query, [("limit", "101")], "limit"),
        (gadget_queries.parse_periods_query, [("cursor", "x")], "cursor"),
        (gadget_queries.parse_history_query, [], "board"),
        (gadget_queries.parse_history_query, [("board", "")], "board"),
        (gadget_queries.parse_history_query, [("board", "a"), ("board", "a")], "board"),
        (gadget_queries.parse_history_query, [("board", "a"), ("limit", "0")], "limit"),
    ],
)
def test_what_is_wrong_with_these_queries_is_named(
    parse: Callable[[list[tuple[str, str]]], object], pairs: list[tuple[str, str]], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        parse(pairs)
    assert refused.value.field == field


# --- a submitted score ----------------------------------------------------------------------------------------------


def test_a_score_keeps_its_text() -> None:
    body = b'{"board": "letters", "value": "9007199254740993"}'
    assert gadget_queries.parse_submission(body) == Submission("letters", "9007199254740993")
    dated = b'{"board": "letters", "value": "4", "date": "2008-10-30T18:30:02Z"}'
    assert gadget_queries.parse_submission(dated) == Submission("letters", "4", "2008-10-30T18:30:02Z")
    assert gadget_queries.parse_submission(b'{"board": "letters", "value": "4", "date": null}') == Submission(
        "letters", "4"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"letters=4", None),
        (b"[]", None),
        (b'"letters"', None),
        (b'{"board": "letters", "value": "4"', None),
        (b'{"board": "letters"}', "value"),
        (b'{"board": "letters", "value": 4}', "value"),
        (b'{"board": "letters", "value": null}', "value"),
        (b'{"board": "letters", "value": ""}', "value"),
        (b'{"board": ["letters"], "value": "4"}', "board"),
        (b'{"board": "letters", "value": "4", "date": 5}', "date"),
        (b'{"board": "letters", "value": "4", "date": ""}', "date"),
        (b'{"board": "letters", "value": "4", "player": "7"}', "player"),
        (b'{"board": "letters", "value": "' + b"9" * 65 + b'"}', "value"),
    ],
)
def test_what_is_wrong_with_a_score_is_named(body: bytes, field: str | None) -> None:
    with pytest.raises(BadInput) as refused:
        gadget_queries.parse_submission(body)
    assert refused.value.field == field


def test_a_body_beyond_64_kib_is_not_parsed() -> None:
    with pytest.raises(TooLarge):
        gadget_queries.parse_submission(b" " * (64 * 1024 + 1))


# --- answers --------------------------------------------------------------------------------------------------------


def test_times_are_utc_with_milliseconds() -> None:
    assert gadget.iso(0) == "1970-01-01T00:00:00.000Z"
    assert gadget.iso(NOON_MS + 7) == "2026-11-22T12:00:00.007Z"


def test_a_page_of_entries() -> None:
    mine = Entry(3, True, JANE, "9007199254740993", "9,007,199,254,740,993", NOON_MS, me=True)
    mine = dataclasses.replace(mine, friend_rank=2, friend_tied=True, claimed_date="2008-10-30")
    unlisted = Entry(None, False, PlayerCard("p_x", "Player", "https://pictures/x.png"), "2", "2", 5, me=False)
    page = EntryPage(BOARD, WEEK, 1_284_310, (mine, unlisted), "later", None, NOON_MS, friends=8)
    assert orjson.loads(gadget.dump_entries(page)) == {
        "board": "letters",
        "period": {
            "id": "week:2026-W47",
            "starts": "2026-11-22T11:59:59.999Z",
            "ends": "2026-11-23T12:00:00.000Z",
            "zone": "Europe/Paris",
            "title": None,
        },
        "total": 1_284_310,
        "friends": 8,
        "entries": [
            {
                "rank": 3,
                "tied": True,
                "player": {"id": "p_jane", "name": "Jane <Bennet>", "thumbnail_url": ""},
                "score": "9007199254740993",
                "display": "9,007,199,254,740,993",
                "reached": "2026-11-22T12:00:00.000Z",
                "me": True,
                "friend_rank": 2,
                "friend_tied": True,
                "claimed_date": "2008-10-30",
            },
            {
                "rank": None,
                "tied": False,
                "player": {"id": "p_x", "name": "Player", "thumbnail_url": "https://pictures/x.png"},
                "score": "2",
                "display": "2",
                "reached": "1970-01-01T00:00:00.005Z",
                "me": False,
                "friend_rank": None,
                "friend_tied": False,
                "claimed_date": None,
            },
        ],
        "next": "later",
        "previous": None,
        "as_of": "2026-11-22T12:00:00.000Z",
    }


def test_boards_and_who_asks() -> None:
    (board,) = orjson.loads(gadget.dump_boards([(BOARD, None)]))["boards"]
    assert board["id"] == "letters"
    assert board["periods"] == ["all", "week"]
    assert "field" not in board  # where in the AppData it lies is no business of the page
    assert (board["counts"], board["seasons"], board["dated"], board["closed"]) == ("reached", [], False, None)
    cup = Season("cup", "Cup", NOON_MS, NOON_MS + 1)
    with_cup = dataclasses.replace(BOARD, seasons=(cup,), date_field="date")
    (board,) = orjson.loads(gadget.dump_boards([(with_cup, NOON_MS)]))["boards"]
    assert (board["periods"], board["dated"]) == (["all", "season", "week"], True)
    assert board["closed"] == "2026-11-22T12:00:00.000Z"
    assert board["seasons"] == [
        {
            "id": "season:cup",
            "title": "Cup",
            "starts": "2026-11-22T12:00:00.000Z",
            "ends": "2026-11-22T12:00:00.001Z",
        }
    ]

    placed = DetailedPlace(BOARD, ALL, None, False, 12, None, None)
    me = orjson.loads(gadget.dump_me(JANE, [placed]))
    assert me["me"]["id"] == "p_jane"
    assert me["places"][0]["period"] == {
        "id": "all",
        "starts": None,
        "ends": None,
        "zone": "Europe/Paris",
        "title": None,
    }
    assert (me["places"][0]["rank"], me["places"][0]["better_than"], me["places"][0]["next"]) == (None, None, None)
    assert orjson.loads(gadget.dump_me(None, [placed])) == {"me": None, "places": []}


def test_how_a_place_lies_among_the_others() -> None:
    following = NextPlace(41, "9007199254740993", "9,007,199,254,740,993", "2", "2")
    placed = DetailedPlace(BOARD, ALL, 42, True, 12, "5", "5", Fraction(1, 3), following)
    (place,) = orjson.loads(gadget.dump_me(JANE, [placed]))["places"]
    assert place["better_than"] == 1 / 3
    assert place["next"] == {
        "rank": 41,
        "score": "9007199254740993",
        "display": "9,007,199,254,740,993",
        "missing": "2",
        "missing_display": "2",
    }


def test_the_answers_of_the_other_views() -> None:
    classes = (ScoreClass("0", "4", "0", "4", 2), ScoreClass("1000", "1000", "1,000", "1,000", 1))
    spread = Distribution(BOARD, WEEK, 3, classes, OwnClass(1, "7", "7", Fraction(1)), NOON_MS)
    answer = orjson.loads(gadget.dump_distribution(spread))
    assert answer["classes"][0] == {"least": "0", "greatest": "4", "display": "0 \u2013 4", "count": 2}
    assert answer["classes"][1] == {"least": "1000", "greatest": "1000", "display": "1,000", "count": 1}
    assert answer["mine"] == {"class": 1, "score": "7", "display": "7", "better_than": 1.0}
    assert answer["period"]["id"] == "week:2026-W47"
    nobody = orjson.loads(gadget.dump_distribution(Distribution(BOARD, ALL, 0, (), None, NOON_MS)))
    assert (nobody["total"], nobody["classes"], nobody["mine"]) == (0, [], None)

    mine = Place(BOARD, ALL, 2, True, 5, "7", "7")
    both = (ListedPeriod(WEEK, 3, is_current=True, mine=None), ListedPeriod(ALL, 5, is_current=False, mine=mine))
    week, earlier = orjson.loads(gadget.dump_periods(ListedPeriods(BOARD, both, NOON_MS)))["periods"]
    assert week == {
        "id": "week:2026-W47",
        "starts": "2026-11-22T11:59:59.999Z",
        "ends": "2026-11-23T12:00:00.000Z",
        "zone": "Europe/Paris",
        "title": None,
        "total": 3,
        "current": True,
        "mine": None,
    }
    assert earlier["mine"] == {"rank": 2, "tied": True, "score": "7", "display": "7", "state": "visible"}

    history = History(BOARD, JANE, (PastScore(NOON_MS, "12.50", "12.50", Origin.SUBMITTED),))
    answer = orjson.loads(gadget.dump_history(history))
    assert (answer["board"], answer["player"]["id"]) == ("letters", "p_jane")
    assert answer["scores"] == [
        {
            "at": "2026-11-22T12:00:00.000Z",
            "score": "12.50",
            "display": "12.50",
            "origin": "submitted",
            "state": "visible",
        }
    ]


@pytest.mark.parametrize(("rank", "before", "passed"), [(3, 10, 7), (3, None, 0), (3, 3, 0), (5, 3, 0), (None, 3, 0)])
def test_what_a_score_beat(rank: int | None, before: int | None, passed: int) -> None:
    change = PlaceChange(Place(BOARD, WEEK, rank, False, 12, "4", "4"), before, is_best=True, overtaken=(JANE,))
    answer = orjson.loads(gadget.dump_placed(Placed(BOARD, "4", (change,))))
    assert answer["value"] == "4"
    assert answer["changes"][0]["passed"] == passed
    assert answer["changes"][0]["rank_before"] == before
    assert answer["changes"][0]["overtaken"] == [{"id": "p_jane", "name": "Jane <Bennet>", "thumbnail_url": ""}]


def test_the_small_answers() -> None:
    opened = OpenedGadget("secret", NOON_MS, None, JANE)
    assert orjson.loads(gadget.dump_opened(opened)) == {
        "token": "secret",
        "expires": "2026-11-22T12:00:00.000Z",
        "viewer": None,
        "owner": {"id": "p_jane", "name": "Jane <Bennet>", "thumbnail_url": ""},
    }
    assert orjson.loads(gadget.dump_sync(SyncState(None, True))) == {"synced_at": None, "queued": True}
    assert orjson.loads(gadget.dump_link("https://h/page-link/x")) == {"url": "https://h/page-link/x"}


# --- the specification ----------------------------------------------------------------------------------------------


def spec(**changes: Any) -> etree._Element:
    document = gadget_xml(
        GadgetSpec(**{"title": "Letters & more", "description": 'Who "writes" <most>?', **changes}),
        base_url="https://home.example",
        script_url="https://home.example/gadget.js?v=0123",
        style_url="https://home.example/static/gadget.css?v=4567",
    )
    assert document.startswith(b"<?xml version='1.0' encoding='UTF-8'?>")
    return etree.fromstring(document)


def test_the_specification_is_one_that_containers_take() -> None:
    """Structure as in the 0.8 schema: one ModulePrefs with a title first, then Content elements of type html."""
    module = spec(author="Ana", author_email="ana@example.org")
    assert module.tag == "Module"
    assert [child.tag for child in module] == ["ModulePrefs", "Content", "Content", "Content"]
    preferences = module[0]
    assert dict(preferences.items()) == {
        "title": "Letters & more",
        "description": 'Who "writes" <most>?',
        "author": "Ana",
        "author_email": "ana@example.org",
    }
    assert preferences.xpath("Require/@feature") == ["opensocial-0.8", "dynamic-height"]
    links = [(link.get("rel"), link.get("href")) for link in preferences.findall("Link")]
    assert links == [
        ("event.addapp", "https://home.example/gadget/lifecycle"),
        ("event.removeapp", "https://home.example/gadget/lifecycle"),
    ]
    assert module.xpath("Content/@view") == ["profile", "home", "canvas"]
    assert module.xpath("Content/@type") == ["html"] * 3


def test_each_view_brings_script_style_and_our_address() -> None:
    for content in spec(action='Say "hi" ]]>').findall("Content"):
        page = etree.HTML(content.text or "")
        assert page.xpath("//script/@src") == ["https://home.example/gadget.js?v=0123"]
        assert page.xpath("//link/@href") == ["https://home.example/static/gadget.css?v=4567"]
        root = page.find(".//div[@id='homeserver']")
        assert root is not None
        assert root.get("data-base") == "https://home.example"
        assert root.get("data-view") == content.get("view")
        assert root.get("data-action") == 'Say "hi" ]]>'
        assert root.get("data-actions") == "{}"
        assert not page.xpath("//script[text()] | //style | //@style | //@onclick")


def test_each_reader_is_told_in_their_language() -> None:
    """By the container, which knows it: title and description; by the script, the button."""
    french = Wording(title="Lettres & plus", action='Dire "salut" ]]> <b>\'')
    module = spec(translations={"fr": french, "pt-BR": Wording(description="Quem escreve?")})
    preferences = module[0]
    assert (preferences.get("title"), preferences.get("description")) == ("__MSG_title__", "__MSG_description__")
    locales = {
        (locale.get("lang"), locale.get("country")): {msg.get("name"): msg.text for msg in locale}
        for locale in preferences.findall("Locale")
    }
    assert locales == {
        (None, None): {"title": "Letters & more", "description": 'Who "writes" <most>?'},
        ("fr", None): {"title": "Lettres & plus", "description": 'Who "writes" <most>?'},
        ("pt", "BR"): {"title": "Letters & more", "description": "Quem escreve?"},
    }
    root = etree.HTML(module.findtext("Content") or "").find(".//div[@id='homeserver']")
    assert root is not None
    assert orjson.loads(root.get("data-actions", "")) == {"fr": french.action}
    assert spec()[0].find("Locale") is None
