"""Operators' pages about the house itself: the sync, uploads, the settings in force, the log of what operators did."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.model import Role
from homeserver.web.admin_frame import DONE, asked, number, operator_who_may, page, see
from homeserver.web.keys import DOSSIERS, HEALTH, LEADERBOARDS, PLAYERS, SETTINGS_SHOWN, SYNC_REPORT, UPLOAD_DESK

LOG_PAGE: Final = 50
UPLOADS: Final = "/admin/uploads"


async def sync_page(request: web.Request) -> web.Response:
    """`GET /admin/sync`: how old the data is, what waits, what failed, whether the container answers."""
    who = await operator_who_may(request, Role.VIEW)
    health = request.app[HEALTH]
    return await page(
        request,
        who,
        "admin_sync.html",
        table=await request.app[SYNC_REPORT].table(),
        dead_jobs=health.dead_jobs,
        storage_trouble=await health.storage_trouble(),
    )


# --- uploads ----------------------------------------------------------------------------------------------------------


async def uploads_page(request: web.Request) -> web.Response:
    """`GET /admin/uploads`: everybody's files, by group or by user."""
    who = await operator_who_may(request, Role.VIEW)
    group, user = request.query.get("group") or None, request.query.get("user", "").strip() or None
    found = await request.app[UPLOAD_DESK].listed(group=group, user=user, after=request.query.get("after") or None)
    return await page(request, who, "admin_uploads.html", found=found, group=group, user=user)


async def retry_upload(request: web.Request) -> web.Response:
    """`POST /admin/uploads/{upload}/retry`."""
    act = await asked(request, Role.MODERATE, UPLOADS)
    number = await request.app[UPLOAD_DESK].retry(request.match_info["upload"], actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: number})


async def cancel_upload(request: web.Request) -> web.Response:
    """`POST /admin/uploads/{upload}/cancel`."""
    act = await asked(request, Role.MODERATE, UPLOADS)
    number = await request.app[UPLOAD_DESK].cancel(request.match_info["upload"], actor=act.who.name, reason=act.reason)
    return see(act.back, **{DONE: number})


# --- settings, log ----------------------------------------------------------------------------------------------------


async def settings_page(request: web.Request) -> web.Response:
    """`GET /admin/settings`: the settings in force in the process that answers, without secrets."""
    who = await operator_who_may(request, Role.CONFIGURE)
    return await page(request, who, "admin_settings.html", sections=request.app[SETTINGS_SHOWN])


async def audit_page(request: web.Request) -> web.Response:
    """`GET /admin/audit`: what operators did, the newest first; of one board or one player if they are named."""
    who = await operator_who_may(request, Role.VIEW)
    query = {name: request.query.get(name, "").strip() for name in ("board", "player", "before")}
    before = number(query["before"], "before") if query["before"] else None
    player = await request.app[PLAYERS].find(query["player"]) if query["player"] else None
    log = await request.app[DOSSIERS].log(board_id=query["board"] or None, player=player, before=before, limit=LOG_PAGE)
    return await page(
        request,
        who,
        "admin_audit.html",
        boards=await request.app[LEADERBOARDS].boards(),
        query=query,
        log=[(act, act.card) for act in log],
        next=log[-1].id if len(log) == LOG_PAGE else None,
    )
