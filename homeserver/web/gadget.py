"""What the container and the gadget call: the specification, the signed handshake, and `/gadget/v1` by bearer token."""

from __future__ import annotations

from aiohttp import hdrs, web

from homeserver.errors import Forbidden
from homeserver.protocol import gadget, gadget_queries
from homeserver.protocol.gadget_spec import gadget_xml
from homeserver.web.board_cache import Version
from homeserver.web.boards import entries
from homeserver.web.bodies import as_it_travelled, json_answer, read_body
from homeserver.web.entry_cache import ENTRY_ANSWERS
from homeserver.web.gadget_script import GADGET_SCRIPT
from homeserver.web.keys import BOARD_VIEWS, CHANGES, GADGET_SESSIONS, LEADERBOARDS, PAGE_SESSIONS, PLAYERS, SITE, SYNC
from homeserver.web.statics import STATIC_FILES
from homeserver.web.visitors import gadget_session

# --- called by the container ----------------------------------------------------------------------------------------


async def specification(request: web.Request) -> web.Response:
    """`GET /gadget.xml`: the gadget specification, whose script's address changes with the script."""
    site, static = request.app[SITE], request.app[STATIC_FILES]
    body = gadget_xml(
        site.gadget,
        base_url=site.public_url,
        script_url=site.public_url + request.app[GADGET_SCRIPT].path,
        style_url=site.public_url + static.path("gadget.css"),
    )
    headers = {hdrs.CACHE_CONTROL: "public, max-age=300"}
    return web.Response(body=body, content_type="text/xml", charset="utf-8", headers=headers)


async def open_session(request: web.Request) -> web.Response:
    """`POST /gadget/session`, signed: a bearer token for the gadget's own calls, and a sync of whoever just came."""
    opened = await request.app[GADGET_SESSIONS].open(await as_it_travelled(request, gadget_queries.MAX_BODY_BYTES))
    return json_answer(gadget.dump_opened(opened))


async def lifecycle(request: web.Request) -> web.Response:
    """`GET` or `POST /gadget/lifecycle`, signed: people added or removed the application."""
    await request.app[GADGET_SESSIONS].lifecycle(await as_it_travelled(request, gadget_queries.MAX_BODY_BYTES))
    return web.Response(status=204)


# --- called by the gadget -------------------------------------------------------------------------------------------


async def boards(request: web.Request) -> web.Response:
    """`GET /gadget/v1/boards`."""
    await gadget_session(request)
    return json_answer(gadget.dump_boards(await request.app[LEADERBOARDS].offered()))


async def board_entries(request: web.Request) -> web.Response:
    """`GET /gadget/v1/boards/{board}/entries`."""
    session = await gadget_session(request)
    answers = request.app[ENTRY_ANSWERS]
    kept = await answers.find(request)
    if kept is not None and await _own_id(request, session.viewer) not in kept.players:
        return json_answer(kept.body)
    asked = gadget_queries.parse_entries_query(request.query.items())
    board = request.match_info["board"]
    is_for_all = not (asked.around or asked.friends or asked.search)
    version = await request.app[CHANGES].version(board, asked.period) if is_for_all else ""
    page = await entries(request.app[LEADERBOARDS], board, asked, session.viewer)
    body = gadget.dump_entries(page)
    if is_for_all and not any(entry.me for entry in page.entries):
        players = frozenset(entry.player.id for entry in page.entries)
        answers.keep(request, Version(board, asked.period, version), body, players)
    return json_answer(body)


async def _own_id(request: web.Request, viewer: int | None) -> str | None:
    return None if viewer is None else await request.app[PLAYERS].public_id(viewer)


async def board_distribution(request: web.Request) -> web.Response:
    """`GET /gadget/v1/boards/{board}/distribution`: how the scores of a list are spread."""
    session = await gadget_session(request)
    period = gadget_queries.parse_period_query(request.query.items())
    views = request.app[BOARD_VIEWS]
    spread = await views.distribution(request.match_info["board"], period=period, reader=session.viewer)
    return json_answer(gadget.dump_distribution(spread))


async def board_periods(request: web.Request) -> web.Response:
    """`GET /gadget/v1/boards/{board}/periods`: the periods that there are, newest first."""
    session = await gadget_session(request)
    asked = gadget_queries.parse_periods_query(request.query.items())
    views = request.app[BOARD_VIEWS]
    board = request.match_info["board"]
    listed = await views.periods(board, span=asked.span, reader=session.viewer, limit=asked.limit)
    return json_answer(gadget.dump_periods(listed))


async def player_places(request: web.Request) -> web.Response:
    """`GET /gadget/v1/players/{player}`: somebody's places, such as those of whose page the gadget stands on."""
    session = await gadget_session(request)
    player = await request.app[PLAYERS].find_for(session.viewer, request.match_info["player"])
    card = await request.app[PLAYERS].card(player)
    places = await request.app[LEADERBOARDS].places(player, own=player == session.viewer)
    return json_answer(gadget.dump_player(card, places))


async def player_history(request: web.Request) -> web.Response:
    """`GET /gadget/v1/players/{player}/history`: the scores that a player had on a board, newest first."""
    session = await gadget_session(request)
    asked = gadget_queries.parse_history_query(request.query.items())
    player = await request.app[PLAYERS].find_for(session.viewer, request.match_info["player"])
    views = request.app[BOARD_VIEWS]
    history = await views.history(player, asked.board, own=player == session.viewer, limit=asked.limit)
    return json_answer(gadget.dump_history(history))


async def me(request: web.Request) -> web.Response:
    """`GET /gadget/v1/me`: who asks and all their places; null and none without a viewer."""
    session = await gadget_session(request)
    if session.viewer is None:
        return json_answer(gadget.dump_me(None, ()))
    card = await request.app[PLAYERS].card(session.viewer)
    places = await request.app[LEADERBOARDS].places(session.viewer, own=True)
    return json_answer(gadget.dump_me(card, places))


async def submit_score(request: web.Request) -> web.Response:
    """`POST /gadget/v1/scores`: into the container's AppData first, then onto the board."""
    viewer = await _viewer(request)
    submission = gadget_queries.parse_submission(await read_body(request, gadget_queries.MAX_BODY_BYTES))
    placed = await request.app[LEADERBOARDS].submit(viewer, submission.board, submission.value, submission.date)
    return json_answer(gadget.dump_placed(placed), status=201)


async def request_sync(request: web.Request) -> web.Response:
    """`POST /gadget/v1/sync`: read this player and their friends again, soon."""
    viewer = await _viewer(request)
    return json_answer(gadget.dump_sync(await request.app[SYNC].request(viewer)), status=202)


async def create_page_link(request: web.Request) -> web.Response:
    """`POST /gadget/v1/page-links`: an address that opens this player's pages, once and for a minute."""
    token = await request.app[PAGE_SESSIONS].create_link(await _viewer(request))
    return json_answer(gadget.dump_link(f"{request.app[SITE].public_url}/page-link/{token}"), status=201)


async def _viewer(request: web.Request) -> int:
    session = await gadget_session(request)
    if session.viewer is None:
        raise Forbidden("This gadget has no viewer, so it can only read.")
    return session.viewer
