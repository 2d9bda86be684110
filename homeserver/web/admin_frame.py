"""What the operators' pages share: who may see them, what was done just now, and how an act answers.

Every act is a form with a reason. It answers 303 to a page of ours, with the number of what was done in the query; that
page says it in words and offers to take it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

from aiohttp import hdrs, web

from homeserver.errors import BadInput, Forbidden, NotFound
from homeserver.model import Act, Action, Operator, PlayerCard, Role
from homeserver.web.bodies import read_form
from homeserver.web.keys import MODERATION, PLAYERS
from homeserver.web.rendering import render
from homeserver.web.security import ADMIN_PATH, local_path
from homeserver.web.visitors import operator

DONE: Final = "done"
"""The query's name for the number of the act that a page tells of."""

TAKES_BACK: Final[Mapping[Action, Action]] = {
    Action.HIDE: Action.RESTORE,
    Action.REMOVE: Action.UNREMOVE,
    Action.ADJUST: Action.UNADJUST,
    Action.CLEAR: Action.UNCLEAR,
    Action.APPROVE: Action.REOPEN,
    Action.REJECT: Action.REOPEN,
    Action.CLOSE: Action.OPEN,
    Action.OPEN: Action.CLOSE,
}
"""What takes an act back."""
OF_BOARDS: Final = frozenset({Action.CLOSE, Action.OPEN})
"""Those among them that are about a board, and nobody on it."""

_AT_ONCE: Final = 200


async def operator_who_may(request: web.Request, role: Role) -> Operator:
    """The operator who is signed in, if their role suffices.

    Raises:
        NotSignedIn: Nobody is.
        Forbidden: Theirs does not.
    """
    who = await operator(request)
    if not who.role.allows(role):
        raise Forbidden(f"Your role here is \u201c{who.role.value}\u201d; this needs \u201c{role.value}\u201d.")
    return who


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done: the newest of the acts that it is made of, whom it was done to, if they are still known,
    and on which boards."""

    act: Act
    card: PlayerCard | None
    boards: tuple[str, ...]

    @property
    def can_be_undone(self) -> bool:
        """Whether there is an act that takes it back."""
        return self.act.action in TAKES_BACK and (self.act.action in OF_BOARDS or self.act.player is not None)

    @property
    def undone_by(self) -> Role:
        """Who may do that."""
        return Role.CONFIGURE if self.act.action in OF_BOARDS else Role.MODERATE


async def page(
    request: web.Request, who: Operator, template: str, *, status: int = 200, **context: object
) -> web.Response:
    """A page for an operator, who was looked up already."""
    return render(
        request,
        template,
        status=status,
        operator=who,
        may_moderate=who.role.allows(Role.MODERATE),
        may_configure=who.role.allows(Role.CONFIGURE),
        here=_without_done(request),
        done=await _done(request),
        **context,
    )


def _without_done(request: web.Request) -> str:
    """The page's own address, to come back to; without what was said there last time."""
    query = [(name, value) for name, value in request.query.items() if name != DONE]
    return f"{request.path}?{urlencode(query)}" if query else request.path


async def _done(request: web.Request) -> Done | None:
    act = _number(request.query.get(DONE, ""))
    acts = [] if act is None else await acts_of(request, act)
    if not acts:
        return None
    boards = tuple(act.board for act in reversed(acts) if act.board is not None)
    return Done(acts[0], await card_of(request, acts[0]), boards)


def number(text: str, field: str) -> int:
    """A number from an address or a form.

    Raises:
        BadInput: It is none.
    """
    found = _number(text)
    if found is None:
        raise BadInput("That is no number.", field=field)
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def acts_of(request: web.Request, last_act: int) -> list[Act]:
    """What was done at once and ended with the act of this number: one player may be hidden from many boards.

    The newest comes first; none where there is no such act.
    """
    found = await request.app[MODERATION].log(before=last_act + 1, limit=1)
    if not found or found[0].id != last_act:
        return []
    last = found[0]
    if last.player is None:
        return [last]
    log = await request.app[MODERATION].log(player=last.player, before=last_act + 1, limit=_AT_ONCE)
    return [each for each in log if (each.action, each.actor, each.at_ms) == (last.action, last.actor, last.at_ms)]


async def card_of(request: web.Request, act: Act) -> PlayerCard | None:
    """Whom something was done to; None where they are not known any more, or nobody was concerned."""
    if act.player is None:
        return None
    try:
        return await request.app[PLAYERS].card(act.player)
    except NotFound:
        return None


# --- acts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """An act that was asked for by a form. `back` is the page to go to afterwards."""

    who: Operator
    reason: str
    back: str
    form: Mapping[str, str] = field(repr=False)


async def asked(request: web.Request, role: Role, back: str = ADMIN_PATH) -> Asked:
    """Read an act's form, of an operator who may do it.

    Raises:
        NotSignedIn, Forbidden: As `operator_who_may`.
        BadInput: Not a form.
    """
    who = await operator_who_may(request, role)
    form = await read_form(request)
    place = local_path(form.get("back"), back)
    if urlsplit(place).path != ADMIN_PATH and not place.startswith(f"{ADMIN_PATH}/"):
        place = back
    return Asked(who, form.get("reason", ""), place, form)


def see(place: str, **query: str | int | None) -> web.Response:
    """On to a page of ours (303)."""
    given = {name: value for name, value in query.items() if value is not None}
    if given:
        place = f"{place}{'&' if '?' in place else '?'}{urlencode(given)}"
    return web.Response(status=303, headers={hdrs.LOCATION: place})


async def newest(request: web.Request, action: Action, who: Operator, **of: int | str | None) -> int | None:
    """The number of the last act of this kind by this operator, of one player or on one board."""
    log = await request.app[MODERATION].log(limit=20, **of)  # type: ignore[arg-type]
    return next((act.id for act in log if act.action is action and act.actor == who.name), None)
