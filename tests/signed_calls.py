"""Calls as a container signs them, made by oauthlib, with the keys by which our verifier knows them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from oauthlib import common
from oauthlib.oauth1 import SIGNATURE_RSA, SIGNATURE_TYPE_QUERY, Client

from homeserver.errors import SignatureRefused
from homeserver.model import HttpRequest
from homeserver.protocol import oauth1
from homeserver.protocol.oauth1 import TrustedSigner, Verified

NOW_S = 1_225_391_402
PUBLIC_URL = "https://games.example.org"
APP_URL = "https://games.example.org/gadget.xml"
KEY = "orkut.com:623061448914"
SECRET = "uynAeXiWTisflWX99KU1D2q5"
KEY_NAME = "pub.1199819524.-1556113204990931254.cer"
FORM = "application/x-www-form-urlencoded"
OWNER, VIEWER = "15913663323317925521", "07365476160138082838"
IDENTITY = [
    ("opensocial_owner_id", OWNER),
    ("opensocial_viewer_id", VIEWER),
    ("opensocial_app_id", "app-7"),
    ("opensocial_app_url", APP_URL),
]

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
RSA_PEM = RSA_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)

BY_SECRET = TrustedSigner.from_secret(KEY, SECRET, container="orkut")
BY_KEY = TrustedSigner.from_key("orkut.com", PUBLIC_PEM, container="orkut", key_name=KEY_NAME)


sign: Any = Client.sign  # its stubs know neither all methods nor what it returns
Request: Any = common.Request


def container_signed(
    path: str = "/gadget/session",
    pairs: list[tuple[str, str]] | None = None,
    *,
    method: str = "GET",
    body: str | None = None,
    content_type: str | None = None,
    rsa_key: str | None = None,
    consumer_key: str = KEY,
    secret: str = SECRET,
    timestamp_s: int = NOW_S,
    nonce: str = "8472398472",
    public_url: str = PUBLIC_URL,
) -> HttpRequest:
    """A request as a container sends it, signed by oauthlib, which adds `oauth_body_hash` to a body that is no form."""
    client = Client(
        consumer_key,
        client_secret=None if rsa_key else secret,
        rsa_key=rsa_key,
        signature_method=SIGNATURE_RSA if rsa_key else "HMAC-SHA1",
        signature_type=SIGNATURE_TYPE_QUERY,
        timestamp=str(timestamp_s),
        nonce=nonce,
    )
    headers = {"Content-Type": content_type} if content_type else {}
    query = urlencode(IDENTITY if pairs is None else pairs)
    url, _, sent = sign(client, f"{public_url}{path}?{query}", method, body, headers)
    return HttpRequest(
        method,
        url.removeprefix(public_url),
        {name.lower(): value for name, value in headers.items()},
        (sent or "").encode() if content_type else b"",
    )


def verify(request: HttpRequest, *, now_s: float = NOW_S, allow_missing_body_hash: bool = False) -> Verified:
    return oauth1.verify(
        request,
        public_url=PUBLIC_URL,
        signers=[BY_SECRET, BY_KEY],
        now_s=now_s,
        allow_missing_body_hash=allow_missing_body_hash,
    )


def step_of(request: HttpRequest, *, now_s: float = NOW_S) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verify(request, now_s=now_s)
    return refused.value.step
