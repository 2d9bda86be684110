"""Scores that are far from the others of a board, for somebody to look at: a queue that costs the same at any length.

The score in the middle of a list, and how far half of all scores are from it at most, are found by counting blocks; so
the queue is exact, and the scores in it are the beginning of the list. Where half of all have the same score, how far
90 in 100 are from the middle is taken. Jumps are compared with the last changes of the board's field.

An operator who finds a score right clears it: neither it nor a worse one of that player is in the queue again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from homeserver.domain import outliers, scores
from homeserver.domain.cursors import Cursor, Cursors, Direction
from homeserver.domain.outliers import FAR, Usual
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.errors import BadInput, Conflict
from homeserver.model import Act, Action, Board, NowMs, Oddity, PlayerCard, Position, Suspect, Suspects
from homeserver.services import board_lists, reasons
from homeserver.services.board_lists import List
from homeserver.storage import adjustments, admin_views, counts, moderation, people, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.admin_views import Step
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.standings import Standing

MAX_LIMIT: Final = 200
LOOKED_AT: Final = 10_000
"""Among so many of the last changes of all fields, those of one are looked for."""
SAMPLE: Final = 1_000
LEAST_SAMPLE: Final = 20
"""Of fewer changes or scores nobody can say what is usual."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """What most of a list have, in keys."""

    middle: int
    sigma: float


class Outliers:
    """Finds scores that are far from the others, and clears those that are right all the same.

    Common errors: NotFound (no such board or player), BadInput (field "limit", "period", "far").
    """

    def __init__(self, database: Database, now_ms: NowMs, cursor_key: bytes) -> None:
        self._database = database
        self._now_ms = now_ms
        self._cursors = Cursors(cursor_key)

    async def scores(
        self, board_id: str, *, period: str = "all", far: float = FAR, cursor: str | None = None, limit: int = 50
    ) -> Suspects:
        """The scores that are better than the usual one by more than `far` robust standard deviations, best first.

        Cost: counts the entries before about 70 places, whatever the length of the list.
        """
        _check(limit, far)

        async def work(reader: Reader) -> Suspects:
            list_ = await board_lists.named(reader, board_id, period, self._now_ms())
            of = list_.board
            spread = await _spread(reader, list_)
            if spread is None:
                return Suspects(None, None, (), None)
            usual = scores.exact(scores.score_of(spread.middle, of.order), of.decimals)
            sigma = spread.sigma / 10**of.decimals
            last = max(INT64_MIN, spread.middle - int(far * spread.sigma) - 1)
            scope = list_.scope("outliers")
            begin = standings.BEGINNING if cursor is None else self._cursors.open(scope, cursor).position
            run = await standings.run_after(reader, list_.number, of.ties, begin, limit)
            odd = [each for each in run.standings if each.position.key <= last]
            more = len(odd) == len(run.standings) and run.more_behind
            cards = await people.cards(reader, [each.position.player for each in odd])
            cleared = await adjustments.cleared(reader, of.id, [each.position.player for each in odd])
            suspects = tuple(
                _suspect(of, each, spread, cards[each.position.player])
                for each in odd
                if each.position.player in cards and not _is_cleared(cleared, each.position)
            )
            behind = Cursor(Direction.NEXT, odd[-1].position) if more and odd else None
            return Suspects(usual, sigma, suspects, None if behind is None else self._cursors.seal(scope, behind))

        return await self._database.read(work)

    async def jumps(self, board_id: str, *, far: float = FAR, limit: int = 50) -> Suspects:
        """The players among the last who changed whose change was better than usual by more than `far`, the greatest
        first; of each their greatest. Looks at the last 1,000 changes of the field at most.
        """
        _check(limit, far)

        async def work(reader: Reader) -> Suspects:
            list_ = await board_lists.named(reader, board_id, "all", self._now_ms())
            of = list_.board
            gains = _gains(of, await admin_views.last_steps(reader, of.field, LOOKED_AT, SAMPLE))
            usual = outliers.usual([gain for gain, _ in gains]) if len(gains) >= LEAST_SAMPLE else None
            if usual is None:
                return Suspects(None, None, (), None)
            unit = 10**of.decimals
            found = _farthest(gains, usual, far)
            players = [step.player for _, step, _ in found]
            cards = await people.cards(reader, players)
            cleared = await adjustments.cleared(reader, of.id, players)
            suspects: list[Suspect] = []
            for _, step, distance in found:
                if len(suspects) == limit:
                    break
                standing = await board_lists.standing_in(reader, list_, step.player)
                if step.player not in cards or standing is None or _is_cleared(cleared, standing.position):
                    continue
                score = scores.read(of, step.new or "")
                text, display = scores.exact(score, of.decimals), scores.display(score, of)
                suspects.append(
                    Suspect(
                        cards[step.player], text, display, Oddity.JUMP, round(distance, 2), step.at_ms, standing.rank
                    )
                )
            spread = usual.spread
            return Suspects(
                scores.exact(round(usual.middle), of.decimals),
                None if spread is None else spread / unit,
                tuple(suspects),
                None,
            )

        return await self._database.read(work)

    async def clear(self, player: int, board_id: str, *, actor: str, reason: str) -> None:
        """Say that the player's score on the board is right, however far it is from others.

        Raises:
            Conflict: The player has no score there.
            BadInput: Field "actor" or "reason".
        """
        act = reasons.act(Action.CLEAR, self._now_ms(), actor, reason, board_id)

        async def work(tx: Transaction) -> None:
            await store.begin(tx)  # nobody is erased, no board dropped meanwhile
            list_ = await board_lists.named(tx, board_id, "all", act.at_ms)
            await people.user_of(tx, player)
            position = await standings.entry_of(tx, list_.number, player)
            if position is None:
                raise Conflict("This player has no score here.")
            await adjustments.clear(tx, player, position.key, act)
            await moderation.log(tx, _of(act, player))

        await self._database.write(work)

    async def unclear(self, player: int, board_id: str, *, actor: str, reason: str) -> None:
        """Take that back.

        Raises:
            Conflict: Nothing of the kind was said.
        """
        act = reasons.act(Action.UNCLEAR, self._now_ms(), actor, reason, board_id)

        async def work(tx: Transaction) -> None:
            await store.begin(tx)
            await board_lists.board(tx, board_id)
            await people.user_of(tx, player)
            if not await adjustments.unclear(tx, player, board_id):
                raise Conflict("This player's score here was not cleared.")
            await moderation.log(tx, _of(act, player))

        await self._database.write(work)


def _of(act: Act, player: int) -> Act:
    return replace(act, player=player)


def _check(limit: int, far: float) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")
    if not 1 <= far <= 1_000:  # also what is no number
        raise BadInput("1 to 1000 standard deviations", field="far")


def _is_cleared(cleared: dict[int, int], position: Position) -> bool:
    return cleared.get(position.player, INT64_MIN) <= position.key and position.player in cleared


def _suspect(of: Board, standing: Standing, spread: _Spread, card: PlayerCard) -> Suspect:
    position = standing.position
    return Suspect(
        card,
        *scores.written(of, position.key),
        Oddity.SCORE,
        round((spread.middle - position.key) / spread.sigma, 2),
        position.reached_ms,
        standing.rank,
    )


# --- what is usual ----------------------------------------------------------------------------------------------------


async def _spread(reader: Reader, list_: List) -> _Spread | None:
    """The middle of a list and its robust standard deviation; None where there are too few, or nearly all the same."""
    total = await standings.total(reader, list_.number)
    if total < LEAST_SAMPLE:
        return None
    middle = await counts.entry_at(reader, list_.number, total // 2)
    if middle is None:
        return None
    half = await _deviation(reader, list_, middle[0], -(-total // 2))
    nine_in_ten = 0 if half else await _deviation(reader, list_, middle[0], -(-total * 9 // 10))
    sigma = outliers.spread(half, nine_in_ten)
    return None if sigma is None else _Spread(middle[0], sigma)


async def _deviation(reader: Reader, list_: List, middle: int, wanted: int) -> int:
    """The least distance from the middle, in keys, within which there are at least `wanted` entries."""
    low, high = 0, 1
    while await _within(reader, list_, middle, high) < wanted:
        low, high = high, high * 16
    while low < high:
        half = (low + high) // 2
        if await _within(reader, list_, middle, half) >= wanted:
            high = half
        else:
            low = half + 1
    return high


async def _within(reader: Reader, list_: List, middle: int, distance: int) -> int:
    first, last = max(middle - distance, INT64_MIN), min(middle + distance, INT64_MAX)
    before = await standings.index_of(reader, list_.number, Position(first, INT64_MIN, INT64_MIN))
    return await standings.index_of(reader, list_.number, Position(last, INT64_MAX, INT64_MAX)) - before


def _gains(of: Board, steps: list[Step]) -> list[tuple[int, Step]]:
    """How much better each of these changes was, of those that were from a score to a better one."""
    found = []
    for step in steps:
        try:
            old, new = (scores.read(of, text or "") for text in (step.old, step.new))
        except BadInput:
            continue
        gain = scores.key_of(old, of.order) - scores.key_of(new, of.order)
        if gain > 0:
            found.append((gain, step))
    return found


def _farthest(gains: list[tuple[int, Step]], usual: Usual, far: float) -> list[tuple[int, Step, float]]:
    """Of each player the greatest gain, if it is far from usual, the greatest first."""
    found: dict[int, tuple[int, Step, float]] = {}
    for gain, step in sorted(gains, key=lambda each: each[0], reverse=True):
        distance = usual.distance(gain)
        if distance is not None and distance > far and gain > usual.middle:
            found.setdefault(step.player, (gain, step, distance))
    return list(found.values())
