"""Operators' page of what is to be looked at, and taking back what was decided."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Act, Action, Claim, PlayerCard, Role
from homeserver.web.admin_frame import (
    DONE,
    OF_BOARDS,
    TAKES_BACK,
    acts_of,
    asked,
    card_of,
    newest,
    number,
    operator_who_may,
    page,
    see,
)
from homeserver.web.keys import BOARD_STATES, BOARD_WATCH, MODERATION, OUTLIERS

REVIEW: Final = "/admin/review"

_CLAIMS: Final = 50
_ACTS: Final = 20
_DECIDED: Final = frozenset({Action.APPROVE, Action.REJECT, Action.CLEAR})
_LOOKED_AT: Final = 200
_WHAT: Final = ("claims", "scores", "jumps")
_CLAIM: Final = re.compile(r"claim ([0-9]{1,18});")


async def review_page(request: web.Request) -> web.Response:
    """`GET /admin/review`: what of one board is to be looked at: claims that wait, oldest first; scores that are far
    from the others; changes that are. And what was said of the last ones."""
    who = await operator_who_may(request, Role.VIEW)
    moderation, outliers = request.app[MODERATION], request.app[OUTLIERS]
    statuses = await request.app[BOARD_WATCH].statuses()
    first = next((each for each in statuses if each.pending), statuses[0] if statuses else None)
    chosen = request.query.get("board") or (first.board.id if first else None)
    what = request.query.get("what", "claims")
    if what not in _WHAT:
        raise BadInput(f"One of {', '.join(_WHAT)}.", field="what")
    claims: tuple[Claim, ...] = ()
    suspects = None
    decided: list[tuple[Act, PlayerCard | None]] = []
    if chosen is not None:
        if what == "claims":
            after = number(request.query.get("after") or "0", "after")
            claims = await moderation.review(chosen, after=after, limit=_CLAIMS)
        elif what == "scores":
            suspects = await outliers.scores(chosen, cursor=request.query.get("cursor") or None)
        else:
            suspects = await outliers.jumps(chosen)
        log = await moderation.log(board_id=chosen, limit=_ACTS)
        decided = [(act, await card_of(request, act)) for act in log if act.action in _DECIDED and act.player]
    return await page(
        request,
        who,
        "admin_review.html",
        statuses=statuses,
        chosen=chosen,
        what=what,
        claims=claims,
        suspects=suspects,
        next=claims[-1].event if claims and len(claims) == _CLAIMS else None,
        decided=decided,
    )


async def approve(request: web.Request) -> web.Response:
    """`POST /admin/review/{board}/{claim}/approve`."""
    return await _decide(request, Action.APPROVE)


async def reject(request: web.Request) -> web.Response:
    """`POST /admin/review/{board}/{claim}/reject`."""
    return await _decide(request, Action.REJECT)


async def _decide(request: web.Request, action: Action) -> web.Response:
    board = request.match_info["board"]
    act = await asked(request, Role.MODERATE, f"{REVIEW}?board={board}")
    moderation = request.app[MODERATION]
    decide = moderation.approve if action is Action.APPROVE else moderation.reject
    await decide(board, number(request.match_info["claim"], "claim"), actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: await newest(request, action, act.who, board_id=board)})


# --- taking back ------------------------------------------------------------------------------------------------------


async def undo(request: web.Request) -> web.Response:
    """`POST /admin/acts/{act}/undo`: take back what was done, on each board that it was done on.

    Its reason names the act that it takes back, unless the form has a better one.
    """
    act = await asked(request, Role.MODERATE)
    acts = await acts_of(request, number(request.match_info["act"], "act"))
    if not acts:
        raise NotFound("There is no such act.")
    back = TAKES_BACK.get(acts[0].action)
    if back is None:
        raise Conflict("This cannot be taken back.")
    if acts[0].player is None:
        await operator_who_may(request, Role.CONFIGURE)
    reason = act.reason.strip() or f"takes back act {acts[0].id}"
    for each in acts:  # all of them first, lest it stop half-way
        await _check_last(request, each)
    for each in acts:
        await _take_back(request, each, actor=act.who.name, reason=reason)
    of = {"player": acts[0].player} if acts[0].player is not None else {"board_id": acts[0].board}
    return see(act.back, **{DONE: await newest(request, back, act.who, **of)})


async def _check_last(request: web.Request, act: Act) -> None:
    """Raises Conflict where something else was decided since, that would be taken back instead."""
    log = await request.app[MODERATION].log(board_id=act.board, player=act.player, limit=_LOOKED_AT)
    later = (each for each in log if each.id > act.id and (act.player is not None or each.action in OF_BOARDS))
    if any(later):
        raise Conflict("Something else was decided since. Look at it, and decide anew.")


async def _take_back(request: web.Request, act: Act, *, actor: str, reason: str) -> None:
    app = request.app
    said = {"actor": actor, "reason": reason}
    match act:
        case Act(action=Action.HIDE, player=int(player), board=str(board)):
            await app[MODERATION].restore(player, board_id=board, **said)
        case Act(action=Action.REMOVE):
            await app[MODERATION].unremove(act.id, **said)
        case Act(action=Action.ADJUST, player=int(player), board=str(board)):
            await app[MODERATION].unadjust(player, board, **said)
        case Act(action=Action.CLEAR, player=int(player), board=str(board)):
            await app[OUTLIERS].unclear(player, board, **said)
        case Act(action=Action.APPROVE | Action.REJECT, board=str(board)) if claim := _CLAIM.match(act.detail):
            await app[MODERATION].reopen(board, int(claim[1]), **said)
        case Act(action=Action.CLOSE, board=str(board)):
            await app[BOARD_STATES].open(board, **said)
        case Act(action=Action.OPEN, board=str(board)):
            await app[BOARD_STATES].close(board, **said)
        case _:
            raise Conflict("This cannot be taken back.")
