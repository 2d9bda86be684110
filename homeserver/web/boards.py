"""The pages of the leaderboards: all boards, one board in any state, one player's places."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from aiohttp import web

from homeserver.errors import BadInput, Forbidden
from homeserver.model import (
    Board,
    DetailedPlace,
    Distribution,
    EntryPage,
    ListedPeriod,
    ListedPeriods,
    OwnClass,
    Period,
    Place,
    PlayerCard,
    Span,
)
from homeserver.protocol.gadget_queries import ENTRIES_QUERY_NAMES, EntriesQuery, parse_entries_query
from homeserver.web import formats
from homeserver.web.board_cache import BOARD_PAGES, BOARD_SHELLS, Shell, Version
from homeserver.web.keys import BOARD_VIEWS, CHANGES, LEADERBOARDS, PLAYERS, SITE, SURROUNDINGS
from homeserver.web.rendering import render
from homeserver.web.security import PAGE_COOKIE, cookie
from homeserver.web.visitors import board_reader, visitor

if TYPE_CHECKING:
    from homeserver.services.leaderboards import Leaderboards

_TOP: Final = 5
_PERIODS: Final = 8
_PAST_SCORES: Final = 50
_WINNERS: Final = 3
_LAST_LIST: Final = 20
"""Of the period before, where the new one has nobody yet."""
_FEW: Final = 3
_LENGTHS: Final = tuple(Span)


async def home(request: web.Request) -> web.Response:
    """`GET /`: every board with its top entries and, for a player, their places. For a stranger, how to get in."""
    who = await visitor(request)
    if who.player is None and not request.app[SITE].boards_for_everyone:
        return render(request, "welcome.html")
    leaderboards = request.app[LEADERBOARDS]
    places = await leaderboards.places(who.player, own=True) if who.player is not None else ()
    shown = []
    for board, closed_ms in await leaderboards.offered():
        page = await leaderboards.entries(board.id, period=default_period(board), reader=who.player, limit=_TOP)
        shown.append((page, closed_ms, [place for place in places if place.board.id == board.id]))
    lately = await request.app[SURROUNDINGS].lately(who.player)
    return render(request, "home.html", boards=shown, lately=lately)


def default_period(board: Board) -> str:
    """The period that a page shows when none is asked for."""
    return Span.ALL if Span.ALL in board.spans else board.spans[0]


async def board_page(request: web.Request) -> web.Response:
    """`GET /boards/{board}`: a page of entries, chosen as in the gadget's call; empty fields count as absent."""
    if request.app[SITE].boards_for_everyone and cookie(request, PAGE_COOKIE) is None:
        return await request.app[BOARD_PAGES].answer(request, lambda: _board_page(request))
    response, _ = await _board_page(request)
    return response


async def _board_page(request: web.Request) -> tuple[web.Response, Version]:
    who = await board_reader(request)
    leaderboards, views = request.app[LEADERBOARDS], request.app[BOARD_VIEWS]
    board = await leaderboards.board(request.match_info["board"])
    asked = _asked(request, board)
    if asked.at_score is not None and (exact := _exact(asked.at_score, board)) != asked.at_score:
        raise web.HTTPSeeOther(request.rel_url.update_query(at_score=exact))
    # Before what it is the version of: what comes between is shown, and asked for once more.
    version = await request.app[CHANGES].version(board.id, asked.period)
    page = await entries(leaderboards, board.id, asked, who.player)
    me = None
    if who.player is not None:
        me = await leaderboards.place(board.id, period=asked.period, player=who.player, own=True)
    # The current periods are among those of a span, whatever the limit.
    listed = await views.periods(board.id, span=page.period.span, reader=who.player, limit=_PERIODS)
    current = {each.period.id for each in listed.periods if each.is_current}
    is_over = page.period.ends_ms is not None and page.period.ends_ms <= page.as_of_ms
    has_begun = page.total == 0 and not is_over and page.period.id in current

    async def shell_of_all() -> Shell:
        limit = _LAST_LIST if has_begun else _WINNERS
        return Shell(
            await views.distribution(board.id, period=asked.period, reader=None),
            await views.winners_before(board.id, period=asked.period, reader=None, limit=limit),
        )

    of = Version(board.id, asked.period, version)
    shell = await request.app[BOARD_SHELLS].find(of, shell_of_all)
    around = await request.app[SURROUNDINGS].around(
        board.id,
        period=asked.period,
        players={entry.player.id for entry in page.entries} | ({who.card.id} if who.card else set()),
        reader=who.player,
    )
    response = render(
        request,
        "board.html",
        board=board,
        page=page,
        asked=asked,
        period=_named(page.period, current),
        version=version,
        me=me,
        spread=_spread_with(shell.spread, me),
        winners=_marked(shell.winners, who.card),
        around=around,
        others=_others(listed, page.period),
        is_over=is_over,
        has_begun=has_begun,
        is_stale=around.read_ms is not None and page.as_of_ms - around.read_ms > request.app[SITE].stale_after_ms,
        wider=_wider(board, page.period.span) if page.total < _FEW and not is_over else None,
    )
    return response, of


def _spread_with(spread: Distribution, me: DetailedPlace | None) -> Distribution:
    """With the reader's own score in it. One that others do not see may lie outside of all classes: then it is in the
    nearest."""
    if me is None or me.score is None or me.display is None or not spread.classes:
        return spread
    score = Decimal(me.score)
    worse = sum(Decimal(each.greatest) < score for each in spread.classes)
    own = OwnClass(min(worse, len(spread.classes) - 1), me.score, me.display, me.better_than)
    return replace(spread, mine=own)


def _marked(page: EntryPage | None, reader: PlayerCard | None) -> EntryPage | None:
    """With the reader's own entry marked."""
    if page is None or reader is None:
        return page
    entries = tuple(replace(each, me=True) if each.player.id == reader.id else each for each in page.entries)
    return replace(page, entries=entries)


def _asked(request: web.Request, board: Board) -> EntriesQuery:
    """What the address asks for: names of others are passed over, as links from mails bring them."""
    given = [(name, value) for name, value in request.query.items() if value.strip() and name in ENTRIES_QUERY_NAMES]
    if not any(name == "period" for name, _ in given):
        given.append(("period", default_period(board)))
    return parse_entries_query(given)


def _exact(typed: str, board: Board) -> str:
    """The score as an address has it, whatever the language that it was typed in: the link is good for everybody."""
    exact = formats.typed_score(typed, board)
    if exact is None:
        raise BadInput("This is not a score. Write it as the board does.", field="at_score")
    return exact


def _wider(board: Board, span: Span) -> Span | None:
    """The next longer period that the board has, where more is to be seen; seasons are none."""
    longer = [each for each in board.spans if each is not Span.SEASON and _LENGTHS.index(each) < _LENGTHS.index(span)]
    return longer[-1] if span is not Span.SEASON and longer else None


def _others(listed: ListedPeriods, shown: Period) -> list[ListedPeriod]:
    """The periods to choose from besides the current one, of seasons all; none where there is no other."""
    found = [each for each in listed.periods if not each.is_current or each.period.span is Span.SEASON]
    return [] if [each.period.id for each in found] == [shown.id] else found


def _named(period: Period, current: Collection[str]) -> str:
    """How links name the period: what is current by its span, which means another one when that is over. Several
    seasons may be under way."""
    return period.span if period.id in current and period.span is not Span.SEASON else period.id


async def entries(leaderboards: Leaderboards, board: str, asked: EntriesQuery, reader: int | None) -> EntryPage:
    """The entries that a query asks for; whoever reads is `reader`, or nobody.

    Raises:
        Forbidden: `around` and `friends` are for a player.
    """
    if asked.around:
        return await leaderboards.around(board, period=asked.period, reader=_player(reader), limit=asked.limit)
    if asked.friends:
        return await leaderboards.friends(
            board, period=asked.period, reader=_player(reader), limit=asked.limit, cursor=asked.cursor
        )
    if asked.at_rank is not None:
        return await leaderboards.at_rank(
            board, period=asked.period, reader=reader, rank=asked.at_rank, limit=asked.limit
        )
    if asked.at_score is not None:
        return await leaderboards.at_score(
            board, period=asked.period, reader=reader, score=asked.at_score, limit=asked.limit
        )
    if asked.search is not None:
        return await leaderboards.search(
            board, period=asked.period, reader=reader, text=asked.search, limit=asked.limit
        )
    return await leaderboards.entries(board, period=asked.period, reader=reader, limit=asked.limit, cursor=asked.cursor)


def _player(reader: int | None) -> int:
    if reader is None:
        raise Forbidden("Only a player has neighbours and friends on a board.")
    return reader


async def player_page(request: web.Request) -> web.Response:
    """`GET /players/{player}`: where a player stands on every board, and what they had before, by their public id.

    Whoever hides themselves has a page for themselves alone.
    """
    own = (await board_reader(request)).player
    player = await request.app[PLAYERS].find_for(own, request.match_info["player"])
    card: PlayerCard = await request.app[PLAYERS].card(player)
    places = await request.app[LEADERBOARDS].places(player, own=own == player)
    boards: dict[str, list[Place]] = {}
    for place in places:
        boards.setdefault(place.board.id, []).append(place)
    views = request.app[BOARD_VIEWS]
    surroundings = request.app[SURROUNDINGS]
    near = [
        () if own is None else await surroundings.friends_near(board, player=player, reader=own) for board in boards
    ]
    histories = [await views.history(player, board, own=own == player, limit=_PAST_SCORES) for board in boards]
    shown = list(zip(boards.values(), histories, near, strict=True))
    return render(request, "player.html", card=card, boards=shown)
