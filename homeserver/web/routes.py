"""Every address of the home server, in one list."""

from __future__ import annotations

from aiohttp import web

from homeserver.web import account, admin, boards, file_events, files, gadget, health, language_choice, metrics, tus
from homeserver.web.security import ANSWER_PATH


def routes() -> list[web.AbstractRouteDef]:
    """All routes but the static files. GET serves HEAD too; OPTIONS is answered for every address."""
    return [
        web.get("/", boards.home),
        web.get("/boards/{board}", boards.board_page),
        web.get("/players/{player}", boards.player_page),
        web.get("/files", files.files_page),
        web.post("/files", files.receive_file),
        web.options(tus.PATH, tus.offer),
        web.post(tus.PATH, tus.create),
        web.head(f"{tus.PATH}{{upload}}", tus.show),
        web.patch(f"{tus.PATH}{{upload}}", tus.append),
        web.delete(f"{tus.PATH}{{upload}}", tus.terminate),
        web.post(f"{tus.PATH}{{upload}}", tus.override),
        web.get(files.ANSWERED_PATH, files.answered),
        web.post("/files/send", files.send_waiting),
        web.get("/files/events", file_events.events, allow_head=False),
        web.get("/files/{upload}", files.show_upload),
        web.post("/files/{upload}/send", files.send_again),
        web.post("/files/{upload}/rename", files.rename),
        web.post("/files/{upload}/cancel", files.cancel),
        web.get("/sign-in", account.show_sign_in),
        web.post("/sign-in", account.start_sign_in),
        web.post(ANSWER_PATH, account.take_answer),
        web.get(account.RETURN_PATH, account.finish_sign_in),
        web.get(account.METADATA_PATH, account.sign_in_metadata),
        web.post("/sign-out", account.sign_out),
        web.post(language_choice.LANGUAGE_PATH, language_choice.choose),
        web.get("/privacy", account.privacy),
        web.post("/privacy/link", account.link),
        web.post("/privacy/unlink", account.unlink),
        web.get("/page-link/{token}", account.show_link),
        web.post("/page-link/{token}", account.redeem_link),
        web.get("/admin", admin.overview),
        web.get("/admin/sign-in", admin.show_sign_in),
        web.post("/admin/sign-in", admin.sign_in),
        web.post("/admin/sign-out", admin.sign_out),
        web.get("/gadget.xml", gadget.specification),
        web.post("/gadget/session", gadget.open_session),
        web.get("/gadget/lifecycle", gadget.lifecycle),
        web.post("/gadget/lifecycle", gadget.lifecycle),
        web.get("/gadget/v1/boards", gadget.boards),
        web.get("/gadget/v1/boards/{board}/entries", gadget.board_entries),
        web.get("/gadget/v1/boards/{board}/distribution", gadget.board_distribution),
        web.get("/gadget/v1/boards/{board}/periods", gadget.board_periods),
        web.get("/gadget/v1/players/{player}/history", gadget.player_history),
        web.get("/gadget/v1/me", gadget.me),
        web.post("/gadget/v1/scores", gadget.submit_score),
        web.post("/gadget/v1/sync", gadget.request_sync),
        web.post("/gadget/v1/page-links", gadget.create_page_link),
        web.get("/healthz", health.healthz),
        web.get("/readyz", health.readyz),
        web.get("/openapi.json", health.openapi),
        web.get("/metrics", metrics.metrics),
    ]
