"""Operators' pages of one player: all that is known, and what may be done about them."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.errors import BadInput
from homeserver.model import Action, Place, Role
from homeserver.web.admin_frame import DONE, Asked, asked, newest, operator_who_may, page, see
from homeserver.web.keys import BOARD_VIEWS, DOSSIERS, MODERATION, OUTLIERS, PLAYERS

_PAST_SCORES: Final = 50


async def players_page(request: web.Request) -> web.Response:
    """`GET /admin/players`: find somebody by name or id."""
    who = await operator_who_may(request, Role.VIEW)
    text = request.query.get("search", "").strip()
    found = await request.app[DOSSIERS].search(text) if text else ()
    return await page(request, who, "admin_players.html", search=text, found=found)


async def player_page(request: web.Request) -> web.Response:
    """`GET /admin/players/{player}`: by their public id."""
    who = await operator_who_may(request, Role.VIEW)
    player = await request.app[PLAYERS].find(request.match_info["player"])
    dossier = await request.app[DOSSIERS].show(player)
    views = request.app[BOARD_VIEWS]
    boards: dict[str, list[Place]] = {}
    for place in dossier.places:
        boards.setdefault(place.board.id, []).append(place)
    return await page(
        request,
        who,
        "admin_player.html",
        dossier=dossier,
        card=dossier.card,
        boards=[
            (places, await views.history(player, board, own=True, limit=_PAST_SCORES))
            for board, places in boards.items()
        ],
        all_boards=[places[0].board for places in boards.values()],
        log=[(act, None) for act in dossier.acts],
    )


# --- acts -------------------------------------------------------------------------------------------------------------


async def hide(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/hide`: from one board or all."""
    player, act = await _asked(request)
    await request.app[MODERATION].hide(player, board_id=_board(act), actor=act.who.name, reason=act.reason)
    return await _done(request, player, act, Action.HIDE)


async def remove(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/remove`: what they have reached, on one board or all."""
    player, act = await _asked(request)
    await request.app[MODERATION].remove(player, board_id=_board(act), actor=act.who.name, reason=act.reason)
    return await _done(request, player, act, Action.REMOVE)


async def restore(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/restore`: on one board or all."""
    player, act = await _asked(request)
    await request.app[MODERATION].restore(player, board_id=_board(act), actor=act.who.name, reason=act.reason)
    return await _done(request, player, act, Action.RESTORE)


async def adjust(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/adjust`: another score on one board."""
    player, act = await _asked(request)
    board, score = act.form.get("board", ""), act.form.get("score", "").strip()
    await request.app[MODERATION].adjust(player, board, score, actor=act.who.name, reason=act.reason)
    return await _done(request, player, act, Action.ADJUST)


async def clear(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/clear`: their score on one board is right, however far it is from others."""
    player, act = await _asked(request)
    await request.app[OUTLIERS].clear(player, act.form.get("board", ""), actor=act.who.name, reason=act.reason)
    return await _done(request, player, act, Action.CLEAR)


async def show_erase(request: web.Request) -> web.Response:
    """`GET /admin/players/{player}/erase`: what it means, and a form that asks for the name."""
    who = await operator_who_may(request, Role.MODERATE)
    player = await request.app[PLAYERS].find(request.match_info["player"])
    return await page(request, who, "admin_erase.html", card=await request.app[PLAYERS].card(player))


async def erase(request: web.Request) -> web.Response:
    """`POST /admin/players/{player}/erase`: for good, once the name was typed."""
    player, act = await _asked(request)
    card = await request.app[PLAYERS].card(player)
    if act.form.get("name", "").split() != card.name.split():
        raise BadInput("That is not the name of the player who is to be erased. Nothing was done.", field="name")
    await request.app[MODERATION].erase(player, actor=act.who.name, reason=act.reason)
    return see("/admin/players", **{DONE: await newest(request, Action.ERASE, act.who)})


async def _asked(request: web.Request) -> tuple[int, Asked]:
    public_id = request.match_info["player"]
    act = await asked(request, Role.MODERATE, f"/admin/players/{public_id}")
    return await request.app[PLAYERS].find(public_id), act


def _board(act: Asked) -> str | None:
    return act.form.get("board") or None


async def _done(request: web.Request, player: int, act: Asked, action: Action) -> web.Response:
    return see(act.back, **{DONE: await newest(request, action, act.who, player=player)})
