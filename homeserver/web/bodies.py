"""Reading what came and writing what goes: capped bodies, plain forms, JSON, and which of JSON and HTML is wanted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Final
from urllib.parse import parse_qsl

import structlog
from aiohttp import hdrs, web

from homeserver.errors import BadInput, TooLarge
from homeserver.model import HttpRequest

MAX_FORM_BYTES: Final = 16 * 1024
JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

_log = structlog.get_logger(__name__)

_MACHINE_PATHS: Final = ("/gadget/", "/admin/api/", "/files/tus/", "/healthz", "/readyz", "/openapi.json")


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: It is longer than `limit_bytes`; no more than that is kept in memory.
        BadInput: It ended before it was whole.
    """
    if (request.content_length or 0) > limit_bytes:
        raise TooLarge(f"The body may have {limit_bytes} bytes.", limit_bytes=limit_bytes)
    body = bytearray()
    try:
        async for chunk in request.content.iter_chunked(limit_bytes + 1):
            body += chunk
            if len(body) > limit_bytes:
                raise TooLarge(f"The body may have {limit_bytes} bytes.", limit_bytes=limit_bytes)
    except (ConnectionError, web.RequestPayloadError):
        raise BadInput("The body is not whole.") from None
    return bytes(body)


async def read_form(request: web.Request, limit_bytes: int = MAX_FORM_BYTES) -> Mapping[str, str]:
    """The fields of a form; of a repeated one the last.

    Raises:
        BadInput: Not a form. TooLarge: More than `limit_bytes`.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadInput("This address takes a form.")
    body = await read_body(request, limit_bytes)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, strict_parsing=bool(body)))
    except ValueError:
        raise BadInput("The form cannot be read.") from None


async def as_it_travelled(request: web.Request, limit_bytes: int) -> HttpRequest:
    """The request as its signature saw it: raw path and query, header names in lower case, the raw body."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return HttpRequest(request.method, request.raw_path, headers, await read_body(request, limit_bytes))


def json_answer(body: bytes, *, status: int = 200) -> web.Response:
    """JSON that is already dumped."""
    return web.Response(status=status, body=body, content_type=JSON, charset="utf-8")


async def stream(
    request: web.Request, parts: AsyncGenerator[str | bytes, None], headers: Mapping[str, str]
) -> web.StreamResponse:
    """An answer that is sent while it is made. It is what goes wrong with the first part that is answered in its place.

    What goes wrong later cuts the connection: nobody takes a part for the whole, or an error for a part.
    """
    async with aclosing(parts):
        part: str | bytes | None = await anext(parts)
        response = web.StreamResponse(headers=headers)
        with cut_if_it_fails(request):
            while part is not None:
                try:
                    await response.prepare(request)  # once
                    await response.write(_bytes(part))
                except ConnectionError:  # whoever reads it has seen enough
                    break
                part = await anext(parts, None)
    return response


@contextmanager
def cut_if_it_fails(request: web.Request) -> Iterator[None]:
    """What goes wrong inside, where an answer is on its way, is logged and cuts the connection."""
    try:
        yield
    except Exception:
        _log.exception("answer_broke_off", path=request.path)
        if request.transport is not None:
            request.transport.abort()


def _bytes(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part


def wants_json(request: web.Request) -> bool:
    """Whether the answer is for a program: the address is one of theirs, or it accepts JSON and not HTML."""
    if request.path.startswith(_MACHINE_PATHS):
        return True
    accept = request.headers.get(hdrs.ACCEPT, "")
    return (JSON in accept or EVENT_STREAM in accept) and "text/html" not in accept
