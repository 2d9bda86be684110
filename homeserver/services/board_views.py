"""Further views of boards: how scores are spread, which periods there were, who won them, what a player had before."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Final

from homeserver.domain import distribution, periods, scores
from homeserver.domain.distribution import Bounds
from homeserver.domain.scores import INT64_MIN
from homeserver.errors import BadInput
from homeserver.model import (
    Board,
    Distribution,
    EntryPage,
    History,
    ListedPeriod,
    ListedPeriods,
    NowMs,
    Order,
    OwnClass,
    PastScore,
    Period,
    Position,
    ScoreClass,
    Span,
    State,
)
from homeserver.services import board_lists, own_places
from homeserver.services.board_lists import List
from homeserver.services.own_places import Mirror
from homeserver.storage import board_views as store
from homeserver.storage import moderation, people, standings
from homeserver.storage.database import Database, Reader

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20

_VALUES_PER_SCORE: Final = 10
"""How many changes are looked at for each score that is asked for: most values are scores."""


class BoardViews:
    """Reads boards in other ways than by pages of entries. Each view is read in one snapshot.

    Common errors: NotFound (no such board), BadInput (field "period" or "limit").
    """

    def __init__(self, database: Database, now_ms: NowMs) -> None:
        self._database = database
        self._now_ms = now_ms

    async def distribution(self, board_id: str, *, period: str = "all", reader: int | None) -> Distribution:
        """How the scores of a list are spread, and where the reader's is among them.

        Cost: counts the entries before each of at most 20 scores, whatever the length of the list.
        """

        async def work(db: Reader) -> Distribution:
            list_ = await self._list(db, board_id, period)
            bounds = await _bounds(db, list_)
            counts = await _counts(db, list_, bounds)
            total = sum(counts)
            return Distribution(
                board=list_.board,
                period=list_.period,
                total=total,
                classes=tuple(_class(list_.board, *each) for each in zip(bounds, counts, strict=True)),
                mine=None if reader is None else await _own_class(db, list_, bounds, total, reader),
                as_of_ms=list_.now_ms,
            )

        return await self._database.read(work)

    async def periods(
        self, board_id: str, *, span: Span | None = None, reader: int | None = None, limit: int = DEFAULT_LIMIT
    ) -> ListedPeriods:
        """The periods of a board, or those of one span: the current ones, then those before, newest first, each with
        the reader's place in it.

        A current period is there though nobody has entered it yet, an earlier one only when somebody did.

        Raises:
            BadInput: The board has no periods of this span (field "span").
        """
        _check_limit(limit)
        now_ms = self._now_ms()

        async def work(db: Reader) -> ListedPeriods:
            in_force = await board_lists.board(db, board_id)
            of = in_force.board
            if span is not None and span not in of.spans:
                raise BadInput(f"the board {of.id} has {', '.join(of.spans)}", field="span")
            spans = of.spans if span is None else (span,)
            current = [each for each in await board_lists.current(db, in_force, now_ms) if each.period.span in spans]
            earlier = await store.earlier_lists(db, in_force, spans, now_ms, limit)
            found = [(each, True) for each in current]
            found += [(List(in_force, _period(of, *each[1:]), each.list, now_ms), False) for each in earlier]
            mirror = None if reader is None else Mirror(db, reader)
            listed = [await _listed(db, list_, is_current, mirror) for list_, is_current in found[:limit]]
            return ListedPeriods(of, tuple(listed), now_ms)

        return await self._database.read(work)

    async def winners_before(
        self, board_id: str, *, period: str, reader: int | None, limit: int = 3
    ) -> EntryPage | None:
        """The best entries of the period that ended when this one began. None for `all`, before which was nothing."""
        _check_limit(limit)

        async def work(db: Reader) -> EntryPage | None:
            list_ = await self._list(db, board_id, period)
            before = periods.before(list_.board, list_.period)
            if before is None:
                return None
            (list_,) = await board_lists.lists(db, list_.in_force, [before], list_.now_ms)
            run = await standings.run_from(db, list_.number, list_.board.ties, standings.BEGINNING, limit)
            shown = await board_lists.show(db, list_, run, reader)
            return EntryPage(list_.board, before, shown.total, shown.entries, None, None, list_.now_ms)

        return await self._database.read(work)

    async def history(self, player: int, board_id: str, *, own: bool = False, limit: int = DEFAULT_LIMIT) -> History:
        """The last scores that the player had on a board, newest first: changes of the AppData value that could rank.

        What could not (junk) is left out. The last changes that we learned of are looked at, ten for each score asked
        for, so much junk hides what was before it, and an old score that came by an import is among those of its time.
        Others do not see what was hidden or removed, nor what waits to be looked at, nor anything of one who is in no
        list; with `own` it is the player who looks.

        Raises:
            NotFound: No such board, or no such player.
        """
        _check_limit(limit)

        async def work(db: Reader) -> History:
            in_force = await board_lists.board(db, board_id)
            of = in_force.board
            card = await people.card(db, player)
            shown = moderation.VISIBLE if own else await moderation.verdict(db, in_force, player)
            if shown.hidden or shown.delisted:
                return History(of, card, ())
            asked = limit * _VALUES_PER_SCORE
            values = await store.past_values(db, player, of.field, asked, after=shown.until_event or 0)
            # An import brings times of its own. The order in which changes came decides between equal times.
            values.sort(key=lambda value: value.at_ms, reverse=True)
            unseen = await own_places.unseen(db, in_force, player)
            read = (
                _past_score(of, value, unseen.get(value.event, State.VISIBLE))
                for value in values
                if own or value.event not in unseen
            )
            return History(of, card, tuple(islice((score for score in read if score is not None), limit)))

        return await self._database.read(work)

    async def _list(self, db: Reader, board_id: str, period: str) -> List:
        return await board_lists.named(db, board_id, period, self._now_ms())


# --- distribution -----------------------------------------------------------------------------------------------------


async def _bounds(db: Reader, list_: List) -> tuple[Bounds, ...]:
    keys = await store.ends(db, list_.number)
    if keys is None:
        return ()
    least, greatest = sorted(scores.score_of(key, list_.board.order) for key in keys)
    return distribution.classes(list_.board, least, greatest)


async def _counts(db: Reader, list_: List, bounds: tuple[Bounds, ...]) -> list[int]:
    """How many entries each class holds, from the number of entries before its better end."""
    if not bounds:
        return []
    is_more = list_.board.order is Order.MORE
    best_first = bounds[::-1] if is_more else bounds
    before = [0]
    for each in best_first[1:]:
        key = scores.key_of(each.greatest if is_more else each.least, list_.board.order)
        before.append(await standings.index_of(db, list_.number, Position(key, INT64_MIN, INT64_MIN)))
    before.append(await standings.total(db, list_.number))
    counts = [behind - ahead for ahead, behind in pairwise(before)]
    return counts[::-1] if is_more else counts


def _class(of: Board, bounds: Bounds, count: int) -> ScoreClass:
    return ScoreClass(
        least=scores.exact(bounds.least, of.decimals),
        greatest=scores.exact(bounds.greatest, of.decimals),
        least_display=scores.display(bounds.least, of),
        greatest_display=scores.display(bounds.greatest, of),
        count=count,
    )


async def _own_class(db: Reader, list_: List, bounds: tuple[Bounds, ...], total: int, player: int) -> OwnClass | None:
    own = await own_places.entry(db, list_, player)
    if own.position is None or not bounds:
        return None
    of = list_.board
    score = scores.score_of(own.position.key, of.order)
    # One that others do not see may lie outside of all classes: then it is in the nearest.
    index = min(sum(each.greatest < score for each in bounds), len(bounds) - 1)
    better_than = await board_lists.better_than(db, list_, own.position, total + own.unlisted, unlisted=own.unlisted)
    return OwnClass(index, scores.exact(score, of.decimals), scores.display(score, of), better_than)


# --- periods and history ----------------------------------------------------------------------------------------------


def _period(of: Board, id_: str, starts_ms: int, ends_ms: int) -> Period:
    span, _, name = id_.partition(":")
    titles = {season.id: season.title for season in of.seasons} if span == Span.SEASON else {}
    return Period(id_, Span(span), starts_ms, ends_ms, of.zone, titles.get(name, ""))


async def _listed(db: Reader, list_: List, is_current: bool, mirror: Mirror | None) -> ListedPeriod:
    total = await standings.total(db, list_.number)
    mine = None if mirror is None else await mirror.place(list_)
    return ListedPeriod(list_.period, total, is_current, None if mine is None or mine.rank is None else mine)


def _past_score(of: Board, past: store.PastValue, state: State) -> PastScore | None:
    try:
        score = scores.read(of, past.value)
    except BadInput:
        return None
    return PastScore(past.at_ms, scores.exact(score, of.decimals), scores.display(score, of), past.origin, state)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")
