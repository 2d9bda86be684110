"""Pages of boards as visitors without a session get them: made once for each version of the list, kept as bytes.

Such a page is the same for everybody who asks for this address in this language. It is served from here only when the
list has the very version that it was made of, read during the request; so whoever has just seen a score committed sees
it on the page. What is no part of a version (names, pictures, how long a period lasts) is at most `KEEP_S` old.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from homeserver.model import Distribution, EntryPage
from homeserver.web.by_bytes import ByBytes
from homeserver.web.keys import CHANGES
from homeserver.web.languages import Language, current, negotiated
from homeserver.web.security import FIXED_HEADERS, SERVER

KEEP_S: Final = 60.0
MAX_BYTES: Final = 16 << 20
MAX_SHELLS: Final = 500
_PREFIX: Final = "/boards/"
_HEADERS: Final = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LANGUAGE, hdrs.VARY)


class KeptResponse(web.Response):
    """Has all headers that an answer of ours must have."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a page was made of."""

    board: str
    period: str
    version: str


@dataclass(frozen=True, slots=True)
class _Kept:
    of: Version
    body: bytes
    etag: str
    headers: Mapping[str, str]
    unchanged: Mapping[str, str]
    """The headers of a 304: what it does not say, the browser has with the page (RFC 9110, 15.4.5)."""
    made_s: float

    def answer(self, request: web.Request) -> web.Response:
        """The page, or that the browser has it already."""
        known = request.headers.get(hdrs.IF_NONE_MATCH)
        if known is not None and self.etag in (each.strip().removeprefix("W/") for each in known.split(",")):
            return KeptResponse(status=304, headers=self.unchanged)
        return KeptResponse(body=self.body, headers=self.headers)


Make = Callable[[], Awaitable[tuple[web.Response, Version]]]


class BoardPages:
    """The pages that are kept, the last used last."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: ByBytes[_Kept] = ByBytes(max_bytes)
        self._making: dict[str, asyncio.Event] = {}

    async def answer(self, request: web.Request, make: Make) -> web.Response:
        """The page from here where it is good, else made anew. Who wants the same one waits for whoever makes it: once,
        since that may fail, or not be kept, or be of an older list by then."""
        key = _key(request, current())
        kept = await self._good(request, key)
        if kept is None and (making := self._making.get(key)) is not None:
            await making.wait()
            kept = await self._good(request, key)
        if kept is None:
            done = self._making[key] = asyncio.Event()
            try:
                response, version = await make()
                kept = self._keep(request, key, response, version)
            finally:
                if self._making.get(key) is done:
                    del self._making[key]
                done.set()
        return kept.answer(request)

    async def _good(self, request: web.Request, key: str) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or asyncio.get_running_loop().time() - kept.made_s > KEEP_S:
            return None
        of = kept.of
        if await request.app[CHANGES].version(of.board, of.period) != of.version:
            return None
        self._kept.used(key)
        return kept

    def at_once(self, request: web.Request) -> web.Response | None:
        """The page, where it is good and that is known without waiting. For visitors without any cookie.

        It goes past everything that surrounds handlers: that would take as long as all the rest.
        """
        headers = request.headers
        if hdrs.COOKIE in headers:
            return None
        key = _key(request, negotiated(headers.get(hdrs.ACCEPT_LANGUAGE, "")))
        kept = self._kept.get(key)
        if kept is None or asyncio.get_running_loop().time() - kept.made_s > KEEP_S:
            return None
        of = kept.of
        if request.app[CHANGES].known(of.board, of.period) != of.version:
            return None
        self._kept.used(key)
        return kept.answer(request)

    def _keep(self, request: web.Request, key: str, response: web.Response, version: Version) -> _Kept:
        body = response.body
        if not isinstance(body, bytes):
            raise TypeError("a page is bytes")
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        # Whether it is good is asked each time, by the browser and by whatever stands between.
        headers: dict[str, str] = {name: ", ".join(response.headers.getall(name)) for name in _HEADERS}
        fixed = request.app[FIXED_HEADERS]
        always: dict[str, str] = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache", hdrs.SERVER: SERVER}
        unchanged: dict[str, str] = {hdrs.VARY: headers[hdrs.VARY], **always}
        kept = _Kept(version, body, etag, headers | fixed | always, unchanged, asyncio.get_running_loop().time())
        self._kept.put(key, kept)
        return kept

    @property
    def size_bytes(self) -> int:
        """Of all pages together."""
        return self._kept.size_bytes


def _key(request: web.Request, language: Language) -> str:
    return f"{language.tag} {request.raw_path}"


@dataclass(frozen=True, slots=True)
class Shell:
    """What a page shows to everybody beside the entries: how scores are spread, and who won the period before."""

    spread: Distribution
    winners: EntryPage | None


class BoardShells:
    """The shells of lists, for those who are signed in: their own place is put into one. Good as pages are."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[str, float, Shell]] = OrderedDict()

    async def find(self, of: Version, make: Callable[[], Awaitable[Shell]]) -> Shell:
        """The shell of this version, which was read in this request; made where there is none."""
        key, now_s = (of.board, of.period), asyncio.get_running_loop().time()
        kept = self._kept.get(key)
        if kept is not None and kept[0] == of.version and now_s - kept[1] <= KEEP_S:
            return kept[2]
        shell = await make()
        self._kept[key] = (of.version, now_s, shell)
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_SHELLS:
            self._kept.popitem(last=False)
        return shell


BOARD_SHELLS: Final = web.AppKey("BOARD_SHELLS", BoardShells)
BOARD_PAGES: Final = web.AppKey("BOARD_PAGES", BoardPages)


@web.middleware
async def serve_kept(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Before everything else: pages that are kept and good."""
    if request.method == hdrs.METH_GET and request.raw_path.startswith(_PREFIX):
        answer = request.app[BOARD_PAGES].at_once(request)
        if answer is not None:
            return answer
    return await handler(request)
