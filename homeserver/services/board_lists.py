"""One list of a board as somebody asked for it, and what is shown of it: entries, places, changes of a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Final

from homeserver.domain import boards as definitions
from homeserver.domain import claimed_dates, distribution, periods, ranking, rules, scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.cursors import Scope
from homeserver.domain.ranking import Ahead
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.errors import NotFound
from homeserver.model import (
    Board,
    Counts,
    DetailedPlace,
    Entry,
    NextPlace,
    Pending,
    Period,
    Place,
    PlaceChange,
    PlayerCard,
    Position,
    State,
    Ties,
)
from homeserver.storage import accounts, appdata, people, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Reader
from homeserver.storage.leaderboards import ListName
from homeserver.storage.standings import Run, Standing

FriendPlace = tuple[int, bool]
"""The number that is shown among friends, and whether it is tied."""

OVERTAKEN: Final = 4
"""So many of those whom a score has overtaken are named, at most."""

_NO_LIST: Final = 0
"""Stands for a list that nobody has entered, which has no row yet: real numbers begin at 1."""


@dataclass(frozen=True, slots=True)
class List:
    """A board in a period, found at `now_ms`."""

    in_force: BoardInForce
    period: Period
    number: int
    now_ms: int

    @property
    def board(self) -> Board:
        """The definition in force."""
        return self.in_force.board

    @property
    def exists(self) -> bool:
        """Whether anybody has ever entered it."""
        return self.number != _NO_LIST

    def scope(self, view: str) -> Scope:
        """What a cursor of this list, in this view of it, is bound to."""
        return Scope(
            (view, self.board.id, self.period.span),
            (self.period.id, definitions.digest(self.board), str(self.in_force.generation)),
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """Some entries of a list, and how many it has."""

    list: List
    entries: tuple[Entry, ...]
    total: int


async def board(db: Reader, board_id: str) -> BoardInForce:
    """One board in force.

    Raises:
        NotFound: No such board.
    """
    in_force = await store.board_in_force(db, board_id)
    if in_force is None:
        raise NotFound("no such board")
    return in_force


async def lists(db: Reader, in_force: BoardInForce, wanted: Sequence[Period], now_ms: int) -> list[List]:
    """The board's lists of these periods, in the same order, whether they exist yet or not."""
    names = [ListName(in_force.board.id, period.id, in_force.generation) for period in wanted]
    found = await store.find_lists(db, names)
    return [
        List(in_force, period, found.get(name, _NO_LIST), now_ms) for name, period in zip(names, wanted, strict=True)
    ]


async def current(db: Reader, in_force: BoardInForce, now_ms: int) -> list[List]:
    """The board's lists of all current periods, in the order of its spans."""
    return await lists(db, in_force, periods.current(in_force.board, now_ms), now_ms)


async def named(db: Reader, board_id: str, period: str, now_ms: int) -> List:
    """The list of a board whose period is named, by its id or by a span's word.

    Raises:
        NotFound: No such board. BadInput: No such period (field "period").
    """
    in_force = await board(db, board_id)
    (found,) = await lists(db, in_force, [periods.parse(in_force.board, period, now_ms)], now_ms)
    return found


async def show(
    db: Reader, list_: List, run: Run, reader: int | None, friend_places: Sequence[FriendPlace] = ()
) -> Shown:
    """These entries with the names of their players; `reader` is who looks, `friend_places` are those of all entries if
    they are friends."""
    cards = await people.cards(db, [standing.position.player for standing in run.standings])
    dates = await _claimed_dates(db, list_, run.standings)
    entries = tuple(
        [
            _entry(list_.board, standing, cards, reader, among_friends, dates)
            for standing, among_friends in zip_longest(run.standings, friend_places)
        ]
    )
    return Shown(list_, entries, await standings.total(db, list_.number))


def _entry(  # noqa: PLR0917 - what is known of one row
    of: Board,
    standing: Standing,
    cards: Mapping[int, PlayerCard],
    reader: int | None,
    among_friends: FriendPlace | None,
    dates: Mapping[int, str],
) -> Entry:
    player = standing.position.player
    score, display = scores.written(of, standing.position.key)
    friend_rank, friend_tied = among_friends or (None, False)
    return Entry(
        rank=standing.rank,
        tied=standing.tied,
        player=cards[player],
        score=score,
        display=display,
        reached_ms=standing.position.reached_ms,
        me=player == reader,
        friend_rank=friend_rank,
        friend_tied=friend_tied,
        claimed_date=dates.get(player),
    )


async def _claimed_dates(db: Reader, list_: List, found: Sequence[Standing]) -> dict[int, str]:
    """When these players say that they reached what they have here, where they say it.

    AppData holds one date, beside the score that it is of. An entry that has another score, an earlier best one or that
    of an earlier period, has no claimed date. A gain is nowhere in AppData: while its period lasts, the date is of it.
    """
    of = list_.board
    if of.date_field is None or not found:
        return {}
    held = await appdata.held(db, [each.position.player for each in found], (of.field, of.date_field))
    dates: dict[int, str] = {}
    for position in (each.position for each in found):
        values = held.get(position.player, {})
        date = claimed_dates.shown(values.get(of.date_field), list_.now_ms)
        if date is not None and _is_of(list_, position, values.get(of.field)):
            dates[position.player] = date
    return dates


def _is_of(list_: List, position: Position, value: str | None) -> bool:
    if list_.board.counts is Counts.GAINED and list_.period.ends_ms is not None:
        return list_.now_ms < list_.period.ends_ms
    return ranking.claim(list_.board, value) == position.key


async def standing_in(db: Reader, list_: List, player: int) -> Standing | None:
    """Where the player stands in the list; None without an entry."""
    position = await standings.entry_of(db, list_.number, player)
    return None if position is None else await standings.standing(db, list_.number, list_.board.ties, position)


async def place(
    db: Reader, list_: List, standing: Standing | None, state: State = State.VISIBLE, *, unlisted: bool = False
) -> Place:
    """A player's place in the list; `unlisted` says that it is the one that they would have."""
    total = await standings.total(db, list_.number) + unlisted
    if standing is None:
        return Place(list_.board, list_.period, None, tied=False, total=total, score=None, display=None, state=state)
    score, display = scores.written(list_.board, standing.position.key)
    return Place(list_.board, list_.period, standing.rank, standing.tied, total, score, display, state=state)


async def detailed_place(
    db: Reader, list_: List, standing: Standing | None, state: State = State.VISIBLE, *, unlisted: bool = False
) -> DetailedPlace:
    """A player's place in the list, better than how many that is, and what is missing to a better one; see `place`."""
    plain = await place(db, list_, standing, state, unlisted=unlisted)
    return DetailedPlace(
        board=plain.board,
        period=plain.period,
        rank=plain.rank,
        tied=plain.tied,
        total=plain.total,
        score=plain.score,
        display=plain.display,
        state=plain.state,
        better_than=None
        if standing is None
        else await better_than(db, list_, standing.position, plain.total, unlisted=unlisted),
        next=None if standing is None else await _next(db, list_, standing),
    )


async def better_than(
    db: Reader, list_: List, position: Position, total: int, *, unlisted: bool = False
) -> Fraction | None:
    """The share of the others whose score is strictly worse than that of this entry of the list, which has `total`, or
    would have with it."""
    behind = Position(position.key, INT64_MAX, INT64_MAX)
    return distribution.better_than(total - unlisted - await standings.index_of(db, list_.number, behind), total)


async def _next(db: Reader, list_: List, standing: Standing) -> NextPlace | None:
    """The nearest better place. To reach a score is enough where equal scores share a place; else it must be passed.

    With ordinal ranks, whoever reaches a score now comes behind all who have it. To get ahead of those who reached the
    player's own score before, any better score will do; without such, the next better score must be passed.
    """
    ties, key = list_.board.ties, standing.position.key
    start = Position(key, INT64_MIN, INT64_MIN)
    if ties is Ties.ORDINAL:
        better = await standings.index_of(db, list_.number, start)
        if standing.rank > ranking.rank(ties, Ahead(better, 0)):
            return _next_place(list_, key, key - 1, ranking.rank(ties, Ahead(better, 0)))
    run = await standings.run_before(db, list_.number, ties, start, 1)
    if not run.standings:
        return None
    (nearest,) = run.standings
    if ties is not Ties.ORDINAL:
        return _next_place(list_, key, nearest.position.key, nearest.rank)
    better = await standings.index_of(db, list_.number, Position(nearest.position.key, INT64_MIN, INT64_MIN))
    return _next_place(list_, key, nearest.position.key - 1, ranking.rank(ties, Ahead(better, 0)))


def _next_place(list_: List, key: int, target: int, rank: int) -> NextPlace | None:
    of = list_.board
    score, missing = scores.score_of(target, of.order), key - target
    if not rules.is_score_in(of, list_.period.span, score):
        return None
    return NextPlace(
        rank,
        scores.exact(score, of.decimals),
        scores.display(score, of),
        scores.exact(missing, of.decimals),
        scores.display(missing, of),
    )


async def pending(db: Reader, in_force: BoardInForce, player: int) -> Pending | None:
    """The last score that the player claimed on the board, if it waits to be looked at."""
    of = in_force.board
    found = await accounts.waiting(db, in_force, player) if rules.judges(of) else []
    if not found:
        return None
    _, flag = found[-1]
    return Pending(scores.exact(flag.score, of.decimals), scores.display(flag.score, of), flag.at_ms, flag.reason)


async def place_change(db: Reader, list_: List, player: int, moves: Mapping[int, Position | None]) -> PlaceChange:
    """The player's place as it is, and what is new about it. A first entry is a best one, and overtakes nobody.

    Args:
        moves: Where the player's entry was, in those lists in which it is new or has moved.
    """
    position = await standings.entry_of(db, list_.number, player)
    was = moves.get(list_.number, position)
    if position is None:
        before = None if was is None else await standings.would_stand(db, list_.number, list_.board.ties, was)
        return PlaceChange(await place(db, list_, None), None if before is None else before.rank, is_best=False)
    if was is None:
        now = await standings.standing(db, list_.number, list_.board.ties, position)
        return PlaceChange(await place(db, list_, now), None, is_best=True)
    now, rank_before = await standings.moved(db, list_.number, list_.board.ties, position, was)
    is_best = position.key < was.key
    overtaken: tuple[PlayerCard, ...] = ()
    if is_best:
        behind = await standings.players_behind(db, list_.number, position.key, was.key, OVERTAKEN)
        cards = await people.cards(db, behind) if behind else {}
        overtaken = tuple(cards[other] for other in behind)
    return PlaceChange(await place(db, list_, now), rank_before, is_best, overtaken)
