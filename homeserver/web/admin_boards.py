"""Operators' pages of boards: all of them, one with its entries, and what may be done to a whole board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web

from homeserver.errors import BadInput, Conflict
from homeserver.model import Action, BulkAct, Role, State, Task, TaskKind
from homeserver.services.operator_views import Wanted
from homeserver.web.admin_frame import DONE, Asked, asked, newest, number, operator_who_may, page, see
from homeserver.web.boards import default_period
from homeserver.web.formats import typed_score
from homeserver.web.keys import (
    BOARD_STATES,
    BOARD_TASKS,
    BOARD_VIEWS,
    BOARD_WATCH,
    BULK,
    HEALTH,
    LEADERBOARDS,
    OPERATOR_VIEWS,
)

ENTRIES: Final = 50
_PERIODS: Final = 60
_TASKS: Final = 8
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_SPANS: Final[Mapping[str, tuple[str, int]]] = {
    "hour": ("minute", _HOUR_MS),
    "day": ("hour", 24 * _HOUR_MS),
    "week": ("hour", 7 * 24 * _HOUR_MS),
}
"""What the chart of writes may show: in steps of what, and how long."""


async def overview(request: web.Request) -> web.Response:
    """`GET /admin`: every board in a line, and whether the house is well."""
    who = await operator_who_may(request, Role.VIEW)
    statuses, health = await request.app[BOARD_WATCH].statuses(), request.app[HEALTH]
    return await page(
        request,
        who,
        "admin.html",
        statuses=statuses,
        is_refused=health.is_refused,
        storage_trouble=await health.storage_trouble(),
        dead_jobs=health.dead_jobs,
    )


async def board_page(request: web.Request) -> web.Response:
    """`GET /admin/boards/{board}`: a part of a list, by place, score, name, id, state; and how it is."""
    who = await operator_who_may(request, Role.VIEW)
    board_id = request.match_info["board"]
    board = await request.app[LEADERBOARDS].board(board_id)
    part = wanted(request.query, default_period(board))
    if part.score is not None:
        part = replace(part, score=typed_score(part.score, board) or part.score)
    entries = await request.app[OPERATOR_VIEWS].entries(board_id, part)
    span = request.query.get("writes", "day")
    if span not in _SPANS:
        raise BadInput(f"One of {', '.join(_SPANS)}.", field="writes")
    step, length_ms = _SPANS[span]
    views = request.app[BOARD_VIEWS]
    return await page(
        request,
        who,
        "admin_board.html",
        board=board,
        how=await request.app[BOARD_WATCH].status(board_id),
        wanted=part,
        query=request.query,
        entries=entries,
        spread=None if part.archive else await views.distribution(board_id, period=part.period, reader=None),
        listed=await views.periods(board_id, limit=_PERIODS),
        writes=await request.app[BOARD_WATCH].writes(
            board_id, span=step, from_ms=entries.as_of_ms - length_ms, until_ms=entries.as_of_ms
        ),
        span=span,
        spans=tuple(_SPANS),
        archives=await request.app[BOARD_STATES].archives(board_id),
        tasks=await request.app[BOARD_TASKS].of_board(board_id, limit=_TASKS),
    )


def wanted(query: Mapping[str, str], period: str) -> Wanted:
    """Which part of a list a query asks for; empty fields count as absent.

    Raises:
        BadInput: A field that cannot be read.
    """
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    state, trust = given.get("state"), given.get("trust")
    if state is not None and state not in set(State):
        raise BadInput(f"One of {', '.join(State)}.", field="state")
    if trust not in {None, "claimed", "verified"}:
        raise BadInput("claimed or verified", field="trust")
    return Wanted(
        period=given.get("period", period),
        archive=number(given["archive"], "archive") if "archive" in given else None,
        cursor=given.get("cursor"),
        rank=number(given["at_rank"], "at_rank") if "at_rank" in given else None,
        score=given.get("at_score"),
        search=given.get("search"),
        state=None if state is None else State(state),
        verified=None if trust is None else trust == "verified",
        limit=ENTRIES,
    )


# --- acts on a board --------------------------------------------------------------------------------------------------


async def close(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/close`: it takes no scores until it is opened."""
    board, act = await _asked(request, Role.CONFIGURE)
    await request.app[BOARD_STATES].close(board, actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: await newest(request, Action.CLOSE, act.who, board_id=board)})


async def open_(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/open`."""
    board, act = await _asked(request, Role.CONFIGURE)
    await request.app[BOARD_STATES].open(board, actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: await newest(request, Action.OPEN, act.who, board_id=board)})


async def rebuild(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/rebuild`: to the page that shows how far it is."""
    board, act = await _asked(request, Role.CONFIGURE)
    return _to(await request.app[BOARD_TASKS].rebuild(board, actor=act.who.name, reason=act.reason))


async def verify(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/verify`: compare what the lists hold with itself."""
    board, act = await _asked(request, Role.MODERATE)
    return _to(await request.app[BOARD_TASKS].verify(board, actor=act.who.name, reason=act.reason))


async def reset(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/reset`: it begins with nothing, and what it had is archived under a name."""
    board, act = await _asked(request, Role.CONFIGURE)
    name = act.form.get("name", "")
    return _to(await request.app[BOARD_TASKS].reset(board, name, actor=act.who.name, reason=act.reason))


async def delete_archive(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/archives/{archive}/delete`: for good."""
    board, act = await _asked(request, Role.CONFIGURE)
    archive = number(request.match_info["archive"], "archive")
    await request.app[BOARD_STATES].delete_archive(board, archive, actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: await newest(request, Action.DELETE_ARCHIVE, act.who, board_id=board)})


async def _asked(request: web.Request, role: Role) -> tuple[str, Asked]:
    board = request.match_info["board"]
    return board, await asked(request, role, f"/admin/boards/{board}")


# --- many players at once ---------------------------------------------------------------------------------------------


async def range_page(request: web.Request) -> web.Response:
    """`GET /admin/boards/{board}/range`: whom an act on a range of scores would concern. Changes nothing."""
    who = await operator_who_may(request, Role.MODERATE)
    board = await request.app[LEADERBOARDS].board(request.match_info["board"])
    query = {name: value.strip() for name, value in request.query.items() if value.strip()}
    act = preview = None
    if "action" in query:
        act = _bulk(query, default_period(board))
        preview = await request.app[BULK].preview(board.id, act, cursor=query.get("cursor"))
    return await page(
        request,
        who,
        "admin_range.html",
        board=board,
        wanted=act,
        preview=preview,
        query=query,
        listed=await request.app[BOARD_VIEWS].periods(board.id, limit=_PERIODS),
    )


async def act_on_range(request: web.Request) -> web.Response:
    """`POST /admin/boards/{board}/range`: do it; to the page that shows how far it is."""
    board, act = await _asked(request, Role.MODERATE)
    form = {name: value.strip() for name, value in act.form.items() if value.strip()}
    many = _bulk(form, default_period(await request.app[LEADERBOARDS].board(board)))
    return _to(await request.app[BOARD_TASKS].bulk(board, many, actor=act.who.name, reason=act.reason))


def _bulk(given: Mapping[str, str], period: str) -> BulkAct:
    action = given.get("action", "")
    if action not in {Action.HIDE, Action.REMOVE, Action.RESTORE}:
        raise BadInput("hide, remove or restore", field="action")
    return BulkAct(Action(action), given.get("period", period), given.get("least"), given.get("greatest"))


# --- tasks ------------------------------------------------------------------------------------------------------------


async def task_page(request: web.Request) -> web.Response:
    """`GET /admin/tasks/{task}`: how far something is that is done to a whole board, and what came of it."""
    who = await operator_who_may(request, Role.VIEW)
    task = await request.app[BOARD_TASKS].find(number(request.match_info["task"], "task"))
    return await page(
        request, who, "admin_task.html", task=task, board=await request.app[LEADERBOARDS].board(task.board)
    )


async def undo_task(request: web.Request) -> web.Response:
    """`POST /admin/tasks/{task}/undo`: take a reset or an act on many players back; by whoever might have done it."""
    act = await asked(request, Role.MODERATE)
    tasks = request.app[BOARD_TASKS]
    task = await tasks.find(number(request.match_info["task"], "task"))
    reason = act.reason.strip() or f"takes back task {task.id}"
    if task.kind is TaskKind.BULK:
        return _to(await tasks.undo_bulk(task.id, actor=act.who.name, reason=reason))
    if task.kind is not TaskKind.RESET:
        raise Conflict("This cannot be taken back.")
    await operator_who_may(request, Role.CONFIGURE)
    return _to(await tasks.undo_reset(task.board, actor=act.who.name, reason=reason))


def _to(task: Task) -> web.Response:
    return see(f"/admin/tasks/{task.id}")
