"""How players see themselves on a board when others do not: the place that they would have, and why they have it not.

Such an entry is stored nowhere. It is made from the player's events for each look, which reads all of them; so that is
never done on the event loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from homeserver.model import DetailedPlace, Period, Position, State
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import moderation, replays, standings
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
    """The player's place in the list, or the one that they would have, and what waits beside it."""
    own = await entry(db, list_, player)
    standing = None
    if own.position is not None:
        standing = await _standing(db, list_, own.position, unlisted=own.unlisted)
    found = await board_lists.detailed_place(db, list_, standing, own.state, unlisted=own.unlisted)
    pending = await board_lists.pending(db, list_.in_force, player)
    if pending is None or not _holds(list_.period, pending.since_ms):
        return found
    return replace(found, pending=pending, state=State.PENDING if found.state is State.VISIBLE else found.state)


def _holds(period: Period, at_ms: int) -> bool:
    return (period.starts_ms is None or period.starts_ms <= at_ms) and (
        period.ends_ms is None or at_ms < period.ends_ms
    )


async def _standing(db: Reader, list_: List, position: Position, *, unlisted: bool) -> Standing:
    if not unlisted:
        return await standings.standing(db, list_.number, list_.board.ties, position)
    if not list_.exists:
        return Standing(position, rank=1, tied=False)
    return await standings.would_stand(db, list_.number, list_.board.ties, position)
