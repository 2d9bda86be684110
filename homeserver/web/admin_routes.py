"""The addresses of the operators' pages."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.web import admin, admin_boards, admin_operation, admin_players, admin_review

_BOARD: Final = "/admin/boards/{board}"
_PLAYER: Final = "/admin/players/{player}"
_CLAIM: Final = "/admin/review/{board}/{claim}"
_UPLOAD: Final = "/admin/uploads/{upload}"


def routes() -> list[web.AbstractRouteDef]:
    """All of them."""
    return [
        web.get("/admin", admin_boards.overview),
        web.get("/admin/sign-in", admin.show_sign_in),
        web.post("/admin/sign-in", admin.sign_in),
        web.post("/admin/sign-out", admin.sign_out),
        web.get("/admin/account", admin.account_page),
        web.get(_BOARD, admin_boards.board_page),
        web.get("/admin/players", admin_players.players_page),
        web.get(_PLAYER, admin_players.player_page),
        web.post(f"{_PLAYER}/hide", admin_players.hide),
        web.post(f"{_PLAYER}/remove", admin_players.remove),
        web.post(f"{_PLAYER}/restore", admin_players.restore),
        web.get(f"{_PLAYER}/erase", admin_players.show_erase),
        web.post(f"{_PLAYER}/erase", admin_players.erase),
        web.get("/admin/review", admin_review.review_page),
        web.post(f"{_CLAIM}/approve", admin_review.approve),
        web.post(f"{_CLAIM}/reject", admin_review.reject),
        web.post("/admin/acts/{act}/undo", admin_review.undo),
        web.get("/admin/sync", admin_operation.sync_page),
        web.get("/admin/uploads", admin_operation.uploads_page),
        web.post(f"{_UPLOAD}/retry", admin_operation.retry_upload),
        web.post(f"{_UPLOAD}/cancel", admin_operation.cancel_upload),
        web.get("/admin/settings", admin_operation.settings_page),
        web.get("/admin/audit", admin_operation.audit_page),
    ]
