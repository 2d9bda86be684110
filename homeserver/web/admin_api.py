"""`/admin/api/`: boards and players for operators' programs. What each call takes and who may: `admin_api_calls.py`."""

from __future__ import annotations

from aiohttp import web

from homeserver.model import (
    Action,
    BulkAct,
    Operator,
    OperatorAccount,
    Role,
    Span,
    State,
    SyncHealth,
    UploadLine,
    UploadPage,
)
from homeserver.services.operator_views import Wanted
from homeserver.web.admin_calls import Given, path_number, send_file
from homeserver.web.keys import (
    BOARD_STATES,
    BOARD_TASKS,
    BOARD_VIEWS,
    BOARD_WATCH,
    BULK,
    DOSSIERS,
    EXPORTS,
    HEALTH,
    MODERATION,
    OPERATOR_TOKENS,
    OPERATOR_VIEWS,
    OPERATORS,
    OUTLIERS,
    SYNC_REPORT,
    UPLOAD_DESK,
    VERIFIED_SCORES,
)


def _wanted(given: Given) -> Wanted:
    state = given.maybe("state")
    return Wanted(
        period=given.text("period", "all"),
        archive=given.maybe_number("archive"),
        cursor=given.maybe("cursor"),
        rank=given.maybe_number("rank"),
        score=given.maybe("score"),
        search=given.maybe("search"),
        state=None if state is None else State(state),
        verified=given.flag("verified"),
        limit=given.number("limit"),
    )


def _board(request: web.Request) -> str:
    return request.match_info["board"]


async def _player(request: web.Request) -> int:
    return await request.app[DOSSIERS].player(request.match_info["player"])


# --- looking ----------------------------------------------------------------------------------------------------------


async def me(request: web.Request, who: Operator, _given: Given) -> OperatorAccount:
    """`GET /me`."""
    return OperatorAccount(who.name, who.role, len(await request.app[OPERATOR_TOKENS].listed(who.name)))


async def boards(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /boards`."""
    return await request.app[BOARD_WATCH].statuses()


async def status(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /boards/{board}`."""
    return await request.app[BOARD_WATCH].status(_board(request))


async def entries(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/entries`."""
    return await request.app[OPERATOR_VIEWS].entries(_board(request), _wanted(given))


async def export_entries(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/entries/export`."""
    form = given.text("format", "csv")
    texts = request.app[EXPORTS].entries(_board(request), _wanted(given), form)
    return await send_file(request, texts, form, "entries")


async def sync(request: web.Request, _who: Operator, _given: Given) -> SyncHealth:
    """`GET /sync`."""
    overview, table = await request.app[HEALTH].sync(), await request.app[SYNC_REPORT].table()
    return SyncHealth(
        players=overview.players,
        synced=overview.synced,
        oldest_ms=overview.oldest_ms,
        newest_ms=overview.newest_ms,
        waiting={row.what: row.waiting for row in table.rows},
        running=sum(row.running for row in table.rows),
        requests=table.requests,
        failed=dict(table.failed),
        failures=table.failures,
        closed_ms=table.closed_ms,
        refused_ms=table.refused_ms,
        skew_s=table.skew_s,
    )


async def uploads(request: web.Request, _who: Operator, given: Given) -> UploadPage:
    """`GET /uploads`."""
    found = await request.app[UPLOAD_DESK].listed(
        group=given.maybe("group"), after=given.maybe("after"), limit=given.number("limit")
    )
    lines = tuple(
        UploadLine(each.id, each.size_bytes, each.storage, each.code, each.created_ms, each.updated_ms)
        for each in found.uploads
    )
    return UploadPage(lines, found.next, found.counts)


async def retry_upload(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /uploads/{upload}/retry`."""
    await request.app[UPLOAD_DESK].retry(request.match_info["upload"], actor=who.name, reason=given.text("reason"))


async def cancel_upload(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /uploads/{upload}/cancel`."""
    await request.app[UPLOAD_DESK].cancel(request.match_info["upload"], actor=who.name, reason=given.text("reason"))


async def distribution(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/distribution`."""
    period = given.text("period", "all")
    return await request.app[BOARD_VIEWS].distribution(_board(request), period=period, reader=None)


async def periods(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/periods`."""
    span = given.maybe("span")
    return await request.app[BOARD_VIEWS].periods(
        _board(request), span=None if span is None else Span(span), limit=given.number("limit")
    )


async def writes(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/writes`."""
    return await request.app[BOARD_WATCH].writes(
        _board(request),
        span=given.text("span", "hour"),
        from_ms=given.maybe_number("from"),
        until_ms=given.maybe_number("until"),
    )


async def claims(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/claims`."""
    after, limit = given.number("after"), given.number("limit")
    return await request.app[MODERATION].review(_board(request), after=after, limit=limit)


async def export_claims(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/claims/export`."""
    form = given.text("format", "csv")
    return await send_file(request, request.app[EXPORTS].claims(_board(request), form), form, "claims")


async def suspects(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/suspects`."""
    far, limit = given.fraction("far", 5.0), given.number("limit")
    outliers = request.app[OUTLIERS]
    if given.text("oddity", "score") == "jump":
        return await outliers.jumps(_board(request), far=far, limit=limit)
    period, cursor = given.text("period", "all"), given.maybe("cursor")
    return await outliers.scores(_board(request), period=period, far=far, cursor=cursor, limit=limit)


async def export_suspects(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/suspects/export`."""
    form = given.text("format", "csv")
    texts = request.app[EXPORTS].suspects(_board(request), form, period=given.text("period", "all"))
    return await send_file(request, texts, form, "suspects")


async def archives(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /boards/{board}/archives`."""
    return await request.app[BOARD_STATES].archives(_board(request))


async def tasks(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/tasks`."""
    return await request.app[BOARD_TASKS].of_board(
        _board(request), limit=given.number("limit"), before=given.maybe_number("before")
    )


async def task(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /tasks/{task}`."""
    return await request.app[BOARD_TASKS].find(path_number(request, "task"))


async def players(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /players`."""
    return await request.app[DOSSIERS].search(given.text("search"), limit=given.number("limit"))


async def dossier(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /players/{player}`."""
    return await request.app[DOSSIERS].show(await _player(request))


async def changes(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /players/{player}/changes`."""
    return await request.app[DOSSIERS].changes(
        await _player(request),
        board_id=given.maybe("board"),
        before=given.maybe_number("before"),
        limit=given.number("limit"),
    )


async def export_changes(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /players/{player}/changes/export`."""
    form = given.text("format", "csv")
    texts = request.app[EXPORTS].changes(await _player(request), form, board_id=given.maybe("board"))
    return await send_file(request, texts, form, "changes")


async def log(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /log`."""
    named = given.maybe("player")
    dossiers = request.app[DOSSIERS]
    return await dossiers.log(
        board_id=given.maybe("board"),
        player=None if named is None else await dossiers.player(named),
        before=given.maybe_number("before"),
        limit=given.number("limit"),
    )


async def export_log(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /log/export`."""
    form = given.text("format", "csv")
    return await send_file(request, request.app[EXPORTS].log(form, board_id=given.maybe("board")), form, "log")


# --- acting on players ------------------------------------------------------------------------------------------------


async def hide(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /players/{player}/hide`."""
    return await request.app[MODERATION].hide(
        await _player(request), board_id=given.maybe("board"), actor=who.name, reason=given.text("reason")
    )


async def remove(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /players/{player}/remove`."""
    return await request.app[MODERATION].remove(
        await _player(request), board_id=given.maybe("board"), actor=who.name, reason=given.text("reason")
    )


async def restore(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /players/{player}/restore`."""
    return await request.app[MODERATION].restore(
        await _player(request), board_id=given.maybe("board"), actor=who.name, reason=given.text("reason")
    )


async def adjust(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /players/{player}/adjust`."""
    await request.app[MODERATION].adjust(
        await _player(request),
        given.text("board"),
        given.text("score"),
        actor=who.name,
        reason=given.text("reason"),
    )


async def unadjust(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /players/{player}/unadjust`."""
    player, reason = await _player(request), given.text("reason")
    await request.app[MODERATION].unadjust(player, given.text("board"), actor=who.name, reason=reason)


async def clear(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /players/{player}/clear`."""
    player, reason = await _player(request), given.text("reason")
    await request.app[OUTLIERS].clear(player, given.text("board"), actor=who.name, reason=reason)


async def unclear(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /players/{player}/unclear`."""
    player, reason = await _player(request), given.text("reason")
    await request.app[OUTLIERS].unclear(player, given.text("board"), actor=who.name, reason=reason)


async def erase(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /players/{player}/erase`."""
    await request.app[MODERATION].erase(await _player(request), actor=who.name, reason=given.text("reason"))


async def give(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /boards/{board}/scores`."""
    player = await request.app[DOSSIERS].player(given.text("player"))
    await request.app[VERIFIED_SCORES].give(
        player,
        _board(request),
        given.text("value"),
        at_ms=given.maybe_number("time"),
        actor=who.name,
        reason=given.text("reason"),
    )


async def approve(request: web.Request, who: Operator, given: Given) -> None:
    """`POST .../claims/{claim}/approve`."""
    number, reason = path_number(request, "claim"), given.text("reason")
    await request.app[MODERATION].approve(_board(request), number, actor=who.name, reason=reason)


async def reject(request: web.Request, who: Operator, given: Given) -> None:
    """`POST .../claims/{claim}/reject`."""
    number, reason = path_number(request, "claim"), given.text("reason")
    await request.app[MODERATION].reject(_board(request), number, actor=who.name, reason=reason)


async def reopen(request: web.Request, who: Operator, given: Given) -> None:
    """`POST .../claims/{claim}/reopen`."""
    number, reason = path_number(request, "claim"), given.text("reason")
    await request.app[MODERATION].reopen(_board(request), number, actor=who.name, reason=reason)


# --- acting on boards -------------------------------------------------------------------------------------------------


def _bulk_act(given: Given) -> BulkAct:
    return BulkAct(
        Action(given.text("action")), given.text("period", "all"), given.maybe("least"), given.maybe("greatest")
    )


async def preview(request: web.Request, _who: Operator, given: Given) -> object:
    """`GET /boards/{board}/bulk`."""
    cursor, limit = given.maybe("cursor"), given.number("limit")
    return await request.app[BULK].preview(_board(request), _bulk_act(given), cursor=cursor, limit=limit)


async def bulk(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /boards/{board}/bulk`."""
    reason = given.text("reason")
    return await request.app[BOARD_TASKS].bulk(_board(request), _bulk_act(given), actor=who.name, reason=reason)


async def undo(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /tasks/{task}/undo`."""
    number, reason = path_number(request, "task"), given.text("reason")
    return await request.app[BOARD_TASKS].undo_bulk(number, actor=who.name, reason=reason)


async def rebuild(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /boards/{board}/rebuild`."""
    return await request.app[BOARD_TASKS].rebuild(_board(request), actor=who.name, reason=given.text("reason"))


async def verify(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /boards/{board}/verify`."""
    return await request.app[BOARD_TASKS].verify(_board(request), actor=who.name, reason=given.text("reason"))


async def reset(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /boards/{board}/reset`."""
    name, reason = given.text("name"), given.text("reason")
    return await request.app[BOARD_TASKS].reset(_board(request), name, actor=who.name, reason=reason)


async def undo_reset(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /boards/{board}/reset/undo`."""
    return await request.app[BOARD_TASKS].undo_reset(_board(request), actor=who.name, reason=given.text("reason"))


async def close_board(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /boards/{board}/close`."""
    await request.app[BOARD_STATES].close(_board(request), actor=who.name, reason=given.text("reason"))


async def open_board(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /boards/{board}/open`."""
    await request.app[BOARD_STATES].open(_board(request), actor=who.name, reason=given.text("reason"))


async def delete_archive(request: web.Request, who: Operator, given: Given) -> None:
    """`POST /boards/{board}/archives/{archive}/delete`."""
    number, reason = path_number(request, "archive"), given.text("reason")
    await request.app[BOARD_STATES].delete_archive(_board(request), number, actor=who.name, reason=reason)


# --- operators --------------------------------------------------------------------------------------------------------


async def operators(request: web.Request, _who: Operator, _given: Given) -> object:
    """`GET /operators`."""
    return await request.app[OPERATORS].accounts()


async def tokens(request: web.Request, who: Operator, _given: Given) -> object:
    """`GET /tokens`."""
    return await request.app[OPERATOR_TOKENS].listed(who.name)


async def add_token(request: web.Request, who: Operator, given: Given) -> object:
    """`POST /tokens`."""
    role, days = Role(given.text("role")), given.number("days")
    return await request.app[OPERATOR_TOKENS].add(who.name, given.text("name"), role, days=days)


async def revoke_token(request: web.Request, who: Operator, _given: Given) -> None:
    """`DELETE /tokens/{token}`."""
    await request.app[OPERATOR_TOKENS].revoke(who.name, request.match_info["token"])
