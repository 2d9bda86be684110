"""One list of a board as somebody asked for it, and what is shown of it: entries, places, changes of a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.domain import boards as definitions
from homeserver.domain import periods, scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.cursors import Scope
from homeserver.errors import NotFound
from homeserver.model import Board, Entry, Period, Place, PlaceChange, PlayerCard
from homeserver.storage import leaderboards as store
from homeserver.storage import people, standings
from homeserver.storage.database import Reader
from homeserver.storage.leaderboards import ListName
from homeserver.storage.standings import Run, Standing

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

    def scope(self, view: str) -> Scope:
        """What a cursor of this list, in this view of it, is bound to."""
        return view, self.board.id, self.period.id, definitions.digest(self.board), str(self.in_force.generation)


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


async def show(db: Reader, list_: List, run: Run, reader: int | None) -> Shown:
    """These entries with the names of their players; `reader` is who looks."""
    cards = await people.cards(db, [standing.position.player for standing in run.standings])
    entries = tuple(_entry(list_.board, standing, cards, reader) for standing in run.standings)
    return Shown(list_, entries, await standings.total(db, list_.number))


def _entry(of: Board, standing: Standing, cards: dict[int, PlayerCard], reader: int | None) -> Entry:
    player = standing.position.player
    score, display = _written(of, standing)
    return Entry(
        rank=standing.rank,
        tied=standing.tied,
        player=cards[player],
        score=score,
        display=display,
        reached_ms=standing.position.reached_ms,
        me=player == reader,
    )


async def standing_in(db: Reader, list_: List, player: int) -> Standing | None:
    """Where the player stands in the list; None without an entry."""
    position = await standings.entry_of(db, list_.number, player)
    return None if position is None else await standings.standing(db, list_.number, list_.board.ties, position)


async def place(db: Reader, list_: List, standing: Standing | None) -> Place:
    """A player's place in the list."""
    total = await standings.total(db, list_.number)
    if standing is None:
        return Place(list_.board, list_.period, None, tied=False, total=total, score=None, display=None)
    score, display = _written(list_.board, standing)
    return Place(list_.board, list_.period, standing.rank, standing.tied, total, score, display)


async def place_change(db: Reader, list_: List, player: int, was: Standing | None) -> PlaceChange:
    """The player's place as it is, and what is new about it. A first entry is a best one."""
    now = await standing_in(db, list_, player)
    is_best = now is not None and (was is None or now.position.key < was.position.key)
    return PlaceChange(await place(db, list_, now), None if was is None else was.rank, is_best)


def _written(of: Board, standing: Standing) -> tuple[str, str]:
    """The score exactly, and as it is displayed."""
    score = scores.score_of(standing.position.key, of.order)
    return scores.exact(score, of.decimals), scores.display(score, of)
