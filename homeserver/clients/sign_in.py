"""Signing in to the storage, seen from a browser session: send the browser away, and read what it comes back with.

The sandbox's sign-in is the implementation here. The storage's real one is SAML 2.0 Web SSO, which has the same two
halves: an address to send the browser to, and parameters that it brings back.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlencode

import orjson
from aiohttp import ClientSession

from homeserver.clients.transport import exchange
from homeserver.errors import BadInput, NotSignedIn, RemoteGarbage, RemoteUnauthorized, RemoteUnavailable
from homeserver.model import HttpReply, StorageIdentity

SERVICE: Final = "sign-in"

_LIMIT_BYTES: Final = 64 * 1024
_MAX_CODE_CHARS: Final = 2048
_MAX_TEXT_CHARS: Final = {"user": 200, "name": 200, "token": 8192}


class SignIn(Protocol):
    """A way to learn who somebody is at the storage, with a token for it."""

    def start(self, return_url: str, state: str) -> str:
        """The address to send the browser to.

        Args:
            return_url: Where the browser comes back to, absolute.
            state: Random, url-safe and new for each attempt; the caller keeps it with the browser's own session.
        """

    async def finish(self, answer: Mapping[str, str], state: str) -> StorageIdentity:
        """Read what the browser brought back: `answer` holds the query's or the form's parameters.

        Raises:
            BadInput: It does not belong to `state`: another browser's, or an old one. Nobody is signed in.
            NotSignedIn: The person did not sign in, or took too long.
            RemoteError: The sign-in service failed.
        """


class SandboxSignIn:
    """The sign-in page of the sandbox: it comes back with a code, good once and for a minute, that is redeemed here."""

    def __init__(self, session: ClientSession, sign_in_url: str, service_id: str, service_password: str) -> None:
        self._session = session
        self._sign_in_url = sign_in_url
        pair = base64.b64encode(f"{service_id}:{service_password}".encode()).decode("ascii")
        self._headers: Mapping[str, str] = {
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def start(self, return_url: str, state: str) -> str:
        """The sign-in page's address."""
        return f"{self._sign_in_url}?{urlencode({'return': return_url, 'state': state})}"

    async def finish(self, answer: Mapping[str, str], state: str) -> StorageIdentity:
        """Redeem the code. Raises as in `SignIn.finish`."""
        if not state or not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
            raise BadInput("This sign-in was not begun here, or another one was begun since.", field="state")
        code = answer.get("code", "")
        if not code or len(code) > _MAX_CODE_CHARS:
            raise NotSignedIn("Nobody signed in at the storage.")
        reply = await exchange(
            self._session,
            "POST",
            f"{self._sign_in_url}/redeem",
            service=SERVICE,
            headers=self._headers,
            body=urlencode({"code": code}).encode(),
            limit_bytes=_LIMIT_BYTES,
        )
        return _read_identity(reply)


def _read_identity(reply: HttpReply) -> StorageIdentity:
    """Read the answer to a redeemed code. Nothing of it goes into an error: it holds a token."""
    match reply.status:
        case 200:
            pass
        case 400:
            raise NotSignedIn("The sign-in took too long, or was used already. Sign in again.")
        case 401 | 403:
            raise RemoteUnauthorized("the sign-in service refuses this site's id and password", service=SERVICE)
        case status if status >= 500:
            raise RemoteUnavailable(f"the sign-in service answered HTTP {status}", service=SERVICE)
        case status:
            raise RemoteGarbage(f"the sign-in service answered HTTP {status}", service=SERVICE)
    try:
        fields = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise RemoteGarbage("the sign-in service's answer is not JSON", service=SERVICE) from None
    if not isinstance(fields, dict) or not all(_is_text(fields, name) for name in _MAX_TEXT_CHARS):
        raise RemoteGarbage("the sign-in service's answer names nobody", service=SERVICE)
    return StorageIdentity(user=fields["user"], name=fields["name"], token=fields["token"])


def _is_text(fields: dict[str, object], name: str) -> bool:
    value = fields.get(name)
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_TEXT_CHARS[name]
