"""Signing what we send and verifying what a container sends, beside oauthlib doing the same.

Both sign with a nonce and a timestamp of their own for each call. Both verify whole calls with identity parameters,
look at the timestamp, and use each nonce up in memory. (Ours keeps them in the database; that is not measured here.)
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from oauthlib.oauth1 import SIGNATURE_TYPE_QUERY, Client, RequestValidator, SignatureOnlyEndpoint

from benchmarks.report import Figure, Pass, side_by_side
from homeserver.clients.transport import Signer
from homeserver.model import HttpRequest
from homeserver.protocol.oauth1 import (
    Credentials,
    TrustedSigner,
    base_string,
    base_string_uri,
    escape,
    parse_parameters,
    signed_url,
    verify,
)

KEY: Final = "orkut.com:623061448914"
SECRET: Final = "a-consumer-secret-of-24-c"
DOMAIN: Final = "orkut.com"
PUBLIC_URL: Final = "https://games.example.org"
BASE: Final = "http://www.orkut.com/social/rest"
ELIZABETH, JANE, LYDIA = "15913663323317925521", "10459228050876679741", "07365476160138082838"
PEOPLE_FIELDS: Final = "fields=id%2Cname%2CdisplayName%2CthumbnailUrl%2Cphotos%2ChasApp"
SECOND_PAGE: Final = "count=100&startIndex=100&filterBy=hasApp&filterOp=equals&filterValue=true"
TO_SIGN: Final = (
    f"{BASE}/people/{ELIZABETH}/@self?{PEOPLE_FIELDS}",
    f"{BASE}/people/{JANE}/@friends?{SECOND_PAGE}&{PEOPLE_FIELDS}",
    f"{BASE}/appdata/{LYDIA}/@friends/@app?fields=letters%2Cbest_time",
    f"{BASE}/appdata/{ELIZABETH}/@self/@app",
)
SIGN_TARGET: Final = 0.25
VERIFY_TARGET: Final = 0.5


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, each beside its reference."""
    rounds = 3 if quick else 31
    yield from _signing(rounds, 20 if quick else 200)
    yield from _verifying("oauth.verify.hmac", rounds, _by_secret(), 50 if quick else 400)
    yield from _verifying("oauth.verify.rsa", rounds, _by_key(), 50 if quick else 400)


def _signing(rounds: int, repeats: int) -> Iterator[Figure]:
    signer = Signer(Credentials(KEY, SECRET), now_ms=lambda: time.time_ns() // 1_000_000)
    client: Any = Client(KEY, SECRET, signature_type=SIGNATURE_TYPE_QUERY)
    urls = [(url, f"{url}{'&' if '?' in url else '?'}xoauth_requestor_id={ELIZABETH}") for url in TO_SIGN] * repeats

    def ours() -> None:
        for url, _ in urls:
            signer.sign("GET", url, requestor_id=ELIZABETH)

    def theirs() -> None:
        for _, url in urls:
            client.sign(url)

    yield from side_by_side(
        "oauth.sign", Pass(ours, len(urls)), Pass(theirs, len(urls)), rounds=rounds, target=SIGN_TARGET
    )


# --- verifying ------------------------------------------------------------------------------------------------------

Sign = Callable[[str, int, str], str]
"""From a URL, a timestamp and a nonce to the signed URL."""


class Validator(RequestValidator):
    """What oauthlib asks about a consumer; nonces are kept in memory, as for ours."""

    enforce_ssl = False
    client_key_length = (1, 100)
    nonce_length = (1, 100)
    timestamp_lifetime = 300

    def __init__(self, rsa_key: str = "") -> None:
        super().__init__()
        self.seen: set[tuple[str, str, str]] = set()
        self._rsa_key = rsa_key

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        return ("HMAC-SHA1", "RSA-SHA1")

    @property
    def safe_characters(self) -> set[str]:
        return {*super().safe_characters, ".", ":"}

    def validate_client_key(self, client_key: str, request: object) -> bool:
        del request
        return client_key in {KEY, DOMAIN}

    def get_client_secret(self, client_key: str, request: object) -> str:
        del client_key, request
        return SECRET

    def get_rsa_key(self, client_key: str, request: object) -> str:
        del client_key, request
        return self._rsa_key

    def validate_timestamp_and_nonce(  # noqa: PLR0917 - called so
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: object,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        del request, request_token, access_token
        use = (client_key, timestamp, nonce)
        new = use not in self.seen
        self.seen.add(use)
        return new


def _by_secret() -> tuple[TrustedSigner, Validator, Sign]:
    def sign(url: str, timestamp_s: int, nonce: str) -> str:
        return signed_url("GET", url, Credentials(KEY, SECRET), timestamp_s=timestamp_s, nonce=nonce)

    return TrustedSigner.from_secret(KEY, SECRET, container="orkut"), Validator(), sign


def _by_key() -> tuple[TrustedSigner, Validator, Sign]:
    key = generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return TrustedSigner.from_key(DOMAIN, public, container="orkut"), Validator(public), _rsa_signed(key)


def _rsa_signed(key: RSAPrivateKey) -> Sign:
    def sign(url: str, timestamp_s: int, nonce: str) -> str:
        named = {"consumer_key": DOMAIN, "nonce": nonce, "signature_method": "RSA-SHA1", "version": "1.0"}
        added = urlencode({f"oauth_{name}": text for name, text in (*named.items(), ("timestamp", str(timestamp_s)))})
        base = base_string("GET", base_string_uri(url), parse_parameters(f"{url.partition('?')[2]}&{added}"))
        signature = key.sign(base.encode(), PKCS1v15(), SHA1())
        return f"{url}&{added}&oauth_signature={escape(b64encode(signature).decode())}"

    return sign


def _verifying(name: str, rounds: int, parties: tuple[TrustedSigner, Validator, Sign], calls: int) -> Iterator[Figure]:
    signer, validator, sign = parties
    urls = _signed_calls(sign, calls)
    requests = [HttpRequest("GET", url.removeprefix(PUBLIC_URL), {}) for url in urls]
    endpoint: Any = SignatureOnlyEndpoint(validator)
    seen: set[tuple[str, int, str]] = set()

    def ours() -> None:
        for request in requests:
            verified = verify(request, public_url=PUBLIC_URL, signers=(signer,), now_s=time.time())
            use = (verified.consumer_key, verified.timestamp_s, verified.nonce)
            if use in seen:
                raise AssertionError("seen before")
            seen.add(use)

    def theirs() -> None:
        for url in urls:
            valid, _ = endpoint.validate_request(url, "GET")
            if not valid:
                raise AssertionError("oauthlib refuses it")

    yield from side_by_side(
        name,
        Pass(ours, calls, seen.clear),
        Pass(theirs, calls, validator.seen.clear),
        rounds=rounds,
        target=VERIFY_TARGET,
    )


def _signed_calls(sign: Sign, calls: int) -> Sequence[str]:
    """As containers make them: whose gadget it is, who looks at it, which application, and something of its own."""
    identity = urlencode(
        {
            "opensocial_owner_id": ELIZABETH,
            "opensocial_viewer_id": LYDIA,
            "opensocial_app_id": "623061448914",
            "opensocial_app_url": f"{PUBLIC_URL}/gadget.xml",
        }
    )
    now_s = int(time.time())
    return [
        sign(f"{PUBLIC_URL}/gadget/session?view=canvas&lang=pt-BR&{identity}", now_s, f"nonce{number:015}")
        for number in range(calls)
    ]
