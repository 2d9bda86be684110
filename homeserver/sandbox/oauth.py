"""The sandbox's own OAuth 1.0: it checks the home server's requests, and signs the container's.

Base strings and HMAC verification are oauthlib's, RSA is cryptography's. Sources: RFC 5849 section 3; the Remote API
guide ("Authenticating requests"); OpenSocial 0.8 `gadgets.io.makeRequest` for what a container adds; the OAuth request
body hash draft.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from oauthlib.common import Request
from oauthlib.oauth1.rfc5849 import signature as rfc5849

from homeserver.model import NowMs
from homeserver.sandbox.settings import SandboxSettings

HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE"]

FORM: Final = "application/x-www-form-urlencoded"
WINDOW_S: Final = 300
MAX_NONCES: Final = 100_000

_GUIDE_PARAMETERS: Final = (
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_version",
)
_RESERVED: Final = re.compile(r"oauth|xoauth|opensocial", re.ASCII | re.IGNORECASE)
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_QUERY_SAFE: Final = "%=&;:+~,*@!()/?'$-._"
"""The characters that oauthlib lets a query have."""


class OAuthRefused(Exception):
    """The request is not signed as it must be. `problem` is a word of the OAuth problem reporting extension."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


class ReservedParameter(Exception):
    """A gadget chose a parameter name that belongs to the container."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request to be verified. `url` has the scheme and Host as the client used them and the raw path; no query."""

    method: str
    url: str
    query: str
    """Raw: still percent-encoded."""
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class _Signed:
    """The part of oauthlib's Request that its verification reads."""

    uri: str
    http_method: str
    params: list[tuple[str, str]]
    signature: str


def body_hash(body: bytes) -> str:
    """`oauth_body_hash` of a body: base64 of its SHA-1."""
    return base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()


def media_type(content_type: str) -> str:
    """`Application/JSON; charset=utf-8` is `application/json`."""
    return content_type.partition(";")[0].strip().lower()


class Verifier:
    """Checks two-legged requests of one consumer: HMAC-SHA1, parameters in the query, each request once."""

    def __init__(self, *, consumer_key: str, consumer_secret: str, now_ms: NowMs) -> None:
        self._consumer_key = consumer_key
        self._consumer_secret = consumer_secret
        self._now_ms = now_ms
        self._seen: dict[tuple[int, str], None] = {}

    def verify(self, request: Incoming) -> str | None:
        """Whom the request is made for: `xoauth_requestor_id`, or None where it names nobody.

        Raises:
            OAuthRefused: Anything that makes the guide's container answer 401.
        """
        if request.headers.get("Authorization", "").lower().startswith("oauth"):
            raise OAuthRefused("parameter_rejected", "OAuth parameters belong in the query, not in a header")
        is_form = media_type(request.headers.get("Content-Type", "")) == FORM
        try:
            in_query = rfc5849.collect_parameters(request.query, exclude_oauth_signature=False)
            in_body = parse_qsl(request.body.decode(), keep_blank_values=True) if is_form else []
        except ValueError:
            raise OAuthRefused("parameter_rejected", "the query or form is not percent-encoded UTF-8") from None
        counts = Counter(name for name, _ in in_query + in_body if _RESERVED.match(name))
        if any(number > 1 for number in counts.values()) or any(_RESERVED.match(name) for name, _ in in_body):
            raise OAuthRefused("parameter_rejected", "an OAuth parameter is repeated, or stands in the body")
        oauth = {name: value for name, value in in_query if _RESERVED.match(name)}
        self._check_parameters(oauth)
        parameters = [pair for pair in in_query if pair[0] != "oauth_signature"] + in_body
        signed = _Signed(request.url, request.method, parameters, oauth["oauth_signature"])
        if not self._fits(signed):
            raise OAuthRefused("signature_invalid", "the signature does not fit the request")
        claimed = oauth.get("oauth_body_hash")
        if claimed is not None and (
            is_form or not hmac.compare_digest(claimed.encode(), body_hash(request.body).encode())
        ):
            raise OAuthRefused("body_hash_invalid", "oauth_body_hash does not fit the body")
        self._use_up(int(oauth["oauth_timestamp"]), oauth["oauth_nonce"])
        return oauth.get("xoauth_requestor_id")

    def _check_parameters(self, oauth: Mapping[str, str]) -> None:
        absent = [name for name in _GUIDE_PARAMETERS if not oauth.get(name)]
        if absent:
            raise OAuthRefused("parameter_absent", f"missing: {', '.join(absent)}")
        if oauth["oauth_version"] != "1.0":
            raise OAuthRefused("version_rejected", "oauth_version must be 1.0")
        if oauth["oauth_signature_method"] != "HMAC-SHA1":
            raise OAuthRefused("signature_method_rejected", "oauth_signature_method must be HMAC-SHA1")
        if oauth["oauth_consumer_key"] != self._consumer_key:
            raise OAuthRefused("consumer_key_unknown", "no OAuth secret is registered for this consumer key")
        if not re.fullmatch(r"[0-9]{1,12}", oauth["oauth_timestamp"], re.ASCII):
            raise OAuthRefused("timestamp_refused", "oauth_timestamp is not a number of seconds")
        if abs(self._now_ms() / 1000 - int(oauth["oauth_timestamp"])) > WINDOW_S:
            raise OAuthRefused("timestamp_refused", f"oauth_timestamp is more than {WINDOW_S} s from this clock")

    def _fits(self, signed: _Signed) -> bool:
        try:
            return rfc5849.verify_hmac_sha1(
                cast("Request", signed), client_secret=self._consumer_secret, resource_owner_secret=""
            )
        except ValueError:  # a Host header that no URL can have
            return False

    def _use_up(self, timestamp_s: int, nonce: str) -> None:
        """Only after the signature fits, so that strangers cannot fill the memory."""
        oldest_s = self._now_ms() / 1000 - WINDOW_S
        if (timestamp_s, nonce) in self._seen:
            raise OAuthRefused("nonce_used", "this request was made before")
        if len(self._seen) >= MAX_NONCES:
            self._seen = {key: None for key in self._seen if key[0] >= oldest_s}
            if len(self._seen) >= MAX_NONCES:
                raise OAuthRefused("nonce_used", "too many requests to remember")
        self._seen[timestamp_s, nonce] = None


class ContainerSigner:
    """Signs the requests that the container makes for a gadget, with its RSA key or with the application's secret."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings

    def sign(
        self,
        http_method: HttpMethod,
        url: str,
        *,
        owner: str | None,
        viewer: str | None,
        signature_method: str = "RSA-SHA1",
        body: bytes = b"",
        content_type: str = "",
        app_url: str | None = None,
        app_id: str | None = None,
    ) -> str:
        """The URL to call, signature and identity in its query; send it exactly as it is.

        `owner` and `viewer` are left out where None. `app_url` and `app_id` are those of the settings unless given.

        Raises:
            ReservedParameter: The URL or form body has a name that begins with oauth, xoauth or opensocial.
            ValueError: No http(s) URL, or another signature method.
        """
        settings = self._settings
        base_url, query = _split(url)
        is_form = media_type(content_type) == FORM
        chosen = rfc5849.collect_parameters(query)
        if is_form:
            chosen += parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        if any(_RESERVED.match(name) for name, _ in chosen):
            raise ReservedParameter("parameter names that begin with oauth, xoauth or opensocial are the container's")
        consumer = settings.container_domain if signature_method == "RSA-SHA1" else settings.consumer_key
        added = {
            "opensocial_owner_id": owner,
            "opensocial_viewer_id": viewer,
            "opensocial_app_id": settings.app_id if app_id is None else app_id,
            "opensocial_app_url": settings.gadget_url if app_url is None else app_url,
            "oauth_consumer_key": consumer,
            "xoauth_signature_publickey": settings.key_name,
            "xoauth_public_key": settings.key_name,
            "oauth_version": "1.0",
            "oauth_timestamp": str(settings.now_ms() // 1000),
            "oauth_nonce": str(secrets.randbits(63)),
            "oauth_signature_method": signature_method,
            "oauth_body_hash": None if is_form else body_hash(body),
        }
        pairs = [(name, value) for name, value in added.items() if value is not None]
        normalized = rfc5849.normalize_parameters(chosen + pairs)  # type: ignore[arg-type]  # the stub says dict
        base_string = rfc5849.signature_base_string(http_method, rfc5849.base_string_uri(base_url), normalized)
        pairs.append(("oauth_signature", self._signature(signature_method, base_string.encode())))
        ours = "&".join(f"{name}={quote(value, safe='~')}" for name, value in pairs)
        return f"{base_url}?{query}&{ours}" if query else f"{base_url}?{ours}"

    def _signature(self, signature_method: str, base_string: bytes) -> str:
        if signature_method == "RSA-SHA1":
            raw = self._settings.signing_key.sign(base_string, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
        elif signature_method == "HMAC-SHA1":
            key = quote(self._settings.consumer_secret, safe="~").encode() + b"&"
            raw = hmac.digest(key, base_string, "sha1")
        else:
            raise ValueError(f"{signature_method} is neither RSA-SHA1 nor HMAC-SHA1")
        return base64.b64encode(raw).decode()


def _split(url: str) -> tuple[str, str]:
    """The URL without query, and the query, both as they can travel; what is already percent-encoded stays as it is."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http(s) URL")
    path = quote(_BARE_PERCENT.sub("%25", parts.path), safe="%/:@!$&'()*+,;=~") or "/"
    query = quote(_BARE_PERCENT.sub("%25", parts.query), safe=_QUERY_SAFE)
    return f"{parts.scheme}://{parts.netloc}{path}", query


def make_certificate_pem(settings: SandboxSettings) -> str:
    """A self-signed certificate of the container's key, in PEM: what a home server is given to verify RSA-SHA1."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, settings.container_domain)])
    begins = datetime.fromtimestamp(settings.now_ms() / 1000, UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(settings.signing_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=3650))
        .sign(settings.signing_key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()
