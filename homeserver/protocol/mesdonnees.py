"""The wire format of the storage: asking for a one-time upload URL, posting the file there, and every refusal.

Source: the Personal Content API guide (alpha). Where its samples and its words differ, both are accepted. What it
leaves open (encodings, blanks, the place of `<url>`) is read leniently, but nothing is guessed: a cut-off answer is an
error.

An answer may echo what we sent (the token in a query, the one-time address), so no error made here holds a piece of a
raw body; the service's own words are kept, with the values of `hide` blotted out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn
from urllib.parse import quote, urlencode

from lxml import etree

from homeserver.errors import (
    BadInput,
    RemoteGarbage,
    RemoteRefused,
    RemoteUnavailable,
    StorageRefused,
    TokenRefused,
)
from homeserver.model import HttpReply
from homeserver.protocol.mesdonnees_refusals import REFUSALS, UNKNOWN, Refusal, classify_message
from homeserver.protocol.replies import retry_after_s

SERVICE: Final = "mesdonnees"
MAX_REPLY_BYTES: Final = 64 * 1024
"""The documented answers are below 1 KiB; a longer one than this is refused unread."""

UNTYPED: Final = "application/octet-stream"

_MAX_CODE_CHARS: Final = 40
_ENDS: Final = re.compile(r"\|ted=([0-9]{10})\|")
_MAX_DETAIL_CHARS: Final = 500
_MAX_URL_CHARS: Final = 4096


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to post one file once. Both parts are secrets; neither has been checked yet against any allow list."""

    url: str = field(repr=False)
    cookie: str = field(repr=False)
    """As it goes into the Cookie header: name and value."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The storage's word that it holds a file. `name` comes back without its extension (the guide's own sample)."""

    content_id: str
    folder_id: str | None
    name: str
    size_bytes: int


# --- a token ----------------------------------------------------------------------------------------------------------


def token_ends_ms(token: str) -> int | None:
    """When a user's token says that it ends (`ted`, in captured ones): good for a word of warning, for nothing more."""
    match = _ENDS.search(token)
    return int(match[1]) * 1000 if match else None


# --- step one: a URL to post to -------------------------------------------------------------------------------------


def call_url(base_url: str, action: str, parameters: Mapping[str, str]) -> str:
    """The address of any call of the Personal APIs: all of them take `action`, the token and their parameters by GET.

    Values are percent-encoded as UTF-8, every reserved character included: a real token contains `+ / = |`.

    Raises:
        BadInput: A value is not Unicode text (a lone surrogate); `field` is its name.
    """
    pairs = [("action", action), *parameters.items()]
    for name, value in pairs:
        if any(unicodedata.category(character) == "Cs" for character in value):
            raise BadInput(f"{name} contains characters that are no text", field=name)
    # quote, not quote_plus: a blank is %20, which every reader of a query understands.
    query = urlencode(pairs, quote_via=quote, safe="")
    return f"{base_url}{'&' if '?' in base_url else '?'}{query}"


def upload_url_request(base_url: str, token: str, content_name: str, content_size: int) -> str:
    """The address that asks for a one-time upload URL (GET). It holds the token: never log it.

    Raises:
        BadInput: A name that is empty or holds control characters, or a size below one byte.
    """
    check_name(content_name)
    if content_size < 1:
        raise BadInput("The file is empty.", field="content_size")
    return call_url(
        base_url,
        "getContentUploadURL",
        {"token": token, "content_name": content_name, "content_size": str(content_size)},
    )


def check_name(name: str) -> None:
    """Refuse a file name that cannot go into a header or a query; any other keeps all its characters.

    Raises:
        BadInput: Empty, or with control characters or lone surrogates.
    """
    if not name.strip():
        raise BadInput("The file has no name.", field="content_name")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        raise BadInput("The file's name contains control characters.", field="content_name")


def parse_answer(reply: HttpReply, *, hide: Iterable[str] = ()) -> etree._Element:
    """The document that any call of the Personal APIs answers with; they all refuse in the same ways.

    An error in the body counts whatever the status: business errors come as HTTP 500.

    Raises:
        StorageRefused: One of the service's codes; `url` is set for MD804 and -3 when it came, unchecked.
        TokenRefused: 401 or 403 without a known code, or an unknown negative code.
        RemoteUnavailable: 5xx or 429 without the service's XML.
        RemoteRefused: Another status without the service's XML.
        RemoteGarbage: Success was said, and no XML came.
    """
    root = _read_xml(reply)
    if root is not None:
        _raise_refusal(root, reply.status, tuple(hide))
    if reply.status in (401, 403):
        raise TokenRefused(None, f"HTTP {reply.status}", service=SERVICE)
    if not _succeeded(reply):
        _raise_status(reply)
    if root is None:
        raise _garbage(reply, "is not XML")
    return root


def parse_upload_url(reply: HttpReply, *, hide: Iterable[str] = ()) -> Ticket:
    """Read the answer of getContentUploadURL.

    Raises:
        As `parse_answer`. RemoteGarbage: Success was said, but no URL and cookie that can be used were in it.
    """
    root = parse_answer(reply, hide=hide)
    url, name, value = _text(root, "url"), _text(root, "name", under="cookie"), _text(root, "value", under="cookie")
    if not url or len(url) > _MAX_URL_CHARS or not value:
        raise _garbage(reply, "holds no upload URL and cookie")
    if not _COOKIE_NAME.fullmatch(name) or not _COOKIE_VALUE.fullmatch(value):
        raise _garbage(reply, "holds a cookie that no header can carry")
    return Ticket(url=url, cookie=f"{name}={value}")


_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Printable ASCII but blank, comma and semicolon: what could end the value or the header is refused, never quoted.
_COOKIE_VALUE: Final = re.compile(r"[!-+\--:<-~]{1,4000}")


# --- step two: the file ---------------------------------------------------------------------------------------------

_BOUNDARY: Final = re.compile(r"[A-Za-z0-9_-]{1,70}")
_WORD: Final = r"[A-Za-z0-9!#$&^_.+-]{1,64}"
_MEDIA_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}(?:\s*;\s*{_WORD}=(?:{_WORD}|\"[ !#-\[\]-~]{{0,64}}\")){{0,4}}")


def clean_media_type(text: str) -> str:
    """The media type when it is one, else application/octet-stream: it comes from a browser and goes into a header."""
    stripped = text.strip()
    return stripped if _MEDIA_TYPE.fullmatch(stripped) else UNTYPED


def multipart_envelope(boundary: str, filename: str, media_type: str) -> tuple[bytes, bytes]:
    r"""What stands before and after the file's bytes in the body of step two, as in the guide's sample.

    The boundary is plain (some servers cannot read a quoted one). In `filename`, `\` and `"` are escaped and everything
    else is UTF-8 as it is. A media type that is none becomes application/octet-stream.

    Raises:
        BadInput: A boundary that would need quotes, or a name that no header can carry.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise BadInput("The boundary must be 1 to 70 letters, digits, - or _.", field="boundary")
    check_name(filename)
    escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file_content"; filename="{escaped}"\r\n'
        f"Content-Type: {clean_media_type(media_type)}\r\n"
        "Content-Transfer-Encoding: binary\r\n"
        "\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()


def parse_receipt(reply: HttpReply, *, hide: Iterable[str] = ()) -> Receipt:
    """Read the answer of the upload itself.

    Raises:
        StorageRefused: One of the upload messages or a code; or, with code `unknown`, a status below 500 that says
            nothing we know. No documented message says that the URL has expired, so such an answer may mean just that.
        RemoteUnavailable: 5xx without the service's XML.
        RemoteGarbage: Success was said, but without the id and the size of the stored file.
    """
    root = _read_xml(reply)
    if root is not None:
        _raise_refusal(root, reply.status, tuple(hide), negative_is_token=False)
    if reply.status >= 500:
        _raise_status(reply)
    if not _succeeded(reply):
        raise _refused(UNKNOWN, f"HTTP {reply.status} without a message")
    if root is None:
        raise _garbage(reply, "is not XML")
    content_id, size = _text(root, "id", under="content"), _text(root, "file_size", under="content")
    if not content_id or len(content_id) > 100 or not re.fullmatch(r"[0-9]{1,18}", size):
        raise _garbage(reply, "holds no id and size of a stored file")
    return Receipt(
        content_id=content_id,
        folder_id=_text(root, "parent_id", under="content")[:100] or None,
        name=_text(root, "name", under="content")[:_MAX_DETAIL_CHARS],
        size_bytes=int(size),
    )


# --- reading their XML ----------------------------------------------------------------------------------------------

# The guide's own error samples begin with `<?xml version="1.0"? encoding="UTF-8" >`, which no parser accepts: the
# declaration is cut off, well-formed or not, once it has been asked for the encoding.
_DECLARATION: Final = re.compile(r"<\?xml\b[^>]{0,200}>")
_DECLARED_ENCODING: Final = re.compile(
    rb"""<\?xml\b[^>]{0,160}?encoding\s{0,5}=\s{0,5}["']([A-Za-z0-9._-]{1,40})["']"""
)
_CHARSET: Final = re.compile(r"""charset\s{0,5}=\s{0,5}["']?([A-Za-z0-9._-]{1,40})""", re.IGNORECASE)
# Only these are ever tried. Latin-1 is read as its superset cp1252, which is what labels it in practice.
_ENCODINGS: Final = MappingProxyType(
    {
        "utf-8": "utf-8",
        "utf8": "utf-8",
        "us-ascii": "utf-8",
        "iso-8859-1": "cp1252",
        "latin1": "cp1252",
        "windows-1252": "cp1252",
        "cp1252": "cp1252",
        "iso-8859-15": "iso-8859-15",
        "utf-16": "utf-16",
    }
)


def _decode(reply: HttpReply) -> str:
    """The body as text: by its byte-order mark, the header, the declaration, as UTF-8, else as cp1252."""
    body = reply.body
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace")
    named = []
    if header := _CHARSET.search(reply.headers.get("content-type", "")):
        named.append(header[1])
    if declared := _DECLARED_ENCODING.search(body[:400]):
        named.append(declared[1].decode("ascii"))
    for name in (*named, "utf-8"):
        if encoding := _ENCODINGS.get(name.lower()):
            try:
                return body.decode(encoding)
            except UnicodeDecodeError:
                continue
    return body.decode("cp1252", "replace")


def _read_xml(reply: HttpReply) -> etree._Element | None:
    """The root of an answer, or None when it is not XML (HTML, cut off, nothing at all).

    A document type is refused before anything is parsed: without one there is no entity to expand and nothing to fetch.
    """
    if len(reply.body) > MAX_REPLY_BYTES:
        return None
    text = _decode(reply).lstrip("\ufeff \t\r\n\0")
    text = _DECLARATION.sub("", text, count=1) if text.startswith("<?xml") else text
    if "<!DOCTYPE" in text:
        return None
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, recover=False
    )
    try:
        return etree.fromstring(text.strip().encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None


def _named(root: etree._Element, name: str) -> list[etree._Element]:
    """All elements of this local name, the root included, in document order."""
    return [element for element in root.iter(f"{{*}}{name}") if isinstance(element.tag, str)]


def _text(root: etree._Element, name: str, *, under: str | None = None) -> str:
    """The text of the first such element, or of the first child of an `under`: no comments, no blanks around."""
    scopes = [root] if under is None else _named(root, under)
    for scope in scopes:
        found = _named(scope, name) if under is None else scope.findall(f"{{*}}{name}")
        for element in found:
            return str(element.xpath("string()")).strip()
    return ""


def _raise_refusal(root: etree._Element, status: int, hide: tuple[str, ...], *, negative_is_token: bool = True) -> None:
    """Raise the refusal that this document is, if it is one, in the formats of either step."""
    if _named(root, "code") or _named(root, "error"):
        code = _words(_text(root, "code"), hide)[:_MAX_CODE_CHARS]
        detail = _words(_text(root, "detail"), hide)
        if code not in REFUSALS and negative_is_token and (status in (401, 403) or re.fullmatch(r"-[0-9]{1,9}", code)):
            raise TokenRefused(code or None, detail or f"HTTP {status}", service=SERVICE)
        url = _text(root, "url")
        raise _refused(
            REFUSALS.get(code, UNKNOWN),
            detail,
            code=code or UNKNOWN.code,
            url=url if 0 < len(url) <= _MAX_URL_CHARS else None,
        )
    if etree.QName(root).localname == "mum":
        message = _words(_text(root, "message"), hide)
        raise _refused(classify_message(message), message or f"HTTP {status} without a message")


def _refused(refusal: Refusal, detail: str, *, code: str | None = None, url: str | None = None) -> StorageRefused:
    return StorageRefused(code or refusal.code, detail, url=url, retryable=refusal.retries > 0)


def _words(text: str, hide: Iterable[str]) -> str:
    """A text of theirs as it may be shown: one line, bounded, without what we must not repeat."""
    for secret in hide:
        for form in (secret, quote(secret, safe="")):
            if form:
                text = text.replace(form, "***")
    cleaned = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(cleaned.split())[:_MAX_DETAIL_CHARS]


def _succeeded(reply: HttpReply) -> bool:
    return 200 <= reply.status < 300


def _raise_status(reply: HttpReply) -> NoReturn:
    """An answer that speaks by its status alone."""
    message = f"The storage answered HTTP {reply.status}."
    if reply.status >= 500 or reply.status == 429:
        raise RemoteUnavailable(message, service=SERVICE, wait_s=retry_after_s(reply.headers))
    raise RemoteRefused(message, service=SERVICE)


def _garbage(reply: HttpReply, fault: str) -> RemoteGarbage:
    return RemoteGarbage(
        f"The storage's answer {fault} (HTTP {reply.status}, {len(reply.body)} bytes).", service=SERVICE
    )
