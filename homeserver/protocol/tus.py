"""Resumable uploads, tus 1.0: what a request asks for, and what the headers of its answer say.

Source: the tus resumable upload protocol, version 1.0.0, with the extensions creation, creation-with-upload,
expiration, termination and checksum. `creation-defer-length` is not offered: the storage is asked for a place before
the first byte travels, and wants to know the size.

Header names are in lower case here, as in `model.HttpRequest`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from homeserver.errors import BadChecksum, BadInput, TooLarge, UnsupportedMedia, VersionRefused

VERSION: Final = "1.0.0"
EXTENSIONS: Final = ("creation", "creation-with-upload", "expiration", "termination", "checksum")
ALGORITHMS: Final = ("sha1", "sha256")
"""Of checksums. The protocol demands sha1: it finds a line's faults, nobody's malice."""

BYTES: Final = "application/offset+octet-stream"
"""The media type of a part."""

MAX_CHECKED_BYTES: Final = 4 << 20
"""What a part with a checksum may have: it is kept back, in memory, until it has come whole and is known to be good."""

_OVERRIDE: Final = "x-http-method-override"
_METHODS: Final = frozenset({"PATCH", "DELETE", "HEAD"})

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_KEY: Final = re.compile(r"[!-+\--~]+")
"""Printable ASCII without blank and comma."""
_DIGEST_BYTES: Final[Mapping[str, int]] = MappingProxyType({"sha1": 20, "sha256": 32})

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# --- what a request asks for ----------------------------------------------------------------------------------------


def method_of(method: str, headers: Mapping[str, str]) -> str:
    """The method that is meant: a POST may name another one in X-HTTP-Method-Override, for what cannot send it.

    Raises:
        BadInput: It names one that no upload has.
    """
    named = headers.get(_OVERRIDE)
    if method != "POST" or named is None:
        return method
    if named.upper() not in _METHODS:
        raise BadInput("X-HTTP-Method-Override may name PATCH, DELETE or HEAD.", field="X-HTTP-Method-Override")
    return named.upper()


def check_version(headers: Mapping[str, str]) -> None:
    """Hear out nobody who speaks another version.

    Raises:
        VersionRefused: Tus-Resumable is missing or names another version.
    """
    if headers.get("tus-resumable") != VERSION:
        raise VersionRefused(f"This address speaks tus {VERSION}: say so in the header Tus-Resumable.")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a part's bytes should give."""

    algorithm: str
    digest: bytes = field(repr=False)

    def check(self, content: bytes) -> None:
        """
        Raises:
            BadChecksum: The content is another one.
        """
        if hashlib.new(self.algorithm, content, usedforsecurity=False).digest() != self.digest:
            raise BadChecksum("These bytes are not those that were sent. None of them were kept.")


@dataclass(frozen=True, slots=True)
class Creation:
    """A file that somebody wants to send. `name` may still be one that the storage cannot be told."""

    size_bytes: int
    name: str
    media_type: str
    first_part: Part | None
    """What comes along with it, from the first byte on."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that follow the first `offset_bytes` ones."""

    offset_bytes: int
    checksum: Checksum | None


def parse_creation(headers: Mapping[str, str], *, max_bytes: int, has_body: bool) -> Creation:
    """Read what a new upload is to be.

    The name is the metadata's `filename`, or `name`; the media type its `filetype`, or `type`; other metadata is read
    and not kept.

    Raises:
        BadInput: No size or no name, or one that cannot be read; an extension that is not offered.
        TooLarge: More than `max_bytes`.
        UnsupportedMedia: A body that is not a part.
    """
    if "upload-concat" in headers:
        raise BadInput("Files are not put together from several uploads here.", field="Upload-Concat")
    if "upload-length" not in headers:
        raise BadInput("Say the file's size, in bytes: the storage is asked for a place first.", field="Upload-Length")
    size_bytes = _number(headers, "Upload-Length")
    if size_bytes > max_bytes:
        raise TooLarge(f"A file may have {max_bytes:,} bytes.", limit_bytes=max_bytes, field="Upload-Length")
    metadata = parse_metadata(headers.get("upload-metadata", ""))
    name = metadata.get("filename") or metadata.get("name")
    if not name:
        raise BadInput("Say the file's name: `filename` in Upload-Metadata.", field="Upload-Metadata")
    media_type = metadata.get("filetype") or metadata.get("type") or ""
    first_part = None
    if has_body:
        _check_media_type(headers)
        first_part = Part(0, _checksum(headers))
    return Creation(size_bytes, name, media_type, first_part)


def parse_part(headers: Mapping[str, str]) -> Part:
    """Read where the bytes of a PATCH belong.

    Raises:
        BadInput: No offset, or one that cannot be read; a checksum that cannot be read or is none of `ALGORITHMS`.
        UnsupportedMedia: The body is said to be something else.
    """
    _check_media_type(headers)
    return Part(_number(headers, "Upload-Offset"), _checksum(headers))


def parse_metadata(text: str) -> dict[str, str]:
    """The pairs of Upload-Metadata: a key and, after a blank, its value in Base64, between commas.

    Raises:
        BadInput: It cannot be read, or has a key twice.
    """
    found: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else []:
        key, _, value = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise BadInput("The metadata cannot be read.", field="Upload-Metadata")
        try:
            found[key] = base64.b64decode(value.encode("ascii"), validate=True).decode()
        except (binascii.Error, UnicodeError):
            raise BadInput(f"The metadata's {key} is not UTF-8 in Base64.", field="Upload-Metadata") from None
    return found


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name.lower(), "")
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{name} should be a number of bytes.", field=name)
    return int(text)


def _check_media_type(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != BYTES:
        raise UnsupportedMedia(f"The bytes of a file come as {BYTES}.", field="Content-Type")


def _checksum(headers: Mapping[str, str]) -> Checksum | None:
    if "upload-checksum" not in headers:
        return None
    algorithm, _, value = headers["upload-checksum"].partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadInput(f"A checksum may be one of {', '.join(ALGORITHMS)}.", field="Upload-Checksum")
    try:
        digest = base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        digest = b""
    if len(digest) != _DIGEST_BYTES[algorithm]:
        raise BadInput(f"The checksum is not a {algorithm} in Base64.", field="Upload-Checksum")
    return Checksum(algorithm, digest)


# --- what an answer says --------------------------------------------------------------------------------------------


def capabilities(max_bytes: int) -> dict[str, str]:
    """The headers of an answer to OPTIONS. Names are as they are written on the wire, here and below."""
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Max-Size": str(max_bytes),
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def progress(offset_bytes: int, expires_ms: int | None) -> dict[str, str]:
    """How many bytes are kept. `expires_ms` is when an unfinished upload is given up; None for a finished one."""
    headers = {"Upload-Offset": str(offset_bytes)}
    if expires_ms is not None:
        headers["Upload-Expires"] = http_date(expires_ms)
    return headers


def description(size_bytes: int, name: str, media_type: str) -> dict[str, str]:
    """What HEAD tells of an upload besides its progress: of the metadata, what is kept."""
    return {"Upload-Length": str(size_bytes), "Upload-Metadata": dump_metadata(name, media_type)}


def dump_metadata(name: str, media_type: str) -> str:
    """Name and media type as Upload-Metadata."""
    pairs = {"filename": name, "filetype": media_type}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items() if value)


def http_date(ms: int) -> str:
    """`Sun, 22 Nov 2026 08:20:00 GMT`, in full seconds. By hand, because strftime speaks the machine's tongue."""
    when = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when:%Y %H:%M:%S} GMT"
