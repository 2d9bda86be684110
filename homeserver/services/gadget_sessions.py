"""The way in for the gadget: a call that its container signed becomes a short-lived bearer token for its own requests.

Who somebody is comes from the signature alone; nothing that the gadget says of itself counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from homeserver.errors import BadInput, HomeServerError, NotSignedIn, SignatureRefused
from homeserver.model import GadgetSession, HttpRequest, NowMs, OpenedGadget, PlayerCard
from homeserver.protocol.oauth1 import TrustedSigner, Verified, require_app, verify
from homeserver.services.limits import GADGET_SESSIONS, refuse
from homeserver.storage import limits, nonces, people, sessions
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sessions import new_secret, secret_hash

LIFETIME_S: Final = 3600
ADDED: Final = "event.addapp"
REMOVED: Final = "event.removeapp"

_log = structlog.get_logger(__name__)
_MAX_CHECKED: Final = 10_000

_T = TypeVar("_T")

OnOpen = Callable[[int], Awaitable[object]]
"""Called with a player who is there just now, so that they are synced first."""


@dataclass(frozen=True, slots=True)
class _Opened:
    viewer: PlayerCard | None = None
    owner: PlayerCard | None = None
    viewer_player: int | None = None
    wait_ms: int = 0


class GadgetSessions:
    """Opens and recognises the gadget's tokens, and hears of the application being added and removed."""

    def __init__(
        self,
        database: Database,
        signers: Sequence[TrustedSigner],
        public_url: str,
        app_url: str,
        app_id: str | None,
        *,
        now_ms: NowMs,
        on_open: OnOpen | None = None,
        on_removed: OnOpen | None = None,
        allow_missing_body_hash: bool = False,
        stamp: Callable[[], int | None] = lambda: None,
    ) -> None:
        """
        Args:
            signers: Whose signatures are believed.
            public_url: Where the world reaches us: what the signatures are checked against.
            app_url: Our gadget specification's address as the container knows it.
            app_id: The container's id of our application, where it is known.
            on_removed: Told of each player who removed the application.
            on_open: Told of each viewer who opens the gadget, and of each player who added the application.
            allow_missing_body_hash: Accept a body that the signature does not cover.
            stamp: As `WatchedDatabase.stamp`: a token that was good is not looked up again while it stays the same.
        """
        self._database = database
        self._signers = tuple(signers)
        self._public_url = public_url
        self._app_url = app_url
        self._app_id = app_id
        self._now_ms = now_ms
        self._on_open = on_open
        self._on_removed = on_removed
        self._allow_missing_body_hash = allow_missing_body_hash
        self._stamp = stamp
        self._checked: dict[str, tuple[int, GadgetSession]] = {}

    async def open(self, request: HttpRequest) -> OpenedGadget:
        """Turn a signed call for our application into a token, good for an hour. Without a viewer the token only reads.

        Whoever is named in the call becomes a player. A viewer is one who has the application: a container names nobody
        else to us. So is an owner, on whose page the gadget stands. A viewer who was erased has come back; an owner who
        was erased has not, by somebody looking at their page. An owner who hides themselves is not told of.

        Raises:
            SignatureRefused: Not signed by one whom we trust, not for our application, too old, or seen before. The log
                says which.
            TooMany: This viewer opens tokens too fast.
        """
        verified = self._verified(request)
        call = verified.call
        now_ms = self._now_ms()
        token, expires_ms = new_secret(), now_ms + LIFETIME_S * 1000

        async def work(tx: Transaction) -> _Opened | None:
            if not await nonces.use(tx, verified.consumer_key, verified.timestamp_s, verified.nonce):
                return None
            named = [user_id for user_id in (call.owner_id, call.viewer_id) if user_id is not None]
            came = [] if call.viewer_id is None else [call.viewer_id]
            players = await people.players_of(tx, call.container, named, came=came)
            viewer = None if call.viewer_id is None else players[call.viewer_id]
            owner = None if call.owner_id is None else players.get(call.owner_id)
            if viewer is not None:
                wait_ms = await limits.take(tx, GADGET_SESSIONS, str(viewer), now_ms)
                if wait_ms:
                    return _Opened(wait_ms=wait_ms)
            for player in sorted(players.values()):
                await people.set_has_app(tx, player, True, now_ms)
            if owner is not None and owner != viewer and await people.withdrawn_ms(tx, owner) is not None:
                owner = None
            await sessions.add_gadget_session(tx, secret_hash(token), GadgetSession(owner, viewer, expires_ms))
            cards = await people.cards(tx, players.values())
            return _Opened(None if viewer is None else cards[viewer], None if owner is None else cards[owner], viewer)

        opened = await self._once(verified, work)
        refuse(opened.wait_ms)
        if opened.viewer_player is not None:
            await self._tell(opened.viewer_player, self._on_open)
        return OpenedGadget(token, expires_ms, opened.viewer, opened.owner)

    async def check(self, token: str) -> GadgetSession:
        """Who holds this token.

        Raises:
            NotSignedIn: It was never given out, has ended, or its player removed the application.
        """
        token_hash = secret_hash(token)
        now_ms = self._now_ms()
        stamp = self._stamp()
        known = self._checked.get(token_hash)
        if known is not None and known[0] == stamp and now_ms < known[1].expires_ms:
            return known[1]

        async def work(reader: Reader) -> GadgetSession | None:
            return await sessions.find_gadget_session(reader, token_hash, now_ms)

        session = await self._database.glance(work)
        if session is None:
            raise NotSignedIn("This token is not good, or no longer. Open a session again.")
        if stamp is not None:
            if len(self._checked) >= _MAX_CHECKED:
                self._checked.clear()
            self._checked[token_hash] = (stamp, session)
        return session

    async def lifecycle(self, request: HttpRequest) -> None:
        """Hear that people added or removed the application (OpenSocial 0.9, "Lifecycle Events").

        One call may name many. Who adds it becomes a player; one who was erased, only when they open it. Who removes it
        loses their tokens. An event of another type changes nothing.

        Raises:
            SignatureRefused: As for `open`.
            BadInput: It names nobody, or somebody who cannot be.
        """
        verified = self._verified(request)
        event_type = next(iter(verified.values("eventtype")), "")
        user_ids = sorted(set(verified.values("id")))
        if event_type not in (ADDED, REMOVED):
            _log.info("lifecycle_event_ignored", event_type=event_type[:100])
            user_ids = []
        elif not user_ids or not all(map(people.usable_user_id, user_ids)):
            raise BadInput("The event names nobody, or an id that cannot be.", field="id")
        container = verified.call.container
        now_ms = self._now_ms()

        async def work(tx: Transaction) -> list[int] | None:
            if not await nonces.use(tx, verified.consumer_key, verified.timestamp_s, verified.nonce):
                return None
            if event_type == ADDED:
                added = sorted((await people.players_of(tx, container, user_ids)).values())
                for player in added:
                    await people.set_has_app(tx, player, True, now_ms)
                return added
            removed: list[int] = []
            for user_id in user_ids:
                known = await people.find_player(tx, container, user_id)
                if known is not None:
                    await people.set_has_app(tx, known, False, now_ms)
                    await sessions.remove_gadget_sessions_of(tx, known)
                    removed.append(known)
            return removed

        for player in await self._once(verified, work):
            await self._tell(player, self._on_open if event_type == ADDED else self._on_removed)

    # ------------------------------------------------------------------------------------------------------------------

    def _verified(self, request: HttpRequest) -> Verified:
        """A call with a right signature, of our application, that names nobody who cannot be."""
        try:
            verified = verify(
                request,
                public_url=self._public_url,
                signers=self._signers,
                now_s=self._now_ms() / 1000,
                allow_missing_body_hash=self._allow_missing_body_hash,
            )
            self._require_ours(verified)
        except SignatureRefused as refused:
            _log.warning("signed_call_refused", step=refused.step)
            raise
        return verified

    def _require_ours(self, verified: Verified) -> None:
        call = verified.call
        require_app(call, self._app_url, self._app_id, own_app_only=verified.signer.own_app_only)
        if not all(
            people.usable_user_id(user_id) for user_id in (call.owner_id, call.viewer_id) if user_id is not None
        ):
            raise SignatureRefused("an id that cannot be")

    async def _once(self, verified: Verified, work: Callable[[Transaction], Awaitable[_T | None]]) -> _T:
        """Run `work`, which uses the nonce up first and gives None when it was used before."""
        result = await self._database.write(work)
        if result is None:
            _log.warning("signed_call_refused", step="replayed", consumer_key=verified.consumer_key)
            raise SignatureRefused("replayed")
        return result

    @staticmethod
    async def _tell(player: int, listener: OnOpen | None) -> None:
        if listener is None:
            return
        try:
            await listener(player)
        except HomeServerError as error:  # they are in all the same
            _log.info("sync_not_requested", player=player, reason=error.code)
