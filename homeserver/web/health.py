"""What machines ask: does the process run, can it work, what does it offer."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
import structlog
from aiohttp import hdrs, web

from homeserver.web.bodies import json_answer
from homeserver.web.keys import HEALTH, SITE
from homeserver.web.openapi import document

_PATIENCE_S: Final = 2.0

_log = structlog.get_logger(__name__)


async def healthz(request: web.Request) -> web.Response:
    """`GET /healthz`: the process runs.

    503 when one of its jobs has died, which only a new start cures; when the storage refuses everybody, which the
    operator must look at (`homeserver doctor`); or when the container does, which only right settings or a right clock
    cure.
    """
    if dead := request.app[HEALTH].dead_jobs:
        return json_answer(orjson.dumps({"status": "failing", "dead_jobs": list(dead)}), status=503)
    if request.app[HEALTH].is_refused:
        return json_answer(b'{"status":"failing","container":"refuses everybody"}', status=503)
    if (trouble := await _storage_trouble(request)) is not None:
        return json_answer(orjson.dumps({"status": "failing", "storage": trouble}), status=503)
    return json_answer(b'{"status":"alive"}')


async def _storage_trouble(request: web.Request) -> str | None:
    """What is wrong with the storage; nothing is known of it while the database is away, which `/readyz` tells."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await request.app[HEALTH].storage_trouble()
    except Exception:
        _log.exception("the database does not answer")
        return None


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: 200 when the database answers within two seconds, else 503."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await request.app[HEALTH].check()
    except Exception:
        _log.exception("the database does not answer")
        return json_answer(b'{"status":"not ready"}', status=503)
    return json_answer(b'{"status":"ready"}')


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`: what the gadget and operators' programs may call."""
    answer = json_answer(orjson.dumps(document(request.app[SITE].public_url)))
    answer.headers[hdrs.CACHE_CONTROL] = "public, max-age=300"
    return answer
