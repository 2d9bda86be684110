"""multipart/form-data, read piece by piece: bytes in, events out, nothing kept but the end of the last piece.

Strict on purpose: a delimiter line is CRLF, `--boundary`, and CRLF or `--` with nothing between; a body is complete
only when its closing boundary came. Sources: RFC 2046 section 5.1, RFC 7578.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from homeserver.errors import BadInput

MAX_PART_HEADER_BYTES: Final = 8192
MAX_PARTS: Final = 16

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PARAMETER: Final = re.compile(
    r"""\s*;\s*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;"]+))"""
)


class BadMultipart(BadInput):
    """The body or one of its headers is not multipart/form-data as the standards have it."""

    code = "bad_multipart"


@dataclass(frozen=True, slots=True)
class PartBegins:
    """The headers of a part, names in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of the current part's bytes, never none."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The current part is whole: the delimiter behind it has been read."""


Event = PartBegins | PartData | PartEnds


class MultipartParser:
    """Feed it the body in pieces of any size. `complete` turns true at the closing boundary."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")  # a delimiter at the very start has no CRLF of its own
        self._state = self._preamble
        self._parts = 0
        self.complete = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Events in order. Iterate to the end before feeding more.

        Raises:
            BadMultipart: Headers too long or unreadable, or more than `MAX_PARTS` parts.
        """
        if self.complete:  # the epilogue is discarded
            return
        self._buffer += data
        while not self.complete:
            before = (len(self._buffer), self._state)
            yield from self._state()
            if (len(self._buffer), self._state) == before:
                return

    def _preamble(self) -> Iterator[Event]:
        self._take_until_delimiter()
        yield from ()

    def _body(self) -> Iterator[Event]:
        state = self._state
        data = self._take_until_delimiter()
        if data:
            yield PartData(data)
        if self._state != state or self.complete:
            yield PartEnds()

    def _headers(self) -> Iterator[Event]:
        # The buffer begins with the CRLF of the delimiter's own line.
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_PART_HEADER_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_PART_HEADER_BYTES:
                raise BadMultipart("the headers of a part are too long")
            return
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadMultipart("too many parts")
        headers = _parse_headers(bytes(self._buffer[2:end]))
        del self._buffer[: end + 4]
        self._state = self._body
        yield PartBegins(headers)

    def _take_until_delimiter(self) -> bytes:
        """Cut off what surely comes before the next delimiter; at the delimiter, change state as well."""
        at = self._buffer.find(self._delimiter)
        tail = at + len(self._delimiter)
        cut = at
        if at < 0:
            at = cut = max(0, len(self._buffer) - len(self._delimiter) + 1)
        elif len(self._buffer) >= tail + 2:
            after = bytes(self._buffer[tail : tail + 2])
            if after == b"--":
                self.complete = True
                cut = tail + 2
            elif after == b"\r\n":
                self._state = self._headers
                cut = tail
            else:  # a longer boundary than ours: content
                at = cut = at + 1
        data = bytes(self._buffer[:at])
        del self._buffer[:cut]
        return data


def boundary_of(content_type: str) -> str | None:
    """The boundary of a `multipart/form-data` content type; None for any other type or without a usable boundary."""
    try:
        kind, parameters = parse_parameters(content_type)
    except BadMultipart:
        return None
    boundary = parameters.get("boundary", "")
    return boundary if kind == "multipart/form-data" and _BOUNDARY.fullmatch(boundary) else None


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    r"""Read `form-data; name="x"; filename="a\"b"` into the word in front, in lower case, and its parameters.

    Raises:
        BadMultipart: Something is left over, or a parameter comes twice.
    """
    kind = value.split(";", 1)[0]
    parameters: dict[str, str] = {}
    at = len(kind)
    while match := _PARAMETER.match(value, at):
        name = match["name"].lower()
        if name in parameters:
            raise BadMultipart(f"the parameter {name} comes twice")
        quoted = match["quoted"]
        parameters[name] = match["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    if value[at:].strip():
        raise BadMultipart("a header has parameters that cannot be read")
    return kind.strip().lower(), parameters


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        lines = block.decode().split("\r\n") if block else []
    except UnicodeDecodeError:
        raise BadMultipart("the headers of a part are not UTF-8") from None
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _HEADER_NAME.fullmatch(name) or name in headers:
            raise BadMultipart("a header of a part cannot be read")
        headers[name] = value.strip()
    return headers
