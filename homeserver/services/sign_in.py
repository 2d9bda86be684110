"""Signing in to the storage by SAML 2.0 Web SSO, seen from a browser session.

The answer is posted by another site's page, so the browser leaves our cookie at home. It is verified all the same, its
result kept, sealed, under a ticket that is good once and for a minute, and the browser sent to a page of ours with it.
There the cookie comes, and only there is the answer held against the request that this very browser carried away:
whoever plants an answer of theirs in somebody else's browser gets no further.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from homeserver.errors import BadInput, NotSignedIn, SealBroken, SignInRefused
from homeserver.model import NowMs, StorageIdentity
from homeserver.protocol import saml, saml_metadata
from homeserver.protocol.saml import Rules, SignedIn
from homeserver.protocol.saml_metadata import IdentityProvider, ServiceProvider
from homeserver.services.secret_box import SecretBox
from homeserver.storage import sign_ins
from homeserver.storage.database import Database, Transaction
from homeserver.storage.sessions import new_secret, secret_hash

TICKET_MS: Final = 60_000
UNNAMED: Final = "Orange"
"""Shown for somebody whose name the answer does not say."""

_MAX_TOKEN_CHARS: Final = 8_192
_MAX_NAME_CHARS: Final = 200


class SignIn(Protocol):
    """A way to learn who somebody is at the storage, with a token for it."""

    def start(self, state: str) -> str:
        """The address to send the browser to.

        Args:
            state: Random, url-safe and new for each attempt; the caller keeps it with the browser's own session.
        """

    async def finish(self, answer: Mapping[str, str], state: str) -> StorageIdentity:
        """Read what the browser brought back: `answer` holds the query's parameters.

        Raises:
            BadInput: It does not belong to `state`: another browser's, or an old one. Nobody is signed in.
            NotSignedIn: The person did not sign in, or took too long.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """What this site asks for, and where in an answer it stands."""

    parameters: Mapping[str, str]
    """Sent along with every request."""
    token_attribute: str
    name_attribute: str


class SamlSignIn:
    """The storage's sign-in."""

    def __init__(
        self,
        database: Database,
        provider: IdentityProvider,
        service: ServiceProvider,
        wanted: Wanted,
        *,
        rules: Rules,
        secret_box: SecretBox,
        now_ms: NowMs,
    ) -> None:
        self._database = database
        self._provider = provider
        self._service = service
        self._wanted = wanted
        self._rules = rules
        self._box = secret_box
        self._now_ms = now_ms

    @property
    def metadata(self) -> bytes:
        """Our own description, for those who run the identity provider."""
        return saml_metadata.metadata(self._service)

    def start(self, state: str) -> str:
        """A request that names the state: what answers it, says so (`InResponseTo`)."""
        return saml.request_url(
            self._provider,
            self._service,
            request_id=_request_id(state),
            now_ms=self._now_ms(),
            extra=self._wanted.parameters,
        )

    async def receive(self, form: Mapping[str, str]) -> str:
        """Take in an answer, whichever browser brings it.

        Returns:
            A ticket for `finish`: good once, for a minute.

        Raises:
            SignInRefused: The answer is not believed, or was used before.
        """
        now_ms = self._now_ms()
        said = await asyncio.to_thread(
            saml.read_answer, form, self._provider, self._service, now_ms=now_ms, rules=self._rules
        )
        identity = self._identity(said)
        answer_hash = hashlib.sha256(f"{self._provider.entity_id}\0{said.assertion_id}".encode()).hexdigest()
        ticket = new_secret()
        result = {"request": said.request_id, "user": identity.user, "name": identity.name, "token": identity.token}
        sealed = self._box.seal(orjson.dumps(result).decode(), bound_to=secret_hash(ticket))

        async def work(tx: Transaction) -> bool:
            if not await sign_ins.use_answer(tx, answer_hash, said.remembered_until_ms):
                return False
            await sign_ins.add_ticket(tx, secret_hash(ticket), sealed, now_ms + TICKET_MS)
            return True

        if not await self._database.write(work):
            raise SignInRefused("replayed", "this answer was used before")
        return ticket

    async def finish(self, answer: Mapping[str, str], state: str) -> StorageIdentity:
        """Use the ticket up, if this browser asked for what lies under it. Raises as in `SignIn.finish`."""
        token_hash = secret_hash(answer.get("ticket", ""))
        now_ms = self._now_ms()
        sealed = await self._database.write(lambda tx: sign_ins.take_ticket(tx, token_hash, now_ms))
        if sealed is None:
            raise NotSignedIn("The sign-in took too long, or was used already. Sign in again.")
        try:
            result = orjson.loads(self._box.open(sealed, bound_to=token_hash))
        except SealBroken:
            raise NotSignedIn("Sign in again.") from None
        if not state or not hmac.compare_digest(result["request"].encode(), _request_id(state).encode()):
            raise BadInput("This sign-in was not begun here, or another one was begun since.", field="state")
        return StorageIdentity(user=result["user"], name=result["name"], token=result["token"])

    def _identity(self, said: SignedIn) -> StorageIdentity:
        tokens = said.attributes.get(self._wanted.token_attribute, ())
        if len(tokens) != 1 or not tokens[0].isprintable() or not 0 < len(tokens[0]) <= _MAX_TOKEN_CHARS:
            raise SignInRefused(
                "token",
                f"not exactly one usable {self._wanted.token_attribute}: does sign_in.parameters ask for the token?",
            )
        names = said.attributes.get(self._wanted.name_attribute, ())
        name = names[0].strip() if names else ""
        usable = name.isprintable() and 0 < len(name) <= _MAX_NAME_CHARS
        return StorageIdentity(user=said.name_id, name=name if usable else UNNAMED, token=tokens[0])


def _request_id(state: str) -> str:
    """An ID that XML admits: it begins with no digit and no hyphen."""
    return f"_{state}"
