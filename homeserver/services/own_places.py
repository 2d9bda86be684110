"""How players see themselves on a board when others do not: the place that they would have, and why they have it not;
and which of their scores wait to be looked at, or do not count.

An entry that others do not see is stored nowhere. It is made from the player's events for each look, which reads all of
them; so that is never done on the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from homeserver.domain import ranking, rules
from homeserver.domain.boards import BoardInForce
from homeserver.domain.ranking import NoScore
from homeserver.domain.rules import Account, Claimed
from homeserver.model import DetailedPlace, Origin, Pending, Period, Position, Span, State
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import accounts, adjustments, board_views, moderation, replays, standings
from homeserver.storage.database import Reader
from homeserver.storage.moderation import VISIBLE, Verdict
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
    """The player's entry in the list, or the one that they would have; see `Mirror.entry`."""
    return await Mirror(db, player).entry(list_)


async def place(db: Reader, list_: List, player: int) -> DetailedPlace:
    """The player's place in the list, or the one that they would have; see `Mirror.place`."""
    return await Mirror(db, player).place(list_)


class Mirror:
    """Shows a player themselves in any number of lists, as of one snapshot. Their events of a board are read once."""

    def __init__(self, db: Reader, player: int) -> None:
        self._db = db
        self._player = player
        self._verdicts: dict[str, Verdict] = {}
        self._pending: dict[str, Pending | None] = {}
        self._unlisted: dict[str, Mapping[str, Position]] = {}

    async def needs_events(self, list_: List) -> bool:
        """Whether `entry` and `place` read the player's events: something was decided about them."""
        return await self._verdict(list_) != VISIBLE

    async def entry(self, list_: List) -> Own:
        """The player's entry in the list, or the one that they would have.

        Whoever is hidden, or has hidden themselves, sees what they would have otherwise. A removed score is seen by its
        owner as long as there is no later one in its place.
        """
        listed = await standings.entry_of(self._db, list_.number, self._player)
        verdict = await self._verdict(list_)
        if listed is not None or verdict == VISIBLE:
            return Own(listed)
        position = (await self._entries(list_, verdict)).get(list_.period.id)
        if position is not None:
            return Own(position, verdict.state, unlisted=True)
        return Own(None, State.VISIBLE if verdict.state is State.REMOVED else verdict.state)

    async def place(self, list_: List) -> DetailedPlace:
        """The player's place in the list, or the one that they would have, and what waits beside it."""
        own = await self.entry(list_)
        standing = None
        if own.position is not None:
            standing = await _standing(self._db, list_, own.position, unlisted=own.unlisted)
        found = await board_lists.detailed_place(self._db, list_, standing, own.state, unlisted=own.unlisted)
        pending = await self._waiting(list_)
        if pending is None or not _holds(list_.period, pending.since_ms):
            return found
        return replace(found, pending=pending, state=State.PENDING if found.state is State.VISIBLE else found.state)

    async def _verdict(self, list_: List) -> Verdict:
        id_ = list_.board.id
        if id_ not in self._verdicts:
            self._verdicts[id_] = await moderation.verdict(self._db, list_.in_force, self._player)
        return self._verdicts[id_]

    async def _waiting(self, list_: List) -> Pending | None:
        id_ = list_.board.id
        if id_ not in self._pending:
            self._pending[id_] = await board_lists.pending(self._db, list_.in_force, self._player)
        return self._pending[id_]

    async def _entries(self, list_: List, verdict: Verdict) -> Mapping[str, Position]:
        """What the player would have on the board, by period: what was removed, and over that what came later."""
        id_ = list_.board.id
        if id_ not in self._unlisted:
            found: dict[str, Position] = {}
            for lifted in [VISIBLE, *([verdict.shown] if verdict.until_event else [])]:
                found |= await replays.entries(self._db, list_.in_force, self._player, lifted, list_.now_ms)
            self._unlisted[id_] = found
        return self._unlisted[id_]


def _holds(period: Period, at_ms: int) -> bool:
    return (period.starts_ms is None or period.starts_ms <= at_ms) and (
        period.ends_ms is None or at_ms < period.ends_ms
    )


async def unseen(db: Reader, in_force: BoardInForce, player: int) -> dict[int, State]:
    """The player's scores that do not count, by the numbers of their events: those that were removed, those that wait
    to be looked at, those that were rejected or given up for another one, and those in whose place an operator put a
    worse one.

    Cost: on boards that doubt claims, reads all of the player's events of the field.
    """
    of = in_force.board
    until_event = (await moderation.verdict(db, in_force, player)).until_event or 0
    adjusted = [
        (each.event, ranking.claim(of, each.score))
        for each in (await adjustments.on(db, of.id, [player])).get(player, ())
    ]
    if not rules.judges(of) and not until_event and not adjusted:
        return {}
    decisions = await accounts.decisions_on(db, of, [player])
    account = Account()
    states: dict[int, State] = {}
    for event, _, value, at_ms, origin in await board_views.every_value(db, player, of.field):
        claimed = Claimed(event, ranking.claim(of, value), at_ms, Origin(origin), decisions.get(event))
        counts = rules.apply(of, account, claimed, (Span.ALL.value,))  # what was removed is remembered all the same
        is_replaced = any(event <= last and _is_better(claimed.claim, given) for last, given in adjusted)
        if not counts or event <= until_event or is_replaced:
            states[event] = State.REMOVED
    return states | dict.fromkeys(account.flags, State.PENDING)


def _is_better(claim: int | NoScore, other: int | NoScore) -> bool:
    return isinstance(claim, int) and isinstance(other, int) and claim < other


async def _standing(db: Reader, list_: List, position: Position, *, unlisted: bool) -> Standing:
    if not unlisted:
        return await standings.standing(db, list_.number, list_.board.ties, position)
    if not list_.exists:
        return Standing(position, rank=1, tied=False)
    return await standings.would_stand(db, list_.number, list_.board.ties, position)
