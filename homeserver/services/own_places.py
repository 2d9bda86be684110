"""How players see themselves on a board when others do not: the place that they would have, and why they have it not;
and which of their scores wait to be looked at, or do not count.

An entry that others do not see is stored nowhere. It is made from the player's events for each look, which reads all of
them; so that is never done on the event loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from homeserver.domain import ranking, rules
from homeserver.domain.boards import BoardInForce
from homeserver.domain.rules import Account, Claimed
from homeserver.model import DetailedPlace, Origin, Period, Position, Span, State
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import accounts, board_views, moderation, replays, standings
from homeserver.storage.database import Reader
from homeserver.storage.moderation import VISIBLE
from homeserver.storage.standings import Standing


class Own(NamedTuple):
    """A player's entry as they see it. `unlisted` says that nobody else does."""

    position: Position | None
    state: State = State.VISIBLE
    unlisted: bool = False


async def needs_events(db: Reader, list_: List, player: int) -> bool:
    """Whether `entry` reads the player's events: something was decided about them."""
    return await moderation.verdict(db, list_.in_force, player) != VISIBLE


async def entry(db: Reader, list_: List, player: int) -> Own:
    """The player's entry in the list, or the one that they would have.

    Whoever is hidden sees what they would have if they were restored. A removed score is seen by its owner as long as
    there is no later one in its place.
    """
    listed = await standings.entry_of(db, list_.number, player)
    verdict = await moderation.verdict(db, list_.in_force, player)
    if listed is not None or verdict == VISIBLE:
        return Own(listed)
    for lifted in (verdict._replace(hidden=False), VISIBLE):
        made = await replays.entries(db, list_.board, player, lifted, list_.now_ms)
        if list_.period.id in made:
            return Own(made[list_.period.id], verdict.state, unlisted=True)
    return Own(None, State.HIDDEN if verdict.hidden else State.VISIBLE)


async def place(db: Reader, list_: List, player: int) -> DetailedPlace:
    """The player's place in the list, or the one that they would have; and what waits beside it to be looked at, in the
    periods that hold the time at which it was claimed."""
    own = await entry(db, list_, player)
    standing = None
    if own.position is not None:
        standing = await _standing(db, list_, own.position, unlisted=own.unlisted)
    found = await board_lists.detailed_place(db, list_, standing, own.state, unlisted=own.unlisted)
    pending = await board_lists.pending(db, list_.in_force, player)
    if pending is None or not _holds(list_.period, pending.since_ms):
        return found
    state = State.PENDING if own.state is State.VISIBLE else own.state
    return replace(found, state=state, pending=pending)


def _holds(period: Period, at_ms: int) -> bool:
    return (period.starts_ms is None or period.starts_ms <= at_ms) and (
        period.ends_ms is None or at_ms < period.ends_ms
    )


async def unseen(db: Reader, in_force: BoardInForce, player: int) -> dict[int, State]:
    """The player's scores that do not count, by the numbers of their events: those that were removed, those that wait
    to be looked at, and those that were rejected or given up for another one.

    Cost: on boards that doubt claims, reads all of the player's events of the field.
    """
    of = in_force.board
    until_event = (await moderation.verdict(db, in_force, player)).until_event or 0
    if not rules.judges(of) and not until_event:
        return {}
    decisions = await accounts.decisions_on(db, of, [player])
    account = Account()
    states: dict[int, State] = {}
    for event, _, value, at_ms, origin in await board_views.every_value(db, player, of.field):
        claimed = Claimed(event, ranking.claim(of, value), at_ms, Origin(origin), decisions.get(event))
        counts = rules.apply(of, account, claimed, (Span.ALL.value,))  # what was removed is remembered all the same
        if not counts or event <= until_event:
            states[event] = State.REMOVED
    return states | dict.fromkeys(account.flags, State.PENDING)


async def _standing(db: Reader, list_: List, position: Position, *, unlisted: bool) -> Standing:
    if not unlisted:
        return await standings.standing(db, list_.number, list_.board.ties, position)
    if not list_.exists:
        return Standing(position, rank=1, tied=False)
    return await standings.would_stand(db, list_.number, list_.board.ties, position)
