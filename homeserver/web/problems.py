"""The one place that turns an error into a status: a problem as data, from the error's class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

from homeserver import errors
from homeserver.web.languages import SOURCE, current, gettext, translated
from homeserver.web.words import heading, storage_words

PROBLEM_TYPE: Final = "application/problem+json"

_RETRY_AFTER_S: Final = 30.0
_DATABASE_RETRY_S: Final = 5.0

CHECKSUM_MISMATCH: Final = 460
"""The tus protocol's own status, which no list of HTTP's has."""

# The most specific class in this table counts. An error of ours that stands in no line is a fault of this server.
STATUS_OF: Final[Mapping[type[errors.HomeServerError], int]] = MappingProxyType(
    {
        errors.HomeServerError: 500,
        errors.OutdatedSchema: 503,
        errors.DatabaseUnavailable: 503,
        errors.Stopping: 503,
        errors.BadInput: 400,
        errors.TooLarge: 413,
        errors.UnsupportedMedia: 415,
        errors.VersionRefused: 412,
        errors.BadChecksum: CHECKSUM_MISMATCH,
        errors.NotSignedIn: 401,
        errors.SignatureRefused: 401,
        errors.Forbidden: 403,
        errors.NotFound: 404,
        errors.Conflict: 409,
        errors.Locked: 423,
        errors.TooMany: 429,
        errors.SpoolFull: 507,
        errors.SpoolBroken: 410,
        errors.WrongNode: 503,
        errors.RemoteError: 502,
        errors.RemoteUnavailable: 503,
        # What the storage says of this user's file or account: neither a broken gateway nor a conflict, which upload
        # clients would retry.
        errors.StorageRefused: 422,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as it leaves the house. `code` is stable; `detail` is for people."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further members of the document, such as `field` or `error_id`."""

    @property
    def title(self) -> str:
        """The status in words."""
        return "Checksum Mismatch" if self.status == CHECKSUM_MISMATCH else HTTPStatus(self.status).phrase

    def dump(self) -> bytes:
        """The document of RFC 9457. Its type is about:blank: the title says what the status says, `code` says more."""
        document = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return orjson.dumps({**document, **self.more})


def status_of(kind: type[errors.HomeServerError]) -> int:
    """The status of a class of errors: its own, else that of its nearest parent in the table."""
    return next(STATUS_OF[parent] for parent in kind.__mro__ if parent in STATUS_OF)


def of_error(error: errors.HomeServerError) -> Problem:
    """The problem that one of our own errors is."""
    status = status_of(type(error))
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    detail = _said(error, status)
    match error:
        case errors.BadInput(field=str(name)):
            more["field"] = name
        case errors.TooMany(wait_s=wait_s):
            headers[hdrs.RETRY_AFTER] = _seconds(wait_s)
        case errors.DatabaseUnavailable() | errors.Stopping():
            headers[hdrs.RETRY_AFTER] = _seconds(_DATABASE_RETRY_S)
        case errors.RemoteUnavailable(wait_s=wait_s):
            headers[hdrs.RETRY_AFTER] = _seconds(_RETRY_AFTER_S if wait_s is None else wait_s)
        case errors.StorageRefused(storage_code=storage_code):
            words = storage_words(storage_code)
            more["storage_code"] = storage_code
            if isinstance(error, errors.FileRefused):
                more["portal_url"] = error.portal_url
            detail = f"{words.title} {words.advice}"
        case errors.SignatureRefused():
            headers[hdrs.WWW_AUTHENTICATE] = "OAuth"
        case _ if status == 500:
            detail = gettext("Something went wrong here.")  # our own fault: its message is for the operator
    return Problem(status, error.code, detail, headers, more)


def of_http(error: web.HTTPException) -> Problem:
    """The problem that an answer of aiohttp itself is (no such address, wrong method, body too large)."""
    known = {
        404: ("not_found", gettext("There is nothing at this address.")),
        405: ("method_not_allowed", gettext("This address does not take that method.")),
        413: ("too_large", gettext("That is more than this address takes.")),
    }
    code, detail = known.get(error.status, ("bad_request" if error.status < 500 else "error", error.reason))
    headers: dict[str, str] = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
    return Problem(error.status, code, detail, headers)


def of_bug(error_id: str) -> Problem:
    """What is said of an error that nobody expected: nothing but an id that stands in the log too."""
    return Problem(
        500, "internal", gettext("Something went wrong here. It has been noted."), more={"error_id": error_id}
    )


def _said(error: errors.HomeServerError, status: int) -> str:
    """What an error says of itself, in the language of the request; what its status says, where the catalogue does not
    have it. English stays what it is: programs log it."""
    text = str(error)
    if current().tag == SOURCE or not text:
        return text
    said = translated(text)
    return said if said != text else f"{heading(status)}."


def _seconds(wait_s: float) -> str:
    return str(max(1, math.ceil(wait_s)))
