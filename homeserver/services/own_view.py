"""What players see of themselves on a board and nobody else does: whether others see their place, and what waits.

A claim that waits to be looked at is in no list. Its player sees it beside the place that stands, in the periods that
hold the time at which it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from homeserver.domain import ranking, rules
from homeserver.domain.boards import BoardInForce
from homeserver.domain.rules import Account, Claimed
from homeserver.model import DetailedPlace, Origin, Pending, Period, Span, State
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import accounts, board_views
from homeserver.storage.database import Reader


@dataclass(frozen=True, slots=True)
class OwnView:
    """What one board keeps from others about a player."""

    pending: Pending | None = None


async def of(db: Reader, in_force: BoardInForce, player: int) -> OwnView:
    """What the player may know of themselves."""
    return OwnView(await board_lists.pending(db, in_force, player))


async def place(db: Reader, list_: List, player: int, view: OwnView | None) -> DetailedPlace:
    """Where the player stands: as they see it themselves, or, without a view, as everybody does."""
    found = await board_lists.detailed_place(db, list_, await board_lists.standing_in(db, list_, player))
    if view is None or view.pending is None or not _holds(list_.period, view.pending.since_ms):
        return found
    return replace(found, state=State.PENDING, pending=view.pending)


async def unseen(db: Reader, in_force: BoardInForce, player: int) -> dict[int, State]:
    """The player's scores that never counted, by the numbers of their events: those that wait, and those that were
    rejected or given up for another one. Of boards that doubt nothing, nothing is read.

    Cost: reads all of the player's events of the field.
    """
    of = in_force.board
    if not rules.judges(of):
        return {}
    decisions = await accounts.decisions_on(db, of, [player])
    account = Account()
    states: dict[int, State] = {}
    for event, _, value, at_ms, origin in await board_views.every_value(db, player, of.field):
        claimed = Claimed(event, ranking.claim(of, value), at_ms, Origin(origin), decisions.get(event))
        if not rules.apply(of, account, claimed, (Span.ALL.value,)):
            states[event] = State.REMOVED
    return states | dict.fromkeys(account.flags, State.PENDING)


def _holds(period: Period, at_ms: int) -> bool:
    return (period.starts_ms is None or period.starts_ms <= at_ms) and (
        period.ends_ms is None or at_ms < period.ends_ms
    )
