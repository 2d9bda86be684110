"""Who sends a request to the pages: looked up once, from the one cookie, when a handler asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from homeserver.errors import NotFound, NotSignedIn
from homeserver.model import GadgetSession, Operator, PageSession, PlayerCard
from homeserver.web.keys import GADGET_SESSIONS, OPERATORS, PAGE_SESSIONS, PLAYERS, SITE
from homeserver.web.security import ADMIN_COOKIE, PAGE_COOKIE, bearer, cookie


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever holds the page cookie: a session, perhaps, and the player in it, perhaps."""

    session: PageSession | None = None
    card: PlayerCard | None = None

    @property
    def player(self) -> int | None:
        """The player's number."""
        return self.session.player if self.session else None

    @property
    def storage_name(self) -> str | None:
        """The name that the storage's sign-in gave."""
        return (self.session.storage_name or self.session.storage_user) if self.session else None


VISITOR: Final = web.RequestKey("VISITOR", Visitor)


async def visitor(request: web.Request) -> Visitor:
    """Who looks at this page; nobody in particular is a visitor too."""
    if VISITOR in request:
        return request[VISITOR]
    session = await request.app[PAGE_SESSIONS].find(cookie(request, PAGE_COOKIE))
    card = None
    if session is not None and session.player is not None:
        try:
            card = await request.app[PLAYERS].card(session.player)
        except NotFound:  # erased while signed in: the session may still hold a storage user
            card = None
    found = Visitor(session, card)
    request[VISITOR] = found
    return found


async def board_reader(request: web.Request) -> Visitor:
    """The visitor of a page that shows boards.

    Raises:
        NotSignedIn: The boards are for players, and this is none.
    """
    found = await visitor(request)
    if found.player is None and not request.app[SITE].boards_for_everyone:
        raise NotSignedIn("The leaderboards are for players. Open the gadget and choose \u201cOpen my page\u201d.")
    return found


async def storage_session(request: web.Request) -> tuple[PageSession, str]:
    """The session of somebody who is signed in to the storage, and their user there.

    Raises:
        NotSignedIn: Nobody is.
    """
    session = (await visitor(request)).session
    if session is None or session.storage_user is None:
        raise NotSignedIn("Sign in to Mes Données first.")
    return session, session.storage_user


async def operator(request: web.Request) -> Operator:
    """The operator who is signed in.

    Raises:
        NotSignedIn: Nobody is.
    """
    found = await request.app[OPERATORS].find(cookie(request, ADMIN_COOKIE))
    if found is None:
        raise NotSignedIn("Sign in as an operator first.")
    return found


async def gadget_session(request: web.Request) -> GadgetSession:
    """Who holds the bearer token of this call.

    Raises:
        NotSignedIn: No token, or one that is not good (any more).
    """
    return await request.app[GADGET_SESSIONS].check(bearer(request))
