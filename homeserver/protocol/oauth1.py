"""OAuth 1.0 without tokens ("two-legged"): signing what we send, verifying what a container sends.

Source: RFC 5849; `oauth_body_hash` from the OAuth Request Body Hash draft; the `opensocial_*` and `xoauth_*` parameters
from OpenSocial's gadgets.io. oauthlib is the reference: tests hold that every signature here is byte for byte the one
that it makes. (One difference is deliberate. oauthlib unescapes the values of `oauth_` parameters twice, so the two
disagree about a consumer key or nonce that contains a percent sign.)

No clock and no randomness: time and nonce are arguments. Whether a nonce was seen before is for the caller to find out,
after the signature holds, so that junk cannot fill the store.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1

from homeserver.errors import SignatureRefused
from homeserver.model import HttpRequest, SignedCall
from homeserver.protocol.trusted_signers import SignatureMethod, TrustedSigner

__all__ = [
    "Credentials",
    "MalformedParameters",
    "SignatureMethod",
    "TrustedSigner",
    "Verified",
    "base_string",
    "base_string_uri",
    "body_hash",
    "escape",
    "normalise",
    "parse_parameters",
    "require_app",
    "signed_url",
    "verify",
]

Pairs = Sequence[tuple[str, str]]
"""Decoded parameters, in the order in which they came, repeated ones included."""

MAX_PARAMETERS: Final = 1000

_RESERVED: Final = ("oauth_", "xoauth_", "opensocial_")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_NONCE: Final = re.compile(r"[!-~]{1,255}")  # it is stored
_ESCAPES: Final = {code: quote(chr(code), safe="~") for code in range(128)}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


# --- the base string ------------------------------------------------------------------------------------------------


class MalformedParameters(ValueError):
    """A query or form that has no single reading: an escape that is none, bytes that are not UTF-8, too many parts."""


def escape(text: str) -> str:
    """Percent-encode as RFC 5849, 3.6, wants it: everything but letters, digits, `-`, `.`, `_` and `~`."""
    if _UNRESERVED.fullmatch(text):  # most need nothing, and are known faster
        return text
    return text.translate(_ESCAPES) if text.isascii() else quote(text, safe="~")


def parse_parameters(text: str) -> list[tuple[str, str]]:
    """Decode a query or a form once. `a` is `a=`; empty parts are skipped; a plus sign is a blank.

    Raises:
        MalformedParameters: Where decoders differ about the meaning, a signature would cover two of them.
    """
    if not text:
        return []
    if text.count("&") >= MAX_PARAMETERS:
        raise MalformedParameters(f"more than {MAX_PARAMETERS} parameters")
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(text: str) -> str:
    if text.isascii() and "%" not in text:
        return text.replace("+", " ")
    if _BAD_ESCAPE.search(text):
        raise MalformedParameters("a percent sign that begins no escape")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeError as error:
        raise MalformedParameters("a parameter that is not UTF-8") from error


def normalise(parameters: Iterable[tuple[str, str]]) -> str:
    """RFC 5849, 3.4.1.3.2: encoded, sorted by name and then value, joined. The signature itself is no part of it."""
    return "&".join([f"{name}={value}" for name, value in sorted([(escape(n), escape(v)) for n, v in parameters])])


def base_string(method: str, base_uri: str, parameters: Iterable[tuple[str, str]]) -> str:
    """RFC 5849, 3.4.1.1: what is signed. `base_uri` is as `base_string_uri` gives it."""
    # Of all characters that need it, what is encoded already has these three; so this is `escape`, only faster.
    normalised = normalise(parameters).replace("%", "%25").replace("&", "%26").replace("=", "%3D")
    return f"{escape(method.upper())}&{escape(base_uri)}&{normalised}"


def base_string_uri(url: str) -> str:
    """RFC 5849, 3.4.1.2: an absolute URL without query, its scheme and host in lower case, without a default port.

    The path stays as it travels: a percent-escape is part of what was signed.
    """
    scheme, separator, rest = url.partition("?")[0].partition("://")
    if not separator:
        raise ValueError("not an absolute URL")
    authority, slash, path = rest.partition("/")
    return f"{_origin(scheme, authority)}/{path if slash else ''}"


@lru_cache(maxsize=64)
def _origin(scheme: str, authority: str) -> str:
    parts = urlsplit(f"{scheme}://{authority}")
    host, port = parts.hostname, parts.port
    if not host:
        raise ValueError("a URL without a host")
    if ":" in host:
        host = f"[{IPv6Address(host)}]"
    default = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" if default else f"{parts.scheme}://{host}:{port}"


@lru_cache(maxsize=8)
def _keyed(consumer_secret: str) -> hmac.HMAC:
    # Without a token its secret is empty, and the ampersand stays (RFC 5849, 3.4.2).
    return hmac.new(f"{escape(consumer_secret)}&".encode(), digestmod="sha1")


def _hmac_sha1(base: str, consumer_secret: str) -> bytes:
    # A copy of what knows the key already. Unlike `hmac.digest` it keeps the interpreter to itself, which other threads
    # would take for as long as they like.
    keyed = _keyed(consumer_secret).copy()
    keyed.update(base.encode())
    return keyed.digest()


def body_hash(body: bytes) -> str:
    """The value of `oauth_body_hash`: SHA-1 of the body, in base64."""
    return b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()


# --- signing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the container gave our application: the key is public, the secret is not, and `repr` hides it."""

    consumer_key: str
    consumer_secret: str = field(repr=False)


def signed_url(
    method: str,
    url: str,
    credentials: Credentials,
    *,
    timestamp_s: int,
    nonce: str,
    requestor_id: str | None = None,
    body_hash: str | None = None,
) -> str:
    """The URL with the OAuth parameters and an HMAC-SHA1 signature appended to its query.

    Args:
        url: Absolute and percent-encoded, as it will travel; what it holds already is signed and kept as it is.
        timestamp_s: Seconds since the epoch, by the container's clock.
        nonce: Never used before with this timestamp.
        requestor_id: The person on whose behalf this is asked (`xoauth_requestor_id`).
        body_hash: As `body_hash()` gives it, for a body that is not a form, where the container wants it.

    Raises:
        ValueError: The URL cannot be signed.
    """
    query = url.partition("?")[2]
    added = [
        ("oauth_consumer_key", credentials.consumer_key),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", str(timestamp_s)),
        ("oauth_version", "1.0"),
    ]
    if requestor_id is not None:
        added.append(("xoauth_requestor_id", requestor_id))
    if body_hash is not None:
        added.append(("oauth_body_hash", body_hash))
    base = base_string(method, base_string_uri(url), [*parse_parameters(query), *added])
    added.append(("oauth_signature", b64encode(_hmac_sha1(base, credentials.consumer_secret)).decode()))
    separator = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{separator}{'&'.join([f'{name}={escape(value)}' for name, value in added])}"


# --- verifying ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """A call whose signature holds. Its nonce is still to be stored, and refused when it was there already."""

    signer: TrustedSigner
    call: SignedCall
    consumer_key: str
    timestamp_s: int
    nonce: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    """Everything signed, decoded: the query's, then the form's."""

    def values(self, name: str) -> list[str]:
        """All values of a parameter that may repeat, such as a lifecycle call's `id`."""
        return [value for key, value in self.parameters if key == name]


def verify(
    request: HttpRequest,
    *,
    public_url: str,
    signers: Iterable[TrustedSigner],
    now_s: float,
    window_s: int = 300,
    allow_missing_body_hash: bool = False,
) -> Verified:
    """Check a call that a container signed for the gadget, except for two things that are the caller's.

    The caller stores the nonce, and asks `require_app` whether the call comes from our own application: a container
    signs for every gadget with one key.

    Args:
        public_url: Where the world reaches us, such as `https://games.example.org`. What the request says of its host
            is never believed. A path in it is put before the request's: the proxy has taken it away.
        signers: All whom we trust.
        window_s: How far the timestamp may lie from `now_s`, either way.
        allow_missing_body_hash: Accept a body that the signature does not cover. Only for containers that cannot.

    Raises:
        SignatureRefused: `step` says why.
    """
    path, _, raw_query = request.target.partition("?")
    if not path.startswith("/") or not request.target.isascii():
        raise SignatureRefused("target that is no path")
    query = _parse(raw_query)
    named = _reserved(query)
    consumer_key, nonce, timestamp_s, signature = _required(named)
    if named.get("oauth_version", "1.0") != "1.0":
        raise SignatureRefused("unknown oauth_version")
    candidates = _candidates(signers, named, consumer_key)
    late_s = now_s - timestamp_s
    if abs(late_s) > window_s:
        raise SignatureRefused(f"{'stale' if late_s > 0 else 'ahead'} by {abs(late_s):.0f} s")

    form = _signed_form(request, named, allow_missing_body_hash=allow_missing_body_hash)
    base = base_string(
        request.method,
        base_string_uri(public_url.rstrip("/") + path),
        [(name, value) for name, value in (*query, *form) if name != "oauth_signature"],
    )
    for signer in candidates:
        if _matches(signer, base, signature):
            break
    else:
        raise SignatureRefused("wrong signature")
    return Verified(signer, _call(signer, named), consumer_key, timestamp_s, nonce, (*query, *form))


def require_app(call: SignedCall, app_url: str, app_id: str | None = None, *, own_app_only: bool = False) -> None:
    """Refuse a call of another application: the right signature of another gadget proves nothing for ours.

    Args:
        app_url: The address of our gadget specification, as the container knows it.
        app_id: What the container calls our application, where that is known.
        own_app_only: The signer's: its key signs for us alone, so a call that names no application (lifecycle) is ours.

    Raises:
        SignatureRefused: "another application", or "no application named".
    """
    if call.app_url is None and call.app_id is None:
        if not own_app_only:
            raise SignatureRefused("no application named")
    elif not ((call.app_url and call.app_url == app_url) or (call.app_id and call.app_id == app_id)):
        raise SignatureRefused("another application")


def _parse(text: str | bytes) -> list[tuple[str, str]]:
    try:
        return parse_parameters(text if isinstance(text, str) else text.decode())
    except UnicodeError as error:
        raise SignatureRefused("form that is not UTF-8") from error
    except MalformedParameters as error:
        raise SignatureRefused(str(error)) from error


def _reserved(pairs: Pairs) -> dict[str, str]:
    """The protocol's own parameters by name. One that repeats is refused: which of the two would be meant?"""
    named: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(_RESERVED):
            if name in named:
                raise SignatureRefused(f"repeated parameter {_printable(name)}")
            named[name] = value
    return named


def _required(named: dict[str, str]) -> tuple[str, str, int, bytes]:
    for name in ("consumer_key", "signature_method", "timestamp", "nonce", "signature"):
        if not named.get(f"oauth_{name}"):
            raise SignatureRefused(f"missing parameter oauth_{name}")
    if not _TIMESTAMP.fullmatch(named["oauth_timestamp"]):
        raise SignatureRefused("unreadable oauth_timestamp")
    if not _NONCE.fullmatch(named["oauth_nonce"]):
        raise SignatureRefused("unreadable oauth_nonce")
    signature = _decode_base64(named["oauth_signature"], "oauth_signature")
    return named["oauth_consumer_key"], named["oauth_nonce"], int(named["oauth_timestamp"]), signature


def _candidates(signers: Iterable[TrustedSigner], named: dict[str, str], consumer_key: str) -> list[TrustedSigner]:
    """The signers that this call may come from. Several only where one key replaces another without a name."""
    known = [signer for signer in signers if signer.consumer_key == consumer_key]
    if not known:
        raise SignatureRefused("unknown key")
    fitting = [signer for signer in known if signer.method == named["oauth_signature_method"]]
    if not fitting:
        raise SignatureRefused("signature method that is not this key's")
    # Two names for one thing: OpenSocial 0.8 called it xoauth_signature_publickey, 0.9 xoauth_public_key.
    names = {named[name] for name in ("xoauth_signature_publickey", "xoauth_public_key") if named.get(name)}
    if len(names) > 1:
        raise SignatureRefused("two key names")
    fitting = [signer for signer in fitting if signer.key_name is None or {signer.key_name} == names]
    if not fitting:
        raise SignatureRefused("unknown key name")
    return fitting


def _signed_form(
    request: HttpRequest, named: dict[str, str], *, allow_missing_body_hash: bool
) -> list[tuple[str, str]]:
    """The parameters of a form body; for any other body, proof that the signature covers it."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given_hash = named.get("oauth_body_hash")
    if media_type == "application/x-www-form-urlencoded":
        if given_hash is not None and request.body:
            raise SignatureRefused("oauth_body_hash beside a form")
        form = _parse(request.body)
        for name in _reserved(form):
            if name in named:
                raise SignatureRefused(f"parameter {_printable(name)} in query and body")
    else:
        form = []
        if given_hash is None and request.body and not allow_missing_body_hash:
            raise SignatureRefused("body without oauth_body_hash")
    # A container hashes nothing too: Shindig's signed GET carries the hash of an empty body.
    if given_hash is not None:
        digest = hashlib.sha1(request.body, usedforsecurity=False).digest()
        if not hmac.compare_digest(digest, _decode_base64(given_hash, "oauth_body_hash")):
            raise SignatureRefused("wrong oauth_body_hash")
    return form


def _matches(signer: TrustedSigner, base: str, signature: bytes) -> bool:
    if signer.secret is not None:
        return hmac.compare_digest(_hmac_sha1(base, signer.secret), signature)
    if signer.public_key is None:  # excluded by __post_init__
        return False
    try:
        signer.public_key.verify(signature, base.encode(), PKCS1v15(), SHA1())  # noqa: S303 - the protocol's own hash
    except InvalidSignature:
        return False
    return True


def _call(signer: TrustedSigner, named: dict[str, str]) -> SignedCall:
    return SignedCall(
        container=signer.container,
        owner_id=named.get("opensocial_owner_id") or None,
        viewer_id=named.get("opensocial_viewer_id") or None,
        app_url=named.get("opensocial_app_url") or None,
        app_id=named.get("opensocial_app_id") or None,
    )


def _decode_base64(text: str, name: str) -> bytes:
    """Strictly: only the one spelling that the encoder gives, else a changed character could mean the same bytes."""
    try:
        content = b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise SignatureRefused(f"unreadable {name}") from error
    if b64encode(content).decode() != text:
        raise SignatureRefused(f"unreadable {name}")
    return content


def _printable(name: str) -> str:
    """A name that somebody unknown chose, fit for a log line."""
    return ascii(name[:40])[1:-1]
