"""Boards in force, their lists, and the entries that accepted changes make. What is read from them: `standings.py`.

A *list* is one board in one period and one generation, with a number; it is made when its first entry comes. A player
has at most one entry in a list. The primary key of entries is their order: key ascending from best to worst, then who
reached it first, then the player's number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from homeserver.domain import boards as definitions
from homeserver.domain import periods, ranking
from homeserver.domain.boards import BoardInForce
from homeserver.domain.ranking import NoScore
from homeserver.model import Board, Change, Period, Position, Ties
from homeserver.storage import blocks, boundaries, moderation
from homeserver.storage.blocks import SIZES, Move, Sizes
from homeserver.storage.database import LostRaceError, Reader, Row, Transaction

FIRST_REVISION = 1
FIRST_GENERATION = 1


# --- boards ---------------------------------------------------------------------------------------------------------


async def boards_in_force(reader: Reader) -> tuple[BoardInForce, ...]:
    """All boards, in their order."""
    rows = await reader.fetch("SELECT definition, revision, generation, moderated FROM boards ORDER BY position, board")
    return tuple(_in_force(row) for row in rows)


async def board_in_force(reader: Reader, board_id: str) -> BoardInForce | None:
    """One board, or None if there is none of this id, which may be any text from outside."""
    if "\0" in board_id:  # PostgreSQL does not even compare it
        return None
    row = await reader.fetch_one(
        "SELECT definition, revision, generation, moderated FROM boards WHERE board = $1", board_id
    )
    return None if row is None else _in_force(row)


def _in_force(row: Row) -> BoardInForce:
    definition, revision, generation, moderated = row
    return BoardInForce(_read(definition), revision, generation, moderated)


@lru_cache(maxsize=256)
def _read(definition: str) -> Board:
    """Kept: every transaction reads the boards, and they hardly ever change."""
    return definitions.board_from(json.loads(definition))


async def seed(tx: Transaction, wanted: Sequence[Board]) -> tuple[str, ...]:
    """Store the definitions that the database does not have yet. Those that it has stay as they are.

    Returns:
        What the settings have other than the database, which is what is served: one sentence for each board.

    Raises:
        BadInput: A definition is not right; nothing is stored.
    """
    await tx.execute_many(
        "INSERT INTO boards (board, position, definition, revision, generation, moderated) "
        "VALUES ($1, $2, $3, $4, $5, (SELECT count(*) FROM moderation WHERE board = $1) "
        "+ (SELECT count(*) FROM delisted)) "
        "ON CONFLICT (board) DO NOTHING",
        # In sorted order: two servers that start at once wait for each other instead of deadlocking.
        sorted(
            (board.id, position, _definition(board), FIRST_REVISION, FIRST_GENERATION)
            for position, board in enumerate(wanted)
        ),
    )
    return _differences(wanted, await boards_in_force(tx))


def _definition(board: Board) -> str:
    return json.dumps(definitions.board_to(definitions.checked(board)), ensure_ascii=False)


def _differences(wanted: Iterable[Board], served: Iterable[BoardInForce]) -> tuple[str, ...]:
    asked = {board.id: board for board in wanted}
    said: list[str] = []
    for in_force in served:
        board = in_force.board
        if board.id not in asked:
            said.append(f"board {board.id}: not in the settings any more; it is still served")
        elif found := definitions.differences(board, asked[board.id]):
            said.append(f"board {board.id}: {'; '.join(found)}")
    return tuple(said)


# --- lists ----------------------------------------------------------------------------------------------------------


class ListName(NamedTuple):
    """What a list is of."""

    board: str
    period: str
    generation: int


async def find_lists(reader: Reader, names: Iterable[ListName]) -> dict[ListName, int]:
    """The numbers of those lists that exist."""
    wanted = set(names)
    rows = await reader.fetch(
        "SELECT board, period, generation, list FROM lists "
        "WHERE board IN (SELECT b.value FROM each_text($1) AS b) "
        "AND period IN (SELECT p.value FROM each_text($2) AS p)",
        sorted({name.board for name in wanted}),
        sorted({name.period for name in wanted}),
    )
    found = {ListName(board, period, generation): number for board, period, generation, number in rows}
    return {name: found[name] for name in wanted & found.keys()}


class NewList(NamedTuple):
    """What a list has from its beginning to its end."""

    period: Period
    dense: bool


async def make_lists(tx: Transaction, wanted: dict[ListName, NewList]) -> dict[ListName, int]:
    """The numbers of these lists; those that do not exist are made."""
    found = await find_lists(tx, wanted)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        # In sorted order, as in `seed`. Whoever comes second waits for the first and then finds the list.
        await tx.execute_many(
            "INSERT INTO lists (board, period, generation, starts_ms, ends_ms, dense, boundaries) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (board, period, generation) DO NOTHING",
            [
                (*name, new.period.starts_ms, new.period.ends_ms, int(new.dense), boundaries.new_token())
                for name, new in ((name, wanted[name]) for name in missing)
            ],
        )
        made = await find_lists(tx, missing)
        await blocks.make(tx, made.values())
        found |= made
    return found


# --- entries --------------------------------------------------------------------------------------------------------


class _Effect(NamedTuple):
    """What one change may do in one list."""

    name: ListName
    in_force: BoardInForce
    claim: int | NoScore
    player: int
    at_ms: int
    imported: bool


async def begin(tx: Transaction, fields: Iterable[str] | None = None) -> tuple[BoardInForce, ...]:
    """What a transaction begins with that may `record` changes: the boards, held until its end.

    Nothing else may have been locked before, no row either: see `blocks.py` for the order of locks.

    Args:
        fields: What may change. Boards of other fields are left out; None leaves out none.
    """
    wanted = None if fields is None else frozenset(fields)
    held: set[str] = set()
    while True:
        found = await boards_in_force(tx)
        found = tuple(each for each in found if wanted is None or each.board.field in wanted)
        ids = {in_force.board.id for in_force in found}
        if ids <= held:  # read after they were locked, so this is what they are until the end
            return found
        await tx.lock(*(blocks.lock_name(id_) for id_ in sorted(ids - held)), shared=True)
        held |= ids


async def record(
    tx: Transaction,
    boards: Sequence[BoardInForce],
    changes: Sequence[Change],
    now_ms: int,
    sizes: Sizes = SIZES,
    *,
    besides: Sequence[Move] = (),
) -> None:
    """Let accepted changes take effect on every board whose field they are of, in every period that they concern.

    The last thing that a transaction does, and only once in it, lest two transactions wait for each other's blocks:
    that costs a second until the database notices, and undoes one of them.

    Args:
        boards: As `begin` returned them at the beginning of this transaction.
        changes: As `appdata.observe` returned them *in this transaction*, in the order in which they happened. The rows
            that it locked make writers of the same player and field wait for each other.
        now_ms: No change counts as later than this.
        sizes: Of blocks. Any are right, at any time.
        besides: What else moves in this transaction (`replays.moves`): entries of players who have no change here.

    Whoever is hidden from a board enters none of its lists; see `moderation.py`.

    A baseline concerns `all` alone, any other change all periods of `at_ms`; what it does to the entry there says
    `ranking.settle`. A value that is gone, or that `latest` cannot rank, therefore leaves `all` and the periods then
    current, while closed periods keep their final result.
    """
    hidden = await moderation.hidden_among(tx, boards, {change.player for change in changes})
    effects: list[_Effect] = []
    concerned: dict[ListName, NewList] = {}
    scored: set[ListName] = set()
    for change in changes:
        at_ms = min(change.at_ms, now_ms)
        for in_force in boards:
            if in_force.board.field != change.key or (in_force.board.id, change.player) in hidden:
                continue
            claim = ranking.claim(in_force.board, change.new)
            for period in periods.concerned(in_force.board, at_ms, change.origin):
                name = ListName(in_force.board.id, period.id, in_force.generation)
                concerned[name] = NewList(period, in_force.board.ties is Ties.DENSE)
                if isinstance(claim, int):
                    scored.add(name)
                effects.append(_Effect(name, in_force, claim, change.player, at_ms, change.origin.is_import))
    if not effects:
        await write(tx, besides, sizes)
        return
    lists = await find_lists(tx, concerned) | await make_lists(tx, {name: concerned[name] for name in scored})
    before = await _positions(tx, lists.values(), {effect.player for effect in effects})
    after = dict(before)
    for effect in effects:
        if effect.name in lists:
            place = (lists[effect.name], effect.player)
            after[place] = ranking.settle(
                effect.in_force.board.keep,
                after.get(place),
                effect.claim,
                effect.player,
                effect.at_ms,
                imported=effect.imported,
            )
    moves = [Move(*place, before.get(place), new) for place, new in after.items() if new != before.get(place)]
    await write(tx, [*moves, *besides], sizes)


async def apply_changes(tx: Transaction, changes: Sequence[Change], now_ms: int, sizes: Sizes = SIZES) -> None:
    """`begin` and `record`, for a transaction that does nothing else."""
    if changes:
        await record(tx, await begin(tx, {change.key for change in changes}), changes, now_ms, sizes)


async def write(tx: Transaction, moves: Sequence[Move], sizes: Sizes = SIZES) -> None:
    """Write entries and count them: the last thing that a transaction does, and once; see `record`."""
    if moves:
        await _write(tx, moves)
        await blocks.count(tx, moves, sizes)


async def _positions(
    reader: Reader, lists: Iterable[int], players: Iterable[int]
) -> dict[tuple[int, int], Position | None]:
    """The entries of these players in these lists, by (list, player)."""
    # CROSS JOIN: SQLite keeps this order of the tables, which finds each player by the index.
    rows = await reader.fetch(
        "SELECT e.list, e.key, e.reached_ms, e.player FROM each_bigint($1) AS w CROSS JOIN entries AS e "
        "WHERE e.player = w.value AND e.list IN (SELECT l.value FROM each_bigint($2) AS l)",
        sorted(players),
        sorted(lists),
    )
    return {(list_, player): Position(key, reached_ms, player) for list_, key, reached_ms, player in rows}


async def _write(tx: Transaction, moves: Iterable[Move]) -> None:
    """The one place where entries are written. Sorted: fewer pages touched, and one order for everybody.

    Raises:
        LostRaceError: Somebody else changed one of them, who did not hold the player's AppData row.
    """
    ordered = sorted(moves, key=lambda move: (move.list, move.player))
    old = sorted((move.list, move.old.key, move.old.reached_ms, move.player) for move in ordered if move.old)
    new = sorted((move.list, move.new.key, move.new.reached_ms, move.player) for move in ordered if move.new)
    if old:
        deleted = await tx.execute(
            "DELETE FROM entries WHERE (list, key, reached_ms, player) IN "
            "(SELECT w.c1, w.c2, w.c3, w.c4 FROM each_bigints($1, $2, $3, $4) AS w)",
            *_columns(old),
        )
        if deleted != len(old):
            raise LostRaceError
    if new:
        await tx.execute(
            "INSERT INTO entries (list, key, reached_ms, player) "
            "SELECT w.c1, w.c2, w.c3, w.c4 FROM each_bigints($1, $2, $3, $4) AS w",
            *_columns(new),
        )


def _columns(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]
