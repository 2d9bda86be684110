"""Scripted faults: what a test tells the sandbox to do wrong, as data, applied to real traffic by one middleware.

A `Fault` names the requests it is for and what goes wrong with them. Faults lie in one queue; a request gets the first
one that matches and has something left, so two faults for the same route happen one after the other. Nothing here reads
a clock or draws a number: the same script gives the same traffic.

    hold = faults.add(Fault("GET /social/rest/people/*", hold=True))
    ...                                     # start the request under test
    await hold.reached.wait()               # it has arrived
    hold.release.set()                      # now it goes on
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_READ_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class CannedReply:
    """An answer written by the test. `headers` may name Content-Type and Date."""

    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. The parts happen in the order in which they are listed; most faults set one.

    Nothing but the match happens to a request while `skip` counts down.
    """

    match: str
    """Method and path as a shell pattern, such as `GET /social/rest/people/*/@friends` or `* /mesdonnees/upload/*`.

    The path is as sent (still percent-encoded), without the query.
    """
    times: int | None = 1
    """How many requests it is for; None for all."""
    skip: int = 0
    """How many matching requests go through untouched first."""

    hold: bool = False
    """Stop on arrival until `Planned.release` is set."""
    read_request_bytes: int | None = None
    """Read this much of the request's body before going on (all of it where it is shorter)."""
    drop: bool = False
    """Cut the connection, without an answer and without doing what was asked."""
    reply: CannedReply | None = None
    """Answer this instead, without doing what was asked."""
    effect: str = ""
    """A word that the handler obeys (`effect_of`), such as `upload_url_expired`: a fault that only it can make."""
    drop_after: bool = False
    """Do what was asked, then cut the connection without an answer."""
    reply_after: CannedReply | None = None
    """Do what was asked, then answer this."""
    members: Mapping[str, object] = field(default_factory=dict)
    """Members to put into the answer's JSON object: totals that lie, a wrong start."""
    replace: tuple[bytes, bytes] | None = None
    """Text of the answer's body to be replaced, and by what: malformed XML, a wrong id."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer to be set: a wrong Date, a wrong Content-Type, Retry-After."""
    cut_after_bytes: int | None = None
    """Send this much of the answer's body under the Content-Length of the whole, then cut the connection."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault in the queue, with the means to follow it."""

    fault: Fault
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request has met the fault."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """To be set by the test where the fault holds requests."""


@dataclass(slots=True)
class _Count:
    skip: int
    times: int | None


class Faults:
    """The queue of faults of one sandbox."""

    def __init__(self) -> None:
        self._queue: list[tuple[Planned, _Count]] = []

    def add(self, fault: Fault) -> Planned:
        """Put a fault at the end of the queue."""
        planned = Planned(fault)
        self._queue.append((planned, _Count(fault.skip, fault.times)))
        return planned

    def clear(self) -> None:
        """Forget all faults, and let go of the requests that they hold."""
        for planned, _ in self._queue:
            planned.release.set()
        self._queue.clear()

    @property
    def pending(self) -> int:
        """How many faults are still to happen; a test ends with 0 unless it meant otherwise."""
        return sum(1 for _, count in self._queue if count.times != 0)

    def take(self, method: str, path: str) -> Planned | None:
        """The fault for this request, counted as used; None to answer properly."""
        line = f"{method} {path}"
        for planned, count in self._queue:
            if count.times == 0 or not fnmatchcase(line, planned.fault.match):
                continue
            if count.skip:
                count.skip -= 1
                return None
            if count.times is not None:
                count.times -= 1
            return planned
        return None


_EFFECT = web.RequestKey("sandbox_effect", str)


def effect_of(request: web.Request) -> str:
    """The word that a fault has for this request's handler; empty in the usual case."""
    return request[_EFFECT] if _EFFECT in request else ""  # noqa: SIM401 - typed by its key; get() is not


def fault_middleware(faults: Faults) -> Middleware:
    """The middleware that makes the faults of `faults` happen."""

    @web.middleware
    async def make_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
        planned = faults.take(request.method, request.raw_path.partition("?")[0])
        if planned is None:
            return await handler(request)
        fault = planned.fault
        planned.reached.set()
        if fault.hold:
            await planned.release.wait()
        if fault.read_request_bytes is not None:
            await _read_some(request, fault.read_request_bytes)
        if fault.drop:
            return _cut(request)
        if fault.reply is not None:
            response: web.StreamResponse = _from_canned(fault.reply)
        else:
            request[_EFFECT] = fault.effect
            response = await _answer(request, handler)
            if fault.drop_after:
                return _cut(request)
            if fault.reply_after is not None:
                response = _from_canned(fault.reply_after)
        return await _spoil(request, response, fault)

    return make_faults


async def _read_some(request: web.Request, bytes_: int) -> None:
    while bytes_ > 0 and (chunk := await request.content.read(min(bytes_, _READ_CHUNK_BYTES))):
        bytes_ -= len(chunk)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the handler answers, an answer that it raised included."""
    try:
        return await handler(request)
    except web.HTTPException as answer:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _from_canned(reply: CannedReply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _cut(request: web.Request) -> web.Response:
    """Close the connection under the answer: aiohttp finds it gone when it starts to write, and writes nothing."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _spoil(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    for name, value in fault.headers.items():
        response.headers[name] = value
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response  # a streamed answer: only its headers can be changed
    body = response.body
    if fault.members:
        body = json.dumps({**json.loads(body), **fault.members}).encode()
    if fault.replace is not None:
        body = body.replace(*fault.replace)
    response.body = body
    if fault.cut_after_bytes is None:
        return response
    short = web.StreamResponse(status=response.status, headers=response.headers)
    short.content_length = len(body)
    await short.prepare(request)
    await short.write(body[: fault.cut_after_bytes])
    if request.transport is not None:
        request.transport.close()
    return short
