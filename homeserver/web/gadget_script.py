"""The gadget's script: one file, made of the parts in `static/gadget` and of the words of every language.

A container fetches it and keeps it for as long as it likes, so its address changes with its content: with the parts and
with the words alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from homeserver.web.statics import ASK_AGAIN, FOREVER, VERSION

PATH: Final = "/gadget.js"
FOLDER: Final = "gadget"
PARTS: Final = ("head.js", "texts.js", "calls.js", "view.js", "gadget.js")
"""In this order, in one function: what one of them declares, the others see, and nobody else in the frame."""


class GadgetScript:
    """The script, put together once.

    Attributes:
        body: What is served.
        path: Its address on this site, with its version.
    """

    def __init__(self, static: Path, words: Mapping[str, Any]) -> None:
        """
        Args:
            static: The folder of static files.
            words: By language tag, what the script says otherwise than it stands in the code; see `texts.js`.
        """
        parts = [(static / FOLDER / name).read_bytes() for name in PARTS]
        table = b"const WORDS = " + orjson.dumps(words, option=orjson.OPT_SORT_KEYS) + b";\n"
        self.body = b"\n".join([b'(() => {\n"use strict";', table, *parts, b"})();\n"])
        self._version = hashlib.sha256(self.body).hexdigest()[:16]
        self.path = f"{PATH}?{VERSION}={self._version}"

    def cache_control(self, request: web.Request) -> str:
        """How long the answer to this request may be kept."""
        return FOREVER if request.query.get(VERSION) == self._version else ASK_AGAIN


GADGET_SCRIPT: Final = web.AppKey("GADGET_SCRIPT", GadgetScript)


async def script(request: web.Request) -> web.Response:
    """`GET /gadget.js`: the script, to whoever shows the gadget."""
    found = request.app[GADGET_SCRIPT]
    headers = {hdrs.CACHE_CONTROL: found.cache_control(request), hdrs.VARY: hdrs.ACCEPT_ENCODING}
    answer = web.Response(body=found.body, content_type="text/javascript", charset="utf-8", headers=headers)
    # Never deflate: Apache Shindig asks for it and takes it for the other of the two formats that go by this name.
    if re.search(r"\bgzip\b(?! *; *q=0)", request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        answer.enable_compression(web.ContentCoding.gzip)
    return answer
