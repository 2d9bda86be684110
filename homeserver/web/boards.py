"""The pages of the leaderboards: all boards, one board in any state, one player's places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from homeserver.errors import Forbidden
from homeserver.model import Board, EntryPage, Place, PlayerCard, Span
from homeserver.protocol.gadget import ENTRIES_QUERY_NAMES, EntriesQuery, parse_entries_query
from homeserver.web.keys import BOARD_VIEWS, LEADERBOARDS, PLAYERS, SITE
from homeserver.web.rendering import render
from homeserver.web.visitors import board_reader, visitor

if TYPE_CHECKING:
    from homeserver.services.leaderboards import Leaderboards

_TOP: Final = 5
_PERIODS: Final = 8
_PAST_SCORES: Final = 50


async def home(request: web.Request) -> web.Response:
    """`GET /`: every board with its top entries and, for a player, their places. For a stranger, how to get in."""
    who = await visitor(request)
    if who.player is None and not request.app[SITE].boards_for_everyone:
        return render(request, "welcome.html")
    leaderboards = request.app[LEADERBOARDS]
    places = await leaderboards.places(who.player, own=True) if who.player is not None else ()
    shown = []
    for board in await leaderboards.boards():
        page = await leaderboards.entries(board.id, period=default_period(board), reader=who.player, limit=_TOP)
        shown.append((page, [place for place in places if place.board.id == board.id]))
    return render(request, "home.html", boards=shown)


def default_period(board: Board) -> str:
    """The period that a page shows when none is asked for."""
    return Span.ALL if Span.ALL in board.spans else board.spans[0]


async def board_page(request: web.Request) -> web.Response:
    """`GET /boards/{board}`: a page of entries, chosen as in the gadget's call; empty fields count as absent."""
    who = await board_reader(request)
    leaderboards = request.app[LEADERBOARDS]
    board = await leaderboards.board(request.match_info["board"])
    given = [(name, value) for name, value in request.query.items() if value.strip() and name in ENTRIES_QUERY_NAMES]
    if not any(name == "period" for name, _ in given):
        given.append(("period", default_period(board)))
    asked = parse_entries_query(given)
    page = await entries(leaderboards, board.id, asked, who.player)
    me = None
    if who.player is not None:
        me = await leaderboards.place(board.id, period=asked.period, player=who.player, own=True)
    views = request.app[BOARD_VIEWS]
    listed = await views.periods(board.id, span=page.period.span, limit=_PERIODS)
    return render(
        request,
        "board.html",
        board=board,
        page=page,
        asked=asked,
        me=me,
        own_entry_shown=any(entry.me for entry in page.entries),
        spread=await views.distribution(board.id, period=asked.period, reader=who.player),
        winners=await views.winners_before(board.id, period=asked.period, reader=who.player),
        earlier=[each.period for each in listed.periods if not each.is_current],
        is_over=page.period.ends_ms is not None and page.period.ends_ms <= page.as_of_ms,
    )


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
    """`GET /players/{player}`: where a player stands on every board, and what they had before, by their public id."""
    own = (await board_reader(request)).player
    player = await request.app[PLAYERS].find(request.match_info["player"])
    card: PlayerCard = await request.app[PLAYERS].card(player)
    places = await request.app[LEADERBOARDS].places(player, own=own == player)
    boards: dict[str, list[Place]] = {}
    for place in places:
        boards.setdefault(place.board.id, []).append(place)
    views = request.app[BOARD_VIEWS]
    histories = [await views.history(player, board, own=own == player, limit=_PAST_SCORES) for board in boards]
    return render(request, "player.html", card=card, boards=list(zip(boards.values(), histories, strict=True)))
