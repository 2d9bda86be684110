"""What is kept about whoever looks: how much, all of it to take along, where they are signed in, and how it ends."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from aiohttp import hdrs, web

from homeserver.errors import BadInput, NotSignedIn
from homeserver.model import PageSession
from homeserver.web.account import PRIVACY_PATH, see_other
from homeserver.web.bodies import JSON, read_form, stream
from homeserver.web.keys import OWN_DATA, PAGE_SESSIONS
from homeserver.web.languages import N_, gettext
from homeserver.web.rendering import render
from homeserver.web.visitors import visitor

PATH: Final = PRIVACY_PATH

_KINDS: Final = MappingProxyType(
    {
        "profile": N_("your name, picture address and id in the network"),
        "appdata": N_("data of the gadget, by field"),
        "changes": N_("changes of that data"),
        "places": N_("places on boards, by period"),
        "accepted": N_("last scores that a board accepted"),
        "doubted": N_("scores that a board doubted"),
        "decided": N_("decisions about doubted scores"),
        "moderated": N_("boards on which an operator hid you or removed a score"),
        "adjusted": N_("scores that an operator put in the place of yours"),
        "found_right": N_("scores of yours that an operator looked at and found right"),
        "bulk_acts": N_("times that an operator acted on many players and you among them"),
        "delisted": N_("notes that you are on no board: hidden by yourself, or without the application"),
        "acts": N_("lines in the operators’ log about you"),
        "friends": N_("friends of yours who play"),
        "friend_of": N_("players who have you as a friend"),
        "timed_writes": N_("values to be written for you at a time"),
        "sync_tasks": N_("questions about you that wait for the network"),
        "page_links": N_("links from the gadget that were not used"),
        "gadget_sessions": N_("sign-ins of the gadget"),
        "sessions": N_("sign-ins of browsers"),
        "linked": N_("links to an account at Mes Données"),
    }
)
"""What is counted of a player, in words; the names are those of the export."""

_DONE: Final = MappingProxyType(
    {
        "hidden": N_("You are hidden: nobody else sees you on any board now."),
        "shown": N_("Others see you again. Where an operator of this site has hidden you, that stays."),
        "erased": N_("You are erased here as a player. What is left is taken away in the next moments."),
        "forgotten": N_("The list of your finished uploads is deleted."),
        "ended": N_("That browser is signed out."),
        "gadget": N_("The gadget is signed out."),
    }
)


async def show(request: web.Request) -> web.Response:
    """`GET /privacy`: what is kept, whether the session's two halves are linked, and what can be done about it."""
    session = (await visitor(request)).session
    is_held = session is not None and (session.player is not None or session.storage_user is not None)
    linked = is_held and session is not None and await request.app[PAGE_SESSIONS].linked(session)
    both = session is not None and session.player is not None and session.storage_user is not None
    done = _DONE.get(request.query.get("done", ""))
    return render(
        request,
        "privacy.html",
        kept=await request.app[OWN_DATA].kept(session) if session is not None and is_held else None,
        kinds=_KINDS,
        can_link=both and not linked,
        linked=linked,
        done=gettext(done) if done else None,
    )


async def export(request: web.Request) -> web.StreamResponse:
    """`GET /privacy/export`: everything that is kept, as one JSON document, streamed."""
    parts = request.app[OWN_DATA].export(await _session(request))
    named = 'attachment; filename="my-data.json"'
    return await stream(request, parts, {hdrs.CONTENT_TYPE: JSON, hdrs.CONTENT_DISPOSITION: named})


async def hide(request: web.Request) -> web.Response:
    """`POST /privacy/hide`: nobody else sees the session's player on any board."""
    await request.app[OWN_DATA].hide(await _session(request), hidden=True)
    return see_other(request, f"{PATH}?done=hidden")


async def show_again(request: web.Request) -> web.Response:
    """`POST /privacy/show`: others see the session's player again."""
    await request.app[OWN_DATA].hide(await _session(request), hidden=False)
    return see_other(request, f"{PATH}?done=shown")


async def erase(request: web.Request) -> web.Response:
    """`POST /privacy/erase`: the session's player is erased, for good, if the form says that it is `sure`."""
    session = await _session(request)
    if (await read_form(request)).get("sure") != "yes":
        raise BadInput("Tick the box first: there is no way back.", field="sure")
    await request.app[OWN_DATA].erase(session)
    return see_other(request, f"{PATH}?done=erased")


async def end_session(request: web.Request) -> web.Response:
    """`POST /privacy/sessions/end`: sign out another browser, by the form's `session`."""
    session = await _session(request)
    await request.app[OWN_DATA].end(session, (await read_form(request)).get("session", ""))
    return see_other(request, f"{PATH}?done=ended")


async def end_gadget(request: web.Request) -> web.Response:
    """`POST /privacy/gadget/end`: every token of the gadget that this player has is worth nothing from now on."""
    await request.app[OWN_DATA].end_gadget(await _session(request))
    return see_other(request, f"{PATH}?done=gadget")


async def forget_uploads(request: web.Request) -> web.Response:
    """`POST /privacy/uploads/forget`: the list of finished uploads is deleted; the files in the storage stay."""
    await request.app[OWN_DATA].forget_uploads(await _session(request))
    return see_other(request, f"{PATH}?done=forgotten")


async def link(request: web.Request) -> web.Response:
    """`POST /privacy/link`: this player and this storage user are the same person, says who is signed in as both."""
    await request.app[PAGE_SESSIONS].link(await _session(request))
    return see_other(request, PATH)


async def unlink(request: web.Request) -> web.Response:
    """`POST /privacy/unlink`: forget that."""
    await request.app[PAGE_SESSIONS].unlink(await _session(request))
    return see_other(request, PATH)


async def _session(request: web.Request) -> PageSession:
    session = (await visitor(request)).session
    if session is None:
        raise NotSignedIn("Nobody is signed in here.")
    return session
