"""Operators' page of claims that wait, and taking back what was decided."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Act, Action, Claim, PlayerCard, Role
from homeserver.web.admin_frame import DONE, acts_of, asked, card_of, newest, operator_who_may, page, see
from homeserver.web.keys import LEADERBOARDS, MODERATION

REVIEW: Final = "/admin/review"

_CLAIMS: Final = 50
_ACTS: Final = 20
_DECIDED: Final = frozenset({Action.APPROVE, Action.REJECT})
_CLAIM: Final = re.compile(r"claim ([0-9]{1,18});")


async def review_page(request: web.Request) -> web.Response:
    """`GET /admin/review`: the claims that wait on one board, oldest first, and what was said of the last ones."""
    who = await operator_who_may(request, Role.VIEW)
    moderation = request.app[MODERATION]
    boards = await request.app[LEADERBOARDS].boards()
    chosen = request.query.get("board") or (boards[0].id if boards else None)
    claims: tuple[Claim, ...] = ()
    decided: list[tuple[Act, PlayerCard | None]] = []
    if chosen is not None:
        claims = await moderation.review(chosen, after=_number(request.query.get("after"), "after"), limit=_CLAIMS)
        log = await moderation.log(board_id=chosen, limit=_ACTS)
        decided = [(act, await card_of(request, act)) for act in log if act.action in _DECIDED and act.player]
    return await page(
        request,
        who,
        "admin_review.html",
        boards=boards,
        chosen=chosen,
        claims=claims,
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
    await decide(board, _number(request.match_info["claim"], "claim"), actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: await newest(request, action, act.who, board_id=board)})


# --- taking back ------------------------------------------------------------------------------------------------------


async def undo(request: web.Request) -> web.Response:
    """`POST /admin/acts/{act}/undo`: take back what was done, on each board that it was done on.

    Its reason names the act that it takes back, unless the form has a better one.
    """
    act = await asked(request, Role.MODERATE)
    number = _number(request.match_info["act"], "act")
    acts = await acts_of(request, number)
    if not acts:
        raise NotFound("There is no such act.")
    reason = act.reason.strip() or f"takes back act {number}"
    done = None
    for each in acts:
        done = await _take_back(request, each, actor=act.who.name, reason=reason)
    return see(act.back, **{DONE: await newest(request, done, act.who, player=acts[0].player) if done else None})


async def _take_back(request: web.Request, act: Act, *, actor: str, reason: str) -> Action:
    moderation = request.app[MODERATION]
    claim = _CLAIM.match(act.detail)
    latest = await moderation.log(board_id=act.board, player=act.player, limit=1)
    if not latest or latest[0].id != act.id:
        raise Conflict("Something else was decided since. Look at the player, and decide anew.")
    if act.player is not None and act.board is not None:
        if act.action in {Action.HIDE, Action.REMOVE}:
            await moderation.restore(act.player, board_id=act.board, actor=actor, reason=reason)
            return Action.RESTORE
        if act.action in _DECIDED and claim:
            await moderation.reopen(act.board, int(claim[1]), actor=actor, reason=reason)
            return Action.REOPEN
    raise Conflict("This cannot be taken back.")


def _number(text: str | None, field: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadInput("That is no number.", field=field)
    return int(text)
