"""The addresses of the operators' pages."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.web import (
    admin,
    admin_accounts,
    admin_boards,
    admin_operation,
    admin_players,
    admin_review,
)

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
        web.get("/admin/account", admin_accounts.account_page),
        web.post("/admin/account/password", admin_accounts.change_password),
        web.post("/admin/account/sessions/end", admin_accounts.end_other_sessions),
        web.post("/admin/account/tokens", admin_accounts.add_token),
        web.post("/admin/account/tokens/{token_id}/revoke", admin_accounts.revoke_token),
        web.get("/admin/operators", admin_accounts.operators_page),
        web.post("/admin/operators", admin_accounts.add_operator),
        web.post("/admin/operators/{operator}/role", admin_accounts.set_role),
        web.post("/admin/operators/{operator}/password", admin_accounts.set_password),
        web.post("/admin/operators/{operator}/remove", admin_accounts.remove_operator),
        web.get(_BOARD, admin_boards.board_page),
        web.post(f"{_BOARD}/close", admin_boards.close),
        web.post(f"{_BOARD}/open", admin_boards.open_),
        web.post(f"{_BOARD}/rebuild", admin_boards.rebuild),
        web.post(f"{_BOARD}/verify", admin_boards.verify),
        web.post(f"{_BOARD}/reset", admin_boards.reset),
        web.post(f"{_BOARD}/archives/{{archive}}/delete", admin_boards.delete_archive),
        web.get(f"{_BOARD}/range", admin_boards.range_page),
        web.post(f"{_BOARD}/range", admin_boards.act_on_range),
        web.get("/admin/tasks/{task}", admin_boards.task_page),
        web.post("/admin/tasks/{task}/undo", admin_boards.undo_task),
        web.get("/admin/players", admin_players.players_page),
        web.get(_PLAYER, admin_players.player_page),
        web.post(f"{_PLAYER}/hide", admin_players.hide),
        web.post(f"{_PLAYER}/remove", admin_players.remove),
        web.post(f"{_PLAYER}/restore", admin_players.restore),
        web.post(f"{_PLAYER}/adjust", admin_players.adjust),
        web.post(f"{_PLAYER}/clear", admin_players.clear),
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
